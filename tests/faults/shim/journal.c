/*
 * Journals what a process and its children do to the files below a folder, to simulate power cuts.
 *
 * Preload it (LD_PRELOAD) with these environment variables:
 *   FAULTS_ROOT     the folder, an absolute path without symbolic links
 *   FAULTS_JOURNAL  the file to append records to, outside of the folder
 *   FAULTS_SYNC     "off": syncs do nothing and leave no record
 *
 * A record is `struct header` and then its payload. It is appended with one system call after the
 * operation has succeeded and before the caller continues, so that the order of records respects
 * what threads and processes wait for. A sync has two records: it covers the writes before its
 * first one, and holds from its second one on.
 *
 * Files are named by inode, because renames change their paths. Writes to shared mappings leave no
 * record: a mapped file counts as not durable. Writes of stdio bypass the hooks below, so the whole
 * content of a file that fopen opened is recorded when it is closed or synced.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct header {
    uint32_t payload_bytes;
    uint32_t kind;
    uint64_t inode;
    uint64_t value; /* an offset, a size, or 1 for an open that truncates */
    uint64_t task;
};

#define STDIO_FILES 64
#define COPY_BYTES (1024 * 1024)

static int journal = -1;
static int syncs_work = 1;
static char root[PATH_MAX];
static size_t root_length;
static pthread_mutex_t stdio_lock = PTHREAD_MUTEX_INITIALIZER;
static ino_t stdio_inodes[STDIO_FILES];

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define RESOLVE(name)                                \
    static __typeof__(&name) real;                   \
    if (real == NULL) {                              \
        real = REAL(name);                           \
    }

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("FAULTS_JOURNAL"), *folder = getenv("FAULTS_ROOT");
    const char *sync = getenv("FAULTS_SYNC");
    if (path == NULL || folder == NULL || strlen(folder) >= sizeof root) {
        return;
    }
    strcpy(root, folder);
    root_length = strlen(root);
    syncs_work = sync == NULL || strcmp(sync, "off") != 0;
    int low = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (low < 0) {
        abort();
    }
    /* Out of the way of programs that expect low numbers. */
    journal = fcntl(low, F_DUPFD_CLOEXEC, 500);
    syscall(SYS_close, low);
    if (journal < 0) {
        abort();
    }
}

static void append(char kind, ino_t inode, uint64_t value, const struct iovec *parts, int count) {
    struct iovec all[IOV_MAX];
    struct header header = {0, (uint32_t)kind, inode, value, (uint64_t)syscall(SYS_gettid)};
    int saved = errno;
    if (count >= IOV_MAX) {
        abort();
    }
    for (int i = 0; i < count; i++) {
        all[i + 1] = parts[i];
        header.payload_bytes += (uint32_t)parts[i].iov_len;
    }
    all[0] = (struct iovec){&header, sizeof header};
    ssize_t expected = (ssize_t)(sizeof header + header.payload_bytes);
    if (syscall(SYS_writev, journal, all, count + 1) != expected) {
        abort(); /* a journal with a gap would prove nothing */
    }
    errno = saved;
}

static void append_path(char kind, ino_t inode, uint64_t value, const char *path) {
    struct iovec part = {(void *)path, strlen(path)};
    append(kind, inode, value, &part, 1);
}

static int is_below_root(const char *path) {
    return journal >= 0 && strncmp(path, root, root_length) == 0 &&
           (path[root_length] == '/' || path[root_length] == 0);
}

/* Writes the path of an open file into `path`, a buffer of PATH_MAX bytes; returns 0 if it has none. */
static int read_path(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (length < 0) {
        return 0;
    }
    path[length] = 0;
    return 1;
}

/* Makes a path absolute, in a buffer of PATH_MAX bytes; returns 0 if it is outside of the root. */
static int resolve(int folder, const char *path, char *absolute) {
    if (journal < 0 || path == NULL) {
        return 0;
    }
    if (path[0] == '/') {
        snprintf(absolute, PATH_MAX, "%s", path);
    } else {
        char base[PATH_MAX];
        if (folder == AT_FDCWD ? syscall(SYS_getcwd, base, sizeof base) < 0 : !read_path(folder, base)) {
            return 0;
        }
        snprintf(absolute, PATH_MAX, "%.*s/%s", PATH_MAX / 2, base, path);
    }
    size_t length = strlen(absolute);
    while (length > 1 && absolute[length - 1] == '/') {
        absolute[--length] = 0;
    }
    return is_below_root(absolute);
}

/* Returns whether an open file is a regular file below the root, with its attributes and path. */
static int is_watched(int fd, struct stat *attributes, char *path) {
    return journal >= 0 && fstat(fd, attributes) == 0 && S_ISREG(attributes->st_mode) &&
           read_path(fd, path) && is_below_root(path);
}

static void record_open(int fd, const char *path, int flags) {
    struct stat attributes;
    if (fstat(fd, &attributes) == 0 && S_ISREG(attributes.st_mode)) {
        append_path('O', attributes.st_ino, (flags & O_TRUNC) != 0, path);
    }
}

static void record_write(int fd, const struct iovec *parts, int count, ssize_t written, off_t offset) {
    struct stat attributes;
    char path[PATH_MAX];
    struct iovec done[IOV_MAX];
    int used = 0;
    if (written <= 0 || !is_watched(fd, &attributes, path)) {
        return;
    }
    if (offset < 0) { /* without a position of its own: the file's, which is now behind the data */
        offset = (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR) - written;
    }
    size_t left = (size_t)written;
    for (int i = 0; i < count && left > 0; i++) {
        done[used] = parts[i];
        if (done[used].iov_len > left) {
            done[used].iov_len = left;
        }
        left -= done[used++].iov_len;
    }
    append('W', attributes.st_ino, (uint64_t)offset, done, used);
}

/* Records the bytes of a range of a file as they are now. */
static void record_content(int fd, ino_t inode, off_t offset, off_t end) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int copy = (int)syscall(SYS_openat, AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
    char *buffer = malloc(COPY_BYTES);
    if (copy < 0 || buffer == NULL) {
        abort();
    }
    while (offset < end) {
        size_t size = end - offset < COPY_BYTES ? (size_t)(end - offset) : COPY_BYTES;
        ssize_t count = syscall(SYS_pread64, copy, buffer, size, offset);
        if (count <= 0) {
            break;
        }
        struct iovec part = {buffer, (size_t)count};
        append('W', inode, (uint64_t)offset, &part, 1);
        offset += count;
    }
    free(buffer);
    syscall(SYS_close, copy);
}

/* Adds or removes a file of stdio; returns whether it was there. */
static int keep_stdio(ino_t inode, int add, int remove) {
    int is_listed = 0, free_place = -1;
    pthread_mutex_lock(&stdio_lock);
    for (int i = 0; i < STDIO_FILES; i++) {
        if (stdio_inodes[i] == inode) {
            is_listed = 1;
            stdio_inodes[i] = remove ? 0 : inode;
        } else if (stdio_inodes[i] == 0) {
            free_place = i;
        }
    }
    if (add && !is_listed) {
        if (free_place < 0) {
            abort();
        }
        stdio_inodes[free_place] = inode;
    }
    pthread_mutex_unlock(&stdio_lock);
    return is_listed;
}

static void record_unsupported(int fd, const char *operation) {
    struct stat attributes;
    char path[PATH_MAX];
    if (is_watched(fd, &attributes, path)) {
        append_path('X', attributes.st_ino, 0, operation);
    }
}

/* ---- opening ---- */

static int open_and_record(int (*real)(int, const char *, int, ...), int folder, const char *path, int flags,
                           mode_t mode) {
    char absolute[PATH_MAX];
    int fd = real(folder, path, flags, mode);
    if (fd >= 0 && (flags & (O_CREAT | O_TRUNC)) != 0 && resolve(folder, path, absolute)) {
        record_open(fd, absolute, flags);
    }
    return fd;
}

static mode_t read_mode(int flags, va_list arguments) {
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

#define DEFINE_OPEN(name)                                              \
    int name(const char *path, int flags, ...) {                       \
        va_list arguments;                                             \
        va_start(arguments, flags);                                    \
        mode_t mode = read_mode(flags, arguments);                     \
        va_end(arguments);                                             \
        RESOLVE(openat);                                               \
        return open_and_record(real, AT_FDCWD, path, flags, mode);     \
    }

#define DEFINE_OPENAT(name)                                            \
    int name(int folder, const char *path, int flags, ...) {           \
        va_list arguments;                                             \
        va_start(arguments, flags);                                    \
        mode_t mode = read_mode(flags, arguments);                     \
        va_end(arguments);                                             \
        RESOLVE(openat);                                               \
        return open_and_record(real, folder, path, flags, mode);       \
    }

/* What fortified programs call, which never create files. */
#define DEFINE_OPEN_2(name)                                            \
    int name(const char *path, int flags) {                            \
        RESOLVE(openat);                                               \
        return open_and_record(real, AT_FDCWD, path, flags, 0);        \
    }

#define DEFINE_OPENAT_2(name)                                          \
    int name(int folder, const char *path, int flags) {                \
        RESOLVE(openat);                                               \
        return open_and_record(real, folder, path, flags, 0);          \
    }

#define DEFINE_CREAT(name)                                                                          \
    int name(const char *path, mode_t mode) {                                                       \
        RESOLVE(openat);                                                                            \
        return open_and_record(real, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);           \
    }

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)
DEFINE_OPEN_2(__open_2)
DEFINE_OPEN_2(__open64_2)
DEFINE_OPENAT_2(__openat_2)
DEFINE_OPENAT_2(__openat64_2)
DEFINE_CREAT(creat)
DEFINE_CREAT(creat64)

static FILE *record_fopen(FILE *file, const char *path, const char *mode) {
    char absolute[PATH_MAX];
    struct stat attributes;
    int is_written = strpbrk(mode, "wa+") != NULL;
    if (file != NULL && is_written && resolve(AT_FDCWD, path, absolute)) {
        record_open(fileno(file), absolute, mode[0] == 'w' ? O_TRUNC : 0);
        if (fstat(fileno(file), &attributes) == 0) {
            keep_stdio(attributes.st_ino, 1, 0);
        }
    }
    return file;
}

FILE *fopen(const char *path, const char *mode) {
    RESOLVE(fopen);
    return record_fopen(real(path, mode), path, mode);
}

FILE *fopen64(const char *path, const char *mode) {
    RESOLVE(fopen64);
    return record_fopen(real(path, mode), path, mode);
}

FILE *fdopen(int fd, const char *mode) {
    RESOLVE(fdopen);
    struct stat attributes;
    char path[PATH_MAX];
    FILE *file = real(fd, mode);
    if (file != NULL && strpbrk(mode, "wa+") != NULL && is_watched(fd, &attributes, path)) {
        keep_stdio(attributes.st_ino, 1, 0);
    }
    return file;
}

int fclose(FILE *file) {
    RESOLVE(fclose);
    struct stat attributes;
    char path[PATH_MAX];
    if (is_watched(fileno(file), &attributes, path) && keep_stdio(attributes.st_ino, 0, 1)) {
        fflush(file);
        fstat(fileno(file), &attributes);
        record_content(fileno(file), attributes.st_ino, 0, attributes.st_size);
    }
    return real(file);
}

/* ---- writing ---- */

ssize_t write(int fd, const void *data, size_t count) {
    RESOLVE(write);
    ssize_t written = real(fd, data, count);
    struct iovec part = {(void *)data, count};
    record_write(fd, &part, 1, written, -1);
    return written;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    RESOLVE(writev);
    ssize_t written = real(fd, parts, count);
    record_write(fd, parts, count, written, -1);
    return written;
}

#define DEFINE_PWRITE(name, offset_type)                                              \
    ssize_t name(int fd, const void *data, size_t count, offset_type offset) {        \
        RESOLVE(pwrite);                                                              \
        ssize_t written = real(fd, data, count, offset);                              \
        struct iovec part = {(void *)data, count};                                    \
        record_write(fd, &part, 1, written, offset);                                  \
        return written;                                                               \
    }

#define DEFINE_PWRITEV(name, offset_type)                                                 \
    ssize_t name(int fd, const struct iovec *parts, int count, offset_type offset) {      \
        RESOLVE(pwritev);                                                                 \
        ssize_t written = real(fd, parts, count, offset);                                 \
        record_write(fd, parts, count, written, offset);                                  \
        return written;                                                                   \
    }

DEFINE_PWRITE(pwrite, off_t)
DEFINE_PWRITE(pwrite64, off64_t)
DEFINE_PWRITEV(pwritev, off_t)
DEFINE_PWRITEV(pwritev64, off64_t)

/* Records what a copy inside the kernel has put into a file. */
static void record_copy(int fd, ssize_t copied, off_t offset) {
    struct stat attributes;
    char path[PATH_MAX];
    if (copied > 0 && is_watched(fd, &attributes, path)) {
        if (offset < 0) {
            offset = (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR) - copied;
        }
        record_content(fd, attributes.st_ino, offset, offset + copied);
    }
}

#define DEFINE_SENDFILE(name, offset_type)                                        \
    ssize_t name(int target, int source, offset_type *offset, size_t count) {     \
        RESOLVE(sendfile);                                                        \
        ssize_t copied = real(target, source, offset, count);                     \
        record_copy(target, copied, -1);                                          \
        return copied;                                                            \
    }

DEFINE_SENDFILE(sendfile, off_t)
DEFINE_SENDFILE(sendfile64, off64_t)

ssize_t copy_file_range(int source, off64_t *source_offset, int target, off64_t *target_offset, size_t count,
                        unsigned int flags) {
    RESOLVE(copy_file_range);
    off_t start = target_offset == NULL ? -1 : *target_offset;
    ssize_t copied = real(source, source_offset, target, target_offset, count, flags);
    record_copy(target, copied, start);
    return copied;
}

static int record_truncate(int fd, int result, off_t size) {
    struct stat attributes;
    char path[PATH_MAX];
    if (result == 0 && is_watched(fd, &attributes, path)) {
        append('T', attributes.st_ino, (uint64_t)size, NULL, 0);
    }
    return result;
}

int ftruncate(int fd, off_t size) {
    RESOLVE(ftruncate);
    return record_truncate(fd, real(fd, size), size);
}

int ftruncate64(int fd, off64_t size) {
    RESOLVE(ftruncate64);
    return record_truncate(fd, real(fd, size), size);
}

#define DEFINE_FALLOCATE(name, offset_type)                                       \
    int name(int fd, offset_type offset, offset_type size) {                      \
        RESOLVE(posix_fallocate);                                                 \
        record_unsupported(fd, #name);                                            \
        return real(fd, offset, size);                                            \
    }

DEFINE_FALLOCATE(posix_fallocate, off_t)
DEFINE_FALLOCATE(posix_fallocate64, off64_t)

static void record_mapping(int fd, int protection, int flags) {
    struct stat attributes;
    char path[PATH_MAX];
    int is_shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
    if (is_shared && (protection & PROT_WRITE) != 0 && fd >= 0 && is_watched(fd, &attributes, path)) {
        append('S', attributes.st_ino, 0, NULL, 0);
    }
}

#define DEFINE_MMAP(name, offset_type)                                                                    \
    void *name(void *address, size_t length, int protection, int flags, int fd, offset_type offset) {     \
        RESOLVE(mmap);                                                                                    \
        void *mapped = real(address, length, protection, flags, fd, offset);                              \
        if (mapped != MAP_FAILED) {                                                                       \
            record_mapping(fd, protection, flags);                                                        \
        }                                                                                                 \
        return mapped;                                                                                    \
    }

DEFINE_MMAP(mmap, off_t)
DEFINE_MMAP(mmap64, off64_t)

/* ---- syncing ---- */

static int sync_and_record(int (*real)(int), int fd) {
    struct stat attributes;
    char path[PATH_MAX];
    int is_folder = 0, is_recorded = 0;
    if (journal >= 0 && fstat(fd, &attributes) == 0 && read_path(fd, path) && is_below_root(path)) {
        if (!syncs_work) {
            return 0;
        }
        is_folder = S_ISDIR(attributes.st_mode);
        is_recorded = is_folder || S_ISREG(attributes.st_mode);
    }
    if (!is_recorded) {
        return real(fd);
    }
    if (!is_folder && keep_stdio(attributes.st_ino, 0, 0)) {
        record_content(fd, attributes.st_ino, 0, attributes.st_size);
    }
    append_path('B', attributes.st_ino, 0, is_folder ? path : "");
    int result = real(fd);
    if (result == 0) {
        append_path('E', attributes.st_ino, 0, is_folder ? path : "");
    }
    return result;
}

int fsync(int fd) {
    RESOLVE(fsync);
    return sync_and_record(real, fd);
}

int fdatasync(int fd) {
    RESOLVE(fdatasync);
    return sync_and_record(real, fd);
}

/* ---- names ---- */

static void append_two(char kind, const char *first, const char *second) {
    struct iovec parts[2] = {{(void *)first, strlen(first) + 1}, {(void *)second, strlen(second)}};
    append(kind, 0, 0, parts, 2);
}

static int rename_and_record(int old_folder, const char *old, int new_folder, const char *new,
                             unsigned int flags) {
    char source[PATH_MAX], target[PATH_MAX];
    int result = (int)syscall(SYS_renameat2, old_folder, old, new_folder, new, flags);
    if (result == 0) {
        int is_source = resolve(old_folder, old, source), is_target = resolve(new_folder, new, target);
        if (is_source != is_target || (is_source && flags != 0)) {
            append_path('X', 0, 0, "rename across the root, or with flags");
        } else if (is_source) {
            append_two('R', source, target);
        }
    }
    return result;
}

int rename(const char *old, const char *new) {
    return rename_and_record(AT_FDCWD, old, AT_FDCWD, new, 0);
}

int renameat(int old_folder, const char *old, int new_folder, const char *new) {
    return rename_and_record(old_folder, old, new_folder, new, 0);
}

int renameat2(int old_folder, const char *old, int new_folder, const char *new, unsigned int flags) {
    return rename_and_record(old_folder, old, new_folder, new, flags);
}

int linkat(int old_folder, const char *old, int new_folder, const char *new, int flags) {
    RESOLVE(linkat);
    char source[PATH_MAX], target[PATH_MAX];
    int result = real(old_folder, old, new_folder, new, flags);
    if (result == 0 && resolve(new_folder, new, target)) {
        if (resolve(old_folder, old, source)) {
            append_two('L', source, target);
        } else {
            append_path('X', 0, 0, "link across the root");
        }
    }
    return result;
}

int link(const char *old, const char *new) {
    return linkat(AT_FDCWD, old, AT_FDCWD, new, 0);
}

static int record_name(int result, char kind, int folder, const char *path) {
    char absolute[PATH_MAX];
    if (result == 0 && resolve(folder, path, absolute)) {
        append_path(kind, 0, 0, absolute);
    }
    return result;
}

int unlinkat(int folder, const char *path, int flags) {
    RESOLVE(unlinkat);
    return record_name(real(folder, path, flags), 'U', folder, path);
}

int unlink(const char *path) {
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path) {
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path) {
    int result = unlinkat(AT_FDCWD, path, 0);
    return result != 0 && errno == EISDIR ? unlinkat(AT_FDCWD, path, AT_REMOVEDIR) : result;
}

int mkdirat(int folder, const char *path, mode_t mode) {
    RESOLVE(mkdirat);
    return record_name(real(folder, path, mode), 'M', folder, path);
}

int mkdir(const char *path, mode_t mode) {
    return mkdirat(AT_FDCWD, path, mode);
}

/* Appends records to the journal. */

#include "records.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COPY_BYTES (1024 * 1024)

/* The journal's number is out of the way of programs that expect low ones. */
#define LOWEST_JOURNAL_FD 500

int journal_is_open;
int syncs_work = 1;

static int journal = -1;
static char root[PATH_MAX];
static size_t root_length;

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
    journal = fcntl(low, F_DUPFD_CLOEXEC, LOWEST_JOURNAL_FD);
    syscall(SYS_close, low);
    if (journal < 0) {
        abort();
    }
    journal_is_open = 1;
}

void append(enum kind kind, ino_t inode, uint64_t value, const struct iovec *parts, int count) {
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

void append_path(enum kind kind, ino_t inode, uint64_t value, const char *path) {
    struct iovec part = {(void *)path, strlen(path)};
    append(kind, inode, value, &part, 1);
}

int is_below_root(const char *path) {
    return journal_is_open && strncmp(path, root, root_length) == 0 &&
           (path[root_length] == '/' || path[root_length] == 0);
}

int read_path(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (length < 0) {
        return 0;
    }
    path[length] = 0;
    return 1;
}

int resolve(int folder, const char *path, char *absolute) {
    if (!journal_is_open || path == NULL) {
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

int is_watched(int fd, struct stat *attributes) {
    char path[PATH_MAX];
    return journal_is_open && fstat(fd, attributes) == 0 && S_ISREG(attributes->st_mode) &&
           read_path(fd, path) && is_below_root(path);
}

void record_open(int fd, const char *path, int flags) {
    struct stat attributes;
    if (fstat(fd, &attributes) == 0 && S_ISREG(attributes.st_mode)) {
        append_path(OPEN, attributes.st_ino, (flags & O_TRUNC) != 0, path);
    }
}

void record_content(int fd, ino_t inode, off_t offset, off_t end) {
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
        append(WRITE, inode, (uint64_t)offset, &part, 1);
        offset += count;
    }
    free(buffer);
    syscall(SYS_close, copy);
}

void record_unsupported(int fd, const char *operation) {
    struct stat attributes;
    if (is_watched(fd, &attributes)) {
        append_path(UNSUPPORTED, attributes.st_ino, 0, operation);
    }
}

/* Hooks of the functions that change the contents of files. */

#include "records.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

static void record_write(int fd, const struct iovec *parts, int count, ssize_t written, off_t offset) {
    struct stat attributes;
    struct iovec done[IOV_MAX];
    int used = 0;
    if (written <= 0 || !is_watched(fd, &attributes)) {
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
    append(WRITE, attributes.st_ino, (uint64_t)offset, done, used);
}

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
    if (copied > 0 && is_watched(fd, &attributes)) {
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
    if (result == 0 && is_watched(fd, &attributes)) {
        append(TRUNCATE, attributes.st_ino, (uint64_t)size, NULL, 0);
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
    int is_shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;
    if (is_shared && (protection & PROT_WRITE) != 0 && fd >= 0 && is_watched(fd, &attributes)) {
        append(MAP, attributes.st_ino, 0, NULL, 0);
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

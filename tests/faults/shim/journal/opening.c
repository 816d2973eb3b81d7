/* Hooks of the functions that open files by path. */

#include "records.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>

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

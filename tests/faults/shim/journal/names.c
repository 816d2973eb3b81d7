/* Hooks of the functions that change the names of files and folders. */

#include "records.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void append_two(enum kind kind, const char *first, const char *second) {
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
            append_path(UNSUPPORTED, 0, 0, "rename across the root, or with flags");
        } else if (is_source) {
            append_two(RENAME, source, target);
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
            append_two(LINK, source, target);
        } else {
            append_path(UNSUPPORTED, 0, 0, "link across the root");
        }
    }
    return result;
}

int link(const char *old, const char *new) {
    return linkat(AT_FDCWD, old, AT_FDCWD, new, 0);
}

static int record_name(int result, enum kind kind, int folder, const char *path) {
    char absolute[PATH_MAX];
    if (result == 0 && resolve(folder, path, absolute)) {
        append_path(kind, 0, 0, absolute);
    }
    return result;
}

int unlinkat(int folder, const char *path, int flags) {
    RESOLVE(unlinkat);
    return record_name(real(folder, path, flags), UNLINK, folder, path);
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
    return record_name(real(folder, path, mode), MAKE_FOLDER, folder, path);
}

int mkdir(const char *path, mode_t mode) {
    return mkdirat(AT_FDCWD, path, mode);
}

/* Hooks of the functions that make files and folders durable. */

#include "records.h"

#include <limits.h>
#include <unistd.h>

static int sync_and_record(int (*real)(int), int fd) {
    struct stat attributes;
    char path[PATH_MAX];
    int is_folder = 0, is_recorded = 0;
    if (journal_is_open && fstat(fd, &attributes) == 0 && read_path(fd, path) && is_below_root(path)) {
        if (!syncs_work) {
            return 0;
        }
        is_folder = S_ISDIR(attributes.st_mode);
        is_recorded = is_folder || S_ISREG(attributes.st_mode);
    }
    if (!is_recorded) {
        return real(fd);
    }
    if (!is_folder && is_written_by_stdio(attributes.st_ino)) {
        record_content(fd, attributes.st_ino, 0, attributes.st_size);
    }
    append_path(SYNC_BEGIN, attributes.st_ino, 0, is_folder ? path : "");
    int result = real(fd);
    if (result == 0) {
        append_path(SYNC_END, attributes.st_ino, 0, is_folder ? path : "");
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

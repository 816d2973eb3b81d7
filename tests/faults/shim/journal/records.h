/*
 * Journals what a process and its children do to the files below a folder, to simulate power cuts.
 *
 * Preload the library (LD_PRELOAD) with these environment variables:
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
 * record: a mapped file counts as not durable. Writes of stdio bypass the hooks, so the whole
 * content of a file that stdio writes is recorded when it is closed or synced.
 */

#ifndef RECORDS_H
#define RECORDS_H

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

#define HIDDEN __attribute__((visibility("hidden")))

/* Declares `real`, the function of a name that the hook of this name stands before. */
#define RESOLVE(name)                                              \
    static __typeof__(&name) real;                                 \
    if (real == NULL) {                                            \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);         \
    }

enum kind {
    OPEN = 'O',
    WRITE = 'W',
    TRUNCATE = 'T',
    MAP = 'S',
    SYNC_BEGIN = 'B',
    SYNC_END = 'E',
    RENAME = 'R',
    LINK = 'L',
    UNLINK = 'U',
    MAKE_FOLDER = 'M',
    UNSUPPORTED = 'X'
};

struct header {
    uint32_t payload_bytes;
    uint32_t kind;
    uint64_t inode;
    uint64_t value; /* an offset, a size, or 1 for an open that truncates */
    uint64_t task;
};

/* Whether there is a journal, and whether syncs work. */
HIDDEN extern int journal_is_open;
HIDDEN extern int syncs_work;

/* Append a record; `value` is as in the header. */
HIDDEN void append(enum kind kind, ino_t inode, uint64_t value, const struct iovec *parts, int count);
HIDDEN void append_path(enum kind kind, ino_t inode, uint64_t value, const char *path);

/* Returns whether a path is that of the root or below it. */
HIDDEN int is_below_root(const char *path);

/* Writes the path of an open file to a buffer of PATH_MAX bytes; returns 0 if it has none. */
HIDDEN int read_path(int fd, char *path);

/* Writes an absolute path to a buffer of PATH_MAX bytes; returns 0 if it is outside of the root. */
HIDDEN int resolve(int folder, const char *path, char *absolute);

/* Returns whether an open file is a regular file below the root, with its attributes. */
HIDDEN int is_watched(int fd, struct stat *attributes);

/* Record that a file was opened; that a range of it has the bytes that it has now; and that an
 * operation happened that cannot be replayed. */
HIDDEN void record_open(int fd, const char *path, int flags);
HIDDEN void record_content(int fd, ino_t inode, off_t offset, off_t end);
HIDDEN void record_unsupported(int fd, const char *operation);

/* Returns whether stdio writes a file. */
HIDDEN int is_written_by_stdio(ino_t inode);

#endif

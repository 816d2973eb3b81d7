/* Hooks of stdio, and the files that it writes, whose writes no other hook sees. */

#include "records.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES 64

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ino_t inodes[FILES];

/* Replaces a number by another one, where 0 is a free place; returns whether it was there. */
static int replace(ino_t old, ino_t new) {
    int is_found = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < FILES && !is_found; i++) {
        if (inodes[i] == old) {
            inodes[i] = new;
            is_found = 1;
        }
    }
    pthread_mutex_unlock(&lock);
    return is_found;
}

int is_written_by_stdio(ino_t inode) {
    return replace(inode, inode);
}

static void add_inode(ino_t inode) {
    if (!is_written_by_stdio(inode) && !replace(0, inode)) {
        abort(); /* a journal with a gap would prove nothing */
    }
}

static int remove_inode(ino_t inode) {
    return replace(inode, 0);
}

static FILE *record_fopen(FILE *file, const char *path, const char *mode) {
    char absolute[PATH_MAX];
    struct stat attributes;
    int is_written = strpbrk(mode, "wa+") != NULL;
    if (file != NULL && is_written && resolve(AT_FDCWD, path, absolute)) {
        record_open(fileno(file), absolute, mode[0] == 'w' ? O_TRUNC : 0);
        if (fstat(fileno(file), &attributes) == 0) {
            add_inode(attributes.st_ino);
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
    FILE *file = real(fd, mode);
    if (file != NULL && strpbrk(mode, "wa+") != NULL && is_watched(fd, &attributes)) {
        add_inode(attributes.st_ino);
    }
    return file;
}

int fclose(FILE *file) {
    RESOLVE(fclose);
    struct stat attributes;
    if (is_watched(fileno(file), &attributes) && remove_inode(attributes.st_ino)) {
        fflush(file);
        fstat(fileno(file), &attributes);
        record_content(fileno(file), attributes.st_ino, 0, attributes.st_size);
    }
    return real(file);
}

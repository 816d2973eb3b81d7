/*
 * Moves the wall clock of a process and its children, also while they run.
 *
 * Preload it (LD_PRELOAD) with FAULTS_CLOCK, the path of a file that has the nanoseconds to add to
 * the wall clock, as 8 bytes in the byte order of the machine. Monotonic clocks stay as they are.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL

static volatile const int64_t *offset_ns;

__attribute__((constructor)) static void start(void) {
    const char *path = getenv("FAULTS_CLOCK");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        void *page = mmap(NULL, sizeof *offset_ns, PROT_READ, MAP_SHARED, fd, 0);
        offset_ns = page == MAP_FAILED ? NULL : page;
        close(fd);
    }
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && offset_ns != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t moved_ns = now->tv_sec * SECOND_NS + now->tv_nsec + *offset_ns;
        now->tv_sec = moved_ns / SECOND_NS;
        now->tv_nsec = moved_ns % SECOND_NS;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    if (result == 0) {
        now->tv_sec = precise.tv_sec;
        now->tv_usec = precise.tv_nsec / 1000;
    }
    return result;
}

time_t time(time_t *copy) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (copy != NULL) {
        *copy = precise.tv_sec;
    }
    return precise.tv_sec;
}

/* Counts the calls that change files below a folder, of Python and Rust alike, and lets the k-th one fail or be the last.

   LD_PRELOAD puts these functions before libc's; `fault_arm` starts the counting, in a process that was forked for it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { FILLS = 1, OTHER = 0 };

static char below[PATH_MAX];
static long at;         /* The call that fails; 0 only counts. */
static int error_number; /* 0 kills. */
static int stays;        /* Whether all later calls that need room fail too: the disk is full. */
static long back_seconds;
static atomic_long calls;
static atomic_int armed;

void fault_arm(const char *folder, long k, int error, int for_good, long clock_back) {
    strncpy(below, folder, sizeof below - 1);
    at = k;
    error_number = error;
    stays = for_good;
    back_seconds = clock_back;
    atomic_store(&calls, 0);
    atomic_store(&armed, 1);
}

long fault_calls(void) { return atomic_load(&calls); }

static int counts_path(int directory, const char *path) {
    char whole[PATH_MAX];
    if (!atomic_load(&armed) || !path) return 0;
    if (path[0] != '/' && directory == AT_FDCWD) {
        if (!getcwd(whole, sizeof whole)) return 0;
        strncat(whole, "/", sizeof whole - strlen(whole) - 1);
        strncat(whole, path, sizeof whole - strlen(whole) - 1);
        path = whole;
    } else if (path[0] != '/') {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
        ssize_t length = readlink(link, whole, sizeof whole - 1);
        if (length < 0) return 0;
        whole[length] = 0;
        path = whole;
    }
    return !strncmp(path, below, strlen(below));
}

static int counts_file(int file) {
    char link[64], path[PATH_MAX];
    if (!atomic_load(&armed)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return !strncmp(path, below, strlen(below));
}

/* Whether this call fails. */
static int fails(int counted, int fills) {
    if (!counted) return 0;
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (!at || number < at || (number > at && !(stays && fills))) return 0;
    if (!error_number) {
        kill(getpid(), SIGKILL);
        for (;;) pause();
    }
    if (error_number == ENOSPC && !fills) return 0;
    errno = error_number;
    return 1;
}

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t write(int file, const void *bytes, size_t count) {
    NEXT(write);
    return fails(counts_file(file), FILLS) ? -1 : next(file, bytes, count);
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    NEXT(pwrite);
    return fails(counts_file(file), FILLS) ? -1 : next(file, bytes, count, offset);
}
ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    NEXT(pwrite64);
    return fails(counts_file(file), FILLS) ? -1 : next(file, bytes, count, offset);
}
int fsync(int file) {
    NEXT(fsync);
    return fails(counts_file(file), OTHER) ? -1 : next(file);
}
int fdatasync(int file) {
    NEXT(fdatasync);
    return fails(counts_file(file), OTHER) ? -1 : next(file);
}
int ftruncate(int file, off_t length) {
    NEXT(ftruncate);
    return fails(counts_file(file), FILLS) ? -1 : next(file, length);
}
int ftruncate64(int file, off64_t length) {
    NEXT(ftruncate64);
    return fails(counts_file(file), FILLS) ? -1 : next(file, length);
}
int rename(const char *from, const char *to) {
    NEXT(rename);
    return fails(counts_path(AT_FDCWD, to), OTHER) ? -1 : next(from, to);
}
int renameat(int from_directory, const char *from, int directory, const char *to) {
    NEXT(renameat);
    return fails(counts_path(directory, to), OTHER) ? -1 : next(from_directory, from, directory, to);
}
int renameat2(int from_directory, const char *from, int directory, const char *to, unsigned int flags) {
    NEXT(renameat2);
    return fails(counts_path(directory, to), OTHER) ? -1 : next(from_directory, from, directory, to, flags);
}
int unlink(const char *path) {
    NEXT(unlink);
    return fails(counts_path(AT_FDCWD, path), OTHER) ? -1 : next(path);
}
int unlinkat(int directory, const char *path, int flags) {
    NEXT(unlinkat);
    return fails(counts_path(directory, path), OTHER) ? -1 : next(directory, path, flags);
}
int rmdir(const char *path) {
    NEXT(rmdir);
    return fails(counts_path(AT_FDCWD, path), OTHER) ? -1 : next(path);
}
int mkdir(const char *path, mode_t mode) {
    NEXT(mkdir);
    return fails(counts_path(AT_FDCWD, path), FILLS) ? -1 : next(path, mode);
}

#define OPENS(name, first_parameter, first_argument, directory)                                       \
    int name(first_parameter const char *path, int flags, ...) {                                      \
        __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                          \
        mode_t mode = 0;                                                                              \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                          \
            va_list rest;                                                                             \
            va_start(rest, flags);                                                                    \
            mode = va_arg(rest, mode_t);                                                              \
            va_end(rest);                                                                             \
        }                                                                                             \
        if ((flags & O_CREAT) && fails(counts_path(directory, path), FILLS)) return -1;               \
        return next(first_argument path, flags, mode);                                                \
    }
OPENS(open, , , AT_FDCWD)
OPENS(open64, , , AT_FDCWD)
#define DIRECTORY_PARAMETER int directory,
#define DIRECTORY_ARGUMENT directory,
OPENS(openat, DIRECTORY_PARAMETER, DIRECTORY_ARGUMENT, directory)
OPENS(openat64, DIRECTORY_PARAMETER, DIRECTORY_ARGUMENT, directory)

/* A clock that was set back. */
int clock_gettime(clockid_t clock, struct timespec *now) {
    NEXT(clock_gettime);
    int result = next(clock, now);
    if (!result && clock == CLOCK_REALTIME && atomic_load(&armed)) now->tv_sec -= back_seconds;
    return result;
}

/* A file system that answers late: files named *.dcm take CTPRUNE_DELAY_US to open and to examine.

   LD_PRELOAD puts these functions before libc's. At the end of the process, how many openings and how many
   examinations waited at a time goes to CTPRUNE_AT_A_TIME. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    atomic_int now, most, all;
} Waits;
static Waits openings, examinations;

static void wait_for(const char *path, Waits *waits) {
    const char *delay = getenv("CTPRUNE_DELAY_US");
    size_t length = path ? strlen(path) : 0;
    if (!delay || length < 4 || strcmp(path + length - 4, ".dcm")) return;
    int now = atomic_fetch_add(&waits->now, 1) + 1, most = atomic_load(&waits->most);
    atomic_fetch_add(&waits->all, 1);
    while (now > most && !atomic_compare_exchange_weak(&waits->most, &most, now)) {
    }
    usleep(atoi(delay));
    atomic_fetch_sub(&waits->now, 1);
}

__attribute__((destructor)) static void report(void) {
    const char *name = getenv("CTPRUNE_AT_A_TIME");
    FILE *file = name && atomic_load(&openings.all) ? fopen(name, "w") : NULL;
    if (!file) return;
    fprintf(file, "[%d, %d, %d]", openings.most, examinations.most, examinations.all);
    fclose(file);
}

#define NEXT(name) __typeof__(&name) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define MODE(flags)                                                                                   \
    mode_t mode = 0;                                                                                  \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                              \
        va_list rest;                                                                                 \
        va_start(rest, flags);                                                                        \
        mode = va_arg(rest, mode_t);                                                                  \
        va_end(rest);                                                                                 \
    }

int open(const char *path, int flags, ...) {
    NEXT(open);
    MODE(flags)
    wait_for(path, &openings);
    return next(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    NEXT(open64);
    MODE(flags)
    wait_for(path, &openings);
    return next(path, flags, mode);
}
int statx(int directory, const char *path, int flags, unsigned int mask, struct statx *found) {
    NEXT(statx);
    wait_for(path, &examinations);
    return next(directory, path, flags, mask, found);
}

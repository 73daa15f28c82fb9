/* A clock that can be set back for one program, for LD_PRELOAD (see clock.py).
 *
 * The shift, in seconds, is the signed 64-bit number in the file that CLOCK_SHIFT names; it is
 * mapped, so that a change is in effect at once. Shifted are what the C library tells of the wall
 * clock, times "now" given to files, and waits until a wall-clock time. The last need care: when
 * a real clock is set back by an hour, a thread that waits until a time of that clock waits an
 * hour longer. Times that the kernel gives a file by itself (of a write) stay.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

static const int64_t none = 0;
static volatile const int64_t *shift = &none;
/* Below this many seconds a time is none of the wall clock but of one that began at boot. */
static const time_t wall = 1000000000;
/* How often a wait looks whether the clock was changed (ns). */
static const long step = 20000000;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("CLOCK_SHIFT");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *mapped = mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, file, 0);
        if (mapped != MAP_FAILED) shift = mapped;
        close(file);
    }
}

static void real_now(struct timespec *now) { syscall(SYS_clock_gettime, CLOCK_REALTIME, now); }

static int is_wall(clockid_t clock) {
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && is_wall(clock)) now->tv_sec += *shift;
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec real;
    (void)zone;
    real_now(&real);
    now->tv_sec = real.tv_sec + *shift;
    now->tv_usec = real.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec real;
    real_now(&real);
    real.tv_sec += *shift;
    if (out) *out = real.tv_sec;
    return real.tv_sec;
}

/* --- times of files ------------------------------------------------------------------------- */

static int set_times(int folder, const char *path, const struct timespec given[2], int flags) {
    struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    for (int i = 0; i < 2; i++) {
        if (given) times[i] = given[i];
        if (times[i].tv_nsec == UTIME_NOW) {
            real_now(&times[i]);
            times[i].tv_sec += *shift;
        }
    }
    return (int)syscall(SYS_utimensat, folder, path, times, flags);
}

int utimensat(int folder, const char *path, const struct timespec times[2], int flags) {
    return set_times(folder, path, times, flags);
}

int futimens(int file, const struct timespec times[2]) { return set_times(file, NULL, times, 0); }

static int set_timevals(int file, const char *path, const struct timeval t[2], int flags) {
    struct timespec times[2];
    for (int i = 0; t && i < 2; i++) {
        times[i].tv_sec = t[i].tv_sec;
        times[i].tv_nsec = t[i].tv_usec * 1000;
    }
    return set_times(file, path, t ? times : NULL, flags);
}

int utimes(const char *path, const struct timeval t[2]) {
    return set_timevals(AT_FDCWD, path, t, 0);
}
int lutimes(const char *path, const struct timeval t[2]) {
    return set_timevals(AT_FDCWD, path, t, AT_SYMLINK_NOFOLLOW);
}
int futimes(int file, const struct timeval t[2]) { return set_timevals(file, NULL, t, 0); }

int utime(const char *path, const struct utimbuf *given) {
    struct timeval t[2];
    if (given) {
        t[0] = (struct timeval){given->actime, 0};
        t[1] = (struct timeval){given->modtime, 0};
    }
    return set_timevals(AT_FDCWD, path, given ? t : NULL, 0);
}

/* --- waits until a time of the wall clock --------------------------------------------------- */

/* The real time of the next look, at most `until` of the shifted clock; 0 when that has come. */
static int next_look(const struct timespec *until, struct timespec *look) {
    struct timespec end = *until;
    end.tv_sec -= *shift;
    real_now(look);
    if (look->tv_sec > end.tv_sec || (look->tv_sec == end.tv_sec && look->tv_nsec >= end.tv_nsec))
        return 0;
    look->tv_nsec += step;
    if (look->tv_nsec >= 1000000000) {
        look->tv_sec++;
        look->tv_nsec -= 1000000000;
    }
    if (look->tv_sec > end.tv_sec || (look->tv_sec == end.tv_sec && look->tv_nsec > end.tv_nsec))
        *look = end;
    return 1;
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until) {
    static int (*real)(sem_t *, const struct timespec *);
    struct timespec look;
    if (!real) real = (int (*)(sem_t *, const struct timespec *))dlsym(RTLD_NEXT, "sem_timedwait");
    if (until->tv_sec < wall) return real(semaphore, until);
    while (next_look(until, &look)) {
        if (real(semaphore, &look) == 0) return 0;
        if (errno != ETIMEDOUT) return -1;
    }
    if (sem_trywait(semaphore) == 0) return 0;
    errno = ETIMEDOUT;
    return -1;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec look;
    if (!real)
        real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))dlsym(
            RTLD_NEXT, "pthread_cond_timedwait");
    if (until->tv_sec < wall) return real(condition, mutex, until);
    while (next_look(until, &look)) {
        int result = real(condition, mutex, &look);
        if (result != ETIMEDOUT) return result;
    }
    return ETIMEDOUT;
}

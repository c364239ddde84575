/* Loaded before the C library (LD_PRELOAD): system calls and allocations of the module under test that fail, or before
 * which the process stops, one chosen by its number.  Calls of anything else go through. */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SYSTEM = 1, MEMORY = 2 };

static int kinds, chosen, error, stops;
static int calls;
static const char *last = "";

/* From now on count calls of these kinds; the chosen one fails with the error (0: does not), and stops before. */
void faults_arm(int which, int number, int code, int stop) {
    kinds = which;
    chosen = number;
    error = code;
    stops = stop;
    calls = 0;
    last = "";
}

/* No call fails any more. Returns how many were counted. */
int faults_disarm(void) {
    kinds = 0;
    return calls;
}

/* The chosen call, once it has been reached. */
const char *faults_last(void) { return last; }

static int is_ours(void *caller) {
    Dl_info info;
    return dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "_lmdb_cffi");
}

static int fails(int kind, const char *name, void *caller) {
    if (!(kinds & kind) || !is_ours(caller) || ++calls != chosen)
        return 0;
    last = name;
    if (stops)
        raise(SIGSTOP);
    errno = error;
    return error != 0;
}

#define HERE __builtin_return_address(0)
#define NEXT(name) ((__typeof__(&name))next(#name))

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    return fails(SYSTEM, "open", HERE) ? -1 : NEXT(open)(path, flags, mode);
}

int fcntl(int fd, int command, ...) {
    va_list more;
    va_start(more, command);
    void *arg = va_arg(more, void *);
    va_end(more);
    int unlocks = (command == F_SETLK || command == F_SETLKW) && ((struct flock *)arg)->l_type == F_UNLCK;
    return !unlocks && fails(SYSTEM, "fcntl", HERE) ? -1 : NEXT(fcntl)(fd, command, arg);
}

#define CALL(kind, type, failure, name, parameters, arguments) \
    type name parameters { return fails(kind, #name, HERE) ? failure : NEXT(name) arguments; }

CALL(SYSTEM, off_t, -1, lseek, (int fd, off_t at, int whence), (fd, at, whence))
CALL(SYSTEM, int, -1, fstat, (int fd, struct stat *st), (fd, st))
CALL(SYSTEM, int, -1, ftruncate, (int fd, off_t len), (fd, len))
CALL(SYSTEM, int, -1, fallocate, (int fd, int mode, off_t at, off_t len), (fd, mode, at, len))
CALL(SYSTEM, ssize_t, -1, pread, (int fd, void *buf, size_t len, off_t at), (fd, buf, len, at))
CALL(SYSTEM, ssize_t, -1, pwrite, (int fd, const void *buf, size_t len, off_t at), (fd, buf, len, at))
CALL(SYSTEM, ssize_t, -1, pwritev, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
CALL(SYSTEM, ssize_t, -1, write, (int fd, const void *buf, size_t len), (fd, buf, len))
CALL(SYSTEM, int, -1, fdatasync, (int fd), (fd))
CALL(SYSTEM, int, -1, fsync, (int fd), (fd))
CALL(SYSTEM, int, -1, msync, (void *at, size_t len, int flags), (at, len, flags))
CALL(SYSTEM, void *, MAP_FAILED, mmap, (void *at, size_t len, int prot, int flags, int fd, off_t from),
     (at, len, prot, flags, fd, from))
CALL(MEMORY, int, error, posix_memalign, (void **p, size_t align, size_t len), (p, align, len))
CALL(MEMORY, int, EAGAIN, pthread_create,
     (pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg), (thread, attr, run, arg))

/* Found once: dlsym() itself allocates. */
static void *(*real_malloc)(size_t), *(*real_calloc)(size_t, size_t), *(*real_realloc)(void *, size_t);
static void *(*real_memalign)(size_t, size_t);
static char early[1 << 16];
static size_t used;

__attribute__((constructor)) static void find(void) {
    real_calloc = next("calloc");
    real_malloc = next("malloc");
    real_realloc = next("realloc");
    real_memalign = next("memalign");
}

static void *early_memory(size_t len) {
    void *p = early + used;
    used += (len + 15) & ~(size_t)15;
    return used <= sizeof early ? p : NULL;
}

static int is_early(const void *p) { return (const char *)p >= early && (const char *)p < early + sizeof early; }

void *malloc(size_t len) {
    if (!real_malloc)
        return early_memory(len);
    return fails(MEMORY, "malloc", HERE) ? NULL : real_malloc(len);
}

void *calloc(size_t n, size_t len) {
    if (!real_calloc)
        return early_memory(n * len);
    return fails(MEMORY, "calloc", HERE) ? NULL : real_calloc(n, len);
}

void *realloc(void *p, size_t len) {
    if (!real_realloc || is_early(p)) {
        void *copy = malloc(len);
        if (copy && p)
            memcpy(copy, p, len);
        return copy;
    }
    return fails(MEMORY, "realloc", HERE) ? NULL : real_realloc(p, len);
}

void *memalign(size_t align, size_t len) {
    return fails(MEMORY, "memalign", HERE) ? NULL : real_memalign(align, len);
}

void free(void *p) {
    static void (*real_free)(void *);
    if (is_early(p))
        return;
    if (!real_free)
        real_free = next("free");
    real_free(p);
}

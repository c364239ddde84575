/* Loaded into a program with LD_PRELOAD: has one call of a kind fail, that one library makes, or that and all later ones.
 * faults.py says which. */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { NONE, WRITE, SHORT, SYNC, MAP, LENGTH, LOCK, ALLOCATION, THREAD, OPEN };

static uintptr_t first, last; /* where the library is */
static enum kind armed;
static long left; /* calls until the one that fails */
static int error, lasting;
static long failed;

static int find(struct dl_phdr_info *info, size_t size, void *name) {
    (void)size;
    if (!strstr(info->dlpi_name, name))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
            first = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            last = first + info->dlpi_phdr[i].p_memsz;
        }
    return 1;
}

/* Have the call with this number fail, counted from now on; 0 if there is no such library. */
int fail_arm(const char *library, int kind, long number, int code, int and_later) {
    first = last = 0;
    dl_iterate_phdr(find, (void *)library);
    failed = 0;
    left = number;
    error = code;
    lasting = and_later;
    armed = (enum kind)kind;
    return first != 0;
}

/* Let calls be again; how many have failed. */
long fail_disarm(void) {
    armed = NONE;
    return failed;
}

static int due(enum kind kind, void *caller) {
    uintptr_t at = (uintptr_t)caller;
    if (armed != kind || at < first || at >= last)
        return 0;
    if (--left > 0 || (left < 0 && !lasting))
        return 0;
    failed++;
    errno = error;
    return 1;
}

#define DUE(kind) due(kind, __builtin_return_address(0))
#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

/* ---- Files ------------------------------------------------------------------------------------------- */

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) {
    if (DUE(WRITE))
        return -1;
    return syscall(SYS_pwrite64, fd, data, DUE(SHORT) ? len / 2 : len, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    REAL(pwritev);
    if (DUE(WRITE))
        return -1;
    return DUE(SHORT) ? syscall(SYS_pwrite64, fd, parts->iov_base, parts->iov_len / 2, offset)
                      : real(fd, parts, count, offset);
}

ssize_t write(int fd, const void *data, size_t len) {
    if (DUE(WRITE))
        return -1;
    return syscall(SYS_write, fd, data, DUE(SHORT) ? (len + 1) / 2 : len);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    if (DUE(WRITE))
        return -1;
    return DUE(SHORT) ? syscall(SYS_write, fd, parts->iov_base, parts->iov_len / 2) : real(fd, parts, count);
}

int fsync(int fd) { return DUE(SYNC) ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return DUE(SYNC) ? -1 : (int)syscall(SYS_fdatasync, fd); }
int msync(void *addr, size_t len, int flags) { return DUE(SYNC) ? -1 : (int)syscall(SYS_msync, addr, len, flags); }

int ftruncate(int fd, off_t len) { return DUE(LENGTH) ? -1 : (int)syscall(SYS_ftruncate, fd, len); }

int fallocate(int fd, int mode, off_t offset, off_t len) {
    return DUE(LENGTH) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, len);
}

int open(const char *name, int flags, ...) {
    va_list list;
    mode_t mode = 0;
    va_start(list, flags);
    if (flags & (O_CREAT | O_TMPFILE))
        mode = va_arg(list, mode_t);
    va_end(list);
    return DUE(OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
}

int fcntl(int fd, int command, ...) {
    va_list list;
    long argument;
    va_start(list, command);
    argument = va_arg(list, long);
    va_end(list);
    if ((command == F_SETLK || command == F_SETLKW) && DUE(LOCK))
        return -1;
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

/* ---- Memory and threads ------------------------------------------------------------------------------ */

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset) {
    return DUE(MAP) ? MAP_FAILED : (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
}

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

void *malloc(size_t len) { return DUE(ALLOCATION) ? NULL : __libc_malloc(len); }
void *calloc(size_t count, size_t len) { return DUE(ALLOCATION) ? NULL : __libc_calloc(count, len); }
void *realloc(void *at, size_t len) { return DUE(ALLOCATION) ? NULL : __libc_realloc(at, len); }

int posix_memalign(void **at, size_t alignment, size_t len) {
    if (DUE(ALLOCATION))
        return ENOMEM;
    *at = __libc_memalign(alignment, len);
    return *at ? 0 : ENOMEM;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    REAL(pthread_create);
    return DUE(THREAD) ? error : real(thread, attributes, run, argument);
}

/* Loaded into a program with LD_PRELOAD: notes each change of files below a folder, and each request to make changes
 * durable, in the order in which they are made. recording.py reads the notes; it is switched
 * on by two variables: RECORD_FOLDER, the folder, and RECORD_LOG, the file for the notes, which is elsewhere.
 *
 * A note is a head of five words (kind, length of the path, length of the data, where the change is, how much is
 * concerned), the path and the data. */
#define _GNU_SOURCE 1
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATE = 1, FOLDER, WRITE, LENGTH, SYNC, SYNC_FOLDER, RENAME, REMOVE, MARK };

#define PAGE 4096
#define MAPS 64

static pthread_mutex_t notes = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static int log_fd = -1;
static char root[PATH_MAX];
static size_t root_len;

#define REAL(name) static __typeof__(name) *real; if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("RECORD_FOLDER"), *log = getenv("RECORD_LOG");
    if (!folder || !log || !realpath(folder, root))
        return;
    root_len = strlen(root);
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* ---- Notes ------------------------------------------------------------------------------------------- */

static int below_root(const char *path) {
    return log_fd >= 0 && strncmp(path, root, root_len) == 0 && (path[root_len] == '/' || !path[root_len]);
}

static void put(const void *data, size_t len) {
    const char *at = data;
    while (len) {
        ssize_t done = syscall(SYS_write, log_fd, at, len);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            abort();
        at += done;
        len -= (size_t)done;
    }
}

static void note(enum kind kind, const char *path, uint64_t offset, const void *data, size_t len) {
    uint64_t head[5] = {kind, strlen(path), data ? len : 0, offset, len};
    int saved = errno;
    pthread_mutex_lock(&notes);
    put(head, sizeof head);
    put(path, head[1]);
    put(data, head[2]);
    pthread_mutex_unlock(&notes);
    errno = saved;
}

/* The path of an open file, if it is of interest. */
static int path_of(int fd, char *path) {
    char link[64];
    ssize_t len;
    if (log_fd < 0)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, path, PATH_MAX - 1);
    if (len <= 0)
        return 0;
    path[len] = 0;
    return below_root(path);
}

/* A path as the program gives it. */
static int path_at(const char *given, char *path) {
    char parent[PATH_MAX], *slash;
    if (log_fd < 0 || strlen(given) >= PATH_MAX)
        return 0;
    strcpy(parent, given);
    slash = strrchr(parent, '/');
    if (!slash || slash == parent)
        return 0;
    *slash = 0;
    if (!realpath(parent, path) || strlen(path) + strlen(slash + 1) + 2 > PATH_MAX)
        return 0;
    strcat(strcat(path, "/"), slash + 1);
    return below_root(path);
}

static int written_through(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & (O_DSYNC | O_SYNC)) != 0;
}

/* ---- Files that are changed in memory ---------------------------------------------------------------- */

static struct map {
    char path[PATH_MAX], *at;
    size_t len;
    off_t offset;
} maps[MAPS];

static struct shadow {
    char path[PATH_MAX], *data;
    size_t len;
} shadows[MAPS];

static struct shadow *shadow_of(const char *path) {
    struct shadow *s = shadows;
    while (s->path[0] && strcmp(s->path, path))
        if (++s == shadows + MAPS)
            abort();
    if (!s->path[0])
        strcpy(s->path, path);
    return s;
}

/* Notes the pages of a file that have changed since it was last looked at. */
static void look_at(const char *path) {
    struct shadow *s = shadow_of(path);
    struct stat st;
    char page[PAGE];
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        if (fd >= 0)
            syscall(SYS_close, fd);
        return;
    }
    if (s->len < (size_t)st.st_size) {
        s->data = realloc(s->data, (size_t)st.st_size);
        if (!s->data)
            abort();
        memset(s->data + s->len, 0, (size_t)st.st_size - s->len);
        s->len = (size_t)st.st_size;
    }
    for (off_t at = 0; at < st.st_size; at += PAGE) {
        ssize_t len = syscall(SYS_pread64, fd, page, PAGE, at);
        if (len > 0 && memcmp(s->data + at, page, (size_t)len)) {
            memcpy(s->data + at, page, (size_t)len);
            note(WRITE, path, (uint64_t)at, page, (size_t)len);
        }
    }
    syscall(SYS_close, fd);
}

static void look_at_maps(void) {
    pthread_mutex_lock(&notes);
    for (struct map *m = maps; m < maps + MAPS; m++) {
        int seen = 0;
        for (struct map *other = maps; other < m; other++)
            seen |= other->len && !strcmp(other->path, m->path);
        if (m->len && !seen)
            look_at(m->path);
    }
    pthread_mutex_unlock(&notes);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset) {
    char path[PATH_MAX];
    void *at = (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
    /* Lock files are of no interest: whoever opens one first after the power was cut makes it anew. */
    if (at == MAP_FAILED || fd < 0 || !(prot & PROT_WRITE) || !(flags & MAP_SHARED) || !path_of(fd, path)
        || !strstr(path, "data.mdb"))
        return at;
    pthread_mutex_lock(&notes);
    for (struct map *m = maps; m < maps + MAPS; m++)
        if (!m->len) {
            strcpy(m->path, path);
            m->at = at;
            m->len = len;
            m->offset = offset;
            break;
        }
    look_at(path);
    pthread_mutex_unlock(&notes);
    return at;
}

int munmap(void *addr, size_t len) {
    look_at_maps();
    pthread_mutex_lock(&notes);
    for (struct map *m = maps; m < maps + MAPS; m++)
        if (m->len && m->at >= (char *)addr && m->at + m->len <= (char *)addr + len)
            m->len = 0;
    pthread_mutex_unlock(&notes);
    return (int)syscall(SYS_munmap, addr, len);
}

int msync(void *addr, size_t len, int flags) {
    int rc;
    REAL(msync);
    look_at_maps();
    rc = real(addr, len, flags);
    if (rc || !(flags & MS_SYNC))
        return rc;
    pthread_mutex_lock(&notes);
    for (struct map *m = maps; m < maps + MAPS; m++) {
        char *from = m->at > (char *)addr ? m->at : addr, *to = (char *)addr + len;
        if (to > m->at + m->len)
            to = m->at + m->len;
        if (m->len && from < to)
            note(SYNC, m->path, (uint64_t)(m->offset + (from - m->at)), NULL, (size_t)(to - from));
    }
    pthread_mutex_unlock(&notes);
    return 0;
}

/* Called by the program between its own steps: what is in memory now may be on the disk at any time. */
void record_mark(unsigned long number) {
    look_at_maps();
    note(MARK, "", number, NULL, 0);
}

/* ---- Calls ------------------------------------------------------------------------------------------- */

static int open_noting(int at, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int known = (flags & O_CREAT) && at == AT_FDCWD && path_at(name, path);
    int missing = known && syscall(SYS_faccessat, AT_FDCWD, path, F_OK);
    int fd = (int)syscall(SYS_openat, at, name, flags, mode);
    if (fd >= 0 && missing)
        note(CREATE, path, 0, NULL, 0);
    return fd;
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list list; \
        va_start(list, flags); \
        mode = va_arg(list, mode_t); \
        va_end(list); \
    }

int open(const char *name, int flags, ...) {
    MODE(flags)
    return open_noting(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...) {
    MODE(flags)
    return open_noting(AT_FDCWD, name, flags, mode);
}

int openat(int at, const char *name, int flags, ...) {
    MODE(flags)
    return open_noting(at, name, flags, mode);
}

static ssize_t noted(int fd, ssize_t done, const struct iovec *parts, off_t offset) {
    char path[PATH_MAX];
    off_t at = offset;
    size_t left;
    if (done <= 0 || !path_of(fd, path))
        return done;
    left = (size_t)done;
    pthread_mutex_lock(&notes);
    for (; left; parts++) {
        size_t len = parts->iov_len < left ? parts->iov_len : left;
        note(WRITE, path, (uint64_t)at, parts->iov_base, len);
        at += (off_t)len;
        left -= len;
    }
    if (written_through(fd))
        note(SYNC, path, (uint64_t)offset, NULL, (size_t)done);
    pthread_mutex_unlock(&notes);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) {
    struct iovec part = {(void *)data, len};
    return noted(fd, syscall(SYS_pwrite64, fd, data, len, offset), &part, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t len, off_t offset) { return pwrite(fd, data, len, offset); }

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    REAL(pwritev);
    return noted(fd, real(fd, parts, count, offset), parts, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) {
    return pwritev(fd, parts, count, offset);
}

/* Where a write without an offset begins: for pipes and the like it does not matter. */
static off_t position(int fd) {
    return (off_t)syscall(SYS_lseek, fd, 0, SEEK_CUR);
}

ssize_t write(int fd, const void *data, size_t len) {
    struct iovec part = {(void *)data, len};
    off_t offset = position(fd);
    return noted(fd, syscall(SYS_write, fd, data, len), &part, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    off_t offset = position(fd);
    REAL(writev);
    return noted(fd, real(fd, parts, count), parts, offset);
}

static int lengthened(int fd, int rc) {
    char path[PATH_MAX];
    struct stat st;
    if (rc == 0 && path_of(fd, path) && fstat(fd, &st) == 0)
        note(LENGTH, path, (uint64_t)st.st_size, NULL, 0);
    return rc;
}

int ftruncate(int fd, off_t len) {
    return lengthened(fd, (int)syscall(SYS_ftruncate, fd, len));
}

int ftruncate64(int fd, off_t len) { return ftruncate(fd, len); }

int fallocate(int fd, int mode, off_t offset, off_t len) {
    return lengthened(fd, (int)syscall(SYS_fallocate, fd, mode, offset, len));
}

int fallocate64(int fd, int mode, off_t offset, off_t len) { return fallocate(fd, mode, offset, len); }

static int synced(int fd, int rc) {
    char path[PATH_MAX];
    struct stat st;
    if (rc == 0 && path_of(fd, path) && fstat(fd, &st) == 0)
        note(S_ISDIR(st.st_mode) ? SYNC_FOLDER : SYNC, path, 0, NULL, SIZE_MAX / 2);
    return rc;
}

int fsync(int fd) {
    look_at_maps();
    return synced(fd, (int)syscall(SYS_fsync, fd));
}

int fdatasync(int fd) {
    look_at_maps();
    return synced(fd, (int)syscall(SYS_fdatasync, fd));
}

int mkdir(const char *name, mode_t mode) {
    char path[PATH_MAX];
    int known = path_at(name, path), rc = (int)syscall(SYS_mkdirat, AT_FDCWD, name, mode);
    if (rc == 0 && known)
        note(FOLDER, path, 0, NULL, 0);
    return rc;
}

int rename(const char *from, const char *to) {
    char path[PATH_MAX], target[PATH_MAX];
    int known = path_at(from, path) && path_at(to, target);
    int rc = (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    if (rc == 0 && known)
        note(RENAME, path, 0, target, strlen(target));
    return rc;
}

static int removed(int rc, int known, const char *path) {
    if (rc == 0 && known)
        note(REMOVE, path, 0, NULL, 0);
    return rc;
}

int unlink(const char *name) {
    char path[PATH_MAX];
    int known = path_at(name, path);
    return removed((int)syscall(SYS_unlinkat, AT_FDCWD, name, 0), known, path);
}

int rmdir(const char *name) {
    char path[PATH_MAX];
    int known = path_at(name, path);
    return removed((int)syscall(SYS_unlinkat, AT_FDCWD, name, AT_REMOVEDIR), known, path);
}

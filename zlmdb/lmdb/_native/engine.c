/* One LMDB engine as one translation unit, compiled twice: ZL_ENGINE is 0 (LMDB 0.9) or 1 (LMDB 1.0), and the
 * include path leads to the patched sources of that engine.
 *
 * LMDB itself is included, so that its symbols can be renamed and hidden, its calls of mmap() and munmap()
 * redirected, and the few functions that need its internals written here. */
#define _GNU_SOURCE 1
#if ZL_ENGINE == 0
#define ZL_PREFIX zl0_
#else
#define ZL_PREFIX zl1_
#endif
#include "rename.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "pack.h"

/* The names that mdb.c is compiled with in place of mmap() and munmap(): each call site has an `env`. */
static void *zl_mmap(MDB_env *env, void *addr, size_t len, int prot, int flags, int fd, off_t offset);
static int zl_munmap(MDB_env *env, void *addr, size_t len);

/* Called by our patches of LMDB (vendor/patches): where it would give MDB_MAP_FULL or MDB_MAP_RESIZED; before it uses
 * a page, or an overflow value of some pages, from the map, or goes down to a page; to find a key on a page; after it
 * has written pages, or has given up some that it wrote in the map itself; and when an assertion fails. */
static int zl_map_grow(MDB_env *env, size_t pages);
static int zl_page_check(MDB_cursor *mc, size_t pgno);
static int zl_search_words(MDB_cursor *mc, void *page, const MDB_val *key, int low, int high, unsigned *index);
static int zl_bad_overflow(MDB_txn *txn, const void *head, size_t pgno, size_t pages);
static int zl_bad_level(const MDB_cursor *mc, const void *page);
static int zl_bad_free_list(const size_t *list);
static int zl_page_written(MDB_env *env, size_t pgno, size_t count);
static void zl_pages_undone(MDB_env *env);
static int zl_txn_failed(MDB_txn *txn);
static int zl_room_on_disk(MDB_env *env, size_t page, size_t count, int fresh);
static int zl_page_in_use(const MDB_cursor *mc, size_t page, size_t count);
static int zl_loose_ok(const MDB_txn *txn, const void *page, int left);

/* And by those about opening the files (opening.h). */
struct MDB_txninfo;
static int zl_opening_begins(MDB_env *env, int *excl);
static void zl_opening_ends(MDB_env *env);
static void zl_lock_file_void(struct MDB_txninfo *txns);
static void zl_lock_file_valid(struct MDB_txninfo *txns);
static int zl_room_in_lock_file(MDB_env *env, size_t size, int alone);
static int zl_creation(MDB_env *env, int rc);
static int zl_created(MDB_env *env, int rc);
#define zl_writers_out(env) zl_writers_out(zl_env_of(env))
#define zl_writers_in(env) zl_writer_done(zl_env_of(env))
static zl_env *zl_env_of(MDB_env *env);
#define ZL_FILE_PAGES(env) (((zl_env *)(env)->me_userctx)->file_pages)
#define ZL_BAD_OVERFLOW(txn, head, page, pages) zl_bad_overflow(txn, head, page, pages)

/* In place of ftruncate(): the file must not become shorter, as another process may have made it longer. */
static int zl_lengthen(int fd, off_t len);

/* In place of pthread_mutex_lock(): see below. */
static int zl_mutex_lock(pthread_mutex_t *mutex);

#define ftruncate(fd, len) zl_lengthen(fd, len)
#define pthread_mutex_lock(mutex) zl_mutex_lock(mutex)
#define mmap(addr, len, prot, flags, fd, offset) zl_mmap(env, addr, len, prot, flags, fd, offset)
#define munmap(addr, len) zl_munmap(env, addr, len)
#include "mdb.c"
#include "midl.c"
#if ZL_ENGINE == 1
#include "module.c"
#endif
#undef ftruncate
#undef pthread_mutex_lock
#undef mmap
#undef munmap

/* Looks at the lock once in a while, woken or not: if a process is killed when it was woken to take the lock, and others
 * were faster, the system does not wake another in its place. */
static int zl_mutex_lock(pthread_mutex_t *mutex) {
    struct timespec until;
    int rc = pthread_mutex_trylock(mutex);
    for (; rc == EBUSY || rc == ETIMEDOUT; rc = pthread_mutex_timedlock(mutex, &until)) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec++;
    }
    return rc;
}

/* Allocating its last byte lengthens a file, and never shortens it, whoever else does the same. */
static int zl_lengthen(int fd, off_t len) {
    struct stat st;
    if (len <= 0 || fallocate(fd, 0, len - 1, 1) == 0)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return -1;
    if (fstat(fd, &st))
        return -1;
    return st.st_size >= len ? 0 : ftruncate(fd, len);
}

/* ---- Room on the disk -------------------------------------------------------------------------------- */

#define ZL_ROOM ((size_t)64 << 20) /* at most so much is allocated ahead */
#define ZL_ROOM_UNIT ((size_t)64 << 10) /* is allocated at once, and known to be */

static int zl_allocate(int fd, size_t from, size_t to) {
    int rc;
    do
        rc = fallocate(fd, 0, (off_t)from, (off_t)(to - from)) ? errno : 0;
    while (rc == EINTR);
    return rc;
}

/* The meta pages are written by every commit. */
static int zl_room_begins(MDB_env *env) {
    zl_env *zenv = zl_env_of(env);
    size_t size = zenv->map_reserved > env->me_mapsize ? zenv->map_reserved : env->me_mapsize;
    int rc = zl_allocate(env->me_fd, 0, NUM_METAS * env->me_psize);

    if (rc == EOPNOTSUPP || rc == ENOSYS) { /* this kind of file system cannot tell */
        zenv->room_unknown = 1;
        return 0;
    }
    if (rc == 0 && (zenv->room = calloc(size / ZL_ROOM_UNIT / 8 + 1, 1)) != NULL)
        zenv->room_units = size / ZL_ROOM_UNIT;
    return rc;
}

static int zl_room_is_known(const zl_env *zenv, size_t from, size_t to) {
    size_t unit, last = (to - 1) / ZL_ROOM_UNIT;
    if (last >= zenv->room_units)
        return 0;
    for (unit = from / ZL_ROOM_UNIT; unit <= last; unit++)
        if (!(zenv->room[unit / 8] & 1 << unit % 8))
            return 0;
    return 1;
}

static void zl_room_remember(zl_env *zenv, size_t from, size_t to) {
    size_t unit, end = to / ZL_ROOM_UNIT;
    if (end > zenv->room_units)
        end = zenv->room_units;
    for (unit = (from + ZL_ROOM_UNIT - 1) / ZL_ROOM_UNIT; unit < end; unit++)
        zenv->room[unit / 8] |= 1 << unit % 8;
}

/* Called by our patches with MDB_WRITEMAP, before pages are used, whether or not there ever was something in them: where
 * the disk has no block for them, the system would kill the process that writes to them in the map.  Fresh ones are
 * behind the last one, where the next will be, too. */
static int zl_room_on_disk(MDB_env *env, size_t page, size_t count, int fresh) {
    zl_env *zenv = zl_env_of(env);
    size_t from = page * env->me_psize, to = from + count * env->me_psize, begin, end;
    int rc;

    if (zenv->room_unknown || zl_room_is_known(zenv, from, to))
        return 0;
    if (!zenv->room && ((rc = zl_room_begins(env)) != 0 || zenv->room_unknown))
        return rc;
    begin = from & ~(ZL_ROOM_UNIT - 1);
    end = to + (!fresh ? 0 : to / 8 < ZL_ROOM ? to / 8 : ZL_ROOM);
    end = (end + ZL_ROOM_UNIT - 1) & ~(ZL_ROOM_UNIT - 1);
    if (end > env->me_mapsize)
        end = env->me_mapsize;
    rc = zl_allocate(env->me_fd, begin, end);
    if (rc == 0)
        zl_room_remember(zenv, begin, end);
    else if (rc == ENOSPC || rc == EDQUOT) {
        begin = from & ~((size_t)env->me_os_psize - 1);
        end = (to + env->me_os_psize - 1) & ~((size_t)env->me_os_psize - 1);
        rc = zl_allocate(env->me_fd, begin, end > env->me_mapsize ? to : end);
    }
    return rc;
}

/* The map is given up: another may be larger. */
static void zl_room_ends(zl_env *zenv) {
    free(zenv->room);
    zenv->room = NULL;
    zenv->room_units = 0;
}

/* ---- A lock that its thread has not released ----------------------------------------------------------
 *
 * An environment closes while a thread still holds the writer's mutex, which is in the lock file's map.  That mutex is
 * part of a list that the thread keeps: it must neither go away nor be used anew where that list can see it. */

#ifdef __GLIBC__
enum { ZL_LOCK_WORD = 0 };
#else
enum { ZL_LOCK_WORD = 1 }; /* musl */
#endif

/* What the system does to the mutex of a thread that has died: the next who locks it is told so. */
static void zl_give_up_lock(int *word) {
    int was = __atomic_load_n(word, __ATOMIC_SEQ_CST);
    while ((was & FUTEX_TID_MASK) != 0)
        if (__atomic_compare_exchange_n(word, &was, (was & FUTEX_WAITERS) | FUTEX_OWNER_DIED, 0, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
            syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
            return;
        }
}

/* Leaves the thread a copy of its own, in place of the map, and frees the lock for everyone else. */
static int zl_leave_writer_lock(MDB_env *env, size_t len) {
    volatile char *own = (volatile char *)env->me_txns;
    MDB_txninfo *shared;

    if (mmap((void *)own, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, env->me_lfd, 0) == MAP_FAILED)
        return -1;
    *own = *own; /* a write makes the page a copy; nobody changes this byte */
    shared = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, env->me_lfd, 0);
    if (shared == MAP_FAILED)
        return -1;
    zl_give_up_lock((int *)shared->mti_wmutex + ZL_LOCK_WORD);
    return munmap(shared, len);
}

_Static_assert(offsetof(MDB_txninfo, mti_readers) <= 4096, "the mutexes are on the first page");

/* ---- A memory map that grows in place ----------------------------------------------------------------
 *
 * An environment with zl_env.map_reserve set maps its file at the start of a large reservation of address
 * space (PROT_NONE, which costs neither memory nor disk).  Growing maps the next part of the file behind the
 * first, at the same address: no pointer moves, so it is safe with transactions open, also in their middle. */

#define ZL_GROW_STEP ((size_t)1 << 30) /* the map doubles until it grows by this much at a time */

static int zl_pages_begin(zl_env *zenv, size_t pages);
static void zl_pages_end(zl_env *zenv);

static zl_env *zl_env_of(MDB_env *env) { return env->me_userctx; }

static void *zl_reserve(zl_env *zenv, size_t len) {
    size_t size = zenv->map_reserve;
    for (; size > len; size /= 2) {
        void *base = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base != MAP_FAILED) {
            zenv->map_reserved = size;
            return base;
        }
    }
    return NULL; /* no room to grow: an ordinary map */
}

static void *zl_map_reserved(zl_env *zenv, void *addr, size_t len, int prot, int flags, int fd) {
    void *base;

    zenv->map_reserved = 0;
    if (!zenv->map_reserve || addr || !(base = zl_reserve(zenv, len)))
        return mmap(addr, len, prot, flags, fd, 0);
    if (mmap(base, len, prot, flags | MAP_FIXED, fd, 0) == MAP_FAILED) {
        munmap(base, zenv->map_reserved);
        zenv->map_reserved = 0;
        return MAP_FAILED;
    }
    return base;
}

static void *zl_mmap(MDB_env *env, void *addr, size_t len, int prot, int flags, int fd, off_t offset) {
    zl_env *zenv = zl_env_of(env);
    void *base;
    size_t size;

    if (!zenv || fd != env->me_fd || offset)
        return mmap(addr, len, prot, flags, fd, offset);
    base = zl_map_reserved(zenv, addr, len, prot, flags, fd);
    if (base == MAP_FAILED)
        return base;
    size = zenv->map_reserved > len ? zenv->map_reserved : len;
    if (zl_pages_begin(zenv, size / env->me_psize))
        return base;
    munmap(base, size);
    zenv->map_reserved = 0;
    errno = ENOMEM;
    return MAP_FAILED;
}

static int zl_munmap(MDB_env *env, void *addr, size_t len) {
    zl_env *zenv = zl_env_of(env);

    if (zenv && zenv->keep_lock && addr == (void *)env->me_txns)
        return zl_leave_writer_lock(env, len);
    if (!zenv || addr != (void *)env->me_map)
        return munmap(addr, len);
    zl_pages_end(zenv);
    zl_room_ends(zenv);
    len = (len + env->me_os_psize - 1) & ~((size_t)env->me_os_psize - 1);
    if (zenv->map_reserved > len && munmap(env->me_map + len, zenv->map_reserved - len))
        return -1;
    zenv->map_reserved = 0;
    if (zenv->keep_former && zl_map_keep(zenv, addr, len) == 0)
        return 0;
    return zl_map_drop(addr, len);
}

static int zl_extend_map(MDB_env *env, size_t size) {
    size_t old = (env->me_mapsize + env->me_os_psize - 1) & ~((size_t)env->me_os_psize - 1);
    int prot = PROT_READ;

    if (env->me_flags & MDB_WRITEMAP) {
        prot |= PROT_WRITE;
        if (zl_lengthen(env->me_fd, (off_t)size) < 0)
            return errno;
    }
    if (size > old && mmap(env->me_map + old, size - old, prot, MAP_SHARED | MAP_FIXED, env->me_fd, old) == MAP_FAILED)
        return errno;
    if (env->me_flags & MDB_NORDAHEAD)
        madvise(env->me_map, size, MADV_RANDOM);
    env->me_mapsize = size;
    env->me_maxpg = size / env->me_psize;
    return 0;
}

static int zl_map_grow(MDB_env *env, size_t pages) {
    zl_env *zenv = zl_env_of(env);
    size_t size, need;
    int rc = 0;

    mdb_reader_check(env, NULL); /* the next transaction finds the pages that were kept for readers who died */
    if (!zenv || !zenv->map_reserved || pages > zenv->map_reserved / env->me_psize - 1)
        return MDB_MAP_FULL;
    need = (pages + 1) * env->me_psize;
    pthread_mutex_lock(&zenv->map_mutex);
    if (need > env->me_mapsize) {
        size = env->me_mapsize + (env->me_mapsize < ZL_GROW_STEP ? env->me_mapsize : ZL_GROW_STEP);
        if (size < need)
            size = need;
        size = (size + env->me_os_psize - 1) & ~((size_t)env->me_os_psize - 1);
        if (size > zenv->map_reserved)
            size = zenv->map_reserved;
        rc = zl_extend_map(env, size);
    }
    pthread_mutex_unlock(&zenv->map_mutex);
    return rc;
}

/* LMDB gives up its map before it makes another, and goes on without one where that fails: bring the former one back.
 * Where there is no room even for that, the environment can only be closed. */
static int zl_env_set_mapsize(MDB_env *env, size_t size) {
    static MDB_meta none;
    size_t former = env->me_mapsize;
    int rc, mapped = env->me_map != NULL;

    if (env->me_flags & MDB_FATAL_ERROR)
        return MDB_PANIC;
    if (env->me_txn)
        return EINVAL;
    rc = mdb_env_set_mapsize(env, size);
    if (!rc || !mapped)
        return rc;
    env->me_map = NULL;
    env->me_mapsize = former;
    env->me_maxpg = former / env->me_psize;
    if (mdb_env_map(env, NULL)) {
        env->me_flags |= MDB_FATAL_ERROR;
        env->me_metas[0] = env->me_metas[1] = &none;
    }
    return rc;
}

static int zl_in_map(MDB_env *env, const void *ptr, size_t len) {
    const char *p = ptr;
    return p >= env->me_map && p <= env->me_map + env->me_mapsize && len <= (size_t)(env->me_map + env->me_mapsize - p);
}

#include "opening.h"
#include "page_check.h"

/* Where the map is, and how far it may grow in place. */
static size_t zl_map_extent(MDB_env *env, const char **map) {
    size_t reserved = zl_env_of(env)->map_reserved;
    *map = env->me_map;
    return reserved > env->me_mapsize ? reserved : env->me_mapsize;
}

/* A write transaction changes its own pages only.  They are elsewhere, unless it has to write to the map itself. */
static size_t zl_map_stable(MDB_txn *txn, const char **map) {
    MDB_env *env = txn->mt_env;
    *map = env->me_map;
    if (txn->mt_flags & MDB_TXN_RDONLY)
        return env->me_mapsize;
    if (env->me_flags & MDB_WRITEMAP)
        return 0;
    for (; txn; txn = txn->mt_parent)
        if (txn->mt_spill_pgs && txn->mt_spill_pgs[0])
            return 0;
    return env->me_mapsize;
}

#if ZL_ENGINE == 0
#define zl_page_get(mc, pgno, page) mdb_page_get(mc, pgno, page, NULL)
#else
#define zl_page_get(mc, pgno, page) MDB_PAGE_GET(mc, pgno, 1, page)
#endif

#include "search.h"
#include "leaf.h"
#include "lockstep.h"

/* Ends a read transaction and frees its reader slot, but keeps its memory. */
static void zl_txn_park(MDB_txn *txn) { mdb_txn_end(txn, MDB_END_ABORT | MDB_END_SLOT); }

/* Begins a read transaction in memory that was kept.  It takes a reader slot as a new one does. */
static int zl_txn_reuse(MDB_txn *txn) {
    int rc = mdb_txn_renew0(txn);
    if (rc == 0)
        txn->mt_flags |= txn->mt_env->me_flags & MDB_WRITEMAP; /* as mdb_txn_begin() does */
    return rc;
}

/* Whether it has written, or a transaction that it is nested in has. */
static int zl_txn_changed(const MDB_txn *txn) {
    if (txn->mt_flags & MDB_TXN_RDONLY)
        return txn->mt_parent && zl_txn_changed(txn->mt_parent);
    for (; txn; txn = txn->mt_parent)
        if (txn->mt_u.dirty_list[0].mid || (txn->mt_flags & (MDB_TXN_DIRTY | MDB_TXN_SPILLS)))
            return 1;
    return 0;
}

/* Unpositions a cursor as if it were new.  LMDB leaves one that failed to find its key at the place where the key
 * would be, with what it knew of the duplicates of another key, and can crash when moved on from there. */
static void zl_cursor_forget(MDB_cursor *mc) {
    mc->mc_flags &= ~(C_INITIALIZED | C_EOF | C_DEL);
    if (mc->mc_xcursor)
        mc->mc_xcursor->mx_cursor.mc_flags &= ~(C_INITIALIZED | C_EOF | C_DEL);
}

/* A meta page could not be written, or not be flushed: the transaction may be on the disk all the same. */
static int zl_meta_in_doubt(MDB_env *env) { return (env->me_flags & MDB_FATAL_ERROR) != 0; }

/* ---- In the child of a fork() -------------------------------------------------------------------------
 *
 * What LMDB keeps of its process is its ID, which marks reader slots, and two locks on the lock file: on the byte at
 * that ID, which tells that the process lives, and on the first byte, which tells that the lock file is in use.  A child
 * inherits neither lock. */

static int zl_env_locked(MDB_env *env) { return env->me_txns != NULL; }

static int zl_lock_file_in_use(MDB_env *env) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
    int rc;
    do
        rc = fcntl(env->me_lfd, F_SETLK, &lock);
    while (rc && errno == EINTR);
    return rc;
}

static size_t zl_os_pages(const MDB_env *env, size_t len) { return (len + env->me_os_psize - 1) / env->me_os_psize; }

/* Whether another process, which opened it when nobody had it in use, has left the lock file as it is mapped here. */
static int zl_lock_file_same(MDB_env *env) {
    size_t mapped = (env->me_maxreaders - 1) * sizeof(MDB_reader) + sizeof(MDB_txninfo);
    const MDB_txninfo *file = env->me_txns;
    struct stat st;
    return fstat(env->me_lfd, &st) == 0 && zl_os_pages(env, (size_t)st.st_size) == zl_os_pages(env, mapped) &&
           file->mti_magic == MDB_MAGIC && file->mti_format == MDB_LOCK_FORMAT;
}

/* Makes the environment this process's own.  What the parent has begun in it is not. */
static int zl_env_adopt(MDB_env *env) {
    env->me_pid = getpid();
    env->me_live_reader = 0; /* LMDB locks the byte at the process's ID for the first reader */
    if (!zl_env_locked(env) || (zl_lock_file_in_use(env) == 0 && zl_lock_file_same(env)))
        return 0;
    return ZL_FORKED;
}

/* Python is given LMDB 0.9's constants for both engines. */
_Static_assert(MDB_FIRST == 0 && MDB_GET_BOTH == 2 && MDB_GET_CURRENT == 4 && MDB_NEXT == 8 && MDB_PREV == 12 &&
               MDB_SET_RANGE == 17 && MDB_PREV_MULTIPLE == 18, "cursor operations have other numbers");
_Static_assert(MDB_NOTLS == 0x200000 && MDB_RDONLY == 0x20000 && MDB_WRITEMAP == 0x80000 && MDB_NOOVERWRITE == 0x10 &&
               MDB_APPENDDUP == 0x40000 && MDB_DUPSORT == 0x04, "flags have other values");

const zl_ops ZL_NAME(ops) = {
    {MDB_VERSION_MAJOR, MDB_VERSION_MINOR, MDB_VERSION_PATCH},
    (const char *(*)(int))mdb_strerror,
    mdb_env_create, mdb_env_open, mdb_env_close, zl_env_set_mapsize, mdb_env_set_maxreaders, mdb_env_set_maxdbs,
    mdb_env_set_userctx, mdb_env_set_assert, mdb_env_get_flags, mdb_env_get_maxreaders, mdb_env_get_maxkeysize,
    mdb_env_get_fd, mdb_env_stat, mdb_env_info, mdb_env_sync, mdb_env_copy3, mdb_env_copyfd3,
    mdb_reader_list, mdb_reader_check, mdb_txn_begin, mdb_txn_commit, mdb_txn_abort, mdb_txn_reset, mdb_txn_renew,
    zl_txn_reuse, zl_txn_park, mdb_txn_id, mdb_dbi_open, mdb_dbi_flags, mdb_stat, mdb_drop, mdb_get, mdb_put, mdb_del, mdb_cmp,
    mdb_cursor_open, mdb_cursor_close, mdb_cursor_get, mdb_cursor_put, mdb_cursor_del, mdb_cursor_count,
    zl_leaf_fill, zl_find_many, zl_cursor_forget, zl_cursor_is_db, zl_map_stable, zl_map_extent,
    zl_txn_changed, zl_meta_in_doubt, zl_env_locked, zl_env_adopt,
};

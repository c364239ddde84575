/* Opening, where LMDB trusts that whoever opened the files before came to an end of it.
 *
 * Included by engine.c after mdb.c; called by our patches of it (vendor/patches). */

/* ---- The lock file ------------------------------------------------------------------------------------
 *
 * Who gets byte 0 of the lock file exclusively is alone, makes the lock file anew, opens the data file, and then shares
 * the byte with everyone else.  LMDB's own waiters take the lock file for made as soon as they share the byte, also
 * when the maker has died or failed before its end.  Here the magic number is written last and cleared first, so that
 * a lock file is valid only if it is complete, and those who open take turns: a byte that LMDB does not use is theirs
 * alone from before the first look at byte 0 until they know that the lock file is complete.  So whoever finds a maker
 * gone has nobody beside it who waited, too, and gets byte 0 for itself. */

enum {
    ZL_TURN = 0x7fffffff, /* behind the bytes of processes, which are locked at their number */
    ZL_NAP = 1000000,     /* ns */
    ZL_PATIENCE = 10000   /* naps */
};

static void zl_nap(void) {
    struct timespec nap = {0, ZL_NAP};
    nanosleep(&nap, NULL);
}

static int zl_lock_byte(int fd, int how, short type, off_t at) {
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = at;
    lock.l_len = 1;
    return fcntl(fd, how, &lock) ? errno : 0;
}

/* Whether its maker has come to an end. */
static int zl_lock_file_complete(int fd) {
    uint32_t magic;
    struct stat st;
    return fstat(fd, &st) == 0 && (size_t)st.st_size >= sizeof(MDB_txninfo) &&
           pread(fd, &magic, sizeof magic, offsetof(MDB_txninfo, mti_magic)) == sizeof magic && magic == MDB_MAGIC;
}

/* In place of mdb_env_excl_lock(): *excl is 1 if this process has to make the lock file, 0 if it is complete. */
static int zl_opening_begins(MDB_env *env, int *excl) {
    int rc, naps;

    /* Threads that open several environments can look to the system as if they waited for each other (EDEADLK). */
    while ((rc = zl_lock_byte(env->me_lfd, F_SETLKW, F_WRLCK, ZL_TURN)) == EINTR || rc == EDEADLK)
        if (rc == EDEADLK)
            zl_nap();
    if (rc)
        return rc;
    while ((rc = mdb_env_excl_lock(env, excl)) == EDEADLK)
        zl_nap();
    for (naps = 0; rc == 0 && !*excl; naps++) {
        /* If it waited for a maker, that one may be gone, and have left anything at all. */
        if (zl_lock_byte(env->me_lfd, F_SETLK, F_WRLCK, 0) == 0)
            *excl = 1;
        else if (zl_lock_file_complete(env->me_lfd))
            break;
        else if (naps == ZL_PATIENCE)
            rc = EAGAIN;
        else
            zl_nap(); /* another LMDB is in the same position, and will fail */
    }
    zl_env_of(env)->alone = *excl > 0;
    if (!*excl)
        zl_opening_ends(env);
    return rc;
}

static void zl_opening_ends(MDB_env *env) { zl_lock_byte(env->me_lfd, F_SETLK, F_UNLCK, ZL_TURN); }

static void zl_lock_file_void(MDB_txninfo *txns) {
    txns->mti_magic = 0;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static void zl_lock_file_valid(MDB_txninfo *txns) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    txns->mti_magic = MDB_MAGIC;
}

/* The system kills a process that writes to a page in the map where the disk has no block for it, as reader slots may
 * be, whoever has made the lock file. */
static int zl_room_in_lock_file(MDB_env *env, size_t size, int alone) {
    static const char zeros[4096];
    struct stat st;
    size_t at, n;
    int rc;

    if (fstat(env->me_lfd, &st) == 0 && (size_t)st.st_blocks * 512 >= size)
        return 0; /* all of it has blocks */
    rc = zl_allocate(env->me_lfd, 0, size);
    if (rc != EOPNOTSUPP && rc != ENOSYS)
        return rc;
    for (at = 0; alone && at < size; at += n) { /* what is in it is void */
        ssize_t len = pwrite(env->me_lfd, zeros, size - at < sizeof zeros ? size - at : sizeof zeros, (off_t)at);
        if (len < 0 && errno != EINTR)
            return errno;
        n = len < 0 ? 0 : (size_t)len;
    }
    return 0;
}

/* ---- A data file that was only begun ------------------------------------------------------------------
 *
 * LMDB creates a file by one write of two meta pages.  A full disk, or the end of the process or of the system, can
 * leave any part of it.  Such a file is made anew if nothing can ever have been committed to it: each byte of the meta
 * pages is the one that is written at first, or zero, or beyond the end of the file, and every other byte of the file
 * is zero.  The first commit writes a transaction id and pages behind the meta pages, so that a file that had one
 * differs; unless it was cut off before its second page, with all of its records. */

#if ZL_ENGINE == 0
#define ZL_EMPTY ENOENT /* of mdb_env_read_header() */
#else
#define ZL_EMPTY MDB_NO_META
#endif

static void zl_first_meta(MDB_env *env, char *page, size_t number) {
    ((MDB_page *)page)->mp_pgno = number;
    ((MDB_page *)page)->mp_flags = P_META;
    mdb_env_init_meta0(env, METADATA(page));
}

/* Whoever creates it chooses these. */
static void zl_forget_choices(char *page) {
    MDB_meta *meta = METADATA(page);
    meta->mm_mapsize = 0;
    meta->mm_flags &= ~MDB_NOSUBDIR;
}

static int zl_is_zero(const char *data, size_t size) { return !size || (!*data && !memcmp(data, data + 1, size - 1)); }

static int zl_zero_from(int fd, off_t at, char *buf, size_t size) {
    ssize_t len;
    for (;; at += len) {
        off_t data = lseek(fd, at, SEEK_DATA);
        if (data < 0 && errno == ENXIO)
            return 1;
        at = data > at ? data : at;
        if ((len = pread(fd, buf, size, at)) <= 0)
            return len == 0;
        if (!zl_is_zero(buf, (size_t)len))
            return 0;
    }
}

static int zl_only_begun(MDB_env *env, off_t file_size) {
    size_t psize = env->me_psize, metas = NUM_METAS * psize, i, have;
    char *first = calloc(2, metas), *found = first + metas;
    ssize_t len;
    int begun = 0;

    if (!first)
        return 0;
    len = pread(env->me_fd, found, metas, 0);
    have = len < 0 ? 0 : (size_t)len;
    if (len >= 0 && have == ((size_t)file_size < metas ? (size_t)file_size : metas)) {
        for (i = 0; i < NUM_METAS; i++) {
            zl_first_meta(env, first + i * psize, i);
            zl_forget_choices(first + i * psize);
            zl_forget_choices(found + i * psize);
        }
        for (i = 0; i < have && (!found[i] || found[i] == first[i]); i++)
            ;
        begun = i == have && zl_zero_from(env->me_fd, (off_t)metas, found, metas);
    }
    free(first);
    return begun;
}

/* What mdb_env_read_header() has found, or that the file is to be created. */
static int zl_creation(MDB_env *env, int rc) {
    struct stat st;

    env->me_psize = env->me_os_psize < MAX_PAGESIZE ? env->me_os_psize : MAX_PAGESIZE;
    if (fstat(env->me_fd, &st))
        return errno;
    if (rc == 0 && st.st_size >= (off_t)(NUM_METAS * env->me_psize))
        return 0;
    if (!S_ISREG(st.st_mode) || (rc != ZL_EMPTY && !zl_only_begun(env, st.st_size)))
        return rc;
    if (env->me_flags & MDB_RDONLY)
        return EBADF; /* as from a write to a file that is open for reading */
    if (env->me_txns && !zl_env_of(env)->alone)
        return EAGAIN; /* somebody else creates it, or has lost it */
    return ftruncate(env->me_fd, 0) ? errno : ZL_EMPTY;
}

/* The meta pages have been written, or not.  They reach the disk before anything else does: without them, pages of a
 * first commit that was cut short would look like the rest of a damaged file. */
static int zl_created(MDB_env *env, int rc) {
    if (rc == 0 && !(env->me_flags & MDB_NOSYNC) && fsync(env->me_fd))
        rc = errno;
    if (rc && ftruncate(env->me_fd, 0))
        return rc; /* what is left is made anew, too */
    return rc;
}

/* Environments: opening, closing, resizing, and what threads and forks do to them. */
#include "glue.h"

unsigned zl_forks;

_Thread_local ZL_FAST_TLS zl_thread zl_current;

/* LMDB's assertions guard against damaged files too: unwind to ZL_TRY rather than abort the process. */
void zl_assert_failed(MDB_env *env, const char *message) {
    (void)env;
    (void)message;
    if (zl_current.trap)
        longjmp(*zl_current.trap, 1);
}

static const zl_ops *zl_engine(int major) { return major == 0 ? &zl0_ops : major == 1 ? &zl1_ops : NULL; }

int zl_version(int major, int *version) {
    const zl_ops *ops = zl_engine(major);
    if (!ops)
        return 0;
    memcpy(version, ops->version, sizeof ops->version);
    return 1;
}

/* LMDB 1.0 knows the codes of both engines. */
const char *zl_strerror(int rc) { return zl1_ops.strerror(rc); }

/* Memory for an environment, which zl_env_drop() gives up. */
zl_env *zl_env_alloc(size_t size) {
    static uint64_t numbers;
    zl_env *env = calloc(1, size);
    if (!env)
        return NULL;
    env->number = __atomic_add_fetch(&numbers, 1, __ATOMIC_RELAXED);
    env->forks = zl_forks;
    env->refs = 1;
    pthread_mutex_init(&env->mutex, NULL);
    pthread_mutex_init(&env->map_mutex, NULL);
    pthread_cond_init(&env->changed, NULL);
    zl_env_list(env);
    return env;
}

int zl_env_new(zl_env *env, int major, size_t map_reserve, unsigned max_spares) {
    int rc;
    env->ops = zl_engine(major);
    env->map_reserve = map_reserve;
    env->max_spares = max_spares;
    if (max_spares && !(env->spare = calloc(max_spares, sizeof *env->spare)))
        return ENOMEM;
    if ((rc = env->ops->env_create(&env->env)) != 0) {
        env->env = NULL;
        return rc;
    }
    env->ops->env_set_userctx(env->env, env);
    env->ops->env_set_assert(env->env, zl_assert_failed);
    return 0;
}

int zl_env_configure(zl_env *env, size_t map_size, unsigned max_readers, unsigned max_dbs) {
    int rc = env->ops->env_set_mapsize(env->env, map_size);
    if (rc == 0)
        rc = env->ops->env_set_maxreaders(env->env, max_readers);
    return rc ? rc : env->ops->env_set_maxdbs(env->env, max_dbs);
}

/* A read transaction opens the main database once, which settles how its keys compare. */
static int zl_open_main(zl_env *env, unsigned *flags) {
    MDB_txn *txn;
    MDB_dbi dbi;
    int rc = env->ops->txn_begin(env->env, NULL, MDB_RDONLY, &txn);
    if (rc)
        return rc;
    if ((rc = env->ops->dbi_open(txn, NULL, 0, &dbi)) == 0)
        rc = env->ops->dbi_flags(txn, dbi, flags);
    env->ops->txn_abort(txn);
    return rc;
}

int zl_env_open(zl_env *env, const char *path, unsigned flags, unsigned mode) {
    int rc;
    ZL_TRY(rc, env->ops->env_open(env->env, path, flags, mode));
    return rc;
}

int zl_env_open_main(zl_env *env, unsigned *flags) {
    int rc;
    ZL_TRY(rc, zl_open_main(env, flags));
    return rc;
}

/* One of those that use the environment has gone: the object that opened it, the handle of a transaction, or a thread.
 * The last one closes it, whatever the order. */
void zl_env_drop(zl_env *env) {
    unsigned refs;
    if (env->forks != zl_forks)
        return; /* its mutex may have been held by a thread that the child does not have */
    pthread_mutex_lock(&env->mutex);
    refs = --env->refs;
    pthread_mutex_unlock(&env->mutex);
    if (refs)
        return;
    zl_env_shut(env);
    zl_env_close(env);
    zl_env_unlist(env);
    zl_handles_free(env);
    pthread_mutex_destroy(&env->mutex);
    pthread_mutex_destroy(&env->map_mutex);
    pthread_cond_destroy(&env->changed);
    free(env->spare);
    free(env);
}

static int zl_is_set(const int *flag) { return __atomic_load_n(flag, __ATOMIC_SEQ_CST); }

static int zl_env_is_busy(zl_env *env) { return __atomic_load_n(&env->busy, __ATOMIC_SEQ_CST) != 0; }

/* A call that works on the environment itself: close and resize wait until it has left.  It counts itself first
 * and looks for them then, they say so first and look at the count then: one of the two sees the other. */
int zl_env_enter(zl_env *env) {
    int rc;
    for (;;) {
        zl_env_busy(env);
        if (!zl_is_set(&env->closing) && !zl_is_set(&env->resizing))
            return 0;
        zl_env_leave(env);
        if ((rc = zl_env_reopen(env)) != 0)
            return rc;
        pthread_mutex_lock(&env->mutex);
        while (env->resizing && !env->closing)
            pthread_cond_wait(&env->changed, &env->mutex);
        pthread_mutex_unlock(&env->mutex);
    }
}

/* Why a closed environment cannot be used, or 0: in a child process, that of its parent is closed until it is used. */
int zl_env_reopen(zl_env *env) {
    int rc = 0;
    if (!zl_is_set(&env->closing))
        return 0;
    pthread_mutex_lock(&env->mutex);
    if (env->origin == ZL_INHERITED) {
        env->forks = zl_forks;
        env->origin = env->ops->zl_env_adopt(env->env) ? ZL_REFUSED : ZL_ADOPTED;
        __atomic_store_n(&env->closing, env->origin == ZL_REFUSED, __ATOMIC_SEQ_CST);
    }
    if (env->closing)
        rc = env->origin == ZL_REFUSED ? ZL_FORKED : ZL_CLOSED;
    pthread_mutex_unlock(&env->mutex);
    return rc;
}

/* Whether it is the parent process's, and all transactions in it: then this process has not used it. */
int zl_env_is_foreign(zl_env *env) { return env->forks != zl_forks; }

/* In a child process: this closed environment, which its parent has opened, is not to be used. */
void zl_env_refuse(zl_env *env) {
    if (env->origin != ZL_OWN)
        env->origin = ZL_REFUSED;
}

void zl_env_busy(zl_env *env) { __atomic_add_fetch(&env->busy, 1, __ATOMIC_SEQ_CST); }

void zl_env_leave(zl_env *env) {
    if (__atomic_sub_fetch(&env->busy, 1, __ATOMIC_SEQ_CST))
        return;
    if (!zl_is_set(&env->closing) && !zl_is_set(&env->resizing))
        return;
    pthread_mutex_lock(&env->mutex);
    pthread_cond_broadcast(&env->changed);
    pthread_mutex_unlock(&env->mutex);
}

/* A handle in use, with a reference of its own; or NULL.  No transaction begins meanwhile. */
static zl_txn *zl_any_live(zl_env *env, int readers_only) {
    zl_txn *txn;
    pthread_mutex_lock(&env->mutex);
    for (txn = env->handles; txn; txn = txn->next)
        if (__atomic_load_n(&txn->txn, __ATOMIC_ACQUIRE) && !(readers_only && txn->root->write))
            break;
    if (txn)
        zl_txn_retain(txn);
    pthread_mutex_unlock(&env->mutex);
    return txn;
}

static void zl_end_transactions(zl_env *env, int readers_only) {
    zl_txn *txn;
    while ((txn = zl_any_live(env, readers_only)) != NULL) {
        if (zl_txn_enter(txn) == 0) {
            zl_txn_finish(txn);
            zl_txn_leave(txn);
        }
        zl_txn_unref(txn);
    }
    pthread_mutex_lock(&env->mutex);
    while (env->spares)
        env->ops->txn_abort(env->spare[--env->spares]);
    pthread_mutex_unlock(&env->mutex);
}

/* What another thread is in the middle of, and closing must wait for. */
static int zl_is_used_elsewhere(zl_env *env) { /* zl_env.mutex held */
    pthread_t self = pthread_self();
    return zl_env_is_busy(env) || (env->resizing && !pthread_equal(env->resizer, self)) ||
           (env->writing && !env->doomed && !pthread_equal(env->writer, self));
}

/* First half of closing: no call can enter any more, every transaction is finished.  Waits for a write
 * transaction and for a resizing of another thread to end.  Returns ZL_CLOSED if that is done already, or another thread
 * is about it; but 0 if one was kept from the second half. */
int zl_env_shut(zl_env *env) {
    int before;
    pthread_mutex_lock(&env->mutex);
    if (env->origin == ZL_INHERITED)
        env->origin = ZL_REFUSED;
    before = env->closing;
    if (before) {
        before = env->shut && env->env ? 0 : ZL_CLOSED;
        pthread_mutex_unlock(&env->mutex);
        return before;
    }
    __atomic_store_n(&env->closing, 1, __ATOMIC_SEQ_CST);
    pthread_cond_broadcast(&env->changed);
    while (zl_is_used_elsewhere(env))
        pthread_cond_wait(&env->changed, &env->mutex);
    pthread_mutex_unlock(&env->mutex);
    zl_end_transactions(env, 0);
    pthread_mutex_lock(&env->mutex);
    if (env->doomed) {
        env->keep_lock = 1;
        env->ops->txn_abort(env->doomed);
        env->writing = ZL_NOBODY;
    }
    env->doomed = NULL;
    env->shut = 1;
    pthread_mutex_unlock(&env->mutex);
    return 0;
}

/* ---- Maps that go ---- */

typedef struct zl_former {
    struct zl_former *next;
    void *addr;
    size_t len;
} zl_former;

/* The map stays until the environment closes. */
int zl_map_keep(zl_env *env, void *addr, size_t len) {
    zl_former *former = malloc(sizeof *former);
    if (!former)
        return ENOMEM;
    *former = (zl_former){env->formers, addr, len};
    env->formers = former;
    return 0;
}

static void zl_formers_drop(zl_env *env) {
    zl_former *former;
    while ((former = env->formers) != NULL) {
        env->formers = former->next;
        zl_map_drop(former->addr, former->len);
        free(former);
    }
}

/* Second half of closing: unmaps the file. */
void zl_env_close(zl_env *env) {
    MDB_env *mdb;
    int rc;
    if (env->forks != zl_forks)
        return;
    pthread_mutex_lock(&env->mutex);
    mdb = env->env;
    env->env = NULL;
    pthread_mutex_unlock(&env->mutex);
    if (mdb)
        ZL_TRY(rc, (env->ops->env_close(mdb), 0));
    (void)rc;
    zl_formers_drop(env);
    __atomic_store_n(&env->closed, 1, __ATOMIC_RELEASE);
}

/* Resizing has two halves, and Python runs between them. */
int zl_env_resize_begin(zl_env *env) {
    int rc = 0;
    if (env->origin != ZL_OWN)
        return ZL_FORKED; /* what was read in the parent's transactions may be in use yet */
    pthread_mutex_lock(&env->mutex);
    while ((env->resizing || env->writing == ZL_COPY) && !env->closing)
        pthread_cond_wait(&env->changed, &env->mutex);
    if (env->closing)
        rc = ZL_CLOSED;
    else if (env->writing)
        rc = ZL_WRITER_ACTIVE;
    else {
        env->resizer = pthread_self();
        __atomic_store_n(&env->resizing, 1, __ATOMIC_SEQ_CST);
        while (zl_env_is_busy(env))
            pthread_cond_wait(&env->changed, &env->mutex);
    }
    pthread_mutex_unlock(&env->mutex);
    if (rc == 0)
        zl_end_transactions(env, 1);
    return rc;
}

/* Harmless where this thread has begun none.  With keep_former, views stay on the former map. */
int zl_env_resize_end(zl_env *env, size_t map_size, int keep_former) {
    int mine, rc = ZL_CLOSED;
    pthread_mutex_lock(&env->mutex);
    mine = env->resizing && pthread_equal(env->resizer, pthread_self());
    pthread_mutex_unlock(&env->mutex);
    if (!mine)
        return rc;
    if (env->env) { /* else a finalizer has closed it in between */
        env->keep_former = keep_former;
        ZL_TRY(rc, env->ops->env_set_mapsize(env->env, map_size));
        env->keep_former = 0;
    }
    pthread_mutex_lock(&env->mutex);
    __atomic_store_n(&env->resizing, 0, __ATOMIC_SEQ_CST);
    pthread_cond_broadcast(&env->changed);
    pthread_mutex_unlock(&env->mutex);
    return rc;
}

/* Each of the following is one LMDB call on an environment kept open meanwhile. */
#define ZL_ENV_CALL(env, expression)         \
    do {                                     \
        int rc_ = zl_env_enter(env);         \
        if (rc_ == 0) {                      \
            ZL_TRY(rc_, expression);         \
            zl_env_leave(env);               \
        }                                    \
        return rc_;                          \
    } while (0)

static void zl_put_stat(const MDB_stat *stat, uint64_t *out) {
    out[0] = stat->ms_psize;
    out[1] = stat->ms_depth;
    out[2] = stat->ms_branch_pages;
    out[3] = stat->ms_leaf_pages;
    out[4] = stat->ms_overflow_pages;
    out[5] = stat->ms_entries;
}

static int zl_stat_env(zl_env *env, uint64_t *out) {
    MDB_stat stat;
    int rc = env->ops->env_stat(env->env, &stat);
    if (rc == 0)
        zl_put_stat(&stat, out);
    return rc;
}

int zl_env_stat(zl_env *env, uint64_t *out) { ZL_ENV_CALL(env, zl_stat_env(env, out)); }

int zl_txn_stat(zl_txn *txn, unsigned dbi, uint64_t *out) {
    MDB_stat stat;
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    ZL_TRY(rc, txn->ops->stat(txn->txn, dbi, &stat));
    zl_txn_leave(txn);
    if (rc == 0)
        zl_put_stat(&stat, out);
    return rc;
}

static int zl_info_env(zl_env *env, uint64_t *out) {
    MDB_envinfo info;
    int rc = env->ops->env_info(env->env, &info);
    if (rc)
        return rc;
    out[0] = (uint64_t)(uintptr_t)info.me_mapaddr;
    out[1] = info.me_mapsize;
    out[2] = info.me_last_pgno;
    out[3] = info.me_last_txnid;
    out[4] = info.me_maxreaders;
    out[5] = info.me_numreaders;
    return 0;
}

int zl_env_info(zl_env *env, uint64_t *out) { ZL_ENV_CALL(env, zl_info_env(env, out)); }
int zl_env_flags(zl_env *env, unsigned *out) { ZL_ENV_CALL(env, env->ops->env_get_flags(env->env, out)); }
int zl_env_max_readers(zl_env *env, unsigned *out) { ZL_ENV_CALL(env, env->ops->env_get_maxreaders(env->env, out)); }
int zl_env_sync(zl_env *env, int force) { ZL_ENV_CALL(env, env->ops->env_sync(env->env, force)); }
int zl_env_reader_check(zl_env *env, int *dead) { ZL_ENV_CALL(env, env->ops->reader_check(env->env, dead)); }

static int zl_max_key(zl_env *env, int *out) {
    *out = env->ops->env_get_maxkeysize(env->env);
    return 0;
}

int zl_env_max_key_size(zl_env *env, int *out) { ZL_ENV_CALL(env, zl_max_key(env, out)); }

int zl_env_fd(zl_env *env, int *fd) { ZL_ENV_CALL(env, env->ops->env_get_fd(env->env, fd)); }

/* LMDB starts a plain copy under the writer's lock, which a thread cannot take twice; a compacting one needs none. */
static int zl_copy_would_deadlock(zl_env *env, unsigned flags) {
    int own;
    pthread_mutex_lock(&env->mutex);
    own = env->writing && !env->doomed && pthread_equal(env->writer, pthread_self());
    pthread_mutex_unlock(&env->mutex);
    return own && !(flags & MDB_CP_COMPACT);
}

/* Copies into a path, or into a file descriptor if path is NULL; with txn, that transaction's snapshot. */
int zl_env_copy(zl_env *env, const char *path, int fd, unsigned flags, zl_txn *txn) {
    MDB_txn *mdb_txn = NULL;
    int rc = zl_env_enter(env);
    if (rc)
        return rc;
    if (txn && (rc = zl_txn_enter(txn)) == 0)
        mdb_txn = txn->txn;
    if (mdb_txn && env->ops->zl_txn_changed(mdb_txn))
        rc = MDB_INCOMPATIBLE; /* LMDB would leave writes out, and in some cases make a damaged copy */
    if (rc == 0 && zl_copy_would_deadlock(env, flags))
        rc = ZL_SAME_THREAD;
    if (rc == 0 && path)
        ZL_TRY(rc, env->ops->env_copy(env->env, path, flags, mdb_txn));
    else if (rc == 0)
        ZL_TRY(rc, env->ops->env_copyfd(env->env, fd, flags, mdb_txn));
    if (mdb_txn)
        zl_txn_leave(txn);
    zl_env_leave(env);
    return rc;
}

typedef struct zl_text {
    char *data;
    size_t len;
} zl_text;

static int zl_append(const char *line, void *ctx) {
    zl_text *text = ctx;
    size_t len = strlen(line);
    char *data = realloc(text->data, text->len + len + 1);
    if (!data)
        return -1;
    memcpy(data + text->len, line, len + 1);
    text->data = data;
    text->len += len;
    return 0;
}

/* The reader table as text in *out, to be freed with zl_free(). */
int zl_env_readers(zl_env *env, char **out) {
    zl_text text = {NULL, 0};
    int rc = zl_env_enter(env);
    if (rc)
        return rc;
    rc = env->ops->reader_list(env->env, zl_append, &text);
    zl_env_leave(env);
    *out = text.data;
    return rc < 0 ? ENOMEM : 0;
}

void zl_free(void *memory) { free(memory); }

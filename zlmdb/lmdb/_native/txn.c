/* Transactions: begin and end, nesting, and single reads and writes. */
#include "glue.h"

/* ---- Handles and locks ---- */

static void zl_list_handle(zl_txn *txn) {
    zl_env *env = txn->env;
    pthread_mutex_lock(&env->mutex);
    env->refs++;
    txn->next = env->handles;
    if (txn->next)
        txn->next->prev = txn;
    env->handles = txn;
    pthread_mutex_unlock(&env->mutex);
}

static void zl_unlist_handle(zl_txn *txn) {
    pthread_mutex_lock(&txn->env->mutex);
    if (txn->next)
        txn->next->prev = txn->prev;
    *(txn->prev ? &txn->prev->next : &txn->env->handles) = txn->next;
    pthread_mutex_unlock(&txn->env->mutex);
}

zl_txn *zl_txn_new(zl_env *env) {
    zl_txn *txn = calloc(1, sizeof *txn);
    pthread_mutexattr_t attr;

    if (!txn)
        return NULL;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&txn->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
    txn->env = env;
    txn->ops = env->ops;
    txn->root = txn;
    txn->refs = 1;
    zl_list_handle(txn);
    return txn;
}

char *zl_txn_arena(zl_txn *txn) { return txn->arena; }

void zl_txn_retain(zl_txn *txn) { __atomic_add_fetch(&txn->refs, 1, __ATOMIC_RELAXED); }

void zl_txn_unref(zl_txn *txn) {
    zl_txn *root = txn->root;
    if (__atomic_sub_fetch(&txn->refs, 1, __ATOMIC_ACQ_REL))
        return;
    if (root != txn)
        zl_txn_unref(root);
    zl_unlist_handle(txn);
    pthread_mutex_destroy(&txn->mutex);
    zl_env_drop(txn->env);
    free(txn);
}

int zl_txn_enter(zl_txn *txn) {
    pthread_mutex_lock(&txn->root->mutex);
    if (txn->txn)
        return 0;
    pthread_mutex_unlock(&txn->root->mutex);
    return ZL_CLOSED;
}

void zl_txn_leave(zl_txn *txn) { pthread_mutex_unlock(&txn->root->mutex); }

/* Hold LMDB still for this family of transactions while Python reads its memory, until zl_unpin(). */
int zl_txn_pin(zl_txn *txn) { return zl_txn_enter(txn); }
void zl_unpin(zl_txn *txn) { zl_txn_leave(txn); }

/* The arena belongs to the first thread that asks for a result; others take the pinned way. */
int zl_owns_arena(zl_txn *txn) {
    zl_thread *self = &zl_current;
    if (!txn->user)
        txn->user = self;
    return txn->user == self;
}

/* Takes page faults now, with Python's lock released. */
void zl_touch(const MDB_val *val) {
    const volatile char *data = val->mv_data;
    size_t i;
    for (i = 0; i < val->mv_size; i += 4096)
        (void)data[i];
}

/* ---- Begin ---- */

static int zl_begin_child(zl_txn *txn, zl_txn *parent, int write) {
    int rc = zl_txn_enter(parent);
    if (rc)
        return rc;
    ZL_TRY(rc, txn->ops->txn_begin(txn->env->env, parent->txn, write ? 0 : MDB_RDONLY, &txn->txn));
    if (rc) {
        txn->txn = NULL;
    } else {
        txn->root = parent->root;
        zl_txn_retain(txn->root);
        txn->parent = parent;
        txn->sibling = parent->child;
        parent->child = txn;
        txn->thread = parent->thread;
    }
    zl_txn_leave(parent);
    return rc;
}

/* A write transaction that another thread gave up is ended by its own thread, when it comes by: LMDB's
 * writer mutex can only be released by the thread that holds it. */
static void zl_end_doomed(zl_env *env) { /* zl_env.mutex held */
    env->ops->txn_abort(env->doomed);
    env->doomed = NULL;
    env->writing = 0;
}

/* Wait for the writer's place in this process.  LMDB's own mutex would do for other threads, but deadlock
 * one that already holds it. */
static int zl_take_writer_place(zl_env *env) { /* zl_env.mutex held */
    pthread_t self = pthread_self();
    while (!env->closing && (env->writing || env->resizing)) {
        if (env->writing && pthread_equal(env->writer, self)) {
            if (!env->doomed)
                return ZL_SAME_THREAD;
            zl_end_doomed(env);
            continue;
        }
        if (env->doomed)
            return ZL_OTHER_THREAD;
        pthread_cond_wait(&env->changed, &env->mutex);
    }
    if (env->closing)
        return ZL_CLOSED;
    env->writing = 1;
    env->writer = self;
    return 0;
}

static int zl_begin_write(zl_txn *txn) {
    zl_env *env = txn->env;
    int rc;

    pthread_mutex_lock(&env->mutex);
    if ((rc = zl_take_writer_place(env)) == 0)
        zl_env_busy(env);
    pthread_mutex_unlock(&env->mutex);
    if (rc)
        return rc;
    ZL_TRY(rc, env->ops->txn_begin(env->env, NULL, 0, &txn->txn));
    pthread_mutex_lock(&env->mutex);
    if (rc) {
        txn->txn = NULL;
        env->writing = 0;
    } else {
        txn->thread = pthread_self();
    }
    pthread_cond_broadcast(&env->changed);
    pthread_mutex_unlock(&env->mutex);
    zl_env_leave(env);
    return rc;
}

/* Slots of processes that died are cleared once before READERS_FULL is reported. */
static int zl_begin_reader(zl_env *env, MDB_txn **txn) {
    int dead = 0, rc = env->ops->txn_begin(env->env, NULL, MDB_RDONLY, txn);
    if (rc == MDB_READERS_FULL && env->ops->reader_check(env->env, &dead) == 0 && dead)
        rc = env->ops->txn_begin(env->env, NULL, MDB_RDONLY, txn);
    return rc;
}

static int zl_renew(zl_env *env, MDB_txn **txn) {
    int rc = env->ops->txn_renew(*txn);
    if (rc) { /* it may be no fault of the snapshot that is current now */
        env->ops->txn_abort(*txn);
        rc = zl_begin_reader(env, txn);
    }
    return rc;
}

/* A spare of a parent process holds that one's reader slot: it is not for us. */
static MDB_txn *zl_take_spare(zl_env *env) {
    MDB_txn *spare = NULL;
    if (!env->max_spares || env->forks != zl_forks)
        return NULL;
    pthread_mutex_lock(&env->mutex);
    if (env->spares)
        spare = env->spare[--env->spares];
    pthread_mutex_unlock(&env->mutex);
    return spare;
}

static int zl_begin_read(zl_txn *txn) {
    zl_env *env = txn->env;
    MDB_txn *mdb;
    int rc = zl_env_enter(env);

    if (rc)
        return rc;
    if ((mdb = zl_take_spare(env)) != NULL)
        ZL_TRY(rc, zl_renew(env, &mdb));
    else
        ZL_TRY(rc, zl_begin_reader(env, &mdb));
    if (rc == 0)
        txn->txn = mdb;
    zl_env_leave(env); /* from here on, close and resize see the transaction */
    return rc;
}

int zl_txn_begin(zl_txn *txn, zl_txn *parent, int write) {
    txn->write = write;
    txn->mutations = 0;
    txn->opened = 0;
    txn->user = NULL;
    txn->forks = zl_forks;
    if (parent)
        return zl_begin_child(txn, parent, write);
    return write ? zl_begin_write(txn) : zl_begin_read(txn);
}

/* ---- End ---- */

static void zl_close_cursors(zl_txn *txn) {
    while (txn->cursors)
        zl_cursor_detach(txn->cursors);
}

static void zl_leave_family(zl_txn *txn) {
    zl_txn **link;
    if (!txn->parent)
        return;
    for (link = &txn->parent->child; *link != txn; link = &(*link)->sibling)
        ;
    *link = txn->sibling;
    txn->parent->mutations++;
    txn->parent = NULL;
}

/* After LMDB's transaction is gone. */
static void zl_retire(zl_txn *txn, int top_writer) {
    zl_env *env = txn->env;
    zl_leave_family(txn);
    if (!top_writer)
        return;
    pthread_mutex_lock(&env->mutex);
    env->writing = 0;
    pthread_cond_broadcast(&env->changed);
    pthread_mutex_unlock(&env->mutex);
}

static int zl_keep_spare(zl_txn *txn, MDB_txn *mdb) {
    zl_env *env = txn->env;
    int kept = 0;
    if (!env->max_spares || txn->write || txn->parent || txn->opened || env->forks != zl_forks)
        return 0;
    env->ops->txn_reset(mdb);
    pthread_mutex_lock(&env->mutex);
    if (env->spares < env->max_spares && !env->closing && !env->resizing) {
        env->spare[env->spares++] = mdb;
        kept = 1;
    }
    pthread_mutex_unlock(&env->mutex);
    return kept;
}

static void zl_doom(zl_txn *txn) {
    zl_env *env = txn->env;
    pthread_mutex_lock(&env->mutex);
    env->doomed = txn->txn;
    txn->txn = NULL;
    pthread_cond_broadcast(&env->changed);
    pthread_mutex_unlock(&env->mutex);
}

void zl_txn_finish(zl_txn *txn) {
    MDB_txn *mdb = txn->txn;
    int rc;

    while (txn->child)
        zl_txn_finish(txn->child);
    zl_close_cursors(txn);
    if (txn->write && !txn->parent && !pthread_equal(txn->thread, pthread_self()) && !txn->env->closing) {
        zl_doom(txn);
        return;
    }
    txn->txn = NULL;
    if (!zl_keep_spare(txn, mdb))
        ZL_TRY(rc, (txn->ops->txn_abort(mdb), 0));
    zl_retire(txn, txn->write && !txn->parent);
    (void)rc;
}

int zl_txn_abort(zl_txn *txn) {
    if (txn->forks != zl_forks || zl_txn_enter(txn))
        return ZL_CLOSED;
    zl_txn_finish(txn);
    zl_txn_leave(txn);
    return 0;
}

int zl_txn_commit(zl_txn *txn) {
    MDB_txn *mdb;
    int top_writer, rc = txn->forks == zl_forks ? zl_txn_enter(txn) : ZL_CLOSED;

    if (rc)
        return rc;
    top_writer = txn->write && !txn->parent;
    if (top_writer && !pthread_equal(txn->thread, pthread_self())) {
        zl_txn_leave(txn);
        return ZL_OTHER_THREAD;
    }
    while (txn->child)
        zl_txn_finish(txn->child);
    zl_close_cursors(txn);
    mdb = txn->txn;
    txn->txn = NULL;
    if (!zl_keep_spare(txn, mdb))
        ZL_TRY(rc, txn->ops->txn_commit(mdb));
    zl_retire(txn, top_writer);
    zl_txn_leave(txn);
    return rc;
}

/* Python has dropped the transaction: abort it if need be.  Returns 1 if the handle is free for another. */
int zl_txn_release(zl_txn *txn) {
    if (txn->forks != zl_forks)
        return 0;
    zl_txn_abort(txn);
    if (txn->root != txn || __atomic_load_n(&txn->refs, __ATOMIC_ACQUIRE) != 1) {
        zl_txn_unref(txn);
        return 0;
    }
    return 1;
}

/* ---- Single operations ---- */

int64_t zl_txn_id(zl_txn *txn) {
    int64_t id = zl_txn_enter(txn);
    if (id == 0) {
        id = (int64_t)txn->ops->txn_id(txn->txn);
        zl_txn_leave(txn);
    }
    return id;
}

int zl_dbi_open(zl_txn *txn, const char *name, unsigned flags, unsigned *dbi, unsigned *got) {
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    ZL_TRY(rc, txn->ops->dbi_open(txn->txn, name, flags, dbi));
    if (rc == 0)
        rc = txn->ops->dbi_flags(txn->txn, *dbi, got);
    txn->opened = 1;
    txn->mutations++;
    zl_txn_leave(txn);
    return rc;
}

static void zl_close_cursors_of(zl_txn *txn, MDB_dbi dbi) {
    zl_cursor *cursor, *next;
    for (cursor = txn->cursors; cursor; cursor = next) {
        next = cursor->next;
        if (cursor->dbi == dbi)
            zl_cursor_detach(cursor);
    }
}

int zl_drop(zl_txn *txn, unsigned dbi, int del) {
    zl_cursor *cursor;
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    if (del && dbi > 1)
        zl_close_cursors_of(txn, dbi);
    else
        for (cursor = txn->cursors; cursor; cursor = cursor->next)
            if (cursor->dbi == dbi)
                cursor->valid = 0;
    ZL_TRY(rc, txn->ops->drop(txn->txn, dbi, del));
    txn->mutations++;
    zl_txn_leave(txn);
    return rc;
}

static int zl_find(zl_txn *txn, unsigned dbi, const char *key, size_t klen, MDB_val *val) {
    MDB_val k = {klen, (void *)key};
    int rc;
    ZL_TRY(rc, txn->ops->get(txn->txn, dbi, &k, val));
    return rc;
}

/* Copies the value into the arena; returns its length. */
int64_t zl_get(zl_txn *txn, unsigned dbi, const char *key, size_t klen) {
    MDB_val val;
    int64_t n;
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    rc = zl_find(txn, dbi, key, klen, &val);
    if (rc)
        n = zl_length_or(rc);
    else if (val.mv_size > ZL_ARENA || !zl_owns_arena(txn))
        n = ZL_LARGE;
    else
        memcpy(txn->arena, val.mv_data, n = (int64_t)val.mv_size);
    zl_txn_leave(txn);
    return n;
}

/* Leaves the family lock held on success, until zl_unpin(). */
int zl_get_pin(zl_txn *txn, unsigned dbi, const char *key, size_t klen, zl_view *out) {
    MDB_val val;
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    if ((rc = zl_find(txn, dbi, key, klen, &val)) != 0) {
        zl_txn_leave(txn);
        return rc;
    }
    zl_touch(&val);
    out->val = val.mv_data;
    out->vlen = val.mv_size;
    return 0;
}

/* Begin, get and end in one call; txn is a fresh handle.  An environment used so keeps one read transaction with
 * its reader slot as a spare, which makes the next call cheap. */
int64_t zl_get_once(zl_txn *txn, unsigned dbi, const char *key, size_t klen) {
    zl_env *env = txn->env;
    int64_t n;

    if (!env->max_spares) {
        pthread_mutex_lock(&env->mutex);
        if (!env->max_spares && (env->spare = calloc(1, sizeof *env->spare)) != NULL)
            env->max_spares = 1;
        pthread_mutex_unlock(&env->mutex);
    }
    if ((n = zl_txn_begin(txn, NULL, 0)) != 0)
        return zl_length_or((int)n);
    n = zl_get(txn, dbi, key, klen);
    zl_txn_abort(txn);
    return n;
}

int zl_put(zl_txn *txn, unsigned dbi, const char *key, size_t klen, const char *val, size_t vlen, unsigned flags) {
    MDB_val k = {klen, (void *)key}, v = {vlen, (void *)val};
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    ZL_TRY(rc, txn->ops->put(txn->txn, dbi, &k, &v, flags));
    txn->mutations++;
    zl_txn_leave(txn);
    return rc;
}

int zl_del(zl_txn *txn, unsigned dbi, const char *key, size_t klen, const char *val, size_t vlen) {
    MDB_val k = {klen, (void *)key}, v = {vlen, (void *)val};
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    ZL_TRY(rc, txn->ops->del(txn->txn, dbi, &k, vlen ? &v : NULL));
    txn->mutations++;
    zl_txn_leave(txn);
    return rc;
}

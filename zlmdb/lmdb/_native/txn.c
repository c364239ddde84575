/* Transactions: begin and end, and nesting. */
#include "glue.h"

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

static int zl_begin_write(zl_txn *txn) {
    zl_env *env = txn->env;
    int rc = zl_env_reopen(env);

    if (rc)
        return rc;
    pthread_mutex_lock(&env->mutex);
    if ((rc = zl_writer_take(env, ZL_WRITER)) == 0)
        zl_env_busy(env);
    pthread_mutex_unlock(&env->mutex);
    if (rc)
        return rc;
    ZL_TRY(rc, env->ops->txn_begin(env->env, NULL, 0, &txn->txn));
    pthread_mutex_lock(&env->mutex);
    if (rc) {
        txn->txn = NULL;
        env->writing = ZL_NOBODY;
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

static MDB_txn *zl_take_spare(zl_env *env) {
    MDB_txn *spare = NULL;
    if (!env->max_spares)
        return NULL;
    pthread_mutex_lock(&env->mutex);
    if (env->spares)
        spare = env->spare[--env->spares];
    pthread_mutex_unlock(&env->mutex);
    return spare;
}

/* With what is at hand: a spare transaction, which has a reader slot; memory of one; or nothing. */
static int zl_begin_with(zl_txn *txn, MDB_txn **mdb) {
    zl_env *env = txn->env;
    int rc;

    if ((*mdb = zl_take_spare(env)) != NULL)
        return zl_renew(env, mdb);
    if (txn->parked) {
        *mdb = txn->parked;
        if ((rc = env->ops->zl_txn_reuse(*mdb)) == 0) {
            txn->parked = NULL;
            return 0;
        }
    }
    return zl_begin_reader(env, mdb);
}

static int zl_begin_read(zl_txn *txn) {
    zl_env *env = txn->env;
    MDB_txn *mdb;
    int rc = zl_env_enter(env);

    if (rc)
        return rc;
    ZL_TRY(rc, zl_begin_with(txn, &mdb));
    if (rc == 0)
        txn->txn = mdb;
    zl_env_leave(env); /* from here on, close and resize see the transaction */
    return rc;
}

/* The handle that is never used has no environment. */
static int zl_begin_handle(zl_txn *txn, int write, unsigned dbi) {
    if (!txn->env)
        return ZL_CLOSED;
    txn->write = write;
    txn->dbi = dbi;
    txn->mutations = 0;
    txn->opened = txn->opener = 0;
    txn->in_doubt = txn->lost = 0;
    txn->turn++;
    txn->user = NULL;
    return 0;
}

int zl_txn_begin_read(zl_txn *txn) {
    int rc = zl_begin_handle(txn, 0, ZL_MAIN_DBI);
    return rc ? rc : zl_begin_read(txn);
}

/* dbi: the database of calls that name none. */
int zl_txn_begin(zl_txn *txn, zl_txn *parent, int write, unsigned dbi) {
    int rc = zl_begin_handle(txn, write, dbi);
    if (rc)
        return rc;
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

/* LMDB has ended the transaction, and not before: close and resize take a handle without one for out of LMDB. */
static void zl_gone(zl_txn *txn) { __atomic_store_n(&txn->txn, NULL, __ATOMIC_RELEASE); }

/* After LMDB's transaction is gone. */
static void zl_retire(zl_txn *txn, int top_writer) {
    zl_leave_family(txn);
    if (top_writer)
        zl_writer_done(txn->env);
}

static int zl_keep_spare(zl_env *env, MDB_txn *mdb) {
    int kept = 0;
    if (!env->max_spares)
        return 0;
    pthread_mutex_lock(&env->mutex);
    if (env->spares < env->max_spares && !env->closing && !env->resizing) {
        env->ops->txn_reset(mdb);
        env->spare[env->spares++] = mdb;
        kept = 1;
    }
    pthread_mutex_unlock(&env->mutex);
    return kept;
}

/* Keeps a finished read transaction as a spare, or at least its memory. */
static void zl_keep(zl_txn *txn, MDB_txn *mdb) {
    if (zl_keep_spare(txn->env, mdb))
        return;
    txn->ops->zl_txn_park(mdb);
    free(txn->parked);
    txn->parked = mdb;
}

/* Ends a read transaction that leaves nothing behind, committed or not. */
static int zl_end_reader(zl_txn *txn, MDB_txn *mdb) {
    if (txn->write || txn->parent || txn->opened)
        return 0;
    zl_keep(txn, mdb);
    return 1;
}

void zl_txn_finish(zl_txn *txn) {
    MDB_txn *mdb = txn->txn;
    int rc;

    while (txn->child)
        zl_txn_finish(txn->child);
    zl_close_cursors(txn);
    if (txn->write && !txn->parent && !pthread_equal(txn->thread, pthread_self()) && !txn->env->closing) {
        zl_gone(txn);
        zl_writer_doom(txn->env, mdb);
        return;
    }
    if (!zl_end_reader(txn, mdb))
        ZL_TRY(rc, (txn->ops->txn_abort(mdb), 0));
    zl_gone(txn);
    zl_retire(txn, txn->write && !txn->parent);
    (void)rc;
}

int zl_txn_abort(zl_txn *txn) {
    if (zl_txn_enter(txn))
        return ZL_CLOSED;
    zl_txn_finish(txn);
    zl_txn_leave(txn);
    return 0;
}

static int zl_commit_noting(zl_txn *txn, MDB_txn *mdb, volatile int *back) {
    int rc = txn->ops->txn_commit(mdb);
    *back = 1;
    return rc;
}

/* If a failed assertion ends LMDB's commit in its middle, the transaction is still to be aborted. */
static int zl_commit(zl_txn *txn, MDB_txn *mdb) {
    volatile int back = 0;
    int rc, ignored;
    ZL_TRY(rc, zl_commit_noting(txn, mdb, &back));
    if (!back)
        ZL_TRY(ignored, (txn->ops->txn_abort(mdb), 0));
    (void)ignored;
    return rc;
}

int zl_txn_commit(zl_txn *txn) {
    MDB_txn *mdb;
    int top_writer, rc = zl_txn_enter(txn);

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
    if (!zl_end_reader(txn, mdb))
        rc = zl_commit(txn, mdb);
    txn->in_doubt = rc && txn->ops->zl_meta_in_doubt(txn->env->env);
    if (rc == 0)
        txn->committed = txn->turn;
    zl_gone(txn);
    zl_retire(txn, top_writer);
    zl_txn_leave(txn);
    return rc;
}

/* After a commit that has failed: whether it may be on the disk all the same. */
int zl_txn_in_doubt(const zl_txn *txn) { return txn->in_doubt; }

/* How many transactions have begun with the handle. */
uint64_t zl_txn_turn(zl_txn *txn) { return txn->turn; }

/* What has become of the one that began with this turn: ZL_OPEN, ZL_COMMITTED, or 0 if it has aborted, or others have
 * begun since. */
int zl_txn_fate(zl_txn *txn, uint64_t turn) {
    int fate;
    pthread_mutex_lock(&txn->root->mutex);
    fate = txn->turn != turn ? 0 : txn->txn ? ZL_OPEN : txn->committed == turn ? ZL_COMMITTED : 0;
    zl_txn_leave(txn);
    return fate;
}

/* ---- Begin, read and end in one call ---- */

typedef struct zl_once {
    zl_txn *txn;
    MDB_txn *mdb; /* NULL until it has begun */
    MDB_dbi dbi;
    MDB_val key, val;
} zl_once;

static int zl_once_get(zl_once *once) {
    MDB_txn *mdb;
    int rc = zl_begin_with(once->txn, &mdb);
    if (rc)
        return rc;
    once->mdb = mdb;
    return once->txn->ops->get(mdb, once->dbi, &once->key, &once->val);
}

static int zl_once_end(zl_once *once) {
    zl_keep(once->txn, once->mdb);
    return 0;
}

static int64_t zl_once_copy(const zl_once *once) {
    if (once->val.mv_size > ZL_ARENA)
        return ZL_LARGE;
    memcpy(once->txn->arena, once->val.mv_data, once->val.mv_size);
    return (int64_t)once->val.mv_size;
}

/* A single read with a handle that nobody else has: as close and resize wait for the call, no lock is needed, and no
 * other thread need see the transaction.  Copies the value into the arena; returns its length. */
int64_t zl_get_once(zl_txn *txn, const char *key, uint64_t klen) {
    zl_once once = {.txn = txn, .dbi = zl_above(klen) ? zl_above(klen) : ZL_MAIN_DBI, .key = zl_val(key, klen)};
    int64_t n;
    int rc = txn->env ? zl_env_enter(txn->env) : ZL_CLOSED;

    if (rc)
        return rc;
    ZL_TRY(rc, zl_once_get(&once));
    n = rc ? zl_length_or(rc) : zl_once_copy(&once);
    if (once.mdb)
        ZL_TRY(rc, zl_once_end(&once));
    zl_env_leave(txn->env);
    return n;
}

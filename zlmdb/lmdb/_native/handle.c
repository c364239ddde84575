/* Handles of transactions: their lives and locks, and the memory that results come in. */
#include "glue.h"

static void zl_family_lock_init(zl_txn *txn) {
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&txn->mutex, &attr);
    pthread_mutexattr_destroy(&attr);
}

static zl_txn *zl_make_handle(zl_env *env) { /* zl_env.mutex held */
    zl_txn *txn = calloc(1, sizeof *txn);
    if (!txn)
        return NULL;
    zl_family_lock_init(txn);
    txn->env = env;
    txn->ops = env->ops;
    txn->root = txn;
    txn->next = env->handles;
    env->handles = txn;
    return txn;
}

/* A handle, new or given up by another transaction; whoever has it keeps the environment open until zl_txn_drop(). */
zl_txn *zl_txn_new(zl_env *env, size_t size) {
    zl_txn *txn;
    (void)size;
    pthread_mutex_lock(&env->mutex);
    if ((txn = env->idle) != NULL)
        env->idle = txn->sibling;
    else
        txn = zl_make_handle(env);
    if (txn) {
        txn->sibling = NULL;
        txn->refs = 1;
        env->refs++;
    }
    pthread_mutex_unlock(&env->mutex);
    return txn;
}

static void zl_txn_idle(zl_txn *txn) {
    zl_env *env = txn->env;
    pthread_mutex_lock(&env->mutex);
    txn->root = txn;
    txn->sibling = env->idle;
    env->idle = txn;
    pthread_mutex_unlock(&env->mutex);
}

/* Nothing of Python's refers to the handle any more, nor to its cursors and views: its transaction is aborted, unless it has ended. */
void zl_txn_drop(zl_txn *txn) {
    zl_txn_abort(txn);
    zl_txn_unref(txn);
}

/* With the environment, which no handle in use refers to. */
void zl_handles_free(zl_env *env) {
    zl_txn *txn;
    while ((txn = env->handles) != NULL) {
        env->handles = txn->next;
        pthread_mutex_destroy(&txn->mutex);
        free(txn->parked);
        free(txn);
    }
}

/* A handle that is never used: every call with it returns ZL_CLOSED. */
static zl_txn zl_never = {.root = &zl_never, .mutex = PTHREAD_MUTEX_INITIALIZER};

zl_txn *zl_txn_closed(void) { return &zl_never; }

/* LMDB's transaction and its cursors stay behind: they refer to a reader slot, or to the lock, of the parent process. */
static void zl_txn_lose(zl_txn *txn) {
    zl_cursor *cursor;
    for (cursor = txn->cursors; cursor; cursor = cursor->next) {
        cursor->cursor = NULL;
        cursor->valid = 0;
    }
    txn->cursors = NULL;
    txn->parent = txn->child = NULL;
    txn->lost = 1;
    txn->txn = NULL;
}

/* In the child of a fork(), threads that it does not have may have locked an environment's handles, or, without an
 * environment, the handle that all share.  Only what reads without a lock file goes on in the child. */
void zl_handles_forked(zl_env *env, int locked) {
    zl_txn *txn;
    if (!env)
        pthread_mutex_init(&zl_never.mutex, NULL);
    else
        for (txn = env->handles; txn; txn = txn->next) {
            zl_family_lock_init(txn);
            if (txn->txn && (locked || txn->root->write))
                zl_txn_lose(txn);
        }
}

char *zl_txn_arena(zl_txn *txn) { return txn->arena; }

void zl_txn_retain(zl_txn *txn) { __atomic_add_fetch(&txn->refs, 1, __ATOMIC_RELAXED); }

void zl_txn_unref(zl_txn *txn) {
    zl_txn *root = txn->root;
    if (txn->env->forks != zl_forks)
        return; /* the environment's mutex may have been held by a thread that the child does not have */
    if (__atomic_sub_fetch(&txn->refs, 1, __ATOMIC_ACQ_REL))
        return;
    if (root != txn)
        zl_txn_unref(root);
    zl_txn_idle(txn);
    zl_env_drop(txn->env);
}

int zl_txn_enter(zl_txn *txn) {
    pthread_mutex_lock(&txn->root->mutex);
    if (txn->txn) {
        txn->uses++;
        return 0;
    }
    pthread_mutex_unlock(&txn->root->mutex);
    return txn->lost ? ZL_FORKED : ZL_CLOSED;
}

/* How many calls have used the transaction, this one included. */
int64_t zl_txn_uses(zl_txn *txn) {
    int64_t uses = zl_txn_enter(txn);
    if (uses == 0) {
        uses = txn->uses;
        zl_txn_leave(txn);
    }
    return uses;
}

void zl_txn_leave(zl_txn *txn) { pthread_mutex_unlock(&txn->root->mutex); }

/* LMDB is held still from now on, for this family of transactions, while Python reads its memory.  The view tells: what
 * pins may raise an exception afterwards, if there is a signal to be handled. */
void zl_pin(zl_txn *txn, zl_view *view) { view->pinned = txn; }

/* Ends that time; harmless where nothing was pinned. */
void zl_unpin(zl_view *view) {
    zl_txn *txn = view->pinned;
    view->pinned = NULL;
    if (txn)
        zl_txn_leave(txn);
}

/* The arena belongs to the first thread that asks for a result; others take the pinned way. */
int zl_owns_arena(zl_txn *txn) {
    zl_thread *self = &zl_current;
    if (!txn->user)
        txn->user = self;
    return txn->user == self;
}

/* Where in the map a value is, in bytes from its beginning, and the value's length, in one number.  ZL_LARGE if they
 * do not fit, or if the transaction may change that memory: then there can be no view of it. */
int64_t zl_place(zl_txn *txn, const MDB_val *val) {
    int64_t at = zl_stable_at(txn, val->mv_data);
    if (at < 0 || at >> (63 - ZL_PLACE_BITS) || val->mv_size >> ZL_PLACE_BITS)
        return ZL_LARGE;
    return at << ZL_PLACE_BITS | (int64_t)val->mv_size;
}

/* Where in the map pinned memory is; ZL_LARGE if it is elsewhere, or the transaction may change it. */
int64_t zl_stable_at(zl_txn *txn, const char *pinned) {
    const char *map;
    size_t size = txn->ops->zl_map_stable(txn->txn, &map), at = (size_t)(pinned - map);
    return at < size ? (int64_t)at : ZL_LARGE;
}

/* Takes page faults now, with Python's lock released. */
void zl_touch(const MDB_val *val) {
    const volatile char *data = val->mv_data;
    size_t i;
    for (i = 0; i < val->mv_size; i += 4096)
        (void)data[i];
}

/* The writer's place in this process, and what becomes of it when its thread exits.
 *
 * LMDB's own mutex would do for other threads, but deadlock one that already holds it, and only the thread that locked
 * it can release it.  So a write transaction that another thread ends is doomed: finished for Python, and ended for
 * LMDB by its own thread, when that next begins to write, or exits. */
#include "glue.h"
#include <time.h>

enum { ZL_GRACE = 1 }; /* seconds for the thread of a doomed transaction to end it */

static pthread_mutex_t zl_open_mutex = PTHREAD_MUTEX_INITIALIZER; /* taken before zl_env.mutex */
static zl_env *zl_open_envs;
static pthread_key_t zl_exit_key;

static void zl_end_doomed(zl_env *env) { /* zl_env.mutex held */
    env->ops->txn_abort(env->doomed);
    env->doomed = NULL;
    env->writing = ZL_NOBODY;
    pthread_cond_broadcast(&env->changed);
}

/* Its thread may be about to exit. */
static int zl_await_doomed(zl_env *env) { /* zl_env.mutex held */
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ZL_GRACE;
    while (env->doomed && !env->closing)
        if (pthread_cond_timedwait(&env->changed, &env->mutex, &until) == ETIMEDOUT)
            return env->doomed ? ZL_OTHER_THREAD : 0;
    return 0;
}

/* Waits for the writer's place.  A copy takes it while no resize can come in between, and waits for none. */
int zl_writer_take(zl_env *env, int who) { /* zl_env.mutex held */
    int rc;
    if (env->lost_writer)
        return ZL_FORKED;
    while (!env->closing && (env->writing || (env->resizing && who != ZL_COPY))) {
        if (env->writing && pthread_equal(env->writer, pthread_self())) {
            if (!env->doomed)
                return ZL_SAME_THREAD;
            zl_end_doomed(env);
        } else if (!env->doomed) {
            pthread_cond_wait(&env->changed, &env->mutex);
        } else if ((rc = zl_await_doomed(env)) != 0) {
            return rc;
        }
    }
    if (env->closing)
        return ZL_CLOSED;
    env->writing = who;
    env->writer = pthread_self();
    if (who == ZL_WRITER)
        pthread_setspecific(zl_exit_key, env);
    return 0;
}

void zl_writer_done(zl_env *env) {
    pthread_mutex_lock(&env->mutex);
    env->writing = ZL_NOBODY;
    pthread_cond_broadcast(&env->changed);
    pthread_mutex_unlock(&env->mutex);
}

/* Leaves a write transaction to its own thread. */
void zl_writer_doom(zl_env *env, MDB_txn *mdb) {
    pthread_mutex_lock(&env->mutex);
    env->doomed = mdb;
    pthread_cond_broadcast(&env->changed);
    pthread_mutex_unlock(&env->mutex);
}

/* LMDB's plain copies keep writers out at their beginning (vendor/patches). */
int zl_writers_out(zl_env *env) {
    int rc;
    pthread_mutex_lock(&env->mutex);
    rc = zl_writer_take(env, ZL_COPY);
    pthread_mutex_unlock(&env->mutex);
    return rc;
}

/* ---- Threads that exit ---- */

void zl_env_list(zl_env *env) {
    pthread_mutex_lock(&zl_open_mutex);
    env->next_open = zl_open_envs;
    zl_open_envs = env;
    pthread_mutex_unlock(&zl_open_mutex);
}

void zl_env_unlist(zl_env *env) {
    zl_env **link;
    pthread_mutex_lock(&zl_open_mutex);
    for (link = &zl_open_envs; *link && *link != env; link = &(*link)->next_open)
        ;
    if (*link)
        *link = env->next_open;
    pthread_mutex_unlock(&zl_open_mutex);
}

/* Whether the environment with this number exists, and is not closed. */
int zl_env_exists(uint64_t number) {
    zl_env *env;
    int exists;
    pthread_mutex_lock(&zl_open_mutex);
    for (env = zl_open_envs; env && env->number != number; env = env->next_open)
        ;
    exists = env && !__atomic_load_n(&env->closed, __ATOMIC_ACQUIRE);
    pthread_mutex_unlock(&zl_open_mutex);
    return exists;
}

uint64_t zl_env_number(zl_env *env) { return env->number; }

/* An environment in which this thread has the writer's place, with a reference; or NULL. */
static zl_env *zl_written_here(void) {
    zl_env *env;
    int mine = 0;
    pthread_mutex_lock(&zl_open_mutex);
    for (env = zl_open_envs; env; env = env->next_open) {
        pthread_mutex_lock(&env->mutex);
        if ((mine = env->refs && env->writing && pthread_equal(env->writer, pthread_self())))
            env->refs++;
        pthread_mutex_unlock(&env->mutex);
        if (mine)
            break;
    }
    pthread_mutex_unlock(&zl_open_mutex);
    return env;
}

static zl_txn *zl_writing_txn(zl_env *env) { /* zl_env.mutex held */
    zl_txn *txn;
    for (txn = env->handles; txn; txn = txn->next)
        if (__atomic_load_n(&txn->txn, __ATOMIC_ACQUIRE) && txn->write && !txn->parent) {
            zl_txn_retain(txn);
            return txn;
        }
    return NULL;
}

static void zl_end_writing(zl_env *env) {
    zl_txn *txn;
    pthread_mutex_lock(&env->mutex);
    txn = zl_writing_txn(env);
    if (env->doomed)
        zl_end_doomed(env);
    pthread_mutex_unlock(&env->mutex);
    if (!txn)
        return;
    zl_txn_abort(txn);
    zl_txn_unref(txn);
}

/* Else LMDB would take the whole environment for damaged: a thread has died in the middle of a transaction. */
static void zl_thread_exits(void *unused) {
    zl_env *env;
    (void)unused;
    while ((env = zl_written_here()) != NULL) {
        zl_end_writing(env);
        zl_env_drop(env);
    }
}

/* ---- Forks ----
 *
 * In a child process, an environment of its parent is closed until it is used, and becomes the child's own then.  One
 * without a lock file is so at once: nothing in it belongs to a process. */

static void zl_env_inherit(zl_env *env, int locked) {
    env->origin = env->resizing ? ZL_REFUSED : locked ? ZL_INHERITED : ZL_ADOPTED; /* while resizing, there may be no map */
    env->closing = env->origin != ZL_ADOPTED;
    if (!locked)
        env->forks = zl_forks;
}

/* The child has one thread: what others were in the middle of will never end. */
static void zl_env_forked(zl_env *env) {
    int locked = env->env && env->ops->zl_env_locked(env->env);
    pthread_mutex_init(&env->mutex, NULL);
    pthread_mutex_init(&env->map_mutex, NULL);
    pthread_cond_init(&env->changed, NULL);
    zl_handles_forked(env, locked);
    env->lost_writer |= env->writing != ZL_NOBODY;
    env->writing = ZL_NOBODY;
    env->doomed = NULL;
    env->spares = 0;
    env->busy = 0;
    if (!env->closing || env->origin == ZL_INHERITED)
        zl_env_inherit(env, locked);
    env->resizing = 0;
}

static void zl_after_fork(void) {
    zl_env *env;
    zl_forks++;
    for (env = zl_open_envs; env; env = env->next_open)
        zl_env_forked(env);
    zl_handles_forked(NULL, 0);
    zl_maps_forked();
    pthread_mutex_init(&zl_open_mutex, NULL);
}

void zl_init(void) {
    pthread_key_create(&zl_exit_key, zl_thread_exits);
    pthread_atfork(NULL, NULL, zl_after_fork);
}

/* The glue between Python and LMDB: handles, the table of engine operations, and the shared helpers.
 *
 * Python sees opaque zl_env, zl_txn and zl_cursor handles.  Each carries the operations of its engine, so
 * one set of functions serves LMDB 0.9 and 1.0.  The handles own the lifecycle: a handle outlives the LMDB
 * object behind it, and every call on a finished one returns ZL_CLOSED.  Locks, innermost last:
 *
 *   family lock   one recursive mutex per tree of transactions; held while LMDB works for one of them, and
 *                 from zl_*_pin() to zl_unpin(), while Python copies out of LMDB's memory.
 *   zl_env.mutex  the list of transaction handles, the writer's place, spare transactions; held briefly,
 *                 never while LMDB may block.
 */
#ifndef ZL_GLUE_H
#define ZL_GLUE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <pthread.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>

/* The public API of both engines is the same but for additions: 0.9's header names the common part. */
#include "lmdb.h"

/* Codes of our own, beside LMDB's (-30799 .. -30769) and errno's. */
#define ZL_CLOSED (-40001)        /* the object is closed, finished or invalidated */
#define ZL_LARGE (-40002)         /* the result does not fit the arena, or is no safe view: fetch it pinned */
#define ZL_OTHER_THREAD (-40003)  /* a write transaction belongs to the thread that began it */
#define ZL_WRITER_ACTIVE (-40004) /* not while a write transaction is open */
#define ZL_SAME_THREAD (-40005)   /* a second write transaction in one thread would deadlock */
#define ZL_BAD_ITEM (-40006)      /* putmulti: an item is not a pair of byte strings */
#define ZL_WRITTEN (-40007)       /* all records have been written */
#define ZL_FORKED (-40008)        /* a child process cannot use this, which its parent has opened or begun */
#define ZL_NOT_ITS_TURN (-40009)  /* another transaction has opened a database, and must end first */
#define ZL_NO_THREAD (-40010)     /* the system starts no other thread */
#define ZL_ERRNO_BASE (-50000)    /* functions that return lengths give errno e as ZL_ERRNO_BASE - e */

#define ZL_ARENA 8192 /* bytes of a transaction's arena: larger values are copied pinned */
#define ZL_PLACE_BITS 22 /* of the length, in a place (zl_place) */

#define ZL_MAIN_DBI 1 /* the main database */
#define ZL_LENGTH_BITS 40 /* of a length that has something else above it: see zl_length() */

#define ZL_COUNT_BITS 14 /* of the number of records that zl_cursor_fill() returns, and of the length of their keys */
#define ZL_KEY_BITS 16

#define ZL_LIST_HEAD 5 /* bytes, in the format of marshal, before the items of a list or a tuple */
#define ZL_BYTES_HEAD 5 /* and before those of a byte string */
#define ZL_SLACK 16   /* bytes that a chunk has beyond its cap */
#define ZL_ADVANCE 0x1000 /* beside the operation of a fill: move before the first record */
#define ZL_STAY (-1)       /* in place of an operation: do not move */
#define ZL_OPEN 1         /* of a transaction's fate */
#define ZL_COMMITTED 2
#define ZL_CBOR 1         /* of a planned write: the value is an object, to be stored as CBOR */
#define ZL_KEEP 2         /* and nothing is stored if the record has another value */
#define ZL_INSERT 4       /* and nothing is stored if there is a record */

#include "api.h"

typedef struct zl_thread zl_thread;
struct zl_directory {
    char *path;
    int64_t process;
};
struct zl_map { /* what lies in the file */
    char first, rest[];
};
struct zl_fill;

/* The outcome of a look-up. */
typedef struct zl_found {
    MDB_val val;
    int rc;
} zl_found;

enum { ZL_GROUP = 24 }; /* keys that are looked up together */

/* What an engine offers.  mdb_* members are LMDB's functions; zl_* members need its internals (engine.c). */
typedef struct zl_ops {
    int version[3];
    const char *(*strerror)(int rc);
    int (*env_create)(MDB_env **env);
    int (*env_open)(MDB_env *env, const char *path, unsigned flags, mdb_mode_t mode);
    void (*env_close)(MDB_env *env);
    int (*env_set_mapsize)(MDB_env *env, size_t size);
    int (*env_set_maxreaders)(MDB_env *env, unsigned readers);
    int (*env_set_maxdbs)(MDB_env *env, MDB_dbi dbs);
    int (*env_set_userctx)(MDB_env *env, void *ctx);
    int (*env_set_assert)(MDB_env *env, MDB_assert_func *func);
    int (*env_get_flags)(MDB_env *env, unsigned *flags);
    int (*env_get_maxreaders)(MDB_env *env, unsigned *readers);
    int (*env_get_maxkeysize)(MDB_env *env);
    int (*env_get_fd)(MDB_env *env, mdb_filehandle_t *fd);
    int (*env_stat)(MDB_env *env, MDB_stat *stat);
    int (*env_info)(MDB_env *env, MDB_envinfo *info);
    int (*env_sync)(MDB_env *env, int force);
    int (*env_copy)(MDB_env *env, const char *path, unsigned flags, MDB_txn *txn);
    int (*env_copyfd)(MDB_env *env, mdb_filehandle_t fd, unsigned flags, MDB_txn *txn);
    int (*reader_list)(MDB_env *env, MDB_msg_func *func, void *ctx);
    int (*reader_check)(MDB_env *env, int *dead);
    int (*txn_begin)(MDB_env *env, MDB_txn *parent, unsigned flags, MDB_txn **txn);
    int (*txn_commit)(MDB_txn *txn);
    void (*txn_abort)(MDB_txn *txn);
    void (*txn_reset)(MDB_txn *txn);
    int (*txn_renew)(MDB_txn *txn);
    int (*zl_txn_reuse)(MDB_txn *txn);
    void (*zl_txn_park)(MDB_txn *txn);
    size_t (*txn_id)(MDB_txn *txn);
    int (*dbi_open)(MDB_txn *txn, const char *name, unsigned flags, MDB_dbi *dbi);
    int (*dbi_flags)(MDB_txn *txn, MDB_dbi dbi, unsigned *flags);
    int (*stat)(MDB_txn *txn, MDB_dbi dbi, MDB_stat *stat);
    int (*drop)(MDB_txn *txn, MDB_dbi dbi, int del);
    int (*get)(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data);
    int (*put)(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data, unsigned flags);
    int (*del)(MDB_txn *txn, MDB_dbi dbi, MDB_val *key, MDB_val *data);
    int (*cmp)(MDB_txn *txn, MDB_dbi dbi, const MDB_val *a, const MDB_val *b);
    int (*cursor_open)(MDB_txn *txn, MDB_dbi dbi, MDB_cursor **cursor);
    void (*cursor_close)(MDB_cursor *cursor);
    int (*cursor_get)(MDB_cursor *cursor, MDB_val *key, MDB_val *data, MDB_cursor_op op);
    int (*cursor_put)(MDB_cursor *cursor, MDB_val *key, MDB_val *data, unsigned flags);
    int (*cursor_del)(MDB_cursor *cursor, unsigned flags);
    int (*cursor_count)(MDB_cursor *cursor, size_t *count);
    void (*zl_leaf_fill)(MDB_cursor *cursor, struct zl_fill *fill);
    int (*zl_find_many)(MDB_txn *txn, MDB_dbi dbi, const MDB_val *keys, unsigned n, int values, zl_found *found);
    void (*zl_cursor_forget)(MDB_cursor *cursor);
    int (*zl_cursor_is_db)(MDB_cursor *cursor);
    /* The part of the map that stays as it is while the transaction lasts, from its beginning; returns its size. */
    size_t (*zl_map_stable)(MDB_txn *txn, const char **map);
    size_t (*zl_map_extent)(MDB_env *env, const char **map);
    int (*zl_txn_changed)(const MDB_txn *txn);
    int (*zl_meta_in_doubt)(MDB_env *env);
    int (*zl_env_locked)(MDB_env *env);
    int (*zl_env_adopt)(MDB_env *env);
} zl_ops;

extern const zl_ops zl0_ops, zl1_ops; /* by engine.c */

/* Who has the writer's place: a top-level write transaction, open or about to be, or the beginning of a plain copy. */
enum { ZL_NOBODY, ZL_WRITER, ZL_COPY };

/* Whether an environment was opened before a fork(), and what the child process has made of it (writer.c). */
enum { ZL_OWN, ZL_INHERITED, ZL_ADOPTED, ZL_REFUSED };

struct zl_env {
    const zl_ops *ops;
    MDB_env *env; /* NULL once closed */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned refs;        /* who uses it: the last one that goes closes it */
    unsigned busy;        /* calls inside LMDB that use no transaction of ours yet; atomic */
    int closing, resizing; /* atomic */
    int origin;           /* ZL_OWN, ... */
    unsigned forks;       /* zl_forks when it was opened or adopted: else it is the parent process's */
    zl_txn *handles;      /* every transaction handle, in use or not */
    zl_txn *idle;         /* those that nobody has */
    int writing;          /* who has the writer's place: ZL_NOBODY, ... */
    pthread_t writer;     /* its thread */
    int lost_writer;      /* in a child process: the parent was writing, and LMDB's state is of the middle of that */
    pthread_t resizer;    /* the thread that resizes the map */
    MDB_txn *doomed;      /* a write transaction aborted by another thread than its own */
    uint64_t number;      /* no other has had it */
    zl_env *next_open;    /* of the environments that are not closed (writer.c) */
    int keep_lock;        /* a thread still has the mutex in the lock file's map */
    MDB_txn **spare;      /* finished read transactions kept for reuse */
    unsigned char **page_uses; /* what its pages are known to be fit for (page_check.h) */
    size_t page_chunks;
    unsigned spares, max_spares;
    size_t map_reserve;   /* address space reserved for a map that grows in place, or 0 */
    size_t map_reserved;  /* what was obtained */
    size_t file_pages;    /* pages that the file is known to have */
    unsigned char *room;  /* with MDB_WRITEMAP: a bit for each unit of the file that is known to have blocks */
    size_t room_units;
    int room_unknown;     /* the file system cannot tell */
    int alone;            /* while it is opened: no other process has the lock file */
    pthread_mutex_t map_mutex;
    int keep_former;      /* a map that goes stays until the environment closes, as views are on it */
    struct zl_former *formers; /* those maps */
    int shut;             /* the first half of closing is done */
    int closed;           /* all of it; atomic */
};

struct zl_txn {
    zl_env *env;
    const zl_ops *ops;
    MDB_txn *txn; /* NULL once finished */
    MDB_txn *parked; /* memory of a finished read transaction, for the next one */
    zl_txn *root; /* owner of the family lock */
    zl_txn *parent, *child, *sibling;
    zl_txn *next; /* zl_env.handles */
    zl_cursor *cursors;
    unsigned refs;
    unsigned mutations; /* counts writes: cursors re-read their position after one */
    int64_t uses;       /* counts calls */
    int write;
    int opened;            /* it has opened databases, which only a commit keeps */
    int in_doubt;          /* its commit has failed, and may be on the disk all the same */
    int opener;            /* it, or one nested in it, has done so */
    uint64_t turn;         /* counts the transactions that began with the handle */
    uint64_t committed;    /* the last of them that has committed */
    unsigned dbi;          /* the database of calls that name none */
    int lost;              /* in a child process: it is the parent's, and has no MDB_txn here */
    pthread_t thread;      /* began a write transaction */
    zl_thread *user;       /* whose results the arena holds */
    pthread_mutex_t mutex; /* the family lock, in the root */
    char arena[ZL_ARENA];
};

struct zl_cursor {
    zl_txn *txn;
    MDB_cursor *cursor; /* NULL once closed */
    zl_cursor *next, **link;
    MDB_dbi dbi;
    int valid;      /* positioned on a record */
    int at_end;     /* unpositioned at one of ZL_AT_* */
    int failed;     /* what a fill met behind the records it delivered */
    unsigned seen;  /* mutations of the transaction when key and val were read */
    MDB_val key, val;
    int bound;      /* how fill() ends: one of ZL_BOUND_* */
    size_t limit_len;
    char *limit;
};

enum { ZL_AT_LAST_KEY = 1, ZL_AT_END }; /* by next_nodup; by set_range: behind all records */
enum { ZL_BOUND_NONE, ZL_BOUND_BELOW, ZL_BOUND_FROM };
enum { ZL_KEYS = 1, ZL_VALUES = 2, ZL_ITEMS = 3 };
enum { ZL_KEY_VIEWS = 4, ZL_VALUE_VIEWS = 8 }; /* beside them: these are to be views */

/* Per thread: its identity, and where a failed LMDB assertion returns to instead of ending the process. */
struct zl_thread {
    jmp_buf *trap;
};

/* glibc keeps room for a few bytes like these in modules that are loaded late; other C libraries may not. */
#ifdef __GLIBC__
#define ZL_FAST_TLS __attribute__((tls_model("initial-exec")))
#else
#define ZL_FAST_TLS
#endif
extern _Thread_local ZL_FAST_TLS zl_thread zl_current;
void zl_assert_failed(MDB_env *env, const char *message);

/* Runs an expression of type int that calls LMDB; a failed assertion in it yields MDB_CORRUPTED. */
#define ZL_TRY(rc, expression)                       \
    do {                                             \
        zl_thread *zl_self_ = &zl_current;            \
        jmp_buf *zl_outer_ = zl_self_->trap, zl_here_; \
        zl_self_->trap = &zl_here_;                  \
        rc = _setjmp(zl_here_) ? MDB_CORRUPTED : (expression); \
        zl_self_->trap = zl_outer_;                  \
    } while (0)

/* In the child of a fork(), handles of the parent are dead weight: LMDB must not be touched through them. */
extern unsigned zl_forks;

int zl_map_keep(zl_env *env, void *addr, size_t len);
int zl_map_drop(void *addr, size_t len);
int zl_env_enter(zl_env *env);
int zl_env_reopen(zl_env *env);
void zl_env_busy(zl_env *env);
void zl_env_leave(zl_env *env);
void zl_env_list(zl_env *env);
void zl_env_unlist(zl_env *env);

/* The writer's place: writer.c */
int zl_writer_take(zl_env *env, int who);
void zl_writer_done(zl_env *env);
void zl_writer_doom(zl_env *env, MDB_txn *mdb);
int zl_writers_out(zl_env *env);

/* Take the family lock of a live transaction; ZL_CLOSED (and no lock) if it is finished. */
int zl_txn_enter(zl_txn *txn);
void zl_txn_leave(zl_txn *txn);
void zl_txn_retain(zl_txn *txn);
void zl_txn_unref(zl_txn *txn);
void zl_pin(zl_txn *txn, zl_view *view);
void zl_txn_finish(zl_txn *txn); /* abort, family lock held */
void zl_handles_forked(zl_env *env, int locked);
void zl_handles_free(zl_env *env);
void zl_maps_forked(void);
int zl_owns_arena(zl_txn *txn);
int64_t zl_place(zl_txn *txn, const MDB_val *val);
void zl_touch(const MDB_val *val);
int64_t zl_to_arena(zl_txn *txn, const MDB_val *val);
int64_t zl_written_or_kept(zl_txn *txn, int rc, const MDB_val *kept);

int zl_bad_length(zl_txn *txn, MDB_dbi dbi, const MDB_val *key, const MDB_val *val, unsigned flags);

void zl_cursor_detach(zl_cursor *cursor);
int zl_cursor_step(zl_cursor *cursor, MDB_cursor_op op);
int zl_cursor_refresh(zl_cursor *cursor);
int zl_cursor_put_checked(zl_cursor *cursor, MDB_val *key, MDB_val *val, unsigned flags);

int64_t zl_cbor_encode(const char **at, const char *end, char *out, size_t cap);
int64_t zl_cbor_decode(const char *data, size_t len, char *out, size_t cap);

/* A write has put the cursor on its record, or on the existing one that forbade it (MDB_KEYEXIST). */
static inline void zl_cursor_placed(zl_cursor *cursor) {
    cursor->valid = 1;
    cursor->at_end = 0;
}

/* Calls with fewer arguments cost less: a key's length may have the number of a database above it, and the length of a
 * value that is put, flags. */
static inline size_t zl_length(uint64_t packed) { return (size_t)(packed & (((uint64_t)1 << ZL_LENGTH_BITS) - 1)); }

static inline unsigned zl_above(uint64_t packed) { return (unsigned)(packed >> ZL_LENGTH_BITS); }

static inline MDB_val zl_val(const char *data, uint64_t packed) { return (MDB_val){zl_length(packed), (void *)data}; }

static inline unsigned zl_dbi(const zl_txn *txn, uint64_t klen) { return zl_above(klen) ? zl_above(klen) : txn->dbi; }

static inline int64_t zl_length_or(int rc) { return rc > 0 ? (int64_t)ZL_ERRNO_BASE - rc : rc; }

#endif

/* What a transaction does without a cursor: databases, single reads and writes. */
#include "glue.h"

int64_t zl_txn_id(zl_txn *txn) {
    int64_t id = zl_txn_enter(txn);
    if (id == 0) {
        id = (int64_t)txn->ops->txn_id(txn->txn);
        zl_txn_leave(txn);
    }
    return id;
}

/* Whether a transaction of another family, which is open, has opened a database. */
static int zl_opened_elsewhere(zl_txn *txn) {
    zl_env *env = txn->env;
    zl_txn *other;
    pthread_mutex_lock(&env->mutex);
    for (other = env->handles; other; other = other->next)
        if (other->opener && other->root != txn->root && __atomic_load_n(&other->txn, __ATOMIC_ACQUIRE))
            break;
    pthread_mutex_unlock(&env->mutex);
    return other != NULL;
}

/* Whether the transaction may open databases now.  Two families that do so at once collide: LMDB gives both the same
 * numbers. */
int zl_dbi_turn(zl_txn *txn) {
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    rc = zl_opened_elsewhere(txn) ? ZL_NOT_ITS_TURN : 0;
    zl_txn_leave(txn);
    return rc;
}

int zl_dbi_open(zl_txn *txn, const char *name, unsigned flags, unsigned *dbi, unsigned *got) {
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    ZL_TRY(rc, txn->ops->dbi_open(txn->txn, name, flags, dbi));
    if (rc == 0)
        rc = txn->ops->dbi_flags(txn->txn, *dbi, got);
    if (rc == 0)
        txn->root->opener = 1;
    txn->opened = 1;
    txn->mutations++;
    zl_txn_leave(txn);
    return rc;
}

/* Whether a key of the main database is the name of another, without opening that. */
int zl_names_db(zl_txn *txn, const char *key, size_t klen, int *result) {
    MDB_cursor *cursor;
    MDB_val k = {klen, (void *)key}, v;
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    *result = 0;
    ZL_TRY(rc, txn->ops->cursor_open(txn->txn, ZL_MAIN_DBI, &cursor));
    if (rc == 0) {
        ZL_TRY(rc, txn->ops->cursor_get(cursor, &k, &v, MDB_SET));
        if (rc == 0)
            *result = txn->ops->zl_cursor_is_db(cursor);
        txn->ops->cursor_close(cursor);
    }
    zl_txn_leave(txn);
    return rc;
}

/* A database was deleted, or has lost its records. */
static void zl_dropped(zl_txn *txn, MDB_dbi dbi, int deleted) {
    zl_cursor *cursor, *next;
    for (cursor = txn->cursors; cursor; cursor = next) {
        next = cursor->next;
        if (cursor->dbi != dbi)
            continue;
        cursor->valid = 0;
        if (deleted)
            zl_cursor_detach(cursor);
    }
}

int zl_drop(zl_txn *txn, unsigned dbi, int del) {
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    ZL_TRY(rc, txn->ops->drop(txn->txn, dbi, del));
    txn->mutations++;
    if (rc == 0)
        zl_dropped(txn, dbi, del && dbi > 1);
    zl_txn_leave(txn);
    return rc;
}

static int zl_find(zl_txn *txn, const char *key, uint64_t klen, MDB_val *val) {
    MDB_val k = zl_val(key, klen);
    int rc;
    ZL_TRY(rc, txn->ops->get(txn->txn, zl_dbi(txn, klen), &k, val));
    return rc;
}

/* Copies a value into the arena; returns its length, or ZL_LARGE. */
int64_t zl_to_arena(zl_txn *txn, const MDB_val *val) {
    if (val->mv_size > ZL_ARENA || !zl_owns_arena(txn))
        return ZL_LARGE;
    memcpy(txn->arena, val->mv_data, val->mv_size);
    return (int64_t)val->mv_size;
}

/* What a write returns: ZL_WRITTEN; or if it left a record as it was (MDB_KEYEXIST) the length of its value, which is
 * copied to the arena. */
int64_t zl_written_or_kept(zl_txn *txn, int rc, const MDB_val *kept) {
    if (rc == MDB_KEYEXIST)
        return zl_to_arena(txn, kept);
    return rc ? zl_length_or(rc) : ZL_WRITTEN;
}

/* Finds the value, and returns what `result` makes of it. */
static inline int64_t zl_get_as(zl_txn *txn, const char *key, uint64_t klen,
                                int64_t (*result)(zl_txn *, const MDB_val *)) {
    MDB_val val;
    int64_t n;
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    rc = zl_find(txn, key, klen, &val);
    n = rc ? zl_length_or(rc) : result(txn, &val);
    zl_txn_leave(txn);
    return n;
}

int64_t zl_get(zl_txn *txn, const char *key, uint64_t klen) {
    return zl_get_as(txn, key, klen, zl_to_arena);
}

int64_t zl_get_place(zl_txn *txn, const char *key, uint64_t klen) {
    return zl_get_as(txn, key, klen, zl_place);
}

static int64_t zl_plain_to_arena(zl_txn *txn, const MDB_val *val) {
    return zl_owns_arena(txn) ? zl_cbor_decode(val->mv_data, val->mv_size, txn->arena, ZL_ARENA) : ZL_LARGE;
}

/* Copies a value that is CBOR to the arena as a marshalled object; ZL_LARGE or ZL_BAD_ITEM if it takes zl_get() and
 * another decoder. */
int64_t zl_get_plain(zl_txn *txn, const char *key, uint64_t klen) {
    return zl_get_as(txn, key, klen, zl_plain_to_arena);
}

/* Leaves the family lock held on success, until zl_unpin(). */
int zl_get_pin(zl_txn *txn, const char *key, uint64_t klen, zl_view *out) {
    MDB_val val;
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    if ((rc = zl_find(txn, key, klen, &val)) != 0) {
        zl_txn_leave(txn);
        return rc;
    }
    zl_touch(&val);
    out->val = val.mv_data;
    out->vlen = val.mv_size;
    zl_pin(txn, out);
    return 0;
}

/* In a dupfixed database LMDB would cut a value that is longer than the others of its key, and read beyond a shorter
 * one. */
int zl_bad_length(zl_txn *txn, MDB_dbi dbi, const MDB_val *key, const MDB_val *val, unsigned flags) {
    MDB_val k = *key, old;
    unsigned kind;
    if ((flags & MDB_NOOVERWRITE) || txn->ops->dbi_flags(txn->txn, dbi, &kind) || !(kind & MDB_DUPFIXED))
        return 0;
    return txn->ops->get(txn->txn, dbi, &k, &old) == 0 && old.mv_size != val->mv_size;
}

static int zl_put_checked(zl_txn *txn, unsigned dbi, MDB_val *key, MDB_val *val, unsigned flags) {
    if (zl_bad_length(txn, dbi, key, val, flags))
        return MDB_BAD_VALSIZE;
    return txn->ops->put(txn->txn, dbi, key, val, flags);
}

int zl_put(zl_txn *txn, const char *key, uint64_t klen, const char *val, uint64_t vlen) {
    MDB_val k = zl_val(key, klen), v = zl_val(val, vlen);
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    ZL_TRY(rc, zl_put_checked(txn, zl_dbi(txn, klen), &k, &v, zl_above(vlen)));
    txn->mutations++;
    zl_txn_leave(txn);
    return rc;
}

int zl_del(zl_txn *txn, const char *key, uint64_t klen, const char *val, size_t vlen) {
    MDB_val k = zl_val(key, klen), v = {vlen, (void *)val};
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    ZL_TRY(rc, txn->ops->del(txn->txn, zl_dbi(txn, klen), &k, vlen ? &v : NULL));
    txn->mutations++;
    zl_txn_leave(txn);
    return rc;
}

/* Cursors: position, move, read and write at it. */
#include "glue.h"

/* Memory for a cursor, which zl_cursor_free() gives up.  Until it is opened, every call with it returns ZL_CLOSED. */
zl_cursor *zl_cursor_alloc(size_t size) {
    zl_cursor *cursor = calloc(1, size);
    if (cursor)
        cursor->txn = zl_txn_closed();
    return cursor;
}

int zl_cursor_open(zl_cursor *cursor, zl_txn *txn, unsigned dbi) {
    int rc = zl_txn_enter(txn);

    if (rc)
        return rc;
    ZL_TRY(rc, txn->ops->cursor_open(txn->txn, dbi, &cursor->cursor));
    if (rc) {
        cursor->cursor = NULL;
    } else {
        cursor->txn = txn;
        cursor->dbi = dbi;
        cursor->seen = txn->mutations;
        cursor->next = txn->cursors;
        cursor->link = &txn->cursors;
        if (cursor->next)
            cursor->next->link = &cursor->next;
        txn->cursors = cursor;
        zl_txn_retain(txn);
    }
    zl_txn_leave(txn);
    return rc;
}

/* Close LMDB's cursor; family lock held. */
void zl_cursor_detach(zl_cursor *cursor) {
    MDB_cursor *mdb = cursor->cursor;
    int rc;
    if (cursor->next)
        cursor->next->link = cursor->link;
    *cursor->link = cursor->next;
    cursor->cursor = NULL;
    cursor->valid = 0;
    ZL_TRY(rc, (cursor->txn->ops->cursor_close(mdb), 0));
    (void)rc;
}

static int zl_cursor_enter(zl_cursor *cursor) {
    int rc = zl_txn_enter(cursor->txn);
    if (rc == 0 && !cursor->cursor) {
        zl_txn_leave(cursor->txn);
        rc = ZL_CLOSED;
    }
    return rc;
}

static int zl_cursor_leave(zl_cursor *cursor, int rc) {
    zl_txn_leave(cursor->txn);
    return rc;
}

void zl_cursor_close(zl_cursor *cursor) {
    if (zl_cursor_enter(cursor) == 0) {
        zl_cursor_detach(cursor);
        zl_txn_leave(cursor->txn);
    }
}

void zl_cursor_free(zl_cursor *cursor) {
    if (cursor->txn->env) {
        zl_cursor_close(cursor);
        zl_txn_unref(cursor->txn);
    }
    free(cursor->limit);
    free(cursor);
}

/* One cursor operation; remembers the record it leads to.  Any failure leaves the cursor unpositioned. */
int zl_cursor_step(zl_cursor *cursor, MDB_cursor_op op) {
    int rc = cursor->txn->ops->cursor_get(cursor->cursor, &cursor->key, &cursor->val, op);
    cursor->valid = rc == 0;
    cursor->seen = cursor->txn->mutations;
    cursor->at_end = rc == MDB_NOTFOUND && op == MDB_NEXT_NODUP ? ZL_AT_LAST_KEY : 0;
    return rc;
}

/* Re-reads key and value if the transaction has written since; 0 if the cursor stands on a record. */
int zl_cursor_refresh(zl_cursor *cursor) {
    if (!cursor->valid)
        return MDB_NOTFOUND;
    return cursor->seen == cursor->txn->mutations ? 0 : zl_cursor_step(cursor, MDB_GET_CURRENT);
}

/* What a move is where set_range or next_nodup have found nothing: there is nothing next, and behind all records the
 * last is previous.  (LMDB would go on among the duplicates of the last key.) */
static int zl_cursor_from_end(const zl_cursor *cursor, int op) {
    switch (cursor->valid ? -1 : op) {
    case MDB_NEXT:
    case MDB_NEXT_DUP:
    case MDB_NEXT_NODUP:
        return -1;
    case MDB_PREV:
    case MDB_PREV_NODUP:
        return cursor->at_end == ZL_AT_END ? MDB_LAST : op;
    default:
        return op;
    }
}

int zl_cursor_move(zl_cursor *cursor, int op) {
    int rc = zl_cursor_enter(cursor);
    if (rc)
        return rc;
    if (cursor->at_end && (op = zl_cursor_from_end(cursor, op)) < 0)
        return zl_cursor_leave(cursor, MDB_NOTFOUND);
    ZL_TRY(rc, zl_cursor_step(cursor, op));
    if (rc == 0 && (op == MDB_FIRST_DUP || op == MDB_LAST_DUP)) /* these two yield a value only */
        ZL_TRY(rc, zl_cursor_step(cursor, MDB_GET_CURRENT));
    return zl_cursor_leave(cursor, rc);
}

/* Moves if the cursor is not positioned; not even then if op is ZL_STAY, but a closed cursor is refused all the same. */
int zl_cursor_start(zl_cursor *cursor, int op) {
    int rc;
    if (cursor->valid)
        return 0;
    if (op != ZL_STAY)
        return zl_cursor_move(cursor, op);
    rc = zl_cursor_enter(cursor);
    return rc ? rc : zl_cursor_leave(cursor, 0);
}

/* A failed search leaves the cursor as good as new, but behind the last record if it was for the next greater. */
static int zl_cursor_found(zl_cursor *cursor, int rc, int op) {
    if (rc == MDB_NOTFOUND) {
        cursor->txn->ops->zl_cursor_forget(cursor->cursor);
        cursor->at_end = op == MDB_SET_RANGE ? ZL_AT_END : 0;
    }
    return zl_cursor_leave(cursor, rc);
}

/* Seeks a key: op is MDB_SET_KEY or MDB_SET_RANGE. */
int zl_cursor_seek(zl_cursor *cursor, int op, const char *key, size_t klen) {
    int rc = zl_cursor_enter(cursor);
    if (rc)
        return rc;
    cursor->key = (MDB_val){klen, (void *)key};
    ZL_TRY(rc, zl_cursor_step(cursor, op));
    return zl_cursor_found(cursor, rc, op);
}

/* Seeks a key and value: op is MDB_GET_BOTH or MDB_GET_BOTH_RANGE. */
int zl_cursor_seek_pair(zl_cursor *cursor, int op, const char *key, size_t klen, const char *val, size_t vlen) {
    int rc = zl_cursor_enter(cursor);
    if (rc)
        return rc;
    cursor->key = (MDB_val){klen, (void *)key};
    cursor->val = (MDB_val){vlen, (void *)val};
    ZL_TRY(rc, zl_cursor_step(cursor, op));
    if (rc == 0) /* key still points at the caller's */
        ZL_TRY(rc, zl_cursor_step(cursor, MDB_GET_CURRENT));
    return zl_cursor_found(cursor, rc, op);
}

static int64_t zl_cursor_fits(zl_cursor *cursor, size_t len) {
    return len <= ZL_ARENA && zl_owns_arena(cursor->txn) ? 0 : ZL_LARGE;
}

/* What to copy into the arena: ZL_KEYS, ZL_VALUES or ZL_ITEMS (key, then value).  Returns the length, for
 * items value length << 16 | key length; MDB_NOTFOUND if unpositioned. */
int64_t zl_cursor_read(zl_cursor *cursor, int what) {
    const MDB_val *key = &cursor->key, *val = &cursor->val;
    size_t klen, vlen;
    int rc;
    int64_t n = zl_cursor_enter(cursor);

    if (n)
        return n;
    ZL_TRY(rc, zl_cursor_refresh(cursor));
    if ((n = zl_length_or(rc)) == 0) {
        klen = what & ZL_KEYS ? key->mv_size : 0;
        vlen = what & ZL_VALUES ? val->mv_size : 0;
        if ((n = zl_cursor_fits(cursor, klen + vlen)) == 0) {
            memcpy(cursor->txn->arena, key->mv_data, klen);
            memcpy(cursor->txn->arena + klen, val->mv_data, vlen);
            n = (int64_t)(what == ZL_ITEMS ? vlen << 16 | klen : klen + vlen);
        }
    }
    zl_txn_leave(cursor->txn);
    return n;
}

/* The place of the key or of the value: what is ZL_KEYS or ZL_VALUES. */
int64_t zl_cursor_place(zl_cursor *cursor, int what) {
    int rc;
    int64_t n = zl_cursor_enter(cursor);

    if (n)
        return n;
    ZL_TRY(rc, zl_cursor_refresh(cursor));
    n = rc ? zl_length_or(rc) : zl_place(cursor->txn, what == ZL_KEYS ? &cursor->key : &cursor->val);
    zl_txn_leave(cursor->txn);
    return n;
}

/* Leaves the family lock held on success, until zl_unpin(). */
int zl_cursor_pin(zl_cursor *cursor, int what, zl_view *out) {
    int rc = zl_cursor_enter(cursor);
    if (rc)
        return rc;
    ZL_TRY(rc, zl_cursor_refresh(cursor));
    if (rc)
        return zl_cursor_leave(cursor, rc);
    if (what & ZL_VALUES)
        zl_touch(&cursor->val);
    *out = (zl_view){.key = cursor->key.mv_data, .klen = cursor->key.mv_size,
                     .val = cursor->val.mv_data, .vlen = cursor->val.mv_size};
    zl_pin(cursor->txn, out);
    return 0;
}

int zl_cursor_put_checked(zl_cursor *cursor, MDB_val *key, MDB_val *val, unsigned flags) {
    if (zl_bad_length(cursor->txn, cursor->dbi, key, val, flags))
        return MDB_BAD_VALSIZE;
    return cursor->txn->ops->cursor_put(cursor->cursor, key, val, flags);
}

int zl_cursor_put(zl_cursor *cursor, const char *key, size_t klen, const char *val, size_t vlen, unsigned flags) {
    MDB_val k = {klen, (void *)key}, v = {vlen, (void *)val};
    int rc = zl_cursor_enter(cursor);
    if (rc)
        return rc;
    ZL_TRY(rc, zl_cursor_put_checked(cursor, &k, &v, flags));
    cursor->txn->mutations++;
    if (rc == 0 || rc == MDB_KEYEXIST)
        zl_cursor_placed(cursor);
    return zl_cursor_leave(cursor, rc);
}

/* Deletes at the cursor, which then stands on the next record.  MDB_NOTFOUND if it stands on none. */
int zl_cursor_del(zl_cursor *cursor, unsigned flags) {
    int next, rc = zl_cursor_enter(cursor);
    if (rc)
        return rc;
    if (!cursor->valid)
        return zl_cursor_leave(cursor, MDB_NOTFOUND);
    ZL_TRY(rc, cursor->txn->ops->cursor_del(cursor->cursor, flags));
    cursor->txn->mutations++;
    if (rc == 0) /* whether or not there is a next one */
        ZL_TRY(next, zl_cursor_step(cursor, MDB_GET_CURRENT));
    (void)next;
    return zl_cursor_leave(cursor, rc);
}

int zl_cursor_count(zl_cursor *cursor, size_t *count) {
    int rc = zl_cursor_enter(cursor);
    if (rc)
        return rc;
    ZL_TRY(rc, cursor->txn->ops->cursor_count(cursor->cursor, count));
    return zl_cursor_leave(cursor, rc);
}

int zl_compare(zl_txn *txn, unsigned dbi, const char *a, size_t alen, const char *b, size_t blen, int *result) {
    MDB_val x = {alen, (void *)a}, y = {blen, (void *)b};
    int rc = zl_txn_enter(txn);
    if (rc)
        return rc;
    *result = txn->ops->cmp(txn->txn, dbi, &x, &y);
    zl_txn_leave(txn);
    return 0;
}

/* Many records in one call: scans and ranges, getmulti, putmulti.
 *
 * Two formats leave C.  The marshal format is a list of bytes objects as CPython's marshal module writes it
 * (version 2: '[' count, then 's' length data for each), which CPython decodes in one call.  The plain format
 * is the bytes end to end with their lengths in an array of their own, which suits PyPy. */
#include "glue.h"

/* ---- Writers ---- */

typedef struct zl_out {
    char *data;
    size_t len, cap;
    uint32_t *lengths; /* the plain format, else NULL */
    uint32_t count;
} zl_out;

enum { ZL_LIST_HEAD = 5, ZL_BYTES_HEAD = 5 };

static void zl_store32(char *at, uint32_t n) {
    at[0] = (char)n;
    at[1] = (char)(n >> 8);
    at[2] = (char)(n >> 16);
    at[3] = (char)(n >> 24);
}

static uint32_t zl_load32(const char *at) {
    const unsigned char *p = (const unsigned char *)at;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static void zl_out_begin(zl_out *out, char *data, size_t cap, uint32_t *lengths) {
    *out = (zl_out){data, lengths ? 0 : ZL_LIST_HEAD, cap, lengths, 0};
}

static size_t zl_out_room(const zl_out *out, size_t len) { return out->lengths ? len : len + ZL_BYTES_HEAD; }

static void zl_out_add(zl_out *out, const MDB_val *val) {
    if (out->lengths) {
        out->lengths[out->count] = (uint32_t)val->mv_size;
    } else {
        out->data[out->len] = 's';
        zl_store32(out->data + out->len + 1, (uint32_t)val->mv_size);
        out->len += ZL_BYTES_HEAD;
    }
    memcpy(out->data + out->len, val->mv_data, val->mv_size);
    out->len += val->mv_size;
    out->count++;
}

static void zl_out_none(zl_out *out) {
    if (out->lengths)
        out->lengths[out->count] = UINT32_MAX;
    else
        out->data[out->len++] = 'N';
    out->count++;
}

static void zl_out_end(zl_out *out) {
    if (out->lengths || !out->data)
        return;
    out->data[0] = '[';
    zl_store32(out->data + 1, out->count);
}

/* ---- Scans ---- */

/* Ends fill() before a record beyond the limit: BELOW passes keys < limit (walking up), FROM passes keys
 * >= limit (walking down). */
int zl_cursor_bound(zl_cursor *cursor, int bound, const char *limit, size_t len) {
    char *copy = malloc(len ? len : 1);
    if (!copy)
        return ENOMEM;
    memcpy(copy, limit, len);
    free(cursor->limit);
    cursor->limit = copy;
    cursor->limit_len = len;
    cursor->bound = bound;
    return 0;
}

static int zl_beyond(zl_cursor *cursor) {
    MDB_val limit = {cursor->limit_len, cursor->limit};
    const MDB_val *key = &cursor->key;
    zl_txn *txn = cursor->txn;

    switch (cursor->bound) {
    case ZL_BOUND_BELOW:
        return txn->ops->cmp(txn->txn, cursor->dbi, key, &limit) >= 0;
    case ZL_BOUND_FROM:
        return txn->ops->cmp(txn->txn, cursor->dbi, key, &limit) < 0;
    default:
        return 0;
    }
}

typedef struct zl_fill {
    zl_cursor *cursor;
    zl_out *out;
    zl_view *views; /* write pointers here instead of bytes to out */
    int op, what;
    int step; /* +1 and -1 if op walks record by record, else 0 */
    uint32_t most;
} zl_fill;

static int zl_step_of(int op) {
    switch (op) {
    case MDB_NEXT:
    case MDB_NEXT_NODUP:
        return 1;
    case MDB_PREV:
    case MDB_PREV_NODUP:
        return -1;
    default:
        return 0;
    }
}

static int zl_fill_fits(const zl_fill *fill) {
    const zl_cursor *cursor = fill->cursor;
    size_t need = 0;
    if (fill->views)
        return 1;
    if (fill->what & ZL_KEYS)
        need += zl_out_room(fill->out, cursor->key.mv_size);
    if (fill->what & ZL_VALUES)
        need += zl_out_room(fill->out, cursor->val.mv_size);
    return need <= fill->out->cap - fill->out->len;
}

static void zl_fill_add(zl_fill *fill, uint32_t index) {
    const zl_cursor *cursor = fill->cursor;
    if (fill->views) {
        fill->views[index] = (zl_view){cursor->key.mv_data, cursor->key.mv_size, cursor->val.mv_data, cursor->val.mv_size};
        return;
    }
    if (fill->what & ZL_KEYS)
        zl_out_add(fill->out, &cursor->key);
    if (fill->what & ZL_VALUES)
        zl_out_add(fill->out, &cursor->val);
}

static MDB_cursor_op zl_inverse(MDB_cursor_op op) {
    switch (op) {
    case MDB_NEXT: return MDB_PREV;
    case MDB_PREV: return MDB_NEXT;
    case MDB_NEXT_DUP: return MDB_PREV_DUP;
    case MDB_PREV_DUP: return MDB_NEXT_DUP;
    case MDB_NEXT_NODUP: return MDB_PREV_NODUP;
    default: return MDB_NEXT_NODUP;
    }
}

/* Steps back over `steps` moves of `op`.  NODUP moves land on the first duplicate going up and on the last
 * going down; stepping back has to restore that side. */
static int zl_cursor_back(zl_cursor *cursor, MDB_cursor_op op, uint32_t steps) {
    int rc = 0;
    if (!steps)
        return 0;
    while (steps-- && (rc = zl_cursor_step(cursor, zl_inverse(op))) == 0)
        ;
    if (rc || (op != MDB_NEXT_NODUP && op != MDB_PREV_NODUP))
        return rc;
    rc = zl_cursor_step(cursor, op == MDB_NEXT_NODUP ? MDB_FIRST_DUP : MDB_LAST_DUP);
    if (rc == EINVAL || rc == MDB_INCOMPATIBLE) /* no duplicates in this database */
        rc = 0;
    return rc ? rc : zl_cursor_step(cursor, MDB_GET_CURRENT);
}

enum { ZL_RUN = 64 };

/* Delivers what follows on the same leaf page, without LMDB's care for each record; the new count. */
static uint32_t zl_fill_leaf(zl_fill *fill, uint32_t n) {
    zl_cursor *cursor = fill->cursor;
    const zl_ops *ops = cursor->txn->ops;
    MDB_val keys[ZL_RUN], vals[ZL_RUN], key = cursor->key, val = cursor->val;
    unsigned i, run, most = fill->most - n;

    if (!fill->step)
        return n;
    run = ops->zl_leaf_run(cursor->cursor, fill->step > 0, most < ZL_RUN ? most : ZL_RUN, keys, vals);
    for (i = 0; i < run; i++) {
        cursor->key = keys[i];
        cursor->val = vals[i];
        if ((cursor->bound && zl_beyond(cursor)) || !zl_fill_fits(fill))
            break;
        zl_fill_add(fill, n + i);
    }
    if (i) {
        key = keys[i - 1];
        val = vals[i - 1];
    }
    ops->zl_leaf_move(cursor->cursor, fill->step * (int)i);
    cursor->key = key;
    cursor->val = val;
    return n + i;
}

/* Records from the current one on (after one move of op if advance), at most `most`.  Sets *count, and
 * *more = 0 when the end was reached.  The cursor stays on the last record delivered; if none was delivered
 * it is unpositioned.  ZL_LARGE: not even the first record fits; the cursor stands on it. */
static int zl_fill_run(zl_fill *fill, int advance, uint32_t *count, int *more) {
    zl_cursor *cursor = fill->cursor;
    uint32_t n = 0;
    int rc = advance ? zl_cursor_step(cursor, fill->op) : zl_cursor_refresh(cursor);

    *more = 1;
    while (rc == 0 && !zl_beyond(cursor)) {
        if (!zl_fill_fits(fill)) {
            *count = n;
            return n ? zl_cursor_back(cursor, fill->op, 1) : ZL_LARGE;
        }
        zl_fill_add(fill, n++);
        n = zl_fill_leaf(fill, n);
        if (n == fill->most) {
            *count = n;
            return 0;
        }
        rc = zl_cursor_step(cursor, fill->op);
    }
    *count = n;
    *more = 0;
    if (rc && rc != MDB_NOTFOUND && !n)
        return rc;
    if (!n) {
        cursor->valid = 0;
        return 0;
    }
    /* Stay on the last record: a move past the end leaves LMDB's cursor on it, a record beyond the bound and
     * an error of a later page, which the next call will meet again, do not. */
    if (rc == 0)
        return zl_cursor_back(cursor, fill->op, 1);
    *more = rc != MDB_NOTFOUND;
    return zl_cursor_step(cursor, MDB_GET_CURRENT);
}

int zl_cursor_fill(zl_cursor *cursor, int op, int advance, int what, uint32_t most, char *data, size_t cap,
                   uint32_t *lengths, zl_view *views, uint32_t *result) {
    zl_out out;
    zl_fill fill = {cursor, &out, views, op, what, zl_step_of(op), most};
    int more = 0, rc = zl_txn_enter(cursor->txn);

    if (rc)
        return rc;
    result[0] = result[1] = result[2] = 0;
    zl_out_begin(&out, data, cap, lengths);
    if (!cursor->cursor)
        rc = ZL_CLOSED;
    else
        ZL_TRY(rc, zl_fill_run(&fill, advance, &result[0], &more));
    zl_out_end(&out);
    result[1] = (uint32_t)more;
    result[2] = (uint32_t)out.len;
    zl_txn_leave(cursor->txn);
    return rc;
}

/* The reader has consumed fewer records than fill() delivered: put the cursor back by the difference. */
int zl_cursor_rewind(zl_cursor *cursor, int op, uint32_t steps) {
    int rc = zl_txn_enter(cursor->txn);
    if (rc)
        return rc;
    if (!cursor->cursor)
        rc = ZL_CLOSED;
    else
        ZL_TRY(rc, zl_cursor_back(cursor, op, steps));
    zl_txn_leave(cursor->txn);
    return rc;
}

/* ---- getmulti ---- */

/* The next bytes object of a marshal stream. */
static int zl_take_bytes(const char *data, size_t len, size_t *at, MDB_val *val) {
    uint32_t n;
    if (len - *at < ZL_BYTES_HEAD || data[*at] != 's')
        return ZL_BAD_ITEM;
    n = zl_load32(data + *at + 1);
    if (n > len - *at - ZL_BYTES_HEAD)
        return ZL_BAD_ITEM;
    *val = (MDB_val){n, (void *)(data + *at + ZL_BYTES_HEAD)};
    *at += ZL_BYTES_HEAD + n;
    return 0;
}

typedef struct zl_lookup {
    const char *keys;
    size_t len, *at;
    uint32_t *left, found;
    int values;
    zl_out out;
} zl_lookup;

/* Finds the next key and adds its value, or none; 1 when the output is full. */
static int zl_look_up_next(zl_lookup *look, zl_txn *txn, unsigned dbi) {
    MDB_val key, val;
    size_t next = *look->at;
    int missing, rc = zl_take_bytes(look->keys, look->len, &next, &key);

    if (rc)
        return rc;
    rc = txn->ops->get(txn->txn, dbi, &key, &val);
    missing = rc == MDB_NOTFOUND;
    if (rc && !missing)
        return rc;
    if (missing || !look->values)
        val.mv_size = 0;
    if (zl_out_room(&look->out, val.mv_size) > look->out.cap - look->out.len)
        return look->out.count ? 1 : ZL_LARGE;
    if (missing)
        zl_out_none(&look->out);
    else
        zl_out_add(&look->out, &val);
    look->found += !missing;
    *look->at = next;
    --*look->left;
    return 0;
}

static int zl_look_up(zl_lookup *look, zl_txn *txn, unsigned dbi) {
    int rc = 0;
    while (*look->left && rc == 0)
        rc = zl_look_up_next(look, txn, dbi);
    return rc == 1 ? 0 : rc;
}

/* Looks up keys, given as a marshal list from *at on.  Writes each value, or none for a missing key, until
 * the output is full; *at and *left then tell where to go on.  ZL_LARGE: the next value never fits.
 * result: values written, found, bytes. */
int zl_get_many(zl_txn *txn, unsigned dbi, const char *keys, size_t len, size_t *at, uint32_t *left, int values,
                char *data, size_t cap, uint32_t *lengths, uint32_t *result) {
    zl_lookup look = {.keys = keys, .len = len, .at = at, .left = left, .values = values};
    int rc = zl_txn_enter(txn);

    if (rc)
        return rc;
    zl_out_begin(&look.out, data, cap, lengths);
    ZL_TRY(rc, zl_look_up(&look, txn, dbi));
    zl_out_end(&look.out);
    result[0] = look.out.count;
    result[1] = look.found;
    result[2] = (uint32_t)look.out.len;
    zl_txn_leave(txn);
    return rc;
}

/* ---- Values of a dupfixed database, a page at a time ---- */

/* MDB_GET_MULTIPLE or MDB_NEXT_MULTIPLE.  Leaves the family lock held on success, until zl_unpin(). */
int zl_cursor_multiple(zl_cursor *cursor, int op, zl_view *out) {
    int rc = zl_txn_enter(cursor->txn);
    if (rc)
        return rc;
    if (!cursor->cursor)
        rc = ZL_CLOSED;
    else
        ZL_TRY(rc, zl_cursor_step(cursor, op));
    if (rc) {
        zl_txn_leave(cursor->txn);
        return rc;
    }
    zl_touch(&cursor->val);
    out->val = cursor->val.mv_data;
    out->vlen = cursor->val.mv_size;
    return 0;
}

/* ---- putmulti ---- */

static int zl_take_pair(const char *data, size_t len, size_t *at, MDB_val *key, MDB_val *val) {
    int rc;
    if (len - *at < ZL_LIST_HEAD || data[*at] != '(' || zl_load32(data + *at + 1) != 2)
        return ZL_BAD_ITEM;
    *at += ZL_LIST_HEAD;
    rc = zl_take_bytes(data, len, at, key);
    return rc ? rc : zl_take_bytes(data, len, at, val);
}

static int zl_put_pairs(zl_cursor *cursor, const char *data, size_t len, unsigned flags, uint32_t *result) {
    MDB_val key, val;
    size_t at = ZL_LIST_HEAD;
    uint32_t count = len >= ZL_LIST_HEAD ? zl_load32(data + 1) : 0;
    int rc = 0;

    for (; result[0] < count; result[0]++) {
        if ((rc = zl_take_pair(data, len, &at, &key, &val)) != 0)
            return rc;
        rc = cursor->txn->ops->cursor_put(cursor->cursor, &key, &val, flags);
        if (rc && rc != MDB_KEYEXIST)
            return rc;
        if (rc == 0) {
            zl_cursor_placed(cursor);
            result[1]++;
        }
    }
    return 0;
}

/* Puts the pairs of a marshal list of tuples.  result: consumed, added. */
int zl_put_many(zl_cursor *cursor, const char *data, size_t len, unsigned flags, uint32_t *result) {
    int rc = zl_txn_enter(cursor->txn);

    if (rc)
        return rc;
    result[0] = result[1] = 0;
    if (!cursor->cursor)
        rc = ZL_CLOSED;
    else
        ZL_TRY(rc, zl_put_pairs(cursor, data, len, flags, result));
    cursor->txn->mutations++;
    zl_txn_leave(cursor->txn);
    return rc;
}

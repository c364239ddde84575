/* Many records in one call: scans and ranges, getmulti. */
#include "pack.h"

/* ---- Scans ---- */

/* Ends fill() before a record beyond the limit: BELOW passes keys < limit (walking up), FROM passes keys
 * >= limit (walking down). */
int zl_cursor_bound(zl_cursor *cursor, int bound, const char *limit, size_t len) {
    char *copy = calloc(1, len + sizeof(uint64_t)); /* integer keys are compared whole */
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
    int order;
    if (!cursor->bound)
        return 0;
    order = cursor->txn->ops->cmp(cursor->txn->txn, cursor->dbi, &limit, &cursor->key);
    return cursor->bound == ZL_BOUND_BELOW ? order <= 0 : order > 0;
}

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
    if (rc)
        return rc;
    if (op != MDB_NEXT_NODUP && op != MDB_PREV_NODUP)
        return 0;
    rc = zl_cursor_step(cursor, op == MDB_NEXT_NODUP ? MDB_FIRST_DUP : MDB_LAST_DUP);
    if (rc == EINVAL || rc == MDB_INCOMPATIBLE) /* no duplicates in this database */
        rc = 0;
    return rc ? rc : zl_cursor_step(cursor, MDB_GET_CURRENT);
}

/* LMDB's cursor is on a record that key and val do not show. */
static void zl_cursor_behind(zl_cursor *cursor) {
    cursor->valid = 1;
    cursor->seen = cursor->txn->mutations - 1;
}

/* After the last record of a fill that met the end, its bound or an error: stay on it.  A move past the end leaves
 * LMDB's cursor there, a record beyond the bound does not.  An error of a later page is for the next call. */
static int zl_fill_end(zl_fill *fill, int rc) {
    zl_cursor *cursor = fill->cursor;
    if (rc == 0)
        return zl_cursor_back(cursor, fill->op, 1);
    if (rc == MDB_NOTFOUND)
        zl_cursor_behind(cursor);
    else
        cursor->failed = rc;
    return 0;
}

/* Fetches records from the current one on (after one move if advance), at most fill->most; none if the cursor is
 * unpositioned.  It stays on the last record delivered; if none was delivered it is unpositioned.  ZL_LARGE: not even
 * the first record fits; the cursor stands on it. */
static int zl_fill_run(zl_fill *fill, int advance) {
    zl_cursor *cursor = fill->cursor;
    int rc;

    if (!cursor->valid) /* LMDB's may stand somewhere yet, where a move of it has failed */
        return 0;
    rc = advance ? zl_cursor_step(cursor, fill->op) : zl_cursor_refresh(cursor);
    if (rc == EINVAL && !advance) /* the record was deleted, and none is left */
        rc = MDB_NOTFOUND;
    while (rc == 0 && !zl_beyond(cursor)) {
        if (!zl_fill_add(fill, &cursor->key, &cursor->val, NULL))
            return fill->n ? zl_cursor_back(cursor, fill->op, 1) : ZL_LARGE;
        if (fill->step) {
            cursor->txn->ops->zl_leaf_fill(cursor->cursor, fill);
            zl_cursor_behind(cursor);
        }
        if (fill->n == fill->most)
            return 0;
        rc = zl_cursor_step(cursor, fill->op);
    }
    if (fill->n)
        return zl_fill_end(fill, rc);
    cursor->valid = 0;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int64_t zl_fill_result(const zl_fill *fill) {
    int alike = fill->n > 0 && !fill->mixed && !fill->views && !fill->chunk->lengths;
    return alike ? fill->shape | fill->n : fill->n;
}

static int64_t zl_fill_call(zl_fill *fill, int advance) {
    zl_cursor *cursor = fill->cursor;
    int rc = zl_txn_enter(cursor->txn);

    if (rc)
        return rc;
    if (!cursor->cursor) {
        rc = ZL_CLOSED;
    } else if (cursor->failed) {
        rc = cursor->failed;
        cursor->failed = 0;
    } else {
        zl_places_begin(&fill->places, cursor->txn, fill->chunk);
        ZL_TRY(rc, zl_fill_run(fill, advance));
    }
    zl_txn_leave(cursor->txn);
    return rc ? zl_length_or(rc) : zl_fill_result(fill);
}

/* A scan over keys may begin among the duplicates of one.  Walking back could not tell which it was: the first record
 * comes alone, and the cursor stays on it. */
static int zl_comes_alone(int op, int advance) { return !advance && (op == MDB_NEXT_NODUP || op == MDB_PREV_NODUP); }

/* Fetches records into a chunk: what is of ZL_KEYS, ZL_VALUES, ZL_ITEMS, copied or as places for views (ZL_KEY_VIEWS,
 * ZL_VALUE_VIEWS); op is NEXT, PREV or one of their kin, and ZL_ADVANCE.  Returns their number; 0 at the end.  If all in
 * the marshal format have keys and values of the same lengths, these are above the number (zl_fill_shape()).
 * ZL_LARGE: the next record does not fit, or there can be no view of it. */
int64_t zl_cursor_fill(zl_cursor *cursor, zl_chunk *chunk, int what, int op, uint32_t most) {
    zl_fill fill = {.cursor = cursor, .chunk = chunk, .op = op & ~ZL_ADVANCE, .most = most};
    int64_t n;

    if (zl_comes_alone(fill.op, op & ZL_ADVANCE))
        fill.most = 1;
    fill.what = what & ZL_ITEMS;
    fill.views = what / ZL_KEY_VIEWS & fill.what;
    fill.copies = fill.what & ~fill.views;
    fill.step = zl_step_of(fill.op);
    zl_out_begin(&fill.out, chunk);
    n = zl_fill_call(&fill, op & ZL_ADVANCE);
    zl_out_end(&fill.out);
    return n;
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

typedef struct zl_lookup {
    const char *keys;
    size_t len, *at;
    uint32_t *left, *found;
    int values;
    zl_out out;
    int views; /* write places instead of bytes */
    zl_places places;
} zl_lookup;

static void zl_find_each(zl_txn *txn, unsigned dbi, MDB_val *keys, unsigned n, zl_found *found) {
    unsigned i;
    for (i = 0; i < n; i++)
        found[i].rc = txn->ops->get(txn->txn, dbi, &keys[i], &found[i].val);
}

/* The same as a view; 1 before one that there can be no view of. */
static int zl_look_up_view(zl_lookup *look, const MDB_val *val, int missing) {
    if (missing)
        zl_places_none(&look->places);
    else if (zl_places_take(&look->places, val))
        zl_places_add(&look->places, val);
    else
        return look->out.chunk->count ? 1 : ZL_LARGE;
    look->out.chunk->count++;
    *look->found += !missing;
    return 0;
}

/* Adds a value, or none; 1 when the output is full. */
static int zl_look_up_add(zl_lookup *look, zl_found *found) {
    int missing = found->rc == MDB_NOTFOUND;

    if (found->rc && !missing)
        return found->rc;
    if (look->views)
        return zl_look_up_view(look, &found->val, missing);
    if (missing || !look->values)
        found->val.mv_size = 0;
    if (!zl_out_fits(&look->out, zl_out_need(&look->out, found->val.mv_size)))
        return look->out.chunk->count ? 1 : ZL_LARGE;
    if (missing)
        zl_out_none(&look->out);
    else
        zl_out_val(&look->out, &found->val);
    *look->found += !missing;
    return 0;
}

/* The next keys, at most ZL_GROUP; 1 when the output is full. */
static int zl_look_up_group(zl_lookup *look, zl_txn *txn, unsigned dbi) {
    MDB_val keys[ZL_GROUP];
    zl_found found[ZL_GROUP];
    size_t ends[ZL_GROUP], at = *look->at;
    unsigned i, n;
    int rc;

    for (n = 0; n < ZL_GROUP && n < *look->left; n++) {
        if ((rc = zl_take_bytes(look->keys, look->len, &at, &keys[n])) != 0)
            return rc;
        ends[n] = at;
    }
    if (!txn->ops->zl_find_many(txn->txn, dbi, keys, n, look->values, found))
        zl_find_each(txn, dbi, keys, n, found);
    for (i = 0; i < n; i++) {
        if ((rc = zl_look_up_add(look, &found[i])) != 0)
            return rc;
        *look->at = ends[i];
        --*look->left;
    }
    return 0;
}

static int zl_look_up(zl_lookup *look, zl_txn *txn, unsigned dbi) {
    int rc = 0;
    while (*look->left && rc == 0)
        rc = zl_look_up_group(look, txn, dbi);
    return rc == 1 ? 0 : rc;
}

/* Looks up keys, given as a marshal list from *at on.  Writes each value, or none for a missing key, until the chunk
 * is full; *at and *left then tell where to go on.  what is ZL_VALUES, with ZL_VALUE_VIEWS for their places; or
 * ZL_KEYS, and values are empty.  ZL_LARGE: the next value never fits, or there can be no view of it. */
int zl_get_many(zl_txn *txn, unsigned dbi, const char *keys, size_t len, size_t *at, uint32_t *left, int what,
                zl_chunk *chunk, uint32_t *found) {
    zl_lookup look = {.keys = keys, .len = len, .at = at, .left = left, .found = found};
    int rc = zl_txn_enter(txn);

    if (rc)
        return rc;
    *found = 0;
    look.values = what & ZL_VALUES;
    look.views = what & ZL_VALUE_VIEWS;
    zl_places_begin(&look.places, txn, chunk);
    zl_out_begin(&look.out, chunk);
    ZL_TRY(rc, zl_look_up(&look, txn, dbi));
    zl_out_end(&look.out);
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
    zl_pin(cursor->txn, out);
    return 0;
}

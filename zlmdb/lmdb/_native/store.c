/* Many records stored in one call: putmulti, and a record with what goes with it. */
#include "sort.h"

/* ---- putmulti ---- */

enum { ZL_FEW_PAIRS = 16 };

/* Pairs on their way to a cursor: a marshal list of tuples; or keys and values end to end, and their lengths. */
typedef struct zl_pairs {
    zl_cursor *cursor;
    const char *data;
    size_t len, at;
    const uint32_t *lengths; /* NULL: the first format */
    uint32_t count;
    unsigned flags;
    uint32_t taken;       /* lengths */
    uint32_t *result;     /* pairs consumed, added; after an error, which one met it */
    zl_cell *cell;        /* those that are stored in the order of their keys */
    uint32_t cells, last; /* how many; the first that sorts behind all that is stored */
} zl_pairs;

static int zl_take_plain(zl_pairs *pairs, MDB_val *val) {
    uint32_t n = pairs->lengths[pairs->taken++];
    if (n > pairs->len - pairs->at)
        return ZL_BAD_ITEM;
    *val = (MDB_val){n, (void *)(pairs->data + pairs->at)};
    pairs->at += n;
    return 0;
}

static int zl_take_pair(zl_pairs *pairs, MDB_val *key, MDB_val *val) {
    const char *data = pairs->data;
    int rc;
    if (pairs->lengths) {
        rc = zl_take_plain(pairs, key);
        return rc ? rc : zl_take_plain(pairs, val);
    }
    if (pairs->len - pairs->at < ZL_LIST_HEAD || data[pairs->at] != '(' || zl_load32(data + pairs->at + 1) != 2)
        return ZL_BAD_ITEM;
    pairs->at += ZL_LIST_HEAD;
    rc = zl_take_bytes(data, pairs->len, &pairs->at, key);
    return rc ? rc : zl_take_bytes(data, pairs->len, &pairs->at, val);
}

static int zl_put_in_turn(zl_pairs *pairs) {
    uint32_t *result = pairs->result;
    MDB_val key, val;
    int rc;

    for (; result[0] < pairs->count; result[0]++) {
        if ((rc = zl_take_pair(pairs, &key, &val)) != 0)
            return rc;
        rc = zl_cursor_put_checked(pairs->cursor, &key, &val, pairs->flags);
        if (rc && rc != MDB_KEYEXIST)
            return rc;
        zl_cursor_placed(pairs->cursor);
        result[1] += rc == 0;
    }
    return 0;
}

/* Whether nobody can tell afterwards in which order records with different keys were stored. */
static int zl_any_order(const zl_pairs *pairs) {
    zl_txn *txn = pairs->cursor->txn;
    unsigned kind;
    return pairs->count >= ZL_FEW_PAIRS && !(pairs->flags & (MDB_APPEND | MDB_APPENDDUP)) &&
           txn->ops->dbi_flags(txn->txn, pairs->cursor->dbi, &kind) == 0 &&
           !(kind & (MDB_DUPSORT | MDB_REVERSEKEY | MDB_INTEGERKEY));
}

/* Collects pairs up to the first that is none, or has a key that LMDB refuses. */
static void zl_collect(zl_pairs *pairs) {
    const zl_txn *txn = pairs->cursor->txn;
    size_t longest = (size_t)txn->ops->env_get_maxkeysize(txn->env->env), at;
    MDB_val key, val;

    for (at = pairs->at; pairs->cells < pairs->count; at = pairs->at) {
        if (zl_take_pair(pairs, &key, &val) || key.mv_size == 0 || key.mv_size > longest)
            break;
        pairs->cell[pairs->cells] = zl_cell_of(&key, pairs->cells);
        pairs->cells++;
    }
    pairs->at = at;
    pairs->taken = 2 * pairs->cells;
}

/* From the first key on that is greater than all that are stored, pages can be filled one by one. */
static int zl_find_last(zl_pairs *pairs) {
    zl_cursor *cursor = pairs->cursor;
    MDB_val last, val;
    zl_cell end;
    uint32_t low = 0, high = pairs->cells;
    int rc = cursor->txn->ops->cursor_get(cursor->cursor, &last, &val, MDB_LAST);

    if (rc == 0) {
        end = zl_cell_of(&last, 0);
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (zl_key_order(&pairs->cell[middle], &end) > 0)
                high = middle;
            else
                low = middle + 1;
        }
    }
    pairs->last = low;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* The value follows the key, in the same format. */
static MDB_val zl_cell_value(const zl_pairs *pairs, const zl_cell *cell) {
    const char *value = cell->key + cell->len;
    if (pairs->lengths)
        return (MDB_val){pairs->lengths[2 * cell->row + 1], (void *)value};
    return (MDB_val){zl_load32(value + 1), (void *)(value + ZL_BYTES_HEAD)};
}

static int zl_put_cell(zl_pairs *pairs, uint32_t index) {
    zl_cursor *cursor = pairs->cursor;
    const zl_cell *cell = &pairs->cell[index];
    MDB_val key = zl_cell_key(cell), val = zl_cell_value(pairs, cell);
    unsigned flags = pairs->flags;

    if (index + ZL_AHEAD < pairs->cells)
        __builtin_prefetch(cell[ZL_AHEAD].key);
    if (index >= pairs->last && (index == pairs->last || zl_key_order(cell - 1, cell) != 0))
        flags |= MDB_APPEND;
    return cursor->txn->ops->cursor_put(cursor->cursor, &key, &val, flags);
}

/* Leaves the cursor where storing the pairs in turn would. */
static int zl_stand_on(zl_cursor *cursor, const MDB_val *key) {
    MDB_val found = *key, val;
    int rc = cursor->txn->ops->cursor_get(cursor->cursor, &found, &val, MDB_SET);
    if (rc == 0)
        zl_cursor_placed(cursor);
    return rc;
}

/* Stores pairs in the order of their keys: neighbours go to a page while it is at hand. */
static int zl_put_sorted(zl_pairs *pairs) {
    MDB_val key;
    uint32_t i;
    int rc;

    zl_collect(pairs);
    if (!pairs->cells)
        return 0;
    key = zl_cell_key(&pairs->cell[pairs->cells - 1]);
    zl_sort(pairs->cell, pairs->cell + pairs->count, pairs->cells);
    rc = zl_find_last(pairs);
    for (i = 0; i < pairs->cells && rc == 0; i++) {
        rc = zl_put_cell(pairs, i);
        pairs->result[0] = pairs->cell[i].row;
        pairs->result[1] += rc == 0;
        if (rc == MDB_KEYEXIST)
            rc = 0;
    }
    if (rc)
        return rc;
    pairs->result[0] = pairs->cells;
    return zl_stand_on(pairs->cursor, &key);
}

static int zl_put_pairs(zl_pairs *pairs) {
    int rc = pairs->cell ? zl_put_sorted(pairs) : 0;
    return rc ? rc : zl_put_in_turn(pairs);
}

/* Puts pairs: those of a marshal list of tuples; or with `lengths`, `count` keys and values end to end.  result: consumed,
 * added; after an error, which one met it. */
int zl_put_many(zl_cursor *cursor, const char *data, size_t len, const uint32_t *lengths, uint32_t count, unsigned flags,
                uint32_t *result) {
    zl_pairs pairs = {cursor, data, len, .lengths = lengths, .count = count, .flags = flags, .result = result};
    int rc = zl_txn_enter(cursor->txn);

    if (rc)
        return rc;
    result[0] = result[1] = 0;
    if (!lengths) {
        pairs.count = len < ZL_LIST_HEAD ? 0 : zl_load32(data + 1);
        pairs.at = ZL_LIST_HEAD;
    }
    if (!cursor->cursor) {
        rc = ZL_CLOSED;
    } else {
        if (zl_any_order(&pairs)) /* if there is no memory, the pairs keep their order */
            pairs.cell = malloc(2 * pairs.count * sizeof *pairs.cell);
        ZL_TRY(rc, zl_put_pairs(&pairs));
        free(pairs.cell);
    }
    cursor->txn->mutations++;
    zl_txn_leave(cursor->txn);
    return rc;
}

/* ---- A record and what goes with it ---- */

/* Whether these are keys and values in turn, with keys that LMDB takes: what is refused is refused before the first
 * write. */
static int zl_check_records(zl_txn *txn, const char *data, size_t len) {
    size_t at = ZL_LIST_HEAD, longest = (size_t)txn->ops->env_get_maxkeysize(txn->env->env);
    MDB_val key, val;
    int rc;

    while (at < len) {
        if ((rc = zl_take_bytes(data, len, &at, &key)) != 0 || (rc = zl_take_bytes(data, len, &at, &val)) != 0)
            return rc;
        if (key.mv_size == 0 || key.mv_size > longest)
            return MDB_BAD_VALSIZE;
    }
    return 0;
}

/* On MDB_KEYEXIST, *old is the value of the first key. */
static int zl_put_checked_records(zl_txn *txn, const char *data, size_t len, unsigned flags, MDB_val *old) {
    size_t at = ZL_LIST_HEAD;
    MDB_val key;
    int rc = 0;

    for (; at < len && rc == 0; flags = 0) {
        zl_take_bytes(data, len, &at, &key);
        zl_take_bytes(data, len, &at, old);
        rc = txn->ops->put(txn->txn, txn->dbi, &key, old, flags);
    }
    return rc;
}

/* Puts the records of a marshal tuple, keys and values in turn, into the transaction's database, one without
 * duplicates; with flags MDB_NOOVERWRITE none of them if the first key exists.  Returns the length of the value that it
 * has, which is copied to the arena; ZL_WRITTEN if all have been written. */
int64_t zl_put_records(zl_txn *txn, const char *data, size_t len, unsigned flags) {
    MDB_val old = {0, NULL};
    int64_t n;
    int rc = zl_txn_enter(txn);

    if (rc)
        return rc;
    rc = zl_check_records(txn, data, len);
    if (rc == 0) {
        ZL_TRY(rc, zl_put_checked_records(txn, data, len, flags, &old));
        txn->mutations++;
    }
    n = zl_written_or_kept(txn, rc, &old);
    zl_txn_leave(txn);
    return n;
}

/* Many records of the object layer and their index records, written in one call: see plan.h.
 *
 * The records, and those of each index, are sorted first: neighbours go to a page while it is at hand. */
#include "plan.h"
#include "sort.h"

typedef struct zl_load {
    zl_txn *txn;
    unsigned columns; /* the records, and those of each index */
    uint32_t rows;
    zl_cell *cell[ZL_MOST]; /* by column, sorted */
    zl_cell *spare;
    MDB_val *key, *value;   /* by row */
    int keep;                /* nothing is stored if there is a record with one of the keys */
    int64_t stored;
} zl_load;

/* Takes the first records of the first column back. */
static int zl_load_undo(const zl_load *load, uint32_t stored) {
    MDB_val key;
    int rc = 0;
    while (stored-- && rc == 0) {
        key = zl_cell_key(&load->cell[0][stored]);
        rc = load->txn->ops->del(load->txn->txn, load->txn->dbi, &key, NULL);
    }
    return rc ? rc : MDB_KEYEXIST;
}

static int zl_load_column(zl_load *load, MDB_cursor *cursor, unsigned column) {
    unsigned flags = column == 0 && load->keep ? MDB_NOOVERWRITE : 0;
    uint32_t i;
    int rc;

    for (i = 0; i < load->rows; i++) {
        const zl_cell *cell = &load->cell[column][i];
        MDB_val key = zl_cell_key(cell), val = column ? zl_plan_primary(&load->key[cell->row]) : load->value[cell->row];
        if (key.mv_size == 0)
            continue;
        rc = load->txn->ops->cursor_put(cursor, &key, &val, flags);
        if (rc)
            return rc == MDB_KEYEXIST && flags ? zl_load_undo(load, i) : rc;
        load->stored++;
    }
    return 0;
}

static int zl_load_write(zl_load *load) {
    const zl_ops *ops = load->txn->ops;
    MDB_cursor *cursor;
    unsigned column;
    int rc = ops->cursor_open(load->txn->txn, load->txn->dbi, &cursor);

    if (rc)
        return rc;
    for (column = 0; column < load->columns && rc == 0; column++)
        rc = zl_load_column(load, cursor, column);
    ops->cursor_close(cursor);
    return rc;
}

static int zl_load_keys(zl_load *load, zl_plan *plan, const char **layout, zl_cell *cells) {
    const char *next = *layout;
    MDB_val key;
    uint32_t row;
    int rc;

    if (zl_plan_sequence(plan, '[', load->rows))
        return ZL_BAD_ITEM;
    for (row = 0; row < load->rows; row++) {
        next = *layout;
        if ((rc = zl_plan_key(plan, &next, &key)) != 0)
            return rc;
        cells[row] = zl_cell_of(&key, row);
    }
    *layout = next;
    return 0;
}

static int zl_load_values(zl_load *load, zl_plan *plan) {
    uint32_t row;
    int rc;

    if (zl_plan_sequence(plan, '[', load->rows))
        return ZL_BAD_ITEM;
    for (row = 0; row < load->rows; row++)
        if ((rc = zl_plan_value(plan, &load->value[row])) != 0)
            return rc;
    return 0;
}

/* Lays out all the records, and sorts them. */
static int zl_load_make(zl_load *load, zl_plan *plan) {
    const char *layout = plan->plan;
    uint32_t row;
    unsigned column;
    int rc;

    if (zl_plan_sequence(plan, '(', load->columns + 1))
        return ZL_BAD_ITEM;
    for (column = 0; column < load->columns; column++) {
        if ((rc = zl_load_keys(load, plan, &layout, load->cell[column])) != 0)
            return rc;
        if (column == 0 && (rc = zl_load_values(load, plan)) != 0)
            return rc;
    }
    for (row = 0; row < load->rows; row++)
        load->key[row] = zl_cell_key(&load->cell[0][row]);
    for (column = 0; column < load->columns; column++)
        zl_sort(load->cell[column], load->spare, load->rows);
    return 0;
}

/* All the memory in one piece: cells, keys, values, what keys are laid out in, and what values are written to. */
static void *zl_load_memory(zl_load *load, zl_plan *plan, size_t len, unsigned flags) {
    size_t rows = load->rows, keys = 4 * len + 64, values = flags & ZL_CBOR ? len + len / 128 + 64 : 0;
    char *memory = malloc(rows * ((load->columns + 1) * sizeof **load->cell + 2 * sizeof *load->key) + keys + values);
    char *at = memory;
    unsigned column;

    if (!memory)
        return NULL;
    for (column = 0; column < load->columns; column++, at += rows * sizeof **load->cell)
        load->cell[column] = (zl_cell *)at;
    load->spare = (zl_cell *)at;
    load->key = (MDB_val *)(load->spare + rows);
    load->value = load->key + rows;
    plan->to = (char *)(load->value + rows);
    plan->room_end = plan->to + keys;
    plan->values = values ? plan->room_end : NULL;
    plan->values_end = plan->room_end + values;
    return memory;
}

/* Puts records and their index records into a database without duplicates, as zl_put_planned() does: given as a
 * marshal tuple of lists of `rows` keys, values, and keys for each index.  With ZL_KEEP, none of them if there is a
 * record with one of the keys, or two here (MDB_KEYEXIST).  Returns how many records are stored, those of indexes
 * included. */
int64_t zl_put_many_planned(zl_txn *txn, const zl_layouts *layouts, const char *data, size_t len, unsigned flags,
                            uint32_t rows) {
    zl_plan plan = {layouts->data, layouts->data + layouts->len, data, data + len};
    zl_load load = {.txn = txn, .columns = layouts->count, .rows = rows, .keep = (flags & ZL_KEEP) != 0};
    void *memory;
    int rc;

    if (layouts->count == 0 || layouts->count > ZL_MOST || rows > len)
        return ZL_BAD_ITEM;
    if (!(memory = zl_load_memory(&load, &plan, len, flags)))
        return ZL_LARGE;
    if ((rc = zl_txn_enter(txn)) == 0) {
        plan.longest = (size_t)txn->ops->env_get_maxkeysize(txn->env->env);
        if ((rc = zl_load_make(&load, &plan)) == 0) {
            ZL_TRY(rc, zl_load_write(&load));
            txn->mutations++;
        }
        zl_txn_leave(txn);
    }
    free(memory);
    return rc ? zl_length_or(rc) : load.stored;
}

/* Sorts records by their keys, as LMDB does that has no other order to keep: neighbours go to a page together. */
#ifndef ZL_SORT_H
#define ZL_SORT_H

#include "pack.h"

typedef struct zl_cell {
    uint64_t word; /* the part of the key that is compared now */
    const char *key;
    uint32_t len, row; /* of the key; which record it is */
} zl_cell;

enum { ZL_AHEAD = 4 }; /* records whose memory is fetched before they are stored */

void zl_sort(zl_cell *cells, zl_cell *spare, uint32_t count);

/* As LMDB compares keys where it is told nothing else. */
static inline int zl_key_order(const zl_cell *a, const zl_cell *b) {
    int order = memcmp(a->key, b->key, a->len < b->len ? a->len : b->len);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static inline zl_cell zl_cell_of(const MDB_val *key, uint32_t row) {
    return (zl_cell){0, key->mv_data, (uint32_t)key->mv_size, row};
}

static inline MDB_val zl_cell_key(const zl_cell *cell) { return (MDB_val){cell->len, (void *)cell->key}; }

#endif

/* The two formats in which byte strings leave C in batches.
 *
 * The marshal format is a list of bytes objects as CPython's marshal module writes it (version 2: '[' count, then
 * 's' length data for each, 'N' for None), which CPython decodes in one call.  The plain format is the bytes end
 * to end with their lengths in an array of their own, which suits PyPy. */
#ifndef ZL_PACK_H
#define ZL_PACK_H

#include "glue.h"

enum { ZL_BLOCK = 16 };

typedef struct zl_out {
    zl_chunk *chunk;
    char *at, *end;
} zl_out;

static inline void zl_store32(char *at, uint32_t n) {
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    n = __builtin_bswap32(n);
#endif
    memcpy(at, &n, sizeof n);
}

static inline uint32_t zl_load32(const char *at) {
    uint32_t n;
    memcpy(&n, at, sizeof n);
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    n = __builtin_bswap32(n);
#endif
    return n;
}

/* Eight bytes read as the number that they are highest byte first, or the other way round. */
static inline uint64_t zl_big_endian(uint64_t n) {
#if __BYTE_ORDER__ != __ORDER_BIG_ENDIAN__
    n = __builtin_bswap64(n);
#endif
    return n;
}

/* The next bytes object of a marshal stream. */
static inline int zl_take_bytes(const char *data, size_t len, size_t *at, MDB_val *val) {
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

/* Whether Python takes these bytes for halves of surrogate pairs, which are not UTF-8. */
static inline int zl_has_surrogates(const char *text, size_t len) {
    const char *end = text + len;
    while (text < end && (text = memchr(text, 0xed, (size_t)(end - text))) != NULL)
        if (++text < end && (unsigned char)*text >= 0xa0)
            return 1;
    return 0;
}

static inline void zl_out_begin(zl_out *out, zl_chunk *chunk) {
    chunk->count = 0;
    *out = (zl_out){chunk, chunk->data + (chunk->lengths ? 0 : ZL_LIST_HEAD), chunk->data + chunk->cap};
}

static inline size_t zl_out_need(const zl_out *out, size_t len) { return out->chunk->lengths ? len : len + ZL_BYTES_HEAD; }

static inline int zl_out_fits(const zl_out *out, size_t need) { return need <= (size_t)(out->end - out->at); }

/* Copies in whole blocks, so past the end by less than one: the chunk has ZL_SLACK bytes more than its cap, and
 * memory is readable up to src_end (if that is known, else NULL). */
static inline void zl_copy(char *to, const char *from, size_t len, const char *src_end) {
    size_t i;
    if (len > 16 * ZL_BLOCK || from + len + ZL_BLOCK > src_end) {
        memcpy(to, from, len);
        return;
    }
    for (i = 0; i < len; i += ZL_BLOCK)
        memcpy(to + i, from + i, ZL_BLOCK);
}

/* Adds a byte string for which there is room; as for zl_copy(), memory is readable up to src_end. */
static inline void zl_out_add(zl_out *out, const char *data, size_t len, const char *src_end) {
    zl_chunk *chunk = out->chunk;
    if (chunk->lengths) {
        chunk->lengths[chunk->count] = (uint32_t)len;
    } else {
        *out->at = 's';
        zl_store32(out->at + 1, (uint32_t)len);
        out->at += ZL_BYTES_HEAD;
    }
    zl_copy(out->at, data, len, src_end);
    out->at += len;
    chunk->count++;
}

static inline void zl_out_val(zl_out *out, const MDB_val *val) {
    zl_out_add(out, val->mv_data, val->mv_size, NULL);
}

static inline void zl_out_none(zl_out *out) {
    zl_chunk *chunk = out->chunk;
    if (chunk->lengths)
        chunk->lengths[chunk->count] = UINT32_MAX;
    else
        *out->at++ = 'N';
    chunk->count++;
}

static inline void zl_out_end(zl_out *out) {
    if (out->chunk->lengths)
        return;
    out->chunk->data[0] = '[';
    zl_store32(out->chunk->data + 1, out->chunk->count);
}

/* Where values are in the map, for views of them. */
typedef struct zl_places {
    const char *map; /* the part of the map that stays as it is while the transaction lasts */
    size_t size;
    uint64_t *next; /* of zl_chunk.places */
} zl_places;

/* The caller is inside the transaction. */
static inline void zl_places_begin(zl_places *places, zl_txn *txn, const zl_chunk *chunk) {
    places->size = txn->ops->zl_map_stable(txn->txn, &places->map);
    places->next = chunk->places;
}

static inline int zl_places_take(const zl_places *places, const MDB_val *val) {
    return (size_t)((const char *)val->mv_data - places->map) < places->size;
}

static inline void zl_places_add(zl_places *places, const MDB_val *val) {
    size_t at = (size_t)((const char *)val->mv_data - places->map);
    *places->next++ = at;
    *places->next++ = at + val->mv_size;
}

static inline void zl_places_none(zl_places *places) {
    *places->next++ = UINT64_MAX;
    *places->next++ = UINT64_MAX;
}

/* A scan's call for records, on its way from bulk.c through the engine. */
typedef struct zl_fill {
    zl_cursor *cursor;
    zl_chunk *chunk;
    zl_out out;
    zl_places places;
    MDB_cursor_op op;
    int what;   /* of ZL_KEYS, ZL_VALUES, ZL_ITEMS */
    int views;  /* which of these are to be views */
    int copies; /* the others */
    int step; /* +1 and -1 if op walks record by record, else 0 */
    uint32_t n, most;
    int64_t shape; /* the lengths of the first key and value that are copied */
    int mixed;     /* whether others have other lengths */
} zl_fill;

/* The lengths of what is copied, each with one added: none has 0. */
static inline int64_t zl_fill_shape(const zl_fill *fill, const MDB_val *key, const MDB_val *val) {
    int64_t klen = fill->copies & ZL_KEYS ? (int64_t)key->mv_size + 1 : 0;
    int64_t vlen = fill->copies & ZL_VALUES ? (int64_t)val->mv_size + 1 : 0;
    return (vlen << ZL_KEY_BITS | klen) << ZL_COUNT_BITS;
}

/* Adds what of a record is to be a view; 0 if there can be none. */
static inline int zl_fill_add_views(zl_fill *fill, const MDB_val *key, const MDB_val *val) {
    int keys = fill->views & ZL_KEYS, values = fill->views & ZL_VALUES;
    if ((keys && !zl_places_take(&fill->places, key)) || (values && !zl_places_take(&fill->places, val)))
        return 0;
    if (keys)
        zl_places_add(&fill->places, key);
    if (values)
        zl_places_add(&fill->places, val);
    return 1;
}

/* Adds a record; 0 if there is no room.  As for zl_copy(), memory is readable up to src_end. */
static inline int zl_fill_add(zl_fill *fill, const MDB_val *key, const MDB_val *val, const char *src_end) {
    size_t need = 0;
    if (fill->copies & ZL_KEYS)
        need += zl_out_need(&fill->out, key->mv_size);
    if (fill->copies & ZL_VALUES)
        need += zl_out_need(&fill->out, val->mv_size);
    if (!zl_out_fits(&fill->out, need) || (fill->views && !zl_fill_add_views(fill, key, val)))
        return 0;
    if (fill->copies & ZL_KEYS)
        zl_out_add(&fill->out, key->mv_data, key->mv_size, src_end);
    if (fill->copies & ZL_VALUES)
        zl_out_add(&fill->out, val->mv_data, val->mv_size, src_end);
    if (fill->n == 0)
        fill->shape = zl_fill_shape(fill, key, val);
    else
        fill->mixed |= fill->shape != zl_fill_shape(fill, key, val);
    fill->n++;
    return 1;
}

#endif

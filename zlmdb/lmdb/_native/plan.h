/* Records of the object layer and their index records, laid out by C.
 *
 * Python gives a marshal tuple of a key, a value, and a key for each index; or of lists of them, for many records.  A
 * plan says how keys become bytes.  It is a sequence of layouts, that of the record and those of its index records:
 *
 *   slot (2 bytes), number of parts, a code for each part
 *
 * The number has ZL_TUPLE added if the key is a tuple, and ZL_NULLABLE if an index leaves records out whose key is
 * None or has a None.  An index record's value is the record's key.  What does not fit is refused with ZL_BAD_ITEM
 * before anything is written, and Python goes the long way, also to tell what is wrong. */
#ifndef ZL_PLAN_H
#define ZL_PLAN_H

#include "pack.h"

enum { ZL_SLOT = 2, ZL_MOST = 16 };

typedef struct zl_plan {
    const char *plan, *plan_end;
    const char *data, *data_end; /* what is left of the marshalled objects */
    char *to, *room_end;         /* where keys are laid out */
    char *values, *values_end;   /* and values written as CBOR; NULL: they are bytes */
    size_t longest;              /* key that LMDB takes */
} zl_plan;

int zl_plan_sequence(zl_plan *plan, char type, uint32_t n);
int zl_plan_key(zl_plan *plan, const char **layout, MDB_val *key);
int zl_plan_value(zl_plan *plan, MDB_val *value);

static inline MDB_val zl_plan_primary(const MDB_val *key) {
    return (MDB_val){key->mv_size - ZL_SLOT, (char *)key->mv_data + ZL_SLOT};
}

#endif

/* A record of the object layer and its index records, laid out and written in one call: see plan.h. */
#include "plan.h"

enum { ZL_TUPLE = 0x40, ZL_NULLABLE = 0x80, ZL_PARTS = 0x3f, ZL_DIGIT = 15, ZL_LONGEST_PART = 16 };
enum { ZL_OID = 'O', ZL_UINT64 = 'Q', ZL_UUID = 'U', ZL_STRING = 'S', ZL_TERMINATED = 'Z' };

static size_t zl_plan_left(const zl_plan *plan) { return (size_t)(plan->data_end - plan->data); }

static int zl_plan_int(zl_plan *plan, uint32_t *n) {
    if (zl_plan_left(plan) < 5)
        return ZL_BAD_ITEM;
    *n = zl_load32(plan->data + 1);
    plan->data += 5;
    return 0;
}

/* Takes an int that is not negative, as `size` bytes, highest first. */
static int zl_plan_uint(zl_plan *plan, unsigned size, char *to) {
    char type = zl_plan_left(plan) ? *plan->data : 0;
    unsigned bits = 0, at = size;
    uint32_t n, acc = 0;

    if ((type != 'i' && type != 'l') || zl_plan_int(plan, &n) || n > INT32_MAX)
        return ZL_BAD_ITEM;
    memset(to, 0, size);
    if (type == 'i') {
        for (; n; n >>= 8)
            to[--at] = (char)n;
        return 0;
    }
    if (n > 8 * size / ZL_DIGIT + 1 || zl_plan_left(plan) < 2 * n)
        return ZL_BAD_ITEM;
    for (; n || acc; acc >>= 8, bits -= bits < 8 ? bits : 8) {
        for (; n && bits < 8; n--, plan->data += 2, bits += ZL_DIGIT)
            acc |= ((unsigned char)plan->data[0] | (uint32_t)(unsigned char)plan->data[1] << 8) << bits;
        if (at == 0) {
            if (acc)
                return ZL_BAD_ITEM;
            continue;
        }
        to[--at] = (char)acc;
    }
    return 0;
}

static int zl_plan_uint64(zl_plan *plan, uint64_t most) {
    uint64_t n = 0;
    unsigned i;
    if (zl_plan_uint(plan, sizeof n, plan->to))
        return ZL_BAD_ITEM;
    for (i = 0; i < sizeof n; i++)
        n = n << 8 | (unsigned char)plan->to[i];
    plan->to += sizeof n;
    return n > most ? ZL_BAD_ITEM : 0;
}

static int zl_plan_uuid(zl_plan *plan) {
    int rc = zl_plan_uint(plan, 16, plan->to);
    plan->to += 16;
    return rc;
}

static int zl_plan_string(zl_plan *plan, int terminated) {
    uint32_t len;
    if (zl_plan_left(plan) == 0 || *plan->data != 'u' || zl_plan_int(plan, &len) || len > zl_plan_left(plan) ||
        len >= (size_t)(plan->room_end - plan->to) || zl_has_surrogates(plan->data, len))
        return ZL_BAD_ITEM;
    memcpy(plan->to, plan->data, len);
    if (terminated) {
        if (memchr(plan->to, 0, len))
            return ZL_BAD_ITEM;
        plan->to[len] = 0;
        plan->to++;
    }
    plan->to += len;
    plan->data += len;
    return 0;
}

static int zl_plan_part(zl_plan *plan, char code) {
    if (plan->room_end - plan->to < ZL_LONGEST_PART)
        return ZL_BAD_ITEM;
    switch (code) {
    case ZL_OID: return zl_plan_uint64(plan, (uint64_t)1 << 53);
    case ZL_UINT64: return zl_plan_uint64(plan, UINT64_MAX);
    case ZL_UUID: return zl_plan_uuid(plan);
    case ZL_STRING: return zl_plan_string(plan, 0);
    case ZL_TERMINATED: return zl_plan_string(plan, 1);
    default: return ZL_BAD_ITEM;
    }
}

/* Takes the head of a tuple '(' or a list '[' of n objects. */
int zl_plan_sequence(zl_plan *plan, char type, uint32_t n) {
    uint32_t count;
    return zl_plan_left(plan) == 0 || *plan->data != type || zl_plan_int(plan, &count) || count != n ? ZL_BAD_ITEM : 0;
}

static int zl_plan_null(zl_plan *plan) {
    int null = zl_plan_left(plan) && *plan->data == 'N';
    plan->data += null;
    return null;
}

/* Lays out the next key, and moves *layout behind its own; a key that is left out has no bytes. */
int zl_plan_key(zl_plan *plan, const char **layout, MDB_val *key) {
    const char *codes = *layout + ZL_SLOT + 1;
    unsigned kind, i;
    int null = 0;

    if (plan->plan_end < codes || plan->room_end - plan->to < ZL_SLOT)
        return ZL_BAD_ITEM;
    kind = (unsigned char)codes[-1];
    if (plan->plan_end - codes < (ptrdiff_t)(kind & ZL_PARTS))
        return ZL_BAD_ITEM;
    *key = (MDB_val){0, plan->to};
    memcpy(plan->to, *layout, ZL_SLOT);
    *layout = codes + (kind & ZL_PARTS);
    if ((kind & ZL_NULLABLE) && zl_plan_null(plan))
        return 0;
    if ((kind & ZL_TUPLE) && zl_plan_sequence(plan, '(', kind & ZL_PARTS))
        return ZL_BAD_ITEM;
    plan->to += ZL_SLOT;
    for (i = 0; i < (kind & ZL_PARTS); i++)
        if ((kind & ZL_NULLABLE) && zl_plan_null(plan))
            null = 1;
        else if (zl_plan_part(plan, codes[i]))
            return ZL_BAD_ITEM;
    if (null) {
        plan->to = key->mv_data;
        return 0;
    }
    key->mv_size = (size_t)(plan->to - (char *)key->mv_data);
    return key->mv_size > plan->longest ? ZL_BAD_ITEM : 0;
}

static int zl_plan_bytes(zl_plan *plan, MDB_val *value) {
    uint32_t len;
    if (zl_plan_left(plan) == 0 || *plan->data != 's' || zl_plan_int(plan, &len) || len > zl_plan_left(plan))
        return ZL_BAD_ITEM;
    *value = (MDB_val){len, (void *)plan->data};
    plan->data += len;
    return 0;
}

static int zl_plan_object(zl_plan *plan, MDB_val *value) {
    int64_t n = zl_cbor_encode(&plan->data, plan->data_end, plan->values, (size_t)(plan->values_end - plan->values));
    if (n < 0)
        return (int)n;
    *value = (MDB_val){(size_t)n, plan->values};
    plan->values += n;
    return 0;
}

/* Takes the next value. */
int zl_plan_value(zl_plan *plan, MDB_val *value) {
    return plan->values ? zl_plan_object(plan, value) : zl_plan_bytes(plan, value);
}

typedef struct zl_planned {
    unsigned keys;
    MDB_val key[ZL_MOST], value;
} zl_planned;

static int zl_plan_record(zl_plan *plan, zl_planned *record, unsigned layouts) {
    const char *layout = plan->plan;
    int rc;

    if (layouts == 0 || layouts > ZL_MOST || zl_plan_sequence(plan, '(', layouts + 1))
        return ZL_BAD_ITEM;
    if ((rc = zl_plan_key(plan, &layout, &record->key[0])) != 0 || (rc = zl_plan_value(plan, &record->value)) != 0)
        return rc;
    for (record->keys = 1; record->keys < layouts; record->keys++)
        if ((rc = zl_plan_key(plan, &layout, &record->key[record->keys])) != 0)
            return rc;
    return 0;
}

static int zl_same(const MDB_val *a, const MDB_val *b) {
    return a->mv_size == b->mv_size && memcmp(a->mv_data, b->mv_data, a->mv_size) == 0;
}

/* MDB_KEYEXIST is returned, and nothing is written, with ZL_KEEP if the record has another value, *old; with ZL_INSERT if
 * there is a record. */
static int zl_plan_write(const zl_planned *record, zl_txn *txn, unsigned flags, MDB_val *old) {
    MDB_val key = record->key[0], val = record->value;
    unsigned i;
    int rc;

    *old = val;
    rc = txn->ops->put(txn->txn, txn->dbi, &key, old, flags & (ZL_KEEP | ZL_INSERT) ? MDB_NOOVERWRITE : 0);
    if (rc && !(rc == MDB_KEYEXIST && flags & ZL_KEEP && zl_same(old, &val)))
        return rc;
    for (i = 1, rc = 0; i < record->keys && rc == 0; i++) {
        key = record->key[i];
        val = zl_plan_primary(&record->key[0]);
        if (key.mv_size)
            rc = txn->ops->put(txn->txn, txn->dbi, &key, &val, 0);
    }
    return rc;
}

/* Puts a record and its index records, given as a marshal tuple, into the transaction's database, one without
 * duplicates.  flags: ZL_CBOR, ZL_KEEP, ZL_INSERT.
 * Returns ZL_WRITTEN; or the length of the value that is kept, which is copied to the arena, but MDB_KEYEXIST with
 * ZL_INSERT. */
int64_t zl_put_planned(zl_txn *txn, const zl_layouts *layouts, const char *data, size_t len, unsigned flags) {
    char room[4096];
    zl_plan plan = {layouts->data, layouts->data + layouts->len, data, data + len, room, room + sizeof room};
    zl_planned record;
    MDB_val old;
    int64_t n;
    int rc = zl_txn_enter(txn);

    if (rc)
        return rc;
    plan.longest = (size_t)txn->ops->env_get_maxkeysize(txn->env->env);
    if (flags & ZL_CBOR) {
        plan.values = txn->arena;
        plan.values_end = plan.values + ZL_ARENA;
        rc = zl_owns_arena(txn) ? 0 : ZL_LARGE;
    }
    if (rc == 0 && (rc = zl_plan_record(&plan, &record, layouts->count)) == 0) {
        ZL_TRY(rc, zl_plan_write(&record, txn, flags, &old));
        txn->mutations++;
    }
    n = rc == MDB_KEYEXIST && flags & ZL_INSERT ? rc : zl_written_or_kept(txn, rc, &old);
    zl_txn_leave(txn);
    return n;
}

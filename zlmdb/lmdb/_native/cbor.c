/* CBOR (RFC 8949), as far as the types of JSON and byte strings go, to and from the format of Python's marshal module.
 *
 * CPython writes and reads that format in one fast call, and C has no other way to Python's objects here.  Whatever
 * is not plain is refused with ZL_BAD_ITEM and left to another codec: tags, big integers, short floats, indefinite
 * lengths, nesting beyond ZL_DEPTH, and what no codec takes. */
#include "pack.h"

enum { ZL_DEPTH = 100, ZL_UINT = 0, ZL_NEGATIVE = 1, ZL_BYTES = 2, ZL_TEXT = 3, ZL_ARRAY = 4, ZL_MAP = 5, ZL_SIMPLE = 7 };
enum { ZL_FALSE = 20, ZL_TRUE = 21, ZL_NULL = 22, ZL_HALF = 25, ZL_DOUBLE = 27 };

typedef struct zl_recode {
    const unsigned char *at, *end;
    unsigned char *to; /* where there is room for all that can come */
} zl_recode;

static size_t zl_left(const zl_recode *code) { return (size_t)(code->end - code->at); }

/* ---- From marshal to CBOR ---- */

static void zl_put_head(zl_recode *code, unsigned major, uint64_t n) {
    unsigned bytes = n < 24 ? 0 : n <= 0xff ? 1 : n <= 0xffff ? 2 : n <= 0xffffffff ? 4 : 8;
    uint64_t big = zl_big_endian(n);

    *code->to++ = (unsigned char)(major << 5 | (bytes == 0 ? n : bytes == 1 ? 24 : bytes == 2 ? 25 : bytes == 4 ? 26 : 27));
    memcpy(code->to, (char *)&big + sizeof big - bytes, bytes);
    code->to += bytes;
}

static void zl_put_int(zl_recode *code, int64_t n) {
    zl_put_head(code, n < 0 ? ZL_NEGATIVE : ZL_UINT, (uint64_t)(n < 0 ? -1 - n : n));
}

static int zl_take32(zl_recode *code, uint32_t *n) {
    if (zl_left(code) < sizeof *n)
        return ZL_BAD_ITEM;
    *n = zl_load32((const char *)code->at);
    code->at += sizeof *n;
    return 0;
}

static int zl_recode_int(zl_recode *code) {
    uint32_t n;
    if (zl_take32(code, &n))
        return ZL_BAD_ITEM;
    zl_put_int(code, (int32_t)n);
    return 0;
}

/* An int in digits of 15 bits, lowest first; their number is negative if it is. */
static int zl_recode_long(zl_recode *code) {
    uint32_t sign, digits, i, digit;
    uint64_t n = 0;
    if (zl_take32(code, &sign))
        return ZL_BAD_ITEM;
    digits = (int32_t)sign < 0 ? 0 - sign : sign;
    if (digits == 0 || digits > 5 || zl_left(code) < 2 * digits)
        return ZL_BAD_ITEM;
    for (i = 0; i < digits; i++) {
        digit = code->at[2 * i] | (uint32_t)code->at[2 * i + 1] << 8;
        if (i == 4 && digit > 15) /* more than 64 bits */
            return ZL_BAD_ITEM;
        n |= (uint64_t)digit << (15 * i);
    }
    code->at += 2 * digits;
    if ((int32_t)sign < 0)
        zl_put_head(code, ZL_NEGATIVE, n - 1);
    else
        zl_put_head(code, ZL_UINT, n);
    return 0;
}

/* Of the floats, those that are no numbers are written in 16 bits. */
static int zl_recode_float(zl_recode *code) {
    uint64_t little = 0, big;
    double n;
    if (zl_left(code) < sizeof n)
        return ZL_BAD_ITEM;
    memcpy(&little, code->at, sizeof little);
    code->at += sizeof little;
    big = __builtin_bswap64(little);
    little = zl_big_endian(big);
    memcpy(&n, &little, sizeof n);
    if (n - n != 0) {
        *code->to++ = ZL_SIMPLE << 5 | ZL_HALF;
        *code->to++ = n < 0 ? 0xfc : n > 0 ? 0x7c : 0x7e;
        *code->to++ = 0;
        return 0;
    }
    *code->to++ = ZL_SIMPLE << 5 | ZL_DOUBLE;
    memcpy(code->to, &big, sizeof big);
    code->to += sizeof big;
    return 0;
}

static int zl_recode_text(zl_recode *code) {
    uint32_t len;
    if (zl_take32(code, &len) || len > zl_left(code) || zl_has_surrogates((const char *)code->at, len))
        return ZL_BAD_ITEM;
    zl_put_head(code, ZL_TEXT, len);
    memcpy(code->to, code->at, len);
    code->to += len;
    code->at += len;
    return 0;
}

static int zl_recode_object(zl_recode *code, unsigned depth);

static int zl_recode_list(zl_recode *code, unsigned depth) {
    uint32_t count;
    if (zl_take32(code, &count))
        return ZL_BAD_ITEM;
    for (zl_put_head(code, ZL_ARRAY, count); count; count--)
        if (zl_recode_object(code, depth))
            return ZL_BAD_ITEM;
    return 0;
}

/* Marshal ends a dict where CBOR begins with its length, which takes more than one byte from 24 on. */
static int zl_recode_dict(zl_recode *code, unsigned depth) {
    unsigned char *head = code->to++, *body = code->to;
    size_t len;
    uint64_t count = 0;

    for (; code->at < code->end && *code->at != '0'; count++)
        if (zl_recode_object(code, depth) || zl_recode_object(code, depth))
            return ZL_BAD_ITEM;
    if (code->at++ >= code->end)
        return ZL_BAD_ITEM;
    len = (size_t)(code->to - body);
    if (count >= 24)
        memmove(body + (count <= 0xff ? 1 : count <= 0xffff ? 2 : 4), body, len);
    code->to = head;
    zl_put_head(code, ZL_MAP, count);
    code->to += len;
    return 0;
}

static int zl_recode_simple(zl_recode *code, unsigned char simple) {
    *code->to++ = (unsigned char)(ZL_SIMPLE << 5 | simple);
    return 0;
}

/* Objects that lend out their memory are marshalled like bytes, whatever they are: bytes are refused for that. */
static int zl_recode_object(zl_recode *code, unsigned depth) {
    if (code->at >= code->end || depth++ == ZL_DEPTH)
        return ZL_BAD_ITEM;
    switch (*code->at++) {
    case 'u': return zl_recode_text(code);
    case 'i': return zl_recode_int(code);
    case 'g': return zl_recode_float(code);
    case '[':
    case '(': return zl_recode_list(code, depth);
    case '{': return zl_recode_dict(code, depth);
    case 'N': return zl_recode_simple(code, ZL_NULL);
    case 'T': return zl_recode_simple(code, ZL_TRUE);
    case 'F': return zl_recode_simple(code, ZL_FALSE);
    case 'l': return zl_recode_long(code);
    default: return ZL_BAD_ITEM;
    }
}

/* Writes the CBOR of the marshalled object at *at, and moves *at behind it; returns the length of the CBOR.
 * ZL_LARGE: it may need more than cap bytes. */
int64_t zl_cbor_encode(const char **at, const char *end, char *out, size_t cap) {
    zl_recode code = {(const unsigned char *)*at, (const unsigned char *)end, (unsigned char *)out};
    size_t len = (size_t)(end - *at);
    if (cap < len || cap - len < len / 128 + 1) /* only long dicts take more than in marshal: up to 3 bytes */
        return ZL_LARGE;
    if (zl_recode_object(&code, 0))
        return ZL_BAD_ITEM;
    *at = (const char *)code.at;
    return code.to - (unsigned char *)out;
}

/* ---- From CBOR to marshal ---- */

static int zl_take_head(zl_recode *code, unsigned *major, unsigned *info, uint64_t *n) {
    unsigned bytes;
    uint64_t big = 0;
    if (code->at >= code->end)
        return ZL_BAD_ITEM;
    *major = *code->at >> 5;
    *info = *code->at++ & 31;
    *n = *info;
    if (*info < 24)
        return 0;
    bytes = 1u << (*info - 24);
    if (*info > 27 || zl_left(code) < bytes)
        return ZL_BAD_ITEM;
    memcpy((char *)&big + sizeof big - bytes, code->at, bytes);
    code->at += bytes;
    *n = zl_big_endian(big);
    return 0;
}

static void zl_put32(zl_recode *code, unsigned char type, uint32_t n) {
    *code->to++ = type;
    zl_store32((char *)code->to, n);
    code->to += sizeof n;
}

/* An int of the absolute value n. */
static int zl_restore_int(zl_recode *code, uint64_t n, int negative) {
    unsigned char *head = code->to;
    uint32_t digits = 0;
    if (n <= INT32_MAX) {
        zl_put32(code, 'i', negative ? 0 - (uint32_t)n : (uint32_t)n);
        return 0;
    }
    for (code->to += 5; n; n >>= 15, digits++) {
        *code->to++ = (unsigned char)(n & 0xff);
        *code->to++ = (unsigned char)(n >> 8 & 0x7f);
    }
    *head = 'l';
    zl_store32((char *)head + 1, negative ? 0 - digits : digits);
    return 0;
}

static int zl_restore_string(zl_recode *code, unsigned char type, uint64_t len) {
    if (len > zl_left(code) || len > INT32_MAX || (type == 'u' && zl_has_surrogates((const char *)code->at, (size_t)len)))
        return ZL_BAD_ITEM;
    zl_put32(code, type, (uint32_t)len);
    memcpy(code->to, code->at, (size_t)len);
    code->to += len;
    code->at += len;
    return 0;
}

static int zl_restore_object(zl_recode *code, unsigned depth);

static int zl_restore_list(zl_recode *code, uint64_t count, unsigned depth) {
    if (count > zl_left(code) || count > INT32_MAX)
        return ZL_BAD_ITEM;
    for (zl_put32(code, '[', (uint32_t)count); count; count--)
        if (zl_restore_object(code, depth))
            return ZL_BAD_ITEM;
    return 0;
}

/* A key that is an array or a map would have to become a constant. */
static int zl_restore_dict(zl_recode *code, uint64_t count, unsigned depth) {
    unsigned major;
    for (*code->to++ = '{'; count; count--) {
        if (code->at >= code->end)
            return ZL_BAD_ITEM;
        major = *code->at >> 5;
        if (major == ZL_ARRAY || major == ZL_MAP || zl_restore_object(code, depth) || zl_restore_object(code, depth))
            return ZL_BAD_ITEM;
    }
    *code->to++ = '0';
    return 0;
}

static int zl_restore_simple(zl_recode *code, unsigned info, uint64_t n) {
    uint64_t little = __builtin_bswap64(zl_big_endian(n));
    switch (info) {
    case ZL_FALSE: *code->to++ = 'F'; return 0;
    case ZL_TRUE: *code->to++ = 'T'; return 0;
    case ZL_NULL: *code->to++ = 'N'; return 0;
    case ZL_DOUBLE:
        *code->to++ = 'g';
        memcpy(code->to, &little, sizeof little);
        code->to += sizeof little;
        return 0;
    default: return ZL_BAD_ITEM;
    }
}

static int zl_restore_object(zl_recode *code, unsigned depth) {
    unsigned major, info;
    uint64_t n;
    if (depth++ == ZL_DEPTH || zl_take_head(code, &major, &info, &n))
        return ZL_BAD_ITEM;
    switch (major) {
    case ZL_UINT: return zl_restore_int(code, n, 0);
    case ZL_NEGATIVE: return n == UINT64_MAX ? ZL_BAD_ITEM : zl_restore_int(code, n + 1, 1);
    case ZL_BYTES: return zl_restore_string(code, 's', n);
    case ZL_TEXT: return zl_restore_string(code, 'u', n);
    case ZL_ARRAY: return zl_restore_list(code, n, depth);
    case ZL_MAP: return zl_restore_dict(code, n, depth);
    case ZL_SIMPLE: return zl_restore_simple(code, info, n);
    default: return ZL_BAD_ITEM;
    }
}

/* Writes CBOR as a marshalled object; returns its length.  ZL_LARGE: it may need more than cap bytes. */
int64_t zl_cbor_decode(const char *data, size_t len, char *out, size_t cap) {
    zl_recode code = {(const unsigned char *)data, (const unsigned char *)data + len, (unsigned char *)out};
    if (cap / 5 < len) /* a byte of CBOR becomes five at most: a small int, or the head of a string */
        return ZL_LARGE;
    if (zl_restore_object(&code, 0) || code.at != code.end)
        return ZL_BAD_ITEM;
    return code.to - (unsigned char *)out;
}

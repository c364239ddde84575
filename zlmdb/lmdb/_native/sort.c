/* A radix sort: equal keys keep their order, and no input makes it slow.
 *
 * It looks at seven bytes of each key at a time.  A word has these, and in its last byte how many of them there are,
 * or that more follow; so words of keys compare as the keys do, and records whose words are equal and full are sorted
 * by the next seven bytes. */
#include "sort.h"

enum { ZL_WORD = 7, ZL_DIGITS = 256, ZL_FEW = 12 };

static uint64_t zl_word_at(const zl_cell *cell, uint32_t skip) {
    uint32_t left = cell->len - skip;
    uint64_t word = 0;
    if (left > ZL_WORD) { /* eight bytes can be read */
        memcpy(&word, cell->key + skip, sizeof word);
        return zl_big_endian(word) | (ZL_DIGITS - 1);
    }
    for (uint32_t i = 0; i < ZL_WORD; i++)
        word = word << 8 | (i < left ? (unsigned char)cell->key[skip + i] : 0);
    return word << 8 | left;
}

static int zl_word_full(uint64_t word) { return (word & (ZL_DIGITS - 1)) == ZL_DIGITS - 1; }

static void zl_sort_few(zl_cell *cells, uint32_t count) {
    uint32_t i, at;
    for (i = 1; i < count; i++) {
        zl_cell cell = cells[i];
        for (at = i; at && zl_key_order(&cells[at - 1], &cell) > 0; at--)
            cells[at] = cells[at - 1];
        cells[at] = cell;
    }
}

/* One pass: stable, by one byte of the words. */
static void zl_sort_digit(const zl_cell *from, zl_cell *to, uint32_t count, int shift) {
    uint32_t place[ZL_DIGITS] = {0}, i, sum = 0, n;
    for (i = 0; i < count; i++)
        place[from[i].word >> shift & (ZL_DIGITS - 1)]++;
    for (i = 0; i < ZL_DIGITS; i++) {
        n = place[i];
        place[i] = sum;
        sum += n;
    }
    for (i = 0; i < count; i++)
        to[place[from[i].word >> shift & (ZL_DIGITS - 1)]++] = from[i];
}

/* Sorts by the words, in as many passes as they have bytes that differ. */
static void zl_sort_words(zl_cell *cells, zl_cell *spare, uint32_t count) {
    uint64_t differ = 0;
    zl_cell *from = cells, *to = spare, *other;
    uint32_t i;
    int shift, ordered = 1;

    for (i = 1; i < count; i++) {
        differ |= cells[i].word ^ cells[0].word;
        ordered &= cells[i - 1].word <= cells[i].word;
    }
    for (shift = 0; shift < 64 && !ordered; shift += 8) {
        if (!(differ >> shift & (ZL_DIGITS - 1)))
            continue;
        zl_sort_digit(from, to, count, shift);
        other = from;
        from = to;
        to = other;
    }
    if (from != cells)
        memcpy(cells, from, count * sizeof *cells);
}

/* Sorts records whose keys have their first `skip` bytes in common. */
static void zl_sort_from(zl_cell *cells, zl_cell *spare, uint32_t count, uint32_t skip) {
    uint32_t begin, end;

    if (count <= ZL_FEW) {
        zl_sort_few(cells, count);
        return;
    }
    for (begin = 0; begin < count; begin++)
        cells[begin].word = zl_word_at(&cells[begin], skip);
    zl_sort_words(cells, spare, count);
    for (begin = 0; begin < count; begin = end) {
        for (end = begin + 1; end < count && cells[end].word == cells[begin].word; end++)
            ;
        if (end - begin > 1 && zl_word_full(cells[begin].word))
            zl_sort_from(cells + begin, spare, end - begin, skip + ZL_WORD);
    }
}

/* Sorts by key as memcmp() does; equal keys keep their order.  `spare` has room for as many. */
void zl_sort(zl_cell *cells, zl_cell *spare, uint32_t count) { zl_sort_from(cells, spare, count, 0); }

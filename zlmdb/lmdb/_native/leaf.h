/* Part of engine.c: scans walk a leaf page here, without LMDB's care for each record. */

enum { ZL_LINE = 64 }; /* bytes that the processor fetches at a time */

/* The next leaf page, fetched into the cache little by little while this one is read. */
typedef struct zl_fetch {
    const char *at, *until;
    size_t stride; /* bytes for each record that is read; 0 if there is no next page */
} zl_fetch;

static inline void zl_fetch_on(zl_fetch *fetch) {
    for (fetch->until += fetch->stride; fetch->at < fetch->until; fetch->at += ZL_LINE)
        __builtin_prefetch(fetch->at);
}

static void zl_fetch_begin(zl_fetch *fetch, MDB_cursor *mc, int step, unsigned records) {
    MDB_env *env = mc->mc_txn->mt_env;
    MDB_page *parent;
    unsigned at;

    *fetch = (zl_fetch){0};
    if (!mc->mc_top)
        return;
    parent = mc->mc_pg[mc->mc_top - 1];
    at = mc->mc_ki[mc->mc_top - 1] + step;
    if (at >= NUMKEYS(parent) || MP_PTRS(parent)[at] + PAGEBASE + NODESIZE > env->me_psize)
        return;
    fetch->at = fetch->until = env->me_map + env->me_psize * NODEPGNO(NODEPTR(parent, at));
    fetch->stride = env->me_psize / records + 1;
}

/* A scan begins in the middle of a page that is in no cache yet: ask for all of it at once. */
static void zl_fetch_whole(const MDB_page *mp, size_t psize) {
    const char *at = (const char *)mp, *end = at + psize;
    for (; at < end; at += ZL_LINE)
        __builtin_prefetch(at);
}

/* Key and value of a node of a leaf page, read with as much care as a damaged page needs; 0 if it is not a plain
 * record in the page. */
static inline int zl_plain_node(const MDB_page *mp, unsigned at, size_t psize, int with_value, MDB_val *key, MDB_val *val) {
    const char *end = (const char *)mp + psize;
    const MDB_node *node;

    if (MP_PTRS(mp)[at] + PAGEBASE + NODESIZE > psize)
        return 0;
    node = NODEPTR(mp, at);
    if (node->mn_flags & (with_value ? -1 : ~F_BIGDATA))
        return 0;
    *key = (MDB_val){NODEKSZ(node), NODEKEY(node)};
    *val = (MDB_val){with_value ? NODEDSZ(node) : 0, NODEDATA(node)};
    return (const char *)val->mv_data <= end && val->mv_size <= (size_t)(end - (const char *)val->mv_data);
}

static int zl_key_beyond(const zl_cursor *cursor, MDB_cmp_func *cmp, const MDB_val *key) {
    MDB_val limit = {cursor->limit_len, cursor->limit};
    int order = cmp(&limit, key);
    return cursor->bound == ZL_BOUND_BELOW ? order <= 0 : order > 0;
}

/* Whether the bound may end the scan on this page: if its last record is within, so is every other. */
static int zl_leaf_bounded(MDB_cursor *mc, const zl_fill *fill, unsigned count) {
    MDB_val key, val;
    unsigned last = fill->step > 0 ? count - 1 : 0;
    if (!fill->cursor->bound)
        return 0;
    return !zl_plain_node(mc->mc_pg[mc->mc_top], last, mc->mc_txn->mt_env->me_psize, 0, &key, &val) ||
           zl_key_beyond(fill->cursor, mc->mc_dbx->md_cmp, &key);
}

/* Delivers the records that follow the cursor's on its leaf page, and moves it to the last of them.  Stops before
 * whatever needs LMDB's care: duplicates, values on other pages, the page's end, a damaged node. */
static void zl_leaf_fill(MDB_cursor *mc, zl_fill *fill) {
    MDB_page *mp = mc->mc_pg[mc->mc_top];
    size_t psize = mc->mc_txn->mt_env->me_psize;
    unsigned at = mc->mc_ki[mc->mc_top], count = NUMKEYS(mp);
    zl_fetch fetch;
    int bounded;

    if (mc->mc_xcursor || !count || !IS_LEAF(mp) || IS_LEAF2(mp))
        return;
    if (fill->n == 1)
        zl_fetch_whole(mp, psize);
    bounded = zl_leaf_bounded(mc, fill, count);
    zl_fetch_begin(&fetch, mc, fill->step, count);
    while (fill->n < fill->most) {
        MDB_val key, val;
        at += fill->step;
        if (at >= count || !zl_plain_node(mp, at, psize, fill->what & ZL_VALUES, &key, &val))
            break;
        zl_fetch_on(&fetch);
        if (bounded && zl_key_beyond(fill->cursor, mc->mc_dbx->md_cmp, &key))
            break;
        if (!zl_fill_add(fill, &key, &val, (char *)mp + psize))
            break;
        mc->mc_ki[mc->mc_top] = at;
    }
}

/* Whether the cursor, which has found a key of the main database, stands on the record of a named one. */
static int zl_cursor_is_db(MDB_cursor *mc) {
    const MDB_page *mp = mc->mc_pg[mc->mc_top];
    return (NODEPTR(mp, mc->mc_ki[mc->mc_top])->mn_flags & (F_DUPDATA | F_SUBDATA)) == F_SUBDATA;
}

/* Part of engine.c: look-ups of many keys that go down the tree together.  Each page down and each comparison in a leaf
 * of one leaves the others time to get what they need next into the processor's cache, which is what a single look-up
 * spends most of its time on. */

typedef struct zl_probe {
    const MDB_val *key;
    zl_found *found;
    pgno_t pgno;
    MDB_page *leaf; /* NULL: go to page pgno first */
    int low, high;  /* what remains to be searched of the leaf */
    unsigned depth;
} zl_probe;

static void zl_fetch_page(const MDB_env *env, pgno_t pgno) {
    const char *page = env->me_map + env->me_psize * pgno;
    int line;
    for (line = 0; line < 3; line++)
        __builtin_prefetch(page + line * ZL_LINE);
}

static void zl_probe_fetch_node(const zl_probe *probe) {
    __builtin_prefetch(NODEPTR(probe->leaf, (probe->low + probe->high) >> 1));
}

/* Searches a branch page whole: these are few, and in the cache most of the time. */
static void zl_probe_descend(MDB_cursor *mc, zl_probe *probe, MDB_page *branch) {
    unsigned at;
    int order = zl_search_words(mc, branch, probe->key, 1, (int)NUMKEYS(branch) - 1, &at);
    probe->pgno = NODEPGNO(NODEPTR(branch, order < 0 ? at - 1 : at));
    zl_fetch_page(mc->mc_txn->mt_env, probe->pgno);
}

static int zl_probe_enter(MDB_cursor *mc, zl_probe *probe) {
    MDB_page *page;
    int rc = zl_page_get(mc, probe->pgno, &page);
    if (rc)
        return rc;
    if (IS_LEAF2(page) || !(IS_LEAF(page) || IS_BRANCH(page)) || ++probe->depth > CURSOR_STACK)
        return MDB_CORRUPTED;
    if (NUMKEYS(page) < (IS_LEAF(page) ? 1 : 2))
        return MDB_CORRUPTED;
    if (IS_BRANCH(page)) {
        zl_probe_descend(mc, probe, page);
        return 0;
    }
    probe->leaf = page;
    probe->low = 0;
    probe->high = (int)NUMKEYS(page) - 1;
    zl_probe_fetch_node(probe);
    return 0;
}

/* What the leaf says.  Values on other pages are left to LMDB. */
static int zl_probe_found(MDB_cursor *mc, zl_probe *probe, MDB_node *node, int values) {
    if (node->mn_flags & (values ? -1 : ~F_BIGDATA)) {
        MDB_val key = *probe->key;
        return mdb_get(mc->mc_txn, mc->mc_dbi, &key, &probe->found->val);
    }
    probe->found->val = (MDB_val){values ? NODEDSZ(node) : 0, NODEDATA(node)};
    __builtin_prefetch(probe->found->val.mv_data);
    __builtin_prefetch((char *)probe->found->val.mv_data + ZL_LINE);
    return 0;
}

/* One page down, or one comparison in a leaf; 1 when the outcome is found. */
static inline int zl_probe_step(MDB_cursor *mc, zl_probe *probe, int values) {
    MDB_node *node;
    int at, order;

    if (!probe->leaf) {
        probe->found->rc = zl_probe_enter(mc, probe);
        return probe->found->rc != 0;
    }
    at = (probe->low + probe->high) >> 1;
    node = NODEPTR(probe->leaf, at);
    order = zl_cmp_words(probe->key, NODEKEY(node), NODEKSZ(node));
    if (order > 0)
        probe->low = at + 1;
    else
        probe->high = at - 1;
    if (order && probe->low <= probe->high) {
        zl_probe_fetch_node(probe);
        return 0;
    }
    probe->found->rc = order ? MDB_NOTFOUND : zl_probe_found(mc, probe, node, values);
    return 1;
}

static void zl_probe_all(MDB_cursor *mc, zl_probe *probes, unsigned n, int values) {
    zl_probe *live[ZL_GROUP];
    unsigned i, left;

    for (i = 0; i < n; i++)
        live[i] = &probes[i];
    for (; n; n = left)
        for (i = left = 0; i < n; i++)
            if (!zl_probe_step(mc, live[i], values))
                live[left++] = live[i];
}

/* Looks up to ZL_GROUP keys up, as mdb_get() would each; 0 if the database is not one for which that is implemented. */
static int zl_find_many(MDB_txn *txn, MDB_dbi dbi, const MDB_val *keys, unsigned n, int values, zl_found *found) {
    zl_probe probes[ZL_GROUP];
    MDB_cursor mc;
    unsigned i;

    if (!TXN_DBI_EXIST(txn, dbi, DB_USRVALID) || (txn->mt_flags & MDB_TXN_BLOCKED) || TXN_DBI_CHANGED(txn, dbi))
        return 0;
    if ((txn->mt_dbs[dbi].md_flags & MDB_DUPSORT) || txn->mt_dbxs[dbi].md_cmp != mdb_cmp_memn)
        return 0;
    mdb_cursor_init(&mc, txn, dbi, NULL);
    if ((*mc.mc_dbflag & DB_STALE) || mc.mc_db->md_root < NUM_METAS || mc.mc_db->md_root == P_INVALID)
        return 0;
    for (i = 0; i < n; i++) {
        if (!keys[i].mv_size)
            return 0;
        probes[i] = (zl_probe){.key = &keys[i], .found = &found[i], .pgno = mc.mc_db->md_root};
    }
    zl_probe_all(&mc, probes, n, values);
    return 1;
}

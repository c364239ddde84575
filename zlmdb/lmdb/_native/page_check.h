/* Pages are checked when they are first read from the file.
 *
 * LMDB believes what a page says: a damaged or forged one leads it out of the page, the file, or its own memory.  So
 * mdb_page_get() has each page of the map checked in full before its first use: its number and kind, its bounds, and
 * every node and sub-page on it.  What the page was found fit for is remembered, one byte a page, which is all that
 * later uses look at.  Pages that this process has written are known to be sound.
 *
 * Included by engine.c after mdb.c. */

/* What a page is fit for.  An overflow page is fit for any tree to refer to. */
enum {
    ZL_FOR_PLAIN = 1,        /* the tree of a database without duplicates */
    ZL_FOR_DUPS = 2,         /* of a dupsort database */
    ZL_FOR_FIXED = 4,        /* of a dupfixed database */
    ZL_FOR_VALUES = 8,       /* of the values of one key in a dupsort database */
    ZL_FOR_FIXED_VALUES = 16, /* in a dupfixed database */
    ZL_FOR_FREE = 32,        /* of the free pages */
    ZL_FOR_ANY = 63
};

#if ZL_ENGINE == 0
#define ZL_OVERFLOW_REF sizeof(pgno_t) /* what the node of an overflow value holds */
#define ZL_LEAF_NODE(ksize, dsize) EVEN(NODESIZE + (size_t)(ksize) + (dsize))
#else
#define ZL_OVERFLOW_REF sizeof(MDB_ovpage)
#define ZL_LEAF_NODE(ksize, dsize) (NODESIZE + EVEN((size_t)(ksize)) + EVEN((size_t)(dsize)))
#endif
#define ZL_BRANCH_NODE(ksize) EVEN(NODESIZE + (size_t)(ksize))

/* ---- The record of what pages are fit for ---- */

enum { ZL_CHUNK_PAGES = 1 << 14 };

/* For a map of so many pages. Returns whether there is memory for it. */
static int zl_pages_begin(zl_env *zenv, size_t pages) {
    zenv->page_chunks = pages / ZL_CHUNK_PAGES + 1;
    zenv->page_uses = calloc(zenv->page_chunks, sizeof *zenv->page_uses);
    if (!zenv->page_uses)
        zenv->page_chunks = 0;
    return zenv->page_uses != NULL;
}

static void zl_pages_end(zl_env *zenv) {
    size_t i;
    for (i = 0; i < zenv->page_chunks; i++)
        free(zenv->page_uses[i]);
    free(zenv->page_uses);
    zenv->page_uses = NULL;
    zenv->page_chunks = 0;
}

static void zl_pages_forget(zl_env *zenv) {
    size_t i;
    for (i = 0; i < zenv->page_chunks; i++)
        if (zenv->page_uses[i])
            memset(zenv->page_uses[i], 0, ZL_CHUNK_PAGES);
}

static unsigned char *zl_page_entry(const zl_env *zenv, pgno_t pgno) {
    unsigned char *chunk;
    if (pgno / ZL_CHUNK_PAGES >= zenv->page_chunks)
        return NULL;
    chunk = __atomic_load_n(&zenv->page_uses[pgno / ZL_CHUNK_PAGES], __ATOMIC_ACQUIRE);
    return chunk ? chunk + pgno % ZL_CHUNK_PAGES : NULL;
}

/* Returns 0 or ENOMEM: it is checked again then. */
static int zl_page_remember(zl_env *zenv, pgno_t pgno, unsigned uses) {
    unsigned char *entry = zl_page_entry(zenv, pgno), *chunk, *none = NULL;
    if (!entry && pgno / ZL_CHUNK_PAGES < zenv->page_chunks && (chunk = calloc(1, ZL_CHUNK_PAGES)) != NULL) {
        if (!__atomic_compare_exchange_n(&zenv->page_uses[pgno / ZL_CHUNK_PAGES], &none, chunk, 0, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE))
            free(chunk); /* another thread was faster */
        entry = zl_page_entry(zenv, pgno);
    }
    if (!entry)
        return ENOMEM;
    __atomic_store_n(entry, (unsigned char)uses, __ATOMIC_RELAXED);
    return 0;
}

/* ---- Nodes, none of which may overlap another ---- */

typedef struct zl_claims {
    uint64_t taken[MAX_PAGESIZE / 2 / 64]; /* a bit for every two bytes */
    unsigned from, to;
} zl_claims;

static void zl_claims_begin(zl_claims *claims, unsigned from, unsigned to) {
    claims->from = from;
    claims->to = to;
    memset(claims->taken, 0, ((size_t)to + 127) / 128 * sizeof *claims->taken);
}

static int zl_claim(zl_claims *claims, size_t from, size_t size) {
    size_t bit = from / 2, end = (from + size) / 2;
    if (from < claims->from || from % 2 || size > claims->to - from)
        return 0;
    while (bit < end) {
        size_t n = 64 - bit % 64 < end - bit ? 64 - bit % 64 : end - bit;
        uint64_t mask = (n == 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1) << bit % 64;
        if (claims->taken[bit / 64] & mask)
            return 0;
        claims->taken[bit / 64] |= mask;
        bit += n;
    }
    return 1;
}

/* The node at an index of a page that ends at `end`, if its header and key are inside. */
static const MDB_node *zl_node(const MDB_page *mp, unsigned index, size_t end) {
    size_t at = (size_t)MP_PTRS(mp)[index] + PAGEBASE;
    const MDB_node *node = (const MDB_node *)((const char *)mp + at);
    if (at % 2 || at + NODESIZE > end || at + NODESIZE + node->mn_ksize > end)
        return NULL;
    return node;
}

/* ---- Kinds of pages ---- */

/* Number of nodes of a page or sub-page of `size` bytes; 0 if its bounds are wrong. */
static unsigned zl_page_keys(const MDB_page *mp, size_t size) {
    unsigned lower = MP_LOWER(mp), upper = MP_UPPER(mp);
    if (lower < PAGEHDRSZ - PAGEBASE || lower % 2 || lower > upper || upper + PAGEBASE > size)
        return 0;
    return NUMKEYS(mp);
}

static int zl_leaf2_sound(const MDB_page *mp, size_t size) {
    size_t keys = NUMKEYS(mp), space = size - PAGEHDRSZ;
    return MP_LOWER(mp) >= PAGEHDRSZ - PAGEBASE && MP_LOWER(mp) % 2 == 0 && keys && MP_PAD(mp) &&
           keys * MP_PAD(mp) + SIZELEFT(mp) <= space;
}

/* Values of a key, kept on the page of the key. */
static unsigned zl_subpage_fits(const MDB_page *sp, size_t size) {
    zl_claims claims;
    unsigned i, keys;

    if (size < PAGEHDRSZ || (MP_FLAGS(sp) & (P_BRANCH | P_LEAF | P_OVERFLOW | P_META | P_SUBP)) != (P_LEAF | P_SUBP))
        return 0;
    if (IS_LEAF2(sp))
        return zl_leaf2_sound(sp, size) ? ZL_FOR_FIXED : 0;
    if (!(keys = zl_page_keys(sp, size)))
        return 0;
    zl_claims_begin(&claims, MP_UPPER(sp) + PAGEBASE, (unsigned)size);
    for (i = 0; i < keys; i++) {
        const MDB_node *node = zl_node(sp, i, size);
        if (!node || node->mn_flags || NODEDSZ(node))
            return 0;
        /* the last one of an uneven sub-page may lack its padding */
        if (!zl_claim(&claims, (const char *)node - (const char *)sp, (NODESIZE + node->mn_ksize) & ~(size_t)1))
            return 0;
    }
    return ZL_FOR_DUPS;
}

/* A tree of the values of a key. */
static unsigned zl_subtree_fits(const MDB_node *node) {
    MDB_db db;
    if (NODEDSZ(node) != sizeof db)
        return 0;
    memcpy(&db, NODEDATA(node), sizeof db);
    if ((db.md_flags & ~(MDB_DUPFIXED | MDB_INTEGERKEY)) || db.md_depth > CURSOR_STACK)
        return 0;
    if (!(db.md_flags & MDB_DUPFIXED))
        return ZL_FOR_DUPS;
    return db.md_pad ? ZL_FOR_FIXED : 0;
}

static unsigned zl_leaf_node_fits(const MDB_node *node) {
    unsigned size = NODEDSZ(node), free = node->mn_ksize == sizeof(txnid_t) && size >= sizeof(MDB_ID) ? ZL_FOR_FREE : 0;

    switch (node->mn_flags) {
    case 0:
        return ZL_FOR_PLAIN | ZL_FOR_DUPS | ZL_FOR_FIXED | free | (size ? 0 : ZL_FOR_VALUES);
    case F_BIGDATA:
        return ZL_FOR_PLAIN | free;
    case F_SUBDATA:
        return size == sizeof(MDB_db) ? ZL_FOR_PLAIN : 0;
    case F_DUPDATA:
        return zl_subpage_fits(NODEDATA(node), size);
    case F_DUPDATA | F_SUBDATA:
        return zl_subtree_fits(node);
    default:
        return 0;
    }
}

static unsigned zl_leaf_fits(const MDB_page *mp, size_t psize) {
    zl_claims claims;
    unsigned i, keys = zl_page_keys(mp, psize), uses = keys ? ZL_FOR_ANY : 0;

    zl_claims_begin(&claims, MP_UPPER(mp) + PAGEBASE, (unsigned)psize);
    for (i = 0; i < keys && uses; i++) {
        const MDB_node *node = zl_node(mp, i, psize);
        size_t data;
        if (!node)
            return 0;
        data = node->mn_flags & F_BIGDATA ? ZL_OVERFLOW_REF : NODEDSZ(node);
        if (!zl_claim(&claims, (const char *)node - (const char *)mp, ZL_LEAF_NODE(node->mn_ksize, data)))
            return 0;
        uses &= zl_leaf_node_fits(node);
    }
    return uses;
}

static unsigned zl_branch_fits(const MDB_page *mp, size_t psize, pgno_t pages) {
    zl_claims claims;
    unsigned i, keys = zl_page_keys(mp, psize), uses = keys > 1 ? ZL_FOR_ANY : keys ? ZL_FOR_FREE : 0;

    zl_claims_begin(&claims, MP_UPPER(mp) + PAGEBASE, (unsigned)psize);
    for (i = 0; i < keys; i++) {
        const MDB_node *node = zl_node(mp, i, psize);
        if (!node || NODEPGNO(node) < NUM_METAS || NODEPGNO(node) >= pages)
            return 0;
        if (!zl_claim(&claims, (const char *)node - (const char *)mp, ZL_BRANCH_NODE(node->mn_ksize)))
            return 0;
        if (node->mn_ksize != sizeof(txnid_t) && (i || node->mn_ksize)) /* the first key is not used, and mostly empty */
            uses &= ~ZL_FOR_FREE;
    }
    return uses;
}

/* What the page is fit for; 0 if it is not what LMDB writes. */
static unsigned zl_page_fits(MDB_txn *txn, const MDB_page *mp, pgno_t pgno) {
    size_t psize = txn->mt_env->me_psize;
    if (mp->mp_pgno != pgno)
        return 0;
    switch (mp->mp_flags) {
    case P_BRANCH:
        return zl_branch_fits(mp, psize, txn->mt_next_pgno);
    case P_LEAF:
        return zl_leaf_fits(mp, psize);
    case P_LEAF | P_LEAF2:
        return zl_leaf2_sound(mp, psize) ? ZL_FOR_FIXED_VALUES : 0;
    case P_OVERFLOW:
        return mp->mp_pages && mp->mp_pages <= txn->mt_next_pgno - pgno ? ZL_FOR_ANY : 0;
    default:
        return 0;
    }
}

/* ---- What the patched mdb.c asks for ---- */

static unsigned zl_use(const MDB_cursor *mc) {
    unsigned flags = mc->mc_db->md_flags;
    if (mc->mc_flags & C_SUB)
        return flags & MDB_DUPFIXED ? ZL_FOR_FIXED_VALUES : ZL_FOR_VALUES;
    if (mc->mc_dbi == FREE_DBI)
        return ZL_FOR_FREE;
    return flags & MDB_DUPFIXED ? ZL_FOR_FIXED : flags & MDB_DUPSORT ? ZL_FOR_DUPS : ZL_FOR_PLAIN;
}

/* 0 if the file has the page, MDB_PAGE_NOTFOUND if not; or why nobody can tell. */
static int zl_beyond_file(MDB_env *env, size_t page) {
    struct stat st;
    if (page < ZL_FILE_PAGES(env))
        return 0;
    if (fstat(env->me_fd, &st))
        return errno;
    ZL_FILE_PAGES(env) = (size_t)st.st_size / env->me_psize;
    return page < ZL_FILE_PAGES(env) ? 0 : MDB_PAGE_NOTFOUND;
}

static int zl_page_examine(MDB_cursor *mc, pgno_t pgno) {
    MDB_txn *txn = mc->mc_txn;
    MDB_env *env = txn->mt_env;
    unsigned uses;
    int rc = zl_beyond_file(env, pgno);

    if (rc)
        return rc;
    uses = zl_page_fits(txn, (MDB_page *)(env->me_map + env->me_psize * pgno), pgno);
    zl_page_remember(zl_env_of(env), pgno, uses);
    return uses & zl_use(mc) ? MDB_SUCCESS : MDB_CORRUPTED;
}

static int zl_page_check(MDB_cursor *mc, size_t pgno) {
    const unsigned char *entry = zl_page_entry(zl_env_of(mc->mc_txn->mt_env), pgno);
    if (entry && __atomic_load_n(entry, __ATOMIC_RELAXED) & zl_use(mc))
        return MDB_SUCCESS;
    return zl_page_examine(mc, pgno);
}

/* Returns 0 or ENOMEM. With MDB_WRITEMAP they have to be known: what LMDB 0.9 marks in them while it writes is refused in
 * pages of the file. */
static int zl_page_written(MDB_env *env, size_t pgno, size_t count) {
    int rc = zl_page_remember(zl_env_of(env), pgno, ZL_FOR_ANY);
    while (--count && rc == 0) /* the rest is an overflow value's */
        rc = zl_page_remember(zl_env_of(env), ++pgno, 0);
    return rc;
}
static void zl_pages_undone(MDB_env *env) { zl_pages_forget(zl_env_of(env)); }

static int zl_bad_overflow(MDB_txn *txn, const void *head, size_t pgno, size_t pages) {
    const MDB_page *mp = head;
    MDB_env *env = txn->mt_env;

    if (!IS_OVERFLOW(mp) || mp->mp_pages < pages || pages > txn->mt_next_pgno || pgno > txn->mt_next_pgno - pages)
        return 1;
    return zl_in_map(env, head, 1) && zl_beyond_file(env, pgno + pages - 1) == MDB_PAGE_NOTFOUND;
}

/* Free pages are listed in descending order, each once. */
static int zl_bad_free_list(const size_t *list) {
    size_t i;
    for (i = 2; i <= list[0]; i++)
        if (list[i] >= list[i - 1])
            return 1;
    return 0;
}

/* Whether a page listed as free is a root, or where the cursor at work stands.  Only with MDB_WRITEMAP would it change
 * there. */
static int zl_page_in_use(const MDB_cursor *mc, size_t page, size_t count) {
    const MDB_txn *txn = mc->mc_txn;
    unsigned i;

    if (!(txn->mt_env->me_flags & MDB_WRITEMAP))
        return 0;
    for (i = 0; i < txn->mt_numdbs; i++)
        if ((txn->mt_dbflags[i] & (DB_VALID | DB_STALE)) == DB_VALID && txn->mt_dbs[i].md_root - page < count)
            return 1;
    for (i = 0; mc->mc_flags & C_INITIALIZED && i < mc->mc_snum; i++)
        if (mc->mc_pg[i]->mp_pgno - page < count)
            return 1;
    return 0;
}

/* Whether the list of pages that a transaction has given up goes on with a page, or ends, as their number says. */
static int zl_loose_ok(const MDB_txn *txn, const void *page, int left) {
    MDB_env *env = txn->mt_env;
    if (!page || left <= 0)
        return !page && left == 0;
    if (!(env->me_flags & MDB_WRITEMAP))
        return 1;
    return zl_in_map(env, page, env->me_psize) && ((const char *)page - env->me_map) % env->me_psize == 0;
}

/* Whether a page about to be pushed is a leaf where the tree's depth wants a branch, or the other way around. */
static int zl_bad_level(const MDB_cursor *mc, const void *page) {
    const MDB_page *mp = page;
    return (mc->mc_snum + 1 < mc->mc_db->md_depth) != (IS_BRANCH(mp) != 0) || !(IS_BRANCH(mp) || IS_LEAF(mp));
}

/* An assertion of LMDB has failed: forget its temporary cursors, which live on the stack about to be unwound, and let
 * the transaction only abort. */
static int zl_txn_failed(MDB_txn *txn) {
    const char *top = (const char *)__builtin_frame_address(0), *bottom = (const char *)zl_current.trap;
    MDB_cursor **link;
    unsigned i;

    txn->mt_flags |= MDB_TXN_ERROR;
    if (!txn->mt_cursors || F_ISSET(txn->mt_flags, MDB_TXN_RDONLY))
        return 0;
    for (i = 0; i < txn->mt_numdbs; i++)
        for (link = &txn->mt_cursors[i]; *link;)
            if ((const char *)*link > top && (const char *)*link < bottom)
                *link = (*link)->mc_next;
            else
                link = &(*link)->mc_next;
    return 0;
}

/* The functions that Python calls, described where they are defined.  Read by the C compiler (glue.h includes it)
 * and by cffi, which allows no preprocessor lines here. */

typedef struct zl_env zl_env;
typedef struct zl_txn zl_txn;
typedef struct zl_cursor zl_cursor;
typedef struct zl_map zl_map;
typedef struct zl_directory zl_directory;

/* Memory of LMDB's, to be read while it is pinned. */
typedef struct zl_view {
    const char *key;
    size_t klen;
    const char *val;
    size_t vlen;
    zl_txn *pinned; /* until zl_unpin() */
} zl_view;

/* Memory that C fills with byte strings in one of two formats; see pack.h. */
typedef struct zl_chunk {
    char *data;
    size_t cap;        /* of data, which has ZL_SLACK bytes more */
    uint32_t *lengths; /* for the plain format; NULL for the marshal format */
    uint32_t count;    /* of byte strings written */
    uint64_t *places;  /* for views: where each begins and ends, in bytes from the beginning of the map */
} zl_chunk;

/* How records become bytes; see plan.h. */
typedef struct zl_layouts {
    const char *data;
    size_t len;
    unsigned count;
} zl_layouts;

/* env.c */
void zl_init(void);
int zl_version(int major, int *version);
const char *zl_strerror(int rc);
void zl_free(void *memory);
zl_env *zl_env_alloc(size_t size);
int zl_env_new(zl_env *env, int major, size_t map_reserve, unsigned max_spares);
int zl_env_configure(zl_env *env, size_t map_size, unsigned max_readers, unsigned max_dbs);
int zl_env_open(zl_env *env, const char *path, unsigned flags, unsigned mode);
int zl_env_open_main(zl_env *env, unsigned *flags);
int zl_env_shut(zl_env *env);
void zl_env_close(zl_env *env);
void zl_env_drop(zl_env *env);
int zl_env_is_foreign(zl_env *env);
void zl_env_refuse(zl_env *env);
uint64_t zl_env_number(zl_env *env);
int zl_env_exists(uint64_t number);
int zl_env_resize_begin(zl_env *env);
int zl_env_resize_end(zl_env *env, size_t map_size, int keep_former);
int zl_env_stat(zl_env *env, uint64_t *out);
int zl_env_info(zl_env *env, uint64_t *out);
int zl_env_flags(zl_env *env, unsigned *out);
int zl_env_max_readers(zl_env *env, unsigned *out);
int zl_env_max_key_size(zl_env *env, int *out);
int zl_env_fd(zl_env *env, int *fd);
int zl_env_sync(zl_env *env, int force);
int zl_env_reader_check(zl_env *env, int *dead);
int zl_env_readers(zl_env *env, char **out);
int zl_env_copy(zl_env *env, const char *path, int fd, unsigned flags, zl_txn *txn);

/* txn.c */
zl_txn *zl_txn_new(zl_env *env, size_t size);
void zl_txn_drop(zl_txn *txn);
zl_txn *zl_txn_closed(void);
char *zl_txn_arena(zl_txn *txn);
int zl_txn_begin(zl_txn *txn, zl_txn *parent, int write, unsigned dbi);
int zl_txn_begin_read(zl_txn *txn);
int zl_txn_commit(zl_txn *txn);
int zl_txn_in_doubt(const zl_txn *txn);
int zl_txn_abort(zl_txn *txn);
uint64_t zl_txn_turn(zl_txn *txn);
int zl_txn_fate(zl_txn *txn, uint64_t turn);
int64_t zl_get_once(zl_txn *txn, const char *key, uint64_t klen);
int64_t zl_txn_id(zl_txn *txn);
int64_t zl_txn_uses(zl_txn *txn);
int zl_txn_stat(zl_txn *txn, unsigned dbi, uint64_t *out);
int64_t zl_stable_at(zl_txn *txn, const char *pinned);
void zl_unpin(zl_view *view);
int zl_dbi_turn(zl_txn *txn);
int zl_dbi_open(zl_txn *txn, const char *name, unsigned flags, unsigned *dbi, unsigned *got);
int zl_names_db(zl_txn *txn, const char *key, size_t klen, int *result);
int zl_drop(zl_txn *txn, unsigned dbi, int del);
int64_t zl_get(zl_txn *txn, const char *key, uint64_t klen);
int64_t zl_get_place(zl_txn *txn, const char *key, uint64_t klen);
int64_t zl_get_plain(zl_txn *txn, const char *key, uint64_t klen);
int zl_get_pin(zl_txn *txn, const char *key, uint64_t klen, zl_view *out);
int zl_put(zl_txn *txn, const char *key, uint64_t klen, const char *val, uint64_t vlen);
int zl_del(zl_txn *txn, const char *key, uint64_t klen, const char *val, size_t vlen);

/* cursor.c */
zl_cursor *zl_cursor_alloc(size_t size);
int zl_cursor_open(zl_cursor *cursor, zl_txn *txn, unsigned dbi);
void zl_cursor_close(zl_cursor *cursor);
void zl_cursor_free(zl_cursor *cursor);
int zl_cursor_move(zl_cursor *cursor, int op);
int zl_cursor_start(zl_cursor *cursor, int op);
int zl_cursor_seek(zl_cursor *cursor, int op, const char *key, size_t klen);
int zl_cursor_seek_pair(zl_cursor *cursor, int op, const char *key, size_t klen, const char *val, size_t vlen);
int64_t zl_cursor_read(zl_cursor *cursor, int what);
int64_t zl_cursor_place(zl_cursor *cursor, int what);
int zl_cursor_pin(zl_cursor *cursor, int what, zl_view *out);
int zl_cursor_put(zl_cursor *cursor, const char *key, size_t klen, const char *val, size_t vlen, unsigned flags);
int zl_cursor_del(zl_cursor *cursor, unsigned flags);
int zl_cursor_count(zl_cursor *cursor, size_t *count);
int zl_compare(zl_txn *txn, unsigned dbi, const char *a, size_t alen, const char *b, size_t blen, int *result);

/* bulk.c, store.c */
int zl_cursor_bound(zl_cursor *cursor, int bound, const char *limit, size_t len);
int64_t zl_cursor_fill(zl_cursor *cursor, zl_chunk *chunk, int what, int op, uint32_t most);
int zl_cursor_rewind(zl_cursor *cursor, int op, uint32_t steps);
int zl_get_many(zl_txn *txn, unsigned dbi, const char *keys, size_t len, size_t *at, uint32_t *left, int what,
                zl_chunk *chunk, uint32_t *found);
int zl_cursor_multiple(zl_cursor *cursor, int op, zl_view *out);
int zl_put_many(zl_cursor *cursor, const char *data, size_t len, const uint32_t *lengths, uint32_t count, unsigned flags,
                uint32_t *result);
int64_t zl_put_records(zl_txn *txn, const char *data, size_t len, unsigned flags);

/* views.c */
zl_map *zl_map_take(zl_env *env, size_t size);
void zl_map_leave(zl_map *map);
int zl_env_map_size(zl_env *env, size_t *size);

/* directory.c */
zl_directory *zl_directory_alloc(size_t size);
int zl_directory_own(zl_directory *directory, const char *path);
void zl_directory_remove(zl_directory *directory);

/* plan.c, plan_many.c */
int64_t zl_put_planned(zl_txn *txn, const zl_layouts *layouts, const char *data, size_t len, unsigned flags);
int64_t zl_put_many_planned(zl_txn *txn, const zl_layouts *layouts, const char *data, size_t len, unsigned flags,
                            uint32_t rows);

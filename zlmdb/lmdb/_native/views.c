/* What memoryviews on the map need: as long as something exports it to them, its addresses stay readable. */
#include "glue.h"
#include <sys/mman.h>

typedef struct zl_used_map {
    const char *at;
    size_t len; /* once the file is not mapped there any more */
    unsigned users;
    struct zl_used_map *next;
} zl_used_map;

static pthread_mutex_t zl_maps_mutex = PTHREAD_MUTEX_INITIALIZER; /* the innermost lock */
static zl_used_map *zl_used_maps;

void zl_maps_forked(void) { pthread_mutex_init(&zl_maps_mutex, NULL); }

static zl_used_map **zl_find_map(const char *at) { /* zl_maps_mutex held */
    zl_used_map **link = &zl_used_maps;
    while (*link && (*link)->at != at)
        link = &(*link)->next;
    return link;
}

static int zl_count_user(const char *at) { /* zl_maps_mutex held */
    zl_used_map *map = *zl_find_map(at);
    if (!map) {
        if (!(map = calloc(1, sizeof *map)))
            return ENOMEM;
        map->at = at;
        map->next = zl_used_maps;
        zl_used_maps = map;
    }
    map->users++;
    return 0;
}

/* The environment's map, for objects that export it until zl_map_leave(): its addresses stay till then, even if the
 * environment closes or gets another map.  NULL if it is closed, or there is no memory. */
zl_map *zl_map_take(zl_env *env, size_t size) {
    const char *at;
    int rc = zl_env_enter(env);
    (void)size;
    if (rc)
        return NULL;
    env->ops->zl_map_extent(env->env, &at);
    pthread_mutex_lock(&zl_maps_mutex);
    rc = zl_count_user(at);
    pthread_mutex_unlock(&zl_maps_mutex);
    zl_env_leave(env);
    return rc ? NULL : (zl_map *)at;
}

void zl_map_leave(zl_map *map) {
    zl_used_map **link, *used;
    pthread_mutex_lock(&zl_maps_mutex);
    link = zl_find_map((const char *)map);
    used = *link;
    if (used && --used->users == 0) {
        *link = used->next;
        if (used->len)
            munmap(map, used->len);
        free(used);
    }
    pthread_mutex_unlock(&zl_maps_mutex);
}

/* The file is not to be mapped there any more.  What is left of views reads zeros, never unmapped memory. */
int zl_map_drop(void *addr, size_t len) {
    zl_used_map *used;
    int rc;
    pthread_mutex_lock(&zl_maps_mutex);
    if ((used = *zl_find_map(addr)) == NULL) {
        rc = munmap(addr, len);
    } else {
        used->len = len;
        rc = mmap(addr, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED;
    }
    pthread_mutex_unlock(&zl_maps_mutex);
    return rc;
}

/* All of the map: address space, of which a transaction may read no more than it finds records in. */
int zl_env_map_size(zl_env *env, size_t *size) {
    const char *at;
    int rc = zl_env_enter(env);
    if (rc)
        return rc;
    *size = env->ops->zl_map_extent(env->env, &at);
    zl_env_leave(env);
    return 0;
}

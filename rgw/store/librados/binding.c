/* librados' data plane for an event loop.
 *
 * librados' own threads put finished operations on a queue and write to one eventfd when it was empty; the loop's thread takes the
 * whole queue at once. No callback takes the interpreter's lock.
 */
#include <errno.h>
#include <pthread.h>
#include <rados/librados.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { COMPLETION = 0, NOTIFY = 1, LOST = 2 };

/* The C API of Ceph 16 has neither a stat nor an asynchronous write with nanoseconds; its C++ functions are in the same library under
 * versioned names. They are reached by those names, as weak symbols: where they are missing, times are whole seconds.
 * `this` of an operation is {vtable, implementation}, of an IoCtx and an AioCompletion {implementation}; the C handles are those implementations. */
struct cxx_op { void *vtable; void *impl; };
struct cxx_string { const char *text; size_t length; char local[16]; };

extern void cxx_op_init(struct cxx_op *op)
    __asm__("_ZN8librados7v14_2_015ObjectOperationC2Ev") __attribute__((weak));
extern void cxx_op_end(struct cxx_op *op)
    __asm__("_ZN8librados7v14_2_015ObjectOperationD2Ev") __attribute__((weak));
extern void cxx_mtime2(struct cxx_op *op, struct timespec *when)
    __asm__("_ZN8librados7v14_2_020ObjectWriteOperation6mtime2EP8timespec") __attribute__((weak));
extern int cxx_aio_write(rados_ioctx_t *io, const struct cxx_string *oid, rados_completion_t *c, struct cxx_op *op)
    __asm__("_ZN8librados7v14_2_05IoCtx11aio_operateERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEPNS0_13AioCompletionEPNS0_20ObjectWriteOperationE")
    __attribute__((weak));
extern void cxx_stat2(struct cxx_op *op, uint64_t *size, struct timespec *when, int *code)
    __asm__("_ZN8librados7v14_2_019ObjectReadOperation5stat2EPmP8timespecPi") __attribute__((weak));

extern int cxx_aio_read(rados_ioctx_t *io, const struct cxx_string *oid, rados_completion_t *c, struct cxx_op *op, void *out)
    __asm__("_ZN8librados7v14_2_05IoCtx11aio_operateERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEPNS0_13AioCompletionEPNS0_19ObjectReadOperationEPN4ceph6buffer7v15_2_04listE")
    __attribute__((weak));
extern void cxx_locator(rados_ioctx_t *io, const struct cxx_string *key)
    __asm__("_ZN8librados7v14_2_05IoCtx15locator_set_keyERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE") __attribute__((weak));

/* Omap headers: only C++ has them, with Ceph's buffer list, here an empty one that its own functions fill and empty again. */
struct cxx_list { void *first, *last, *carriage; unsigned length, count; };
extern char cxx_no_carriage __asm__("_ZN4ceph6buffer7v15_2_04list17always_empty_bptrE") __attribute__((weak));
extern void cxx_list_append(struct cxx_list *l, const char *data, unsigned length)
    __asm__("_ZN4ceph6buffer7v15_2_04list6appendEPKcj") __attribute__((weak));
extern char *cxx_list_bytes(struct cxx_list *l) __asm__("_ZN4ceph6buffer7v15_2_04list5c_strEv") __attribute__((weak));
extern void cxx_list_cut(struct cxx_list *l, unsigned offset, unsigned length, struct cxx_list *into)
    __asm__("_ZN4ceph6buffer7v15_2_04list6spliceEjjPS2_") __attribute__((weak));
extern void cxx_list_rebuild(struct cxx_list *l) __asm__("_ZN4ceph6buffer7v15_2_04list7rebuildEv") __attribute__((weak));
extern void cxx_set_header(struct cxx_op *op, const struct cxx_list *l)
    __asm__("_ZN8librados7v14_2_020ObjectWriteOperation15omap_set_headerERKN4ceph6buffer7v15_2_04listE") __attribute__((weak));
extern void cxx_get_header(struct cxx_op *op, struct cxx_list *l, int *code)
    __asm__("_ZN8librados7v14_2_019ObjectReadOperation15omap_get_headerEPN4ceph6buffer7v15_2_04listEPi") __attribute__((weak));

static int rb_has_headers(void) {
    return &cxx_no_carriage && cxx_list_append && cxx_list_bytes && cxx_list_cut && cxx_list_rebuild && cxx_set_header && cxx_get_header;
}
static void list_init(struct cxx_list *l) {
    l->first = l->last = &l->first;
    l->carriage = &cxx_no_carriage;
    l->length = l->count = 0;
}
/* A cut may keep the last buffer for later appends; rebuilding an empty list frees that as well. */
static void list_end(struct cxx_list *l) {
    if (l->length) cxx_list_cut(l, 0, l->length, NULL);
    if (l->first != &l->first && l->length == 0) cxx_list_rebuild(l);
}
static int rb_has_nul_names(void) { return cxx_aio_read && cxx_aio_write && cxx_locator && cxx_op_init && cxx_op_end && cxx_mtime2; }

/* Large buffers of reads that found little, of which hardly a page is in memory, are kept for the next reads: malloc would take them from
 * the kernel and give them back each time. The loop's thread alone uses them. */
enum { SPARES = 64, SPARE_ROOM = 1 << 20, SPARE_USED = 64 << 10 };

struct rb_queue {
    pthread_mutex_t lock;
    struct rb_op *head, *tail;
    int fd;
    int spares;
    size_t spare_room; /* bytes of each */
    char *spare[SPARES];
};

struct rb_step {
    int kind, code;
    unsigned char more;
    uint64_t size;
    int64_t sec, nsec;
    char *out;
    size_t out_len;
    size_t room; /* bytes of a read's `out`, for `keep_or_free` */
    struct timespec when;
    time_t seconds;
    int exec_buffer; /* librados allocated `out` */
    rados_xattrs_iter_t xattrs;
    rados_omap_iter_t omap;
    int has_header;
    struct cxx_list header; /* points into itself: steps never move */
};

struct rb_op {
    struct rb_op *next;
    int event;
    uint64_t token;
    int code;
    uint64_t version;
    int version_asserted;
    int count;
    struct rb_step *steps;
    char *data;
    size_t data_len;
    struct rb_queue *queue;
    int writes;
    void *handle;        /* rados_write_op_t or rados_read_op_t */
    struct cxx_op cxx;
    rados_completion_t completion;
};

struct rb_io {
    rados_ioctx_t plain, located;
    pthread_mutex_t lock; /* guards the locator, which is state of the ioctx */
};

struct rb_watch {
    struct rb_queue *queue;
    rados_ioctx_t io;
    char *oid;
    uint64_t token, cookie;
};

static int precise_times(void) { return cxx_op_init && cxx_op_end && cxx_mtime2 && cxx_aio_write && cxx_stat2; }

static struct rb_queue *rb_queue_new(void) {
    struct rb_queue *q = calloc(1, sizeof *q);
    if (!q) return NULL;
    q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->fd < 0) { free(q); return NULL; }
    pthread_mutex_init(&q->lock, NULL);
    return q;
}

static int rb_queue_fd(struct rb_queue *q) { return q->fd; }

static void rb_push(struct rb_queue *q, struct rb_op *op) {
    op->next = NULL;
    pthread_mutex_lock(&q->lock);
    int wake = q->head == NULL;
    if (q->tail) q->tail->next = op; else q->head = op;
    q->tail = op;
    pthread_mutex_unlock(&q->lock);
    if (wake) {
        uint64_t one = 1;
        ssize_t n = write(q->fd, &one, sizeof one);
        (void)n; /* only a full counter refuses, and then the loop is awake already */
    }
}

/* All that is finished, oldest first. The caller frees each. */
static struct rb_op *rb_queue_take(struct rb_queue *q) {
    uint64_t count;
    ssize_t n = read(q->fd, &count, sizeof count);
    (void)n; /* nothing to read: another wake took it */
    pthread_mutex_lock(&q->lock);
    struct rb_op *head = q->head;
    q->head = q->tail = NULL;
    pthread_mutex_unlock(&q->lock);
    return head;
}

static char *take_or_malloc(struct rb_queue *q, size_t room) {
    return room == q->spare_room && q->spares ? q->spare[--q->spares] : malloc(room);
}
static void keep_or_free(struct rb_queue *q, struct rb_step *s) {
    if (s->room < SPARE_ROOM || s->out_len > SPARE_USED || q->spares == SPARES || (q->spares && s->room != q->spare_room)) free(s->out);
    else {
        q->spare_room = s->room;
        q->spare[q->spares++] = s->out;
    }
}

static void rb_op_free(struct rb_op *op) {
    for (int i = 0; i < op->count; i++) {
        struct rb_step *s = &op->steps[i];
        if (s->xattrs) rados_getxattrs_end(s->xattrs);
        if (s->omap) rados_omap_get_end(s->omap);
        if (s->has_header) list_end(&s->header);
        if (s->exec_buffer) rados_buffer_free(s->out);
        else if (s->room) keep_or_free(op->queue, s);
        else free(s->out);
    }
    free(op->steps);
    free(op->data);
    if (op->completion) rados_aio_release(op->completion);
    if (op->cxx.impl) cxx_op_end(&op->cxx);
    else if (op->handle && op->writes) rados_release_write_op(op->handle);
    else if (op->handle) rados_release_read_op(op->handle);
    free(op);
}

static void rb_queue_free(struct rb_queue *q) {
    for (struct rb_op *op = q->head, *next; op; op = next) { next = op->next; rb_op_free(op); }
    while (q->spares) free(q->spare[--q->spares]);
    close(q->fd);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

static struct rb_op *rb_op_new(struct rb_queue *q, int writes, int count, int timed) {
    struct rb_op *op = calloc(1, sizeof *op);
    if (!op) return NULL;
    op->queue = q;
    op->count = count;
    op->writes = writes;
    op->steps = calloc(count ? count : 1, sizeof *op->steps);
    if (writes && timed && precise_times()) {
        cxx_op_init(&op->cxx);
        op->handle = op->cxx.impl;
    } else op->handle = writes ? (void *)rados_create_write_op() : (void *)rados_create_read_op();
    if (!op->steps || !op->handle) { if (!op->steps) op->count = 0; rb_op_free(op); return NULL; }
    return op;
}

struct pack { char *data; size_t used, room; int failed; };

static void pack_pair(struct pack *p, const char *key, size_t key_len, const char *value, size_t value_len) {
    size_t need = p->used + 8 + key_len + value_len;
    if (p->failed) return;
    if (need > p->room) {
        size_t room = need * 2 > 1024 ? need * 2 : 1024;
        char *data = realloc(p->data, room);
        if (!data) { p->failed = 1; return; }
        p->data = data;
        p->room = room;
    }
    uint32_t lengths[2] = {(uint32_t)key_len, (uint32_t)value_len};
    memcpy(p->data + p->used, lengths, 8);
    memcpy(p->data + p->used + 8, key, key_len);
    if (value_len) memcpy(p->data + p->used + 8 + key_len, value, value_len);
    p->used = need;
}

static void pack_raw(struct pack *p, const char *data, size_t len) {
    p->data = malloc(len);
    p->failed = p->data == NULL;
    if (p->failed) return;
    memcpy(p->data, data, len);
    p->used = len;
}

static int step_finish(struct rb_step *s) {
    struct pack p = {0};
    if (s->xattrs) {
        const char *name, *value;
        size_t len;
        while (rados_getxattrs_next(s->xattrs, &name, &value, &len) == 0 && name) pack_pair(&p, name, strlen(name), value, len);
    } else if (s->omap) {
        char *key, *value;
        size_t key_len, value_len;
        while (rados_omap_get_next2(s->omap, &key, &value, &key_len, &value_len) == 0 && key) pack_pair(&p, key, key_len, value, value_len);
    } else if (s->has_header) {
        if (s->header.length) pack_raw(&p, cxx_list_bytes(&s->header), s->header.length);
    } else {
        s->sec = s->when.tv_sec ? s->when.tv_sec : s->seconds;
        s->nsec = s->when.tv_nsec;
        return 0;
    }
    if (p.failed) { free(p.data); return -ENOMEM; }
    s->out = p.data;
    s->out_len = p.used;
    return 0;
}

static void on_complete(rados_completion_t c, void *arg) {
    struct rb_op *op = arg;
    op->code = rados_aio_get_return_value(c);
    op->version = rados_aio_get_version(c);
    if (op->code >= 0 && !op->writes)
        for (int i = 0; i < op->count; i++) {
            int code = step_finish(&op->steps[i]);
            if (code) op->code = code;
        }
    rb_push(op->queue, op);
}

/* Sends the operation; `flags` are librados' for a write that has no time of its own. A negative code means that nothing was sent, and the caller frees it. */
static int rb_submit(struct rb_op *op, struct rb_io *io, const char *oid, size_t oid_len, const char *locator, size_t locator_len,
                     int64_t sec, int64_t nsec, int flags) {
    int code = rados_aio_create_completion2(op, on_complete, &op->completion);
    if (code < 0) return code;
    rados_ioctx_t ctx = io->plain;
    struct cxx_string name = {oid, oid_len, {0}};
    if (locator) {
        pthread_mutex_lock(&io->lock);
        ctx = io->located;
        struct cxx_string key = {locator, locator_len, {0}};
        if (cxx_locator) cxx_locator(&ctx, &key); else rados_ioctx_locator_set_key(ctx, locator);
    }
    if (op->cxx.impl) {
        struct timespec when = {sec, nsec};
        if (nsec >= 0) cxx_mtime2(&op->cxx, &when);
        code = cxx_aio_write(&ctx, &name, &op->completion, &op->cxx);
    } else if (op->writes) {
        time_t seconds = sec;
        code = rados_aio_write_op_operate(op->handle, ctx, op->completion, oid, nsec >= 0 ? &seconds : NULL, flags);
    } else if (memchr(oid, 0, oid_len)) {
        struct cxx_op view = {NULL, op->handle};
        code = cxx_aio_read(&ctx, &name, &op->completion, &view, NULL);
    } else code = rados_aio_read_op_operate(op->handle, ctx, op->completion, oid, 0);
    if (locator) pthread_mutex_unlock(&io->lock);
    return code;
}

static int rb_io_open(rados_t cluster, const char *pool, const char *ns, struct rb_io **out) {
    struct rb_io *io = calloc(1, sizeof *io);
    if (!io) return -ENOMEM;
    int code = rados_ioctx_create(cluster, pool, &io->plain);
    if (code == 0) code = rados_ioctx_create(cluster, pool, &io->located);
    if (code < 0) {
        if (io->plain) rados_ioctx_destroy(io->plain);
        free(io);
        return code;
    }
    rados_ioctx_set_namespace(io->plain, ns);
    rados_ioctx_set_namespace(io->located, ns);
    /* A full pool refuses at once what would add to it, rather than hold it back until there is room; removals go on. */
    rados_set_pool_full_try(io->plain);
    rados_set_pool_full_try(io->located);
    pthread_mutex_init(&io->lock, NULL);
    *out = io;
    return 0;
}

static void rb_io_close(struct rb_io *io) {
    rados_ioctx_destroy(io->plain);
    rados_ioctx_destroy(io->located);
    pthread_mutex_destroy(&io->lock);
    free(io);
}

static rados_ioctx_t rb_io_ctx(struct rb_io *io) { return io->plain; }

/* Steps. librados copies all that it is given, so nothing need outlive the call. */
static void rb_assert_exists(struct rb_op *op) {
    if (op->writes) rados_write_op_assert_exists(op->handle); else rados_read_op_assert_exists(op->handle);
}
/* A missing object answers EOVERFLOW to a version check, as a newer one does: the check before it tells them apart. */
static void rb_assert_version(struct rb_op *op, uint64_t v) {
    rb_assert_exists(op);
    op->version_asserted = 1;
    if (op->writes) rados_write_op_assert_version(op->handle, v); else rados_read_op_assert_version(op->handle, v);
}
static void rb_cmpxattr(struct rb_op *op, const char *name, const char *value, size_t len) {
    if (op->writes) rados_write_op_cmpxattr(op->handle, name, LIBRADOS_CMPXATTR_OP_EQ, value, len);
    else rados_read_op_cmpxattr(op->handle, name, LIBRADOS_CMPXATTR_OP_EQ, value, len);
}
static void rb_omap_cmp(struct rb_op *op, int i, const char *key, size_t key_len, const char *value, size_t len) {
    int *code = &op->steps[i].code;
    if (op->writes) rados_write_op_omap_cmp2(op->handle, key, LIBRADOS_CMPXATTR_OP_EQ, value, key_len, len, code);
    else rados_read_op_omap_cmp2(op->handle, key, LIBRADOS_CMPXATTR_OP_EQ, value, key_len, len, code);
}
static void rb_exec(struct rb_op *op, int i, const char *cls, const char *method, const char *in, size_t len) {
    struct rb_step *s = &op->steps[i];
    if (op->writes) rados_write_op_exec(op->handle, cls, method, in, len, &s->code);
    else {
        s->exec_buffer = 1;
        rados_read_op_exec(op->handle, cls, method, in, len, &s->out, &s->out_len, &s->code);
    }
}
static void rb_create(struct rb_op *op, int exclusive) {
    rados_write_op_create(op->handle, exclusive ? LIBRADOS_CREATE_EXCLUSIVE : LIBRADOS_CREATE_IDEMPOTENT, NULL);
}
static void rb_write(struct rb_op *op, const char *data, size_t len, uint64_t offset) { rados_write_op_write(op->handle, data, len, offset); }
static void rb_write_full(struct rb_op *op, const char *data, size_t len) { rados_write_op_write_full(op->handle, data, len); }
static void rb_append(struct rb_op *op, const char *data, size_t len) { rados_write_op_append(op->handle, data, len); }
static void rb_truncate(struct rb_op *op, uint64_t size) { rados_write_op_truncate(op->handle, size); }
static void rb_remove(struct rb_op *op) { rados_write_op_remove(op->handle); }
static void rb_setxattr(struct rb_op *op, const char *name, const char *v, size_t len) { rados_write_op_setxattr(op->handle, name, v, len); }
static void rb_rmxattr(struct rb_op *op, const char *name) { rados_write_op_rmxattr(op->handle, name); }
static void rb_omap_set(struct rb_op *op, const char **k, const char **v, const size_t *kl, const size_t *vl, size_t n) {
    rados_write_op_omap_set2(op->handle, k, v, kl, vl, n);
}
static void rb_omap_rm(struct rb_op *op, const char **k, const size_t *kl, size_t n) { rados_write_op_omap_rm_keys2(op->handle, k, kl, n); }
static void rb_omap_clear(struct rb_op *op) { rados_write_op_omap_clear(op->handle); }
static void rb_stat(struct rb_op *op, int i) {
    struct rb_step *s = &op->steps[i];
    if (precise_times()) {
        struct cxx_op view = {NULL, op->handle};
        cxx_stat2(&view, &s->size, &s->when, &s->code);
    } else rados_read_op_stat(op->handle, &s->size, &s->seconds, &s->code);
}
static void rb_getxattrs(struct rb_op *op, int i) { rados_read_op_getxattrs(op->handle, &op->steps[i].xattrs, &op->steps[i].code); }
static int rb_read(struct rb_op *op, int i, uint64_t offset, size_t room) {
    struct rb_step *s = &op->steps[i];
    s->out = take_or_malloc(op->queue, room);
    if (!s->out) return -ENOMEM;
    s->room = room;
    rados_read_op_read(op->handle, offset, room, s->out, &s->out_len, &s->code);
    return 0;
}
static void rb_omap_get(struct rb_op *op, int i, const char *after, const char *prefix, uint64_t n) {
    struct rb_step *s = &op->steps[i];
    rados_read_op_omap_get_vals2(op->handle, after, prefix, n, &s->omap, &s->more, &s->code);
}
static void rb_omap_get_keys(struct rb_op *op, int i, const char **k, const size_t *kl, size_t n) {
    rados_read_op_omap_get_vals_by_keys2(op->handle, k, n, kl, &op->steps[i].omap, &op->steps[i].code);
}

static void rb_omap_set_header(struct rb_op *op, const char *data, size_t len) {
    struct cxx_op view = {NULL, op->handle};
    struct cxx_list list;
    list_init(&list);
    if (len) cxx_list_append(&list, data, (unsigned)len);
    cxx_set_header(&view, &list);
    list_end(&list);
}
static void rb_omap_get_header(struct rb_op *op, int i) {
    struct cxx_op view = {NULL, op->handle};
    struct rb_step *s = &op->steps[i];
    list_init(&s->header);
    s->has_header = 1;
    cxx_get_header(&view, &s->header, &s->code);
}

/* Watches: acknowledged here and now, whatever the event loop does. */
static void on_notify(void *arg, uint64_t id, uint64_t cookie, uint64_t from, void *data, size_t len) {
    struct rb_watch *w = arg;
    (void)from;
    struct rb_op *event = calloc(1, sizeof *event);
    if (event && len) {
        event->data = malloc(len);
        if (event->data) { memcpy(event->data, data, len); event->data_len = len; }
        else { free(event); event = NULL; }
    }
    if (!event) return; /* no memory: not acknowledged, so that the notifier knows */
    event->event = NOTIFY;
    event->token = w->token;
    rb_push(w->queue, event);
    rados_notify_ack(w->io, w->oid, id, cookie, NULL, 0);
}
static void on_lost(void *arg, uint64_t cookie, int code) {
    struct rb_watch *w = arg;
    (void)cookie;
    struct rb_op *event = calloc(1, sizeof *event);
    if (!event) return;
    event->event = LOST;
    event->token = w->token;
    event->code = code;
    rb_push(w->queue, event);
}
static int rb_watch_open(struct rb_queue *q, struct rb_io *io, const char *oid, uint64_t token, uint32_t timeout, struct rb_watch **out) {
    struct rb_watch *w = calloc(1, sizeof *w);
    if (!w) return -ENOMEM;
    w->queue = q;
    w->io = io->plain;
    w->oid = strdup(oid);
    w->token = token;
    int code = rados_watch3(io->plain, oid, &w->cookie, on_notify, on_lost, timeout, w);
    if (code < 0) { free(w->oid); free(w); return code; }
    *out = w;
    return 0;
}
/* Blocks until no callback of the watch can run any more. */
static int rb_watch_close(rados_t cluster, struct rb_watch *w) {
    int code = rados_unwatch2(w->io, w->cookie);
    int flushed = rados_watch_flush(cluster);
    if (flushed == 0) { free(w->oid); free(w); }
    return code;
}
static int rb_notify(struct rb_op *op, struct rb_io *io, const char *oid, const char *data, size_t len, uint64_t timeout_ms) {
    int code = rados_aio_create_completion2(op, on_complete, &op->completion);
    if (code < 0) return code;
    op->steps[0].exec_buffer = 1;
    return rados_aio_notify(io->plain, oid, op->completion, data, (int)len, timeout_ms, &op->steps[0].out, &op->steps[0].out_len);
}
static int rb_precise_times(void) { return precise_times(); }

"""Builds the binding in place: ``python -m rgw.store.librados._build``. Needs librados-dev, python3-dev and gcc."""

from __future__ import annotations

import sys
from pathlib import Path

from cffi import FFI

from rgw import extension

HERE = Path(__file__).parent

CDEF = """
typedef void *rados_t;
typedef void *rados_ioctx_t;
typedef void *rados_list_ctx_t;
struct rb_queue; struct rb_io; struct rb_watch;
struct rb_queue *rb_queue_new(void);
int rb_queue_fd(struct rb_queue *);
struct rb_op *rb_queue_take(struct rb_queue *);
void rb_queue_free(struct rb_queue *);
struct rb_op *rb_op_new(struct rb_queue *, int writes, int count, int timed);
void rb_op_free(struct rb_op *);
int rb_submit(struct rb_op *, struct rb_io *, const char *oid, size_t, const char *locator, size_t, int64_t sec, int64_t nsec, int flags);
int rb_io_open(rados_t, const char *pool, const char *ns, struct rb_io **);
void rb_io_close(struct rb_io *);
rados_ioctx_t rb_io_ctx(struct rb_io *);
void rb_assert_exists(struct rb_op *);
void rb_assert_version(struct rb_op *, uint64_t);
void rb_cmpxattr(struct rb_op *, const char *, const char *, size_t);
void rb_omap_cmp(struct rb_op *, int, const char *, size_t, const char *, size_t);
void rb_exec(struct rb_op *, int, const char *cls, const char *method, const char *, size_t);
void rb_create(struct rb_op *, int);
void rb_write(struct rb_op *, const char *, size_t, uint64_t);
void rb_write_full(struct rb_op *, const char *, size_t);
void rb_append(struct rb_op *, const char *, size_t);
void rb_truncate(struct rb_op *, uint64_t);
void rb_remove(struct rb_op *);
void rb_setxattr(struct rb_op *, const char *, const char *, size_t);
void rb_rmxattr(struct rb_op *, const char *);
void rb_omap_set(struct rb_op *, const char **, const char **, const size_t *, const size_t *, size_t);
void rb_omap_rm(struct rb_op *, const char **, const size_t *, size_t);
void rb_omap_clear(struct rb_op *);
void rb_stat(struct rb_op *, int);
void rb_getxattrs(struct rb_op *, int);
int rb_read(struct rb_op *, int, uint64_t, size_t);
void rb_omap_get(struct rb_op *, int, const char *, const char *, uint64_t);
void rb_omap_get_keys(struct rb_op *, int, const char **, const size_t *, size_t);
int rb_watch_open(struct rb_queue *, struct rb_io *, const char *, uint64_t, uint32_t, struct rb_watch **);
int rb_watch_close(rados_t, struct rb_watch *);
int rb_notify(struct rb_op *, struct rb_io *, const char *, const char *, size_t, uint64_t);
int rb_precise_times(void);
int rb_has_headers(void);
int rb_has_nul_names(void);
void rb_omap_set_header(struct rb_op *, const char *, size_t);
void rb_omap_get_header(struct rb_op *, int);

int rados_create2(rados_t *, const char *cluster, const char *name, uint64_t flags);
int rados_conf_read_file(rados_t, const char *);
int rados_conf_set(rados_t, const char *, const char *);
int rados_connect(rados_t);
void rados_shutdown(rados_t);
int rados_cluster_fsid(rados_t, char *, size_t);
uint64_t rados_get_instance_id(rados_t);
int rados_pool_list(rados_t, char *, size_t);
int64_t rados_ioctx_get_id(rados_ioctx_t);
int rados_wait_for_latest_osdmap(rados_t);
struct rados_pool_stat_t { uint64_t num_bytes; uint64_t num_objects; ...; };
int rados_ioctx_pool_stat(rados_ioctx_t, struct rados_pool_stat_t *);
int rados_mon_command(rados_t, const char **, size_t, const char *, size_t, char **, size_t *, char **, size_t *);
void rados_buffer_free(char *);
int rados_nobjects_list_open(rados_ioctx_t, rados_list_ctx_t *);
int rados_nobjects_list_next2(rados_list_ctx_t, const char **, const char **, const char **, size_t *, size_t *, size_t *);
void rados_nobjects_list_close(rados_list_ctx_t);
"""


def build() -> Path:
    """Compiles binding.c; returns the extension's path."""
    ffi = FFI()
    ffi.cdef((HERE / "binding.h").read_text() + CDEF)
    ffi.set_source("rgw.store.librados._rados", (HERE / "binding.c").read_text(), libraries=["rados"], extra_compile_args=["-O2", "-Wall"])
    return extension.build(ffi, HERE)


if __name__ == "__main__":
    print(build(), file=sys.stderr)

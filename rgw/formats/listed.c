/* Index entries as listings read them: what listed.py's Python does, many times as fast. Only the usual form is read here, and within its
 * bounds; an entry with anything else in it (a change under way, another version, damage) is left to the full decoder, `unusual`.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

enum { ENTRY_VERSION = 8, META_VERSION = 7, VER_VERSION = 1, FIELDS = 14 };

struct text { const unsigned char *at; uint32_t size; };
struct cursor { const unsigned char *at, *end; int failed; };

struct entry {
    struct text name, etag, owner, display_name, storage_class, instance;
    uint32_t seconds, ns;
    uint64_t accounted_size;
    int exists, flags;
};

static inline uint64_t take(struct cursor *c, int bytes) {
    if (c->end - c->at < bytes) { c->failed = 1; return 0; }
    uint64_t value = 0;
    memcpy(&value, c->at, bytes);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    c->at += bytes;
    return value;
}

static inline struct text take_text(struct cursor *c) {
    struct text found = {c->at, (uint32_t)take(c, 4)};
    if (c->failed || (size_t)(c->end - c->at) < found.size) { c->failed = 1; return found; }
    found.at = c->at;
    c->at += found.size;
    return found;
}

static inline void skip_packed(struct cursor *c) {
    unsigned tag = (unsigned)take(c, 1), size = tag - 0x80;
    if (tag < 0x80) return;
    if (size == 1 || size == 2 || size == 4 || size == 8) take(c, (int)size);
    else c->failed = 1;
}

/* A structure's header; what is behind it. Failed unless it is of this version. */
static inline struct cursor inner(struct cursor *c, int version) {
    struct cursor found = *c;
    unsigned v = (unsigned)take(c, 1), compat = (unsigned)take(c, 1);
    struct text body = take_text(c);
    found.at = body.at;
    found.failed = c->failed || (int)v != version || (int)compat > version;
    found.end = found.failed ? body.at : body.at + body.size;
    return found;
}

/* 0 if the entry, from `outer` on, is not of the usual form. */
static int read_entry(struct cursor *outer, struct entry *e) {
    struct cursor c = inner(outer, ENTRY_VERSION);
    e->name = take_text(&c);
    take(&c, 8); /* the epoch, which comes again */
    e->exists = take(&c, 1) != 0;
    struct cursor meta = inner(&c, META_VERSION);
    take(&meta, 1); /* category */
    take(&meta, 8); /* size */
    e->seconds = (uint32_t)take(&meta, 4);
    e->ns = (uint32_t)take(&meta, 4);
    e->etag = take_text(&meta);
    e->owner = take_text(&meta);
    e->display_name = take_text(&meta);
    take_text(&meta); /* content type */
    e->accounted_size = take(&meta, 8);
    take_text(&meta); /* user data */
    e->storage_class = take_text(&meta);
    take(&meta, 1); /* appendable */
    uint64_t pending = take(&c, 4);
    take_text(&c); /* locator */
    struct cursor ver = inner(&c, VER_VERSION);
    skip_packed(&ver);
    skip_packed(&ver);
    skip_packed(&c); /* index_ver */
    take_text(&c); /* tag */
    e->instance = take_text(&c);
    e->flags = (int)take(&c, 2);
    take(&c, 8); /* versioned epoch */
    return !c.failed && !meta.failed && !ver.failed && !pending && c.at == c.end && meta.at == meta.end && ver.at == ver.end;
}

static PyObject *decoded(struct text t) { return PyUnicode_DecodeUTF8((const char *)t.at, t.size, "surrogateescape"); }

/* Whether the object, of ASCII alone, has this text; for others it is not found out. */
static int equal(PyObject *made, struct text t) {
    return made && PyUnicode_IS_COMPACT_ASCII(made) && PyUnicode_GET_LENGTH(made) == (Py_ssize_t)t.size
        && memcmp(PyUnicode_1BYTE_DATA(made), t.at, t.size) == 0;
}

/* The text as an object, the last one again if it has this text, as it mostly has. A new reference. */
static PyObject *shared(PyObject **last, struct text t) {
    if (!equal(*last, t)) {
        PyObject *made = decoded(t);
        if (!made) return NULL;
        Py_XSETREF(*last, made);
    }
    return Py_NewRef(*last);
}

struct last { PyObject *owner, *display_name, *storage_class, *instance; };

static void forget(struct last *last) {
    Py_XDECREF(last->owner);
    Py_XDECREF(last->display_name);
    Py_XDECREF(last->storage_class);
    Py_XDECREF(last->instance);
}

/* A ListedEntry, whose encoding stands in `data` from `at` on. */
static PyObject *listed_entry(PyTypeObject *kind, const struct entry *e, struct last *last, PyObject *data, Py_ssize_t at) {
    PyObject *made = kind->tp_alloc(kind, FIELDS);
    if (!made) return NULL;
    int plain = e->exists && !e->flags && !e->instance.size;
    PyObject *fields[FIELDS] = {
        decoded(e->name), PyLong_FromUnsignedLongLong(e->seconds * 1000000000ULL + e->ns), decoded(e->etag),
        PyLong_FromUnsignedLongLong(e->accounted_size), shared(&last->storage_class, e->storage_class), shared(&last->owner, e->owner),
        shared(&last->display_name, e->display_name), PyBool_FromLong(plain), PyBool_FromLong(e->exists), Py_NewRef(Py_False),
        PyLong_FromLong(e->flags), shared(&last->instance, e->instance), Py_NewRef(data), PyLong_FromSsize_t(at)};
    int failed = 0;
    for (int i = 0; i < FIELDS; i++) {
        failed |= fields[i] == NULL;
        PyTuple_SET_ITEM(made, i, fields[i]);
    }
    if (failed) Py_CLEAR(made);
    else PyObject_GC_UnTrack(made); /* what it holds leads nowhere: the collector of cycles need not look at thousands of these */
    return made;
}

/* Reads the entry at the cursor, within `data`, moves behind it, and puts it into `found` under its key. 0, with an exception, if it cannot. */
static int add(PyObject *found, struct text key, PyObject *data, struct cursor *c, PyTypeObject *kind, PyObject *unusual, struct last *last) {
    const unsigned char *base = (const unsigned char *)PyBytes_AS_STRING(data), *start = c->at;
    struct entry e;
    int usual = read_entry(c, &e), done = 0;
    if (c->failed) {
        PyErr_SetString(PyExc_IndexError, "an entry of a listing is cut off");
        return 0;
    }
    PyObject *entry = usual ? listed_entry(kind, &e, last, data, start - base)
                            : PyObject_CallFunction(unusual, "Onn", data, (Py_ssize_t)(start - base), (Py_ssize_t)(c->end - base));
    if (entry) {
        PyObject *name = usual ? PyTuple_GET_ITEM(entry, 0) : NULL;
        PyObject *text = equal(name, key) ? Py_NewRef(name) : decoded(key);
        done = text && PyDict_SetItem(found, text, entry) == 0;
        Py_XDECREF(text);
        Py_DECREF(entry);
    }
    return done;
}

PyDoc_STRVAR(decode_doc, "decode(buf, pos, end, kind, unusual): entries by key from an encoded map, and the position behind it.\n\n"
    "``kind`` is ListedEntry; ``unusual(buf, at, end)`` gives the entry that begins at ``at``. IndexError if the map is cut off.");

static PyObject *decode(PyObject *module, PyObject *args) {
    PyObject *buf, *kind, *unusual;
    Py_ssize_t pos, end;
    if (!PyArg_ParseTuple(args, "SnnO!O:decode", &buf, &pos, &end, &PyType_Type, &kind, &unusual)) return NULL;
    const unsigned char *base = (const unsigned char *)PyBytes_AS_STRING(buf);
    if (pos < 0 || pos > end || end > PyBytes_GET_SIZE(buf)) return PyErr_Format(PyExc_IndexError, "no such part of the buffer");
    if (!PyType_IsSubtype((PyTypeObject *)kind, &PyTuple_Type)) return PyErr_Format(PyExc_TypeError, "a kind of tuple is made");
    struct cursor c = {base + pos, base + end, 0};
    struct last last = {0};
    PyObject *found = PyDict_New();
    if (!found) return NULL;
    uint32_t count = (uint32_t)take(&c, 4);
    for (uint32_t i = 0; i < count && !c.failed; i++) {
        struct text key = take_text(&c);
        if (!c.failed && !add(found, key, buf, &c, (PyTypeObject *)kind, unusual, &last)) { Py_CLEAR(found); break; }
    }
    forget(&last);
    if (found && c.failed) {
        Py_CLEAR(found);
        PyErr_SetString(PyExc_IndexError, "a listing is cut off");
    }
    return found ? Py_BuildValue("Nn", found, (Py_ssize_t)(c.at - base)) : NULL;
}

PyDoc_STRVAR(listed_doc, "listed(items, kind, unusual): entries by key from a list of pairs, omap keys and values, as ``decode`` gives them.");

static PyObject *listed(PyObject *module, PyObject *args) {
    PyObject *items, *kind, *unusual;
    if (!PyArg_ParseTuple(args, "O!O!O:listed", &PyList_Type, &items, &PyType_Type, &kind, &unusual)) return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)kind, &PyTuple_Type)) return PyErr_Format(PyExc_TypeError, "a kind of tuple is made");
    struct last last = {0};
    PyObject *found = PyDict_New();
    for (Py_ssize_t i = 0; found && i < PyList_GET_SIZE(items); i++) {
        PyObject *item = Py_NewRef(PyList_GET_ITEM(items, i)), *key, *value;
        int done = 0;
        if (!PyTuple_Check(item) || PyTuple_GET_SIZE(item) != 2 || !PyBytes_Check(key = PyTuple_GET_ITEM(item, 0))
            || !PyBytes_Check(value = PyTuple_GET_ITEM(item, 1))) PyErr_SetString(PyExc_TypeError, "pairs of bytes are read");
        else if (PyBytes_GET_SIZE(key) > UINT32_MAX) PyErr_SetString(PyExc_IndexError, "a key is too long");
        else {
            struct cursor c = {(const unsigned char *)PyBytes_AS_STRING(value), NULL, 0};
            c.end = c.at + PyBytes_GET_SIZE(value);
            struct text name = {(const unsigned char *)PyBytes_AS_STRING(key), (uint32_t)PyBytes_GET_SIZE(key)};
            done = add(found, name, value, &c, (PyTypeObject *)kind, unusual, &last);
            if (done && c.at != c.end) {
                PyErr_SetString(PyExc_IndexError, "something stands behind an entry");
                done = 0;
            }
        }
        Py_DECREF(item);
        if (!done) Py_CLEAR(found);
    }
    forget(&last);
    return found;
}

static PyMethodDef methods[] = {{"decode", decode, METH_VARARGS, decode_doc}, {"listed", listed, METH_VARARGS, listed_doc}, {NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_listed", NULL, -1, methods};

PyMODINIT_FUNC PyInit__listed(void) { return PyModule_Create(&module); }

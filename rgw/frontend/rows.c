/* Many rows of one form as a document has them: between fixed pieces stand texts, numbers and times, one from each column. What xml.py's
 * Python does, many times as fast.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

enum { TIME_SIZE = 24, NUMBER_SIZE = 20, SECOND = 1000000000, DAY = 86400 };

struct out { PyObject *bytes; Py_ssize_t used; }; /* `bytes` is NULL after an error */

static char *room_for(struct out *o, Py_ssize_t size) {
    Py_ssize_t room = PyBytes_GET_SIZE(o->bytes);
    if (size > room - o->used) {
        if (o->used > PY_SSIZE_T_MAX / 2 - size) {
            Py_CLEAR(o->bytes);
            PyErr_NoMemory();
        } else _PyBytes_Resize(&o->bytes, 2 * (o->used + size));
        if (!o->bytes) return NULL;
    }
    return PyBytes_AS_STRING(o->bytes) + o->used;
}

static int put(struct out *o, const char *text, Py_ssize_t size) {
    char *to = room_for(o, size);
    if (!to) return 0;
    memcpy(to, text, size);
    o->used += size;
    return 1;
}

/* Whether ASCII text stands in a document as it is. Without a branch, so that the compiler makes vectors of it. */
static int stands(const unsigned char *text, Py_ssize_t size) {
    unsigned char special = 0;
    for (Py_ssize_t i = 0; i < size; i++)
        special |= (text[i] < 0x20) | (text[i] == '&') | (text[i] == '<') | (text[i] == '>') | (text[i] == '"');
    return !special;
}

static int put_text(struct out *o, PyObject *text, PyObject *escape) {
    if (PyUnicode_IS_COMPACT_ASCII(text) && stands(PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text)))
        return put(o, (const char *)PyUnicode_1BYTE_DATA(text), PyUnicode_GET_LENGTH(text));
    PyObject *escaped = PyObject_CallOneArg(escape, text);
    Py_ssize_t size;
    const char *data = escaped ? PyUnicode_AsUTF8AndSize(escaped, &size) : NULL;
    int done = data && put(o, data, size);
    Py_XDECREF(escaped);
    return done;
}

static int put_number(struct out *o, uint64_t number) {
    char text[NUMBER_SIZE], *at = text + NUMBER_SIZE;
    do *--at = (char)('0' + number % 10); while (number /= 10);
    return put(o, at, text + NUMBER_SIZE - at);
}

static void digits(char *at, unsigned number, int count) {
    while (count--) at[count] = (char)('0' + number % 10), number /= 10;
}

/* A day after 1970-01-01 as YYYY-MM-DD. Counted from a March, so that a leap day is a year's last. */
static void put_day(char *at, unsigned day) {
    day += 719468; /* from 0000-03-01 */
    unsigned era = day / 146097, of_era = day % 146097;
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * of_year + 2) / 153; /* from March on */
    digits(at, year + 400 * era + (month >= 10), 4);
    digits(at + 5, month < 10 ? month + 3 : month - 9, 2);
    digits(at + 8, of_year - (153 * month + 2) / 5 + 1, 2);
}

/* Nanoseconds since 1970 as YYYY-MM-DDThh:mm:ss.mmmZ. */
static int put_time(struct out *o, uint64_t ns) {
    char text[TIME_SIZE + 1] = "0000-00-00T00:00:00.000Z";
    unsigned second = (unsigned)(ns / SECOND % DAY);
    put_day(text, (unsigned)(ns / SECOND / DAY));
    digits(text + 11, second / 3600, 2);
    digits(text + 14, second / 60 % 60, 2);
    digits(text + 17, second % 60, 2);
    digits(text + 20, (unsigned)(ns % SECOND / 1000000), 3);
    return put(o, text, TIME_SIZE);
}

static int put_item(struct out *o, PyObject *item, int kind, PyObject *escape) {
    if (PyUnicode_Check(item) && kind == 's') return put_text(o, item, escape);
    if (!PyLong_Check(item)) {
        PyErr_Format(PyExc_TypeError, "%R stands in a column of rows", item);
        return 0;
    }
    unsigned long long number = PyLong_AsUnsignedLongLong(item);
    if (number == (unsigned long long)-1 && PyErr_Occurred()) return 0;
    return kind == 't' ? put_time(o, number) : put_number(o, number);
}

PyDoc_STRVAR(rows_doc, "rows(fixed, kinds, columns, escape): the rows in UTF-8.\n\n"
    "``fixed``: bytes around and between a row's items. ``kinds``: for each column, s for texts and numbers, t for times (ns). ``columns``:\n"
    "lists of equal lengths. ``escape(text)`` is asked for texts with anything but plain ASCII in them.");

static PyObject *rows(PyObject *module, PyObject *args) {
    PyObject *fixed, *columns, *escape;
    const char *kinds;
    Py_ssize_t kinds_size;
    if (!PyArg_ParseTuple(args, "O!s#O!O:rows", &PyTuple_Type, &fixed, &kinds, &kinds_size, &PyTuple_Type, &columns, &escape)) return NULL;
    Py_ssize_t width = PyTuple_GET_SIZE(columns), count = 0, row_size = 0;
    if (width != kinds_size || width + 1 != PyTuple_GET_SIZE(fixed) || !width)
        return PyErr_Format(PyExc_ValueError, "%zd columns, %zd kinds, %zd fixed pieces", width, kinds_size, PyTuple_GET_SIZE(fixed));
    for (Py_ssize_t i = 0; i <= width; i++) {
        if (!PyBytes_Check(PyTuple_GET_ITEM(fixed, i))) return PyErr_Format(PyExc_TypeError, "fixed pieces are bytes");
        row_size += PyBytes_GET_SIZE(PyTuple_GET_ITEM(fixed, i)) + 2 * TIME_SIZE;
    }
    for (Py_ssize_t i = 0; i < width; i++) {
        PyObject *column = PyTuple_GET_ITEM(columns, i);
        if (!PyList_Check(column)) return PyErr_Format(PyExc_TypeError, "columns are lists");
        if (i == 0) count = PyList_GET_SIZE(column);
        if (PyList_GET_SIZE(column) != count) return PyErr_Format(PyExc_ValueError, "columns of different lengths");
    }
    if (count > PY_SSIZE_T_MAX / 2 / row_size) return PyErr_NoMemory();
    struct out o = {PyBytes_FromStringAndSize(NULL, count * row_size + 1), 0};
    for (Py_ssize_t row = 0; o.bytes && row < count; row++)
        for (Py_ssize_t i = 0; i <= width && o.bytes; i++) {
            PyObject *piece = PyTuple_GET_ITEM(fixed, i);
            if (!put(&o, PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece)) || i == width) continue;
            PyObject *column = PyTuple_GET_ITEM(columns, i);
            PyObject *item = row < PyList_GET_SIZE(column) ? Py_NewRef(PyList_GET_ITEM(column, row)) : Py_NewRef(Py_None); /* `escape` may shorten it */
            if (!put_item(&o, item, kinds[i], escape)) Py_CLEAR(o.bytes);
            Py_DECREF(item);
        }
    if (o.bytes) _PyBytes_Resize(&o.bytes, o.used);
    return o.bytes;
}

static PyMethodDef methods[] = {{"rows", rows, METH_VARARGS, rows_doc}, {NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_rows", NULL, -1, methods};

PyMODINIT_FUNC PyInit__rows(void) { return PyModule_Create(&module); }

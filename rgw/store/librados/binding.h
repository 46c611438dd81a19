/* Shared by the compiler and by cffi: what Python sees of the binding. Times are seconds and nanoseconds since the epoch. */
struct rb_step {
    int kind;              /* StepKind of rgw/store/interface.py */
    int code;              /* the step's own return code */
    unsigned char more;
    uint64_t size;         /* stat */
    int64_t sec;
    int64_t nsec;
    char *out;             /* bytes read, or packed pairs: u32 key length, u32 value length, key, value */
    size_t out_len;
    ...;
};
struct rb_op {
    struct rb_op *next;
    int event;             /* 0 completion, 1 notify, 2 watch lost */
    uint64_t token;        /* of the watch for events 1 and 2; else the operation's */
    int code;
    uint64_t version;
    int version_asserted;  /* so ERANGE and EOVERFLOW mean that it was another one */
    int count;
    struct rb_step *steps;
    char *data;            /* payload of a notify */
    size_t data_len;
    ...;
};

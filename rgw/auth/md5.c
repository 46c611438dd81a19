/* MD5 (RFC 1321) of several streams at once, one to a vector lane: a single stream's steps wait for one another, those of eight do not. */
#include <stdint.h>
#include <string.h>

enum { BLOCK = 64, LANES = 8 };
typedef uint32_t words __attribute__((vector_size(4 * LANES)));

#if defined(__x86_64__) && defined(__GNUC__)
#define WIDE __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define WIDE
#endif

struct md5 {
    uint32_t state[4];
    uint64_t length;            /* bytes taken so far */
    unsigned char rest[BLOCK];  /* the last length % 64 of them */
};
struct md5_job { /* more bytes for one stream, in `count` pieces */
    struct md5 *sum;
    const unsigned char **pieces;
    const size_t *sizes;
    size_t count;
};
struct lane {
    struct md5_job *job; /* NULL: idle */
    size_t piece, offset;
    const unsigned char *blocks;
    size_t ready; /* blocks at `blocks` */
};

static const uint32_t SINES[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1,
    0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821, 0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453,
    0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a, 0xfffa3942,
    0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05,
    0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665, 0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d,
    0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
static const int TURNS[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

static inline uint32_t word(const unsigned char *at) {
    uint32_t w;
    memcpy(&w, at, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    w = __builtin_bswap32(w);
#endif
    return w;
}

/* The 64 steps of one block; `T` is one word or a vector of them, LOAD(i) the block's word i. */
#define STEPS(T, LOAD)                                                                              \
    T x[16], a = A, b = B, c = C, d = D;                                                            \
    for (int i = 0; i < 16; i++) x[i] = LOAD(i);                                                    \
    _Pragma("GCC unroll 64") for (int i = 0; i < 64; i++) {                                         \
        T f = i < 16 ? (d ^ (b & (c ^ d))) : i < 32 ? (c ^ (d & (b ^ c))) : i < 48 ? (b ^ c ^ d) : (c ^ (b | ~d)); \
        int k = i < 16 ? i : i < 32 ? (5 * i + 1) % 16 : i < 48 ? (3 * i + 5) % 16 : 7 * i % 16;    \
        int turn = TURNS[i / 16][i % 4];                                                            \
        T sum = a + f + x[k] + SINES[i];                                                            \
        a = d; d = c; c = b;                                                                        \
        b += (sum << turn) | (sum >> (32 - turn));                                                  \
    }                                                                                               \
    A += a; B += b; C += c; D += d

static void one_stream(struct md5 *sum, const unsigned char *p, size_t blocks) {
    uint32_t A = sum->state[0], B = sum->state[1], C = sum->state[2], D = sum->state[3];
    for (; blocks; blocks--, p += BLOCK) {
#define LOAD(i) word(p + 4 * (i))
        STEPS(uint32_t, LOAD);
#undef LOAD
    }
    sum->state[0] = A, sum->state[1] = B, sum->state[2] = C, sum->state[3] = D;
}

WIDE static void streams(struct md5 **sums, const unsigned char **at, size_t blocks) {
    words A, B, C, D;
    for (int n = 0; n < LANES; n++) A[n] = sums[n]->state[0], B[n] = sums[n]->state[1], C[n] = sums[n]->state[2], D[n] = sums[n]->state[3];
    for (size_t offset = 0; offset < blocks * BLOCK; offset += BLOCK) {
        const unsigned char *p0 = at[0] + offset, *p1 = at[1] + offset, *p2 = at[2] + offset, *p3 = at[3] + offset;
        const unsigned char *p4 = at[4] + offset, *p5 = at[5] + offset, *p6 = at[6] + offset, *p7 = at[7] + offset;
#define W(p, i) word(p + 4 * (i))
#define LOAD(i) (words){W(p0, i), W(p1, i), W(p2, i), W(p3, i), W(p4, i), W(p5, i), W(p6, i), W(p7, i)}
        STEPS(words, LOAD);
    }
    for (int n = 0; n < LANES; n++) sums[n]->state[0] = A[n], sums[n]->state[1] = B[n], sums[n]->state[2] = C[n], sums[n]->state[3] = D[n];
}

/* Points the lane at whole blocks of its job. 0 if it has no more: what is left waits in the stream's rest. */
static int refill(struct lane *l) {
    struct md5 *sum = l->job->sum;
    for (; l->piece < l->job->count; l->piece++, l->offset = 0) {
        const unsigned char *data = l->job->pieces[l->piece] + l->offset;
        size_t size = l->job->sizes[l->piece] - l->offset, held = sum->length % BLOCK;
        if (held == 0 && size >= BLOCK) {
            l->blocks = data;
            l->ready = size / BLOCK;
            l->offset += l->ready * BLOCK;
            sum->length += l->ready * BLOCK;
            return 1;
        }
        size_t take = size < BLOCK - held ? size : BLOCK - held;
        memcpy(sum->rest + held, data, take);
        l->offset += take;
        sum->length += take;
        if (held + take == BLOCK) {
            l->blocks = sum->rest;
            l->ready = 1;
            return 1;
        }
    }
    return 0;
}

static void md5_init(struct md5 *sum) {
    memset(sum, 0, sizeof *sum);
    sum->state[0] = 0x67452301, sum->state[1] = 0xefcdab89, sum->state[2] = 0x98badcfe, sum->state[3] = 0x10325476;
}

/* Takes the bytes of all jobs, each of a stream of its own. */
static void md5_update(struct md5_job *jobs, size_t count) {
    struct lane lanes[LANES] = {{0}};
    size_t next = 0;
    for (;;) {
        struct md5 *sums[LANES], unused;
        const unsigned char *at[LANES];
        size_t blocks = SIZE_MAX;
        int active = 0, some = 0;
        for (int n = 0; n < LANES; n++) {
            struct lane *l = &lanes[n];
            while (l->ready == 0 && !(l->job && refill(l))) {
                l->job = NULL;
                if (next == count) break;
                *l = (struct lane){.job = &jobs[next++]};
            }
            if (!l->job) continue;
            active++;
            some = n;
            if (l->ready < blocks) blocks = l->ready;
        }
        if (active == 0) return;
        if (active == 1) one_stream(lanes[some].job->sum, lanes[some].blocks, blocks);
        else {
            unused = *lanes[some].job->sum;
            for (int n = 0; n < LANES; n++) {
                sums[n] = lanes[n].job ? lanes[n].job->sum : &unused; /* idle lanes work for nobody */
                at[n] = lanes[n].job ? lanes[n].blocks : lanes[some].blocks;
            }
            streams(sums, at, blocks);
        }
        for (int n = 0; n < LANES; n++)
            if (lanes[n].job) lanes[n].blocks += blocks * BLOCK, lanes[n].ready -= blocks;
    }
}

/* The digest of what came so far; more may come. */
static void md5_digest(const struct md5 *sum, unsigned char *out) {
    struct md5 end = *sum;
    unsigned char pad[2 * BLOCK] = {0};
    size_t held = sum->length % BLOCK, size = held < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    uint64_t bits = sum->length * 8;
    memcpy(pad, sum->rest, held);
    pad[held] = 0x80;
    for (int i = 0; i < 8; i++) pad[size - 8 + i] = (unsigned char)(bits >> 8 * i);
    one_stream(&end, pad, size / BLOCK);
    for (int i = 0; i < 16; i++) out[i] = (unsigned char)(end.state[i / 4] >> 8 * (i % 4));
}

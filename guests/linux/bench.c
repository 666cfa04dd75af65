// SPDX-License-Identifier: Apache-2.0
// The programs that `make bench` times on Debian's kernel, on our processor and on others. One
// after the other, each between two lines on the serial port that the driver outside times:
//   row NAME begin
//   row NAME end CHECKSUM TICKS        (or: row NAME absent WHY)
// TICKS is the time-stamp counter's advance: under Postern the retired instructions. No C library:
// its choice of routines depends on CPUID, and the machines compared should run the same code.
//   bench [NAME ...]
#include <asm/unistd.h>
#include <cpuid.h>
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

// --- The kernel's calls and the serial port ---------------------------------------------------

static long call6(long n, long a, long b, long c, long d, long e, long f) {
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    long result;
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                 : "rcx", "r11", "memory");
    return result;
}

static long call3(long n, long a, long b, long c) { return call6(n, a, b, c, 0, 0, 0); }

__attribute__((noreturn)) static void leave(int status) {
    for (;;) call3(__NR_exit_group, status, 0, 0);
}

static void out(u32 port, u8 value) { asm volatile("outb %0, %w1" : : "a"(value), "d"(port)); }

static u8 in(u32 port) {
    u8 value;
    asm volatile("inb %w1, %0" : "=a"(value) : "d"(port));
    return value;
}

// Past the terminal driver, which sends when it likes: the line is out when this returns.
static void say(const char* text) {
    for (; *text; ++text) {
        while (!(in(0x3fd) & 0x20));
        out(0x3f8, (u8)*text);
    }
}

static void say_hex(u64 value) {
    char digits[17];
    for (int i = 0; i < 16; ++i) digits[i] = "0123456789abcdef"[value >> (60 - 4 * i) & 15];
    digits[16] = 0;
    say(digits);
}

static int same(const char* a, const char* b) {
    while (*a && *a == *b) ++a, ++b;
    return *a == *b;
}

static u64 ticks(void) {
    u32 low;
    u32 high;
    asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (u64)high << 32 | low;
}

// --- Memory that every row may use ------------------------------------------------------------

// The second part starts where its pages share no slot of a direct-mapped TLB with the first's.
enum { arena_size = 9 << 20, half = (4 << 20) + (132 << 10) };
static u8 arena[arena_size] __attribute__((aligned(4096)));

static u64 random_state;

static u64 next_random(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return random_state >> 33;
}

static void fill_arena(void) {
    random_state = 1;
    for (size_t i = 0; i < arena_size; i += 4) *(u32*)(arena + i) = (u32)next_random();
}

static u64 sum(const u8* bytes, size_t size) {
    u64 total = 0;
    for (size_t i = 0; i < size; i += 8)
        total = (total << 7 | total >> 57) ^ *(const u64*)(bytes + i);
    return total;
}

// --- User-mode rows ---------------------------------------------------------------------------

static u64 row_integer(void) {
    u64 x = 1;
    for (u32 i = 0; i < 60000000; ++i) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        x ^= x >> 29;
    }
    return x;
}

static const u32 sha_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static u32 rotate(u32 value, int by) { return value >> by | value << (32 - by); }

static void sha_block(u32 state[8], const u8* block) {
    u32 w[64];
    for (int i = 0; i < 16; ++i) w[i] = __builtin_bswap32(*(const u32*)(block + 4 * i));
    for (int i = 16; i < 64; ++i) {
        const u32 s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        const u32 s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    u32 a = state[0], b = state[1], c = state[2], d = state[3];
    u32 e = state[4], f = state[5], g = state[6], h = state[7];
    for (int i = 0; i < 64; ++i) {
        const u32 s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
        const u32 t1 = h + s1 + ((e & f) ^ (~e & g)) + sha_constants[i] + w[i];
        const u32 s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
        const u32 t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

static u64 row_sha256(void) {
    u32 state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    for (u32 i = 0; i < 100000; ++i) sha_block(state, arena + i % 1024 * 64);
    return (u64)state[0] << 32 | state[1];
}

static u64 row_copy(void) {
    for (int turn = 0; turn < 14000; ++turn) {
        const u64* from = (const u64*)arena;
        u64* to = (u64*)(arena + half);
        asm volatile("" : : : "memory");
        for (size_t i = 0; i < 32768 / 8; ++i) to[i] = from[i];
    }
    return sum(arena + half, 32768);
}

// A cycle through one line of each 64 bytes of 4 MiB (Sattolo's shuffle).
static void link_lines(u32 lines) {
    u32* order = (u32*)(arena + half);
    for (u32 i = 0; i < lines; ++i) order[i] = i;
    for (u32 i = lines - 1; i > 0; --i) {
        const u32 j = (u32)(next_random() % i);
        const u32 kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    for (u32 i = 0; i < lines; ++i)
        *(u8**)(arena + (size_t)order[i] * 64) = arena + (size_t)order[(i + 1) % lines] * 64;
}

static void prepare_chase(void) { link_lines((4 << 20) / 64); }

static u64 row_chase(void) {
    u8* at = arena;
    for (u32 i = 0; i < 3000000; ++i) {
        at = *(u8**)at;
        at = *(u8**)at;
        at = *(u8**)at;
        at = *(u8**)at;
    }
    return (u64)(at - arena);
}

enum { order = 64 };
static double left[order * order] __attribute__((aligned(64)));
static double right[order * order] __attribute__((aligned(64)));
static double product[order * order] __attribute__((aligned(64)));

static void prepare_matrices(void) {
    for (int i = 0; i < order * order; ++i) {
        left[i] = (double)(i % 17 - 8) / 16;
        right[i] = (double)(i % 23 - 11) / 32;
        product[i] = 0;
    }
}

static u64 row_sse2(void) {
    for (int turn = 0; turn < 390; ++turn)
        for (int i = 0; i < order; ++i)
            for (int j = 0; j < order; j += 4) {
                __m128d low = _mm_load_pd(product + i * order + j);
                __m128d high = _mm_load_pd(product + i * order + j + 2);
                for (int k = 0; k < order; ++k) {
                    const __m128d factor = _mm_set1_pd(left[i * order + k]);
                    const double* from = right + k * order + j;
                    low = _mm_add_pd(low, _mm_mul_pd(factor, _mm_load_pd(from)));
                    high = _mm_add_pd(high, _mm_mul_pd(factor, _mm_load_pd(from + 2)));
                }
                _mm_store_pd(product + i * order + j, low);
                _mm_store_pd(product + i * order + j + 2, high);
            }
    return sum((const u8*)product, sizeof product);
}

__attribute__((target("avx2,fma"))) static u64 row_avx2(void) {
    for (int turn = 0; turn < 1040; ++turn)
        for (int i = 0; i < order; ++i)
            for (int j = 0; j < order; j += 8) {
                __m256d low = _mm256_load_pd(product + i * order + j);
                __m256d high = _mm256_load_pd(product + i * order + j + 4);
                for (int k = 0; k < order; ++k) {
                    const __m256d factor = _mm256_set1_pd(left[i * order + k]);
                    const double* from = right + k * order + j;
                    low = _mm256_fmadd_pd(factor, _mm256_load_pd(from), low);
                    high = _mm256_fmadd_pd(factor, _mm256_load_pd(from + 4), high);
                }
                _mm256_store_pd(product + i * order + j, low);
                _mm256_store_pd(product + i * order + j + 4, high);
            }
    return sum((const u8*)product, sizeof product);
}

static const char* lacks_avx2(void) {
    u32 a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA))
        return "no AVX2 and FMA";
    u32 enabled;
    asm volatile("xgetbv" : "=a"(enabled), "=d"(d) : "c"(0));
    if ((enabled & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2))
        return "no AVX2 and FMA";
    return NULL;
}

__attribute__((noinline, noclone, optimize("no-optimize-sibling-calls"))) static u64 fib(u64 n) {
    u64 first;
    if (n < 2) return n;
    first = fib(n - 1);
    asm volatile("" : "+r"(first));  // two calls, not one and a loop
    return first + fib(n - 2);
}

static u64 row_recursion(void) { return fib(33); }

typedef u64 (*Operation)(u64);
#define OPERATION(name, expression) \
    __attribute__((noinline)) static u64 name(u64 x) { return expression; }
OPERATION(op_add, x + 0x1234567)
OPERATION(op_xor, x ^ 0x89abcdef)
OPERATION(op_mul, x * 0x9e3779b97f4a7c15)
OPERATION(op_turn, x << 13 | x >> 51)
OPERATION(op_sub, x - 0x7654321)
OPERATION(op_not, ~x)
OPERATION(op_fold, x ^ x >> 17)
OPERATION(op_swap, __builtin_bswap64(x))
static const Operation operations[8] = {op_add, op_xor, op_mul,  op_turn,
                                        op_sub, op_not, op_fold, op_swap};

static u64 row_indirect(void) {
    const Operation* table = operations;
    asm volatile("" : "+r"(table));
    u64 x = 1;
    for (u32 i = 0; i < 12000000; ++i) x = table[(x ^ i) & 7](x);
    return x;
}

static void rep_movsb(u8* to, const u8* from, size_t size) {
    asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static void rep_movsq(u8* to, const u8* from, size_t size) {
    asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}

static void rep_stosq(u8* to, u64 value, size_t size) {
    asm volatile("rep stosq" : "+D"(to), "+c"(size) : "a"(value) : "memory");
}

static u64 row_rep_long(void) {
    u64 total = 0;
    for (u32 i = 0; i < 2500; ++i) {
        rep_movsq(arena + half, arena + i % 64 * 8, 65536);
        rep_movsb(arena + half + 524288, arena + half + i, 262144);
        rep_stosq(arena + half + 1048576, i, 65536);
        total += *(u64*)(arena + half + 524288) + *(u64*)(arena + half + 1048576);
    }
    return total ^ sum(arena + half, 2 << 20);
}

static u64 row_rep_short(void) {
    for (u32 i = 0; i < 2500000; ++i) {
        rep_movsb(arena + half + i % 4000, arena + i % 3000, 1 + i % 24);
        rep_movsq(arena + half + 8192 + i % 512 * 8, arena + i % 3000, 1 + i % 6);
    }
    return sum(arena + half, 16384);
}

static u64 row_x87(void) {
    long double x = 1;
    long double total = 0;
    for (u32 i = 1; i < 12000000; ++i) {
        x = x * 1.0000001L + (long double)i / 3;
        total += __builtin_sqrtl(x) - x / 7;
    }
    u64 image[2] = {0, 0};
    __builtin_memcpy(image, &total, 10);
    return image[0] ^ image[1] << 48;
}

static u64 row_division(void) {
    u64 x = 0x123456789abcdef;
    u64 total = 0;
    for (u32 i = 1; i < 7000000; ++i) {
        x = x * 6364136223846793005u + i;
        u64 wide = (x >> 20 | 1);
        u32 narrow = (u32)x | 1;
        asm volatile("" : "+r"(wide), "+r"(narrow));
        total += x / wide + x % wide;
        total += (u64)((int)(i * 77777) / (int)narrow);
        total += (u32)(x >> 32) / narrow;
    }
    return total;
}

// --- Rows that work the kernel ----------------------------------------------------------------

static u64 row_syscalls(void) {
    u64 total = 0;
    for (u32 i = 0; i < 400000; ++i) total += (u64)call3(__NR_getppid, 0, 0, 0);
    return total > 0;
}

enum { mapping = 4 << 20 };

static u64 row_faults(void) {
    u64 total = 0;
    for (int turn = 0; turn < 40; ++turn) {
        u8* at = (u8*)call6(__NR_mmap, 0, mapping, 3, 0x22, -1, 0);
        call3(__NR_madvise, (long)at, mapping, 15);  // small pages only
        for (size_t i = 0; i < mapping; i += 4096) {
            total += at[i];
            at[i] = (u8)i;
        }
        call3(__NR_munmap, (long)at, mapping, 0);
    }
    return total;
}

static long fork_child(void) { return call3(__NR_fork, 0, 0, 0); }

static u64 wait_child(void) {
    int status = -1;
    call6(__NR_wait4, -1, (long)&status, 0, 0, 0, 0);
    return (u64)status;
}

enum { exchanges = 20000 };

// Each side waits for the other's byte; the second adds one.
static u64 row_pipe(void) {
    int there[2];
    int back[2];
    u8 byte = 0;
    call3(__NR_pipe, (long)there, 0, 0);
    call3(__NR_pipe, (long)back, 0, 0);
    if (fork_child() == 0) {
        for (int i = 0; i < exchanges; ++i) {
            call3(__NR_read, there[0], (long)&byte, 1);
            ++byte;
            call3(__NR_write, back[1], (long)&byte, 1);
        }
        leave(0);
    }
    u64 total = 0;
    for (int i = 0; i < exchanges; ++i) {
        call3(__NR_write, there[1], (long)&byte, 1);
        call3(__NR_read, back[0], (long)&byte, 1);
        total = total * 3 + byte;
    }
    return total ^ wait_child();
}

static u64 row_fork(void) {
    u64 total = 0;
    for (int i = 0; i < 400; ++i) {
        if (fork_child() == 0) leave(i & 63);
        total = total * 5 + wait_child();
    }
    return total;
}

// --- The table --------------------------------------------------------------------------------

struct Row {
    const char* name;
    u64 (*run)(void);
    void (*prepare)(void);
    const char* (*lacks)(void);
};

static const struct Row rows[] = {
    {"integer", row_integer, NULL, NULL},
    {"sha256", row_sha256, NULL, NULL},
    {"copy8", row_copy, NULL, NULL},
    {"chase", row_chase, prepare_chase, NULL},
    {"sse2", row_sse2, prepare_matrices, NULL},
    {"avx2", row_avx2, prepare_matrices, lacks_avx2},
    {"recursion", row_recursion, NULL, NULL},
    {"indirect", row_indirect, NULL, NULL},
    {"rep_long", row_rep_long, NULL, NULL},
    {"rep_short", row_rep_short, NULL, NULL},
    {"syscalls", row_syscalls, NULL, NULL},
    {"faults", row_faults, NULL, NULL},
    {"pipe", row_pipe, NULL, NULL},
    {"fork", row_fork, NULL, NULL},
    {"x87", row_x87, NULL, NULL},
    {"division", row_division, NULL, NULL},
};

static void say_row(const char* name, const char* what) {
    say("row ");
    say(name);
    say(what);
}

static void measure(const struct Row* row) {
    const char* lacking = row->lacks ? row->lacks() : NULL;
    if (lacking) {
        say_row(row->name, " absent ");
        say(lacking);
        say("\r\n");
        return;
    }
    fill_arena();
    if (row->prepare) row->prepare();
    say_row(row->name, " begin\r\n");
    const u64 before = ticks();
    const u64 checksum = row->run();
    const u64 after = ticks();
    say_row(row->name, " end ");
    say_hex(checksum);
    say(" ");
    say_hex(after - before);
    say("\r\n");
}

static int wanted(const char* name, int count, char** names) {
    for (int i = 0; i < count; ++i)
        if (same(name, names[i])) return 1;
    return count == 0;
}

__attribute__((used, noreturn)) void bench_main(long* stack) {
    const int count = (int)stack[0] - 1;
    char** names = (char**)(stack + 2);
    call3(__NR_ioctl, 1, 0x5409, 1);  // TCSBRK: what the terminal still holds goes out first
    if (call3(__NR_iopl, 3, 0, 0) != 0) leave(2);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i)
        if (wanted(rows[i].name, count, names)) measure(&rows[i]);
    leave(0);
}

asm(".globl _start\n"
    "_start: xor %ebp, %ebp\n"
    "        mov %rsp, %rdi\n"
    "        and $-16, %rsp\n"
    "        call bench_main\n");

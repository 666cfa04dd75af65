// SPDX-License-Identifier: Apache-2.0
// The child: loads a whole register file, runs one instruction, stores the register file. Every
// way out of the instruction is a jump to the epilogue that knows which way it was, or a signal.
#include "silicon/native.h"

#include <asm/prctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

// Offsets are known to the assembly below.
struct alignas(64) Context {
    postern::u64 gpr[16];   // 0
    postern::u64 rflags;    // 128
    postern::u64 rip;       // 136
    postern::u64 way;       // 144: which epilogue
    postern::u64 host_rsp;  // 152
    postern::u8 unused[32];
    postern::u8 extended[832];  // 192: an XSAVE area of x87, SSE, AVX, in standard form
};
static_assert(offsetof(Context, extended) == 192);

}  // namespace

extern "C" {
[[gnu::visibility("hidden")]] extern Context silicon_context;
Context silicon_context;
void silicon_enter();
void silicon_recover();
void silicon_fallthrough();
void silicon_near();
void silicon_far();
}

// clang-format off
asm(R"(
    .text
    .globl silicon_enter, silicon_recover, silicon_fallthrough, silicon_near, silicon_far
silicon_enter:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, silicon_context+152(%rip)
    mov $7, %eax
    xor %edx, %edx
    xrstor silicon_context+192(%rip)
    push silicon_context+128(%rip)
    popfq
    mov silicon_context+0(%rip), %rax
    mov silicon_context+8(%rip), %rcx
    mov silicon_context+16(%rip), %rdx
    mov silicon_context+24(%rip), %rbx
    mov silicon_context+32(%rip), %rsp
    mov silicon_context+40(%rip), %rbp
    mov silicon_context+48(%rip), %rsi
    mov silicon_context+56(%rip), %rdi
    mov silicon_context+64(%rip), %r8
    mov silicon_context+72(%rip), %r9
    mov silicon_context+80(%rip), %r10
    mov silicon_context+88(%rip), %r11
    mov silicon_context+96(%rip), %r12
    mov silicon_context+104(%rip), %r13
    mov silicon_context+112(%rip), %r14
    mov silicon_context+120(%rip), %r15
    jmp *silicon_context+136(%rip)
silicon_fallthrough:
    mov %rax, silicon_context+0(%rip)
    mov $0, %eax
    jmp 1f
silicon_near:
    mov %rax, silicon_context+0(%rip)
    mov $1, %eax
    jmp 1f
silicon_far:
    mov %rax, silicon_context+0(%rip)
    mov $2, %eax
1:  mov %rax, silicon_context+144(%rip)
    mov %rcx, silicon_context+8(%rip)
    mov %rdx, silicon_context+16(%rip)
    mov %rbx, silicon_context+24(%rip)
    mov %rsp, silicon_context+32(%rip)
    mov %rbp, silicon_context+40(%rip)
    mov %rsi, silicon_context+48(%rip)
    mov %rdi, silicon_context+56(%rip)
    mov %r8, silicon_context+64(%rip)
    mov %r9, silicon_context+72(%rip)
    mov %r10, silicon_context+80(%rip)
    mov %r11, silicon_context+88(%rip)
    mov %r12, silicon_context+96(%rip)
    mov %r13, silicon_context+104(%rip)
    mov %r14, silicon_context+112(%rip)
    mov %r15, silicon_context+120(%rip)
    mov silicon_context+152(%rip), %rsp
    pushfq
    pop silicon_context+128(%rip)
    mov $7, %eax
    xor %edx, %edx
    xsave silicon_context+192(%rip)
silicon_recover:
    cld
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret
)");
// clang-format on

namespace postern::silicon {
namespace {

constexpr u32 usual_mxcsr = 0x1f80;
constexpr size_t at_fcw = 0, at_fsw = 2, at_tag = 4, at_mxcsr = 24, at_st = 32, at_xmm = 160,
                 at_components = 512, at_ymm_high = 576;
constexpr u64 component_x87 = 1, component_sse = 2, component_avx = 4;

Outcome* current = nullptr;

u8* at(u64 linear) { return reinterpret_cast<u8*>(linear); }

void must(bool fine, const char* what) {
    if (fine) return;
    std::perror(what);
    std::_Exit(1);
}

void map(u64 linear, u64 size, int protection) {
    void* got = mmap(at(linear), size, protection,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    must(got == at(linear), "silicon: mmap");
}

/// The order in which signal frames keep them, as encodings number them.
constexpr std::array<int, 16> greg_of{REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                      REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                      REG_R12, REG_R13, REG_R14, REG_R15};

/// SDM 1, "Standard Format of XSAVE Area". A component that is not there is in its first state.
void take_extended(const u8* area, Registers& r) {
    u64 components = 0;
    std::memcpy(&components, area + at_components, 8);
    r.ymm = {};
    r.x87 = {.fcw = 0x37f, .fsw = 0, .tag = 0, .st = {}};
    std::memcpy(&r.mxcsr, area + at_mxcsr, 4);
    if ((components & component_x87) != 0) {
        std::memcpy(&r.x87.fcw, area + at_fcw, 2);
        std::memcpy(&r.x87.fsw, area + at_fsw, 2);
        r.x87.tag = area[at_tag];
        for (size_t n = 0; n < 8; ++n)
            std::memcpy(r.x87.st[n].data(), area + at_st + 16 * n, r.x87.st[n].size());
    }
    for (size_t n = 0; n < 16; ++n) {
        u8* to = r.ymm[n].data();
        if ((components & component_sse) != 0) std::memcpy(to, area + at_xmm + 16 * n, 16);
        if ((components & component_avx) != 0)
            std::memcpy(to + 16, area + at_ymm_high + 16 * n, 16);
    }
}

void put_extended(const Registers& r, u8* area) {
    constexpr u64 components = component_x87 | component_sse | component_avx;
    std::memset(area, 0, at_ymm_high);
    std::memcpy(area + at_components, &components, 8);
    std::memcpy(area + at_mxcsr, &r.mxcsr, 4);
    std::memcpy(area + at_fcw, &r.x87.fcw, 2);
    std::memcpy(area + at_fsw, &r.x87.fsw, 2);
    area[at_tag] = r.x87.tag;
    for (size_t n = 0; n < 8; ++n)
        std::memcpy(area + at_st + 16 * n, r.x87.st[n].data(), r.x87.st[n].size());
    for (size_t n = 0; n < 16; ++n) {
        std::memcpy(area + at_xmm + 16 * n, r.ymm[n].data(), 16);
        std::memcpy(area + at_ymm_high + 16 * n, r.ymm[n].data() + 16, 16);
    }
}

void on_signal(int, siginfo_t*, void* raw) {
    auto& uc = *static_cast<ucontext_t*>(raw);
    greg_t* g = uc.uc_mcontext.gregs;
    Registers& r = current->after;
    for (unsigned n = 0; n < 16; ++n) r.gpr[n] = static_cast<u64>(g[greg_of[n]]);
    r.rip = static_cast<u64>(g[REG_RIP]);
    r.rflags = static_cast<u64>(g[REG_EFL]);
    auto* extended = reinterpret_cast<u8*>(uc.uc_mcontext.fpregs);
    take_extended(extended, r);
    std::memcpy(extended + at_mxcsr, &usual_mxcsr, 4);
    current->vector = static_cast<int>(g[REG_TRAPNO]);
    current->error_code = static_cast<u32>(g[REG_ERR]);
    current->cr2 = static_cast<u64>(g[REG_CR2]);
    g[REG_RIP] = reinterpret_cast<greg_t>(silicon_recover);
    g[REG_RSP] = static_cast<greg_t>(silicon_context.host_rsp);
    g[REG_EFL] = 0x202;
}

void catch_signals() {
    static std::array<u8, 1 << 16> stack;
    const stack_t alternate{.ss_sp = stack.data(), .ss_flags = 0, .ss_size = stack.size()};
    must(sigaltstack(&alternate, nullptr) == 0, "silicon: sigaltstack");
    struct sigaction action{};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (const int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP})
        must(sigaction(s, &action, nullptr) == 0, "silicon: sigaction");
}

/// JMP to one of the epilogues: no register is free for its address.
void put_exit(u64 linear, void (*epilogue)()) {
    constexpr std::array<u8, 6> jump{0xff, 0x25, 0, 0, 0, 0};
    std::memcpy(at(linear), jump.data(), jump.size());
    std::memcpy(at(linear + jump.size()), &epilogue, sizeof epilogue);
}

void prepare(const Case& k) {
    std::memcpy(at(scratch), plain_memory().data(), scratch_size);
    std::memcpy(at(k.operand_at), k.operand.data(), k.operand.size());
    std::memcpy(at(k.before.rip), k.bytes.data(), k.length);
    put_exit(k.before.rip + k.length, silicon_fallthrough);
    put_exit(k.before.rip + near_distance, silicon_near);
    std::copy_n(k.before.gpr.begin(), 16, silicon_context.gpr);
    silicon_context.rflags = k.before.rflags;
    silicon_context.rip = k.before.rip;
    put_extended(k.before, silicon_context.extended);
}

void run_one(const Case& k, Outcome& o) {
    prepare(k);
    o.vector = -1;
    o.error_code = 0;
    o.cr2 = 0;
    current = &o;
    silicon_enter();
    asm volatile("ldmxcsr %0" : : "m"(usual_mxcsr));
    if (o.vector < 0) {
        std::copy_n(silicon_context.gpr, 16, o.after.gpr.begin());
        o.after.rflags = silicon_context.rflags;
        const std::array<u64, 3> ways{k.before.rip + k.length, k.before.rip + near_distance,
                                      far_target};
        o.after.rip = ways[silicon_context.way];
        take_extended(silicon_context.extended, o.after);
    }
    std::memcpy(o.memory.data(), at(scratch), scratch_size);
}

}  // namespace

Native::Native(unsigned largest_batch)
    : bytes_{size_t{largest_batch} * sizeof(Outcome) + sizeof(unsigned)} {
    void* got = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(got != MAP_FAILED, "silicon: mmap");
    outcomes_ = static_cast<Outcome*>(got);
    done_ = reinterpret_cast<unsigned*>(outcomes_ + largest_batch);
}

Native::~Native() { munmap(outcomes_, bytes_); }

unsigned Native::run(std::span<const Case> cases) {
    *done_ = 0;
    std::fflush(nullptr);
    const pid_t child = fork();
    must(child >= 0, "silicon: fork");
    if (child == 0) {
        map(scratch, scratch_size + read_only_size, PROT_READ | PROT_WRITE);
        std::memcpy(at(read_only), plain_memory().data(), read_only_size);
        must(mprotect(at(read_only), read_only_size, PROT_READ) == 0, "silicon: mprotect");
        map(code, code_size, PROT_READ | PROT_WRITE | PROT_EXEC);
        must(syscall(SYS_arch_prctl, ARCH_SET_GS, gs_base) == 0, "silicon: arch_prctl");
        put_exit(far_target, silicon_far);
        catch_signals();
        alarm(30);
        for (const Case& k : cases) {
            run_one(k, outcomes_[*done_]);
            ++*done_;
        }
        std::_Exit(0);
    }
    int status = 0;
    must(waitpid(child, &status, 0) == child, "silicon: waitpid");
    return *done_;
}

}  // namespace postern::silicon

// SPDX-License-Identifier: Apache-2.0
// How fast the interpreter is, in instructions a second and as a fraction of the host: each
// program is one sequence of bytes, called as a function here and run as a guest there.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "support/guest_code.h"

namespace {

using namespace postern;
using namespace postern::cpu;

/// Called with RDI = turns, RSI = 64 KiB of memory; ends in RET. Keeps RBX, RBP, R12 to R15.
struct Program {
    const char* name;
    std::vector<u8> code;
    u64 turns;
};

// clang-format off
const std::vector<Program> programs{
    {"lcg", {
        0xb8, 0x01, 0x00, 0x00, 0x00,                    //    mov eax, 1
        0x48, 0xb9, 0x2d, 0x7f, 0x95, 0x4c, 0x2d, 0xf4, 0x51, 0x58,   // mov rcx, multiplier
        0x48, 0x0f, 0xaf, 0xc1,                          // 1: imul rax, rcx
        0x48, 0x83, 0xc0, 0x0b,                          //    add rax, 11
        0x48, 0xff, 0xcf,                                //    dec rdi
        0x75, 0xf3,                                      //    jnz 1b
        0xc3}, 2'000'000},
    {"copy_8_bytes", {
        0x31, 0xc9,                                      //    xor ecx, ecx
        0x48, 0x8b, 0x04, 0x0e,                          // 1: mov rax, [rsi+rcx]
        0x48, 0x89, 0x84, 0x0e, 0x00, 0x80, 0x00, 0x00,  //    mov [rsi+rcx+32768], rax
        0x83, 0xc1, 0x08,                                //    add ecx, 8
        0x81, 0xe1, 0xf8, 0x7f, 0x00, 0x00,              //    and ecx, 7ff8h
        0x48, 0xff, 0xcf,                                //    dec rdi
        0x75, 0xe6,                                      //    jnz 1b
        0xc3}, 1'500'000},
    {"sha256_like_mix", {
        0xb8, 0x67, 0xe6, 0x09, 0x6a,                    //    mov eax, 6a09e667h
        0xba, 0x85, 0xae, 0x67, 0xbb,                    //    mov edx, bb67ae85h
        0x89, 0xc1,                                      // 1: mov ecx, eax
        0xc1, 0xc9, 0x06,                                //    ror ecx, 6
        0x41, 0x89, 0xc0,                                //    mov r8d, eax
        0x41, 0xc1, 0xc8, 0x0b,                          //    ror r8d, 11
        0x44, 0x31, 0xc1,                                //    xor ecx, r8d
        0x41, 0xc1, 0xc8, 0x0e,                          //    ror r8d, 14
        0x44, 0x31, 0xc1,                                //    xor ecx, r8d
        0x41, 0x89, 0xd0,                                //    mov r8d, edx
        0x41, 0xf7, 0xd0,                                //    not r8d
        0x41, 0x21, 0xc0,                                //    and r8d, eax
        0x44, 0x01, 0xc1,                                //    add ecx, r8d
        0x03, 0x0e,                                      //    add ecx, [rsi]
        0x01, 0xca,                                      //    add edx, ecx
        0x92,                                            //    xchg edx, eax
        0x48, 0xff, 0xcf,                                //    dec rdi
        0x75, 0xd4,                                      //    jnz 1b
        0xc3}, 600'000},
    {"pointer_chase", {
        0x48, 0x8b, 0x36,                                // 1: mov rsi, [rsi]
        0x48, 0x8b, 0x36,                                //    mov rsi, [rsi]
        0x48, 0x8b, 0x36,                                //    mov rsi, [rsi]
        0x48, 0x8b, 0x36,                                //    mov rsi, [rsi]
        0x48, 0xff, 0xcf,                                //    dec rdi
        0x75, 0xef,                                      //    jnz 1b
        0xc3}, 1'500'000},
    {"call_and_return_fib", {
        0x48, 0x83, 0xff, 0x02,                          // f: cmp rdi, 2
        0x73, 0x04,                                      //    jae 1f
        0x48, 0x89, 0xf8,                                //    mov rax, rdi
        0xc3,                                            //    ret
        0x57,                                            // 1: push rdi
        0x48, 0xff, 0xcf,                                //    dec rdi
        0xe8, 0xed, 0xff, 0xff, 0xff,                    //    call f
        0x5f,                                            //    pop rdi
        0x50,                                            //    push rax
        0x48, 0x83, 0xef, 0x02,                          //    sub rdi, 2
        0xe8, 0xe2, 0xff, 0xff, 0xff,                    //    call f
        0x59,                                            //    pop rcx
        0x48, 0x01, 0xc8,                                //    add rax, rcx
        0xc3}, 27},
};
// clang-format on

constexpr u64 memory_size = 0x1'0000, node_size = 64;

/// A cycle through all nodes, in an order that prefetchers do not guess; links are `base`'s.
void link_nodes(u8* memory, u64 base) {
    constexpr u64 nodes = memory_size / node_size, step = 389;  // coprime
    for (u64 n = 0; n < nodes; ++n) {
        const u64 next = base + (n + step) % nodes * node_size;
        std::memcpy(memory + n * node_size, &next, sizeof next);
    }
}

/// The thread's processor time: others may be using the machine.
double seconds() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

class Host {
public:
    explicit Host(const Program& program) : memory_(memory_size) {
        link_nodes(memory_.data(), reinterpret_cast<u64>(memory_.data()));
        void* page = mmap(nullptr, page_size, PROT_READ | PROT_WRITE | PROT_EXEC,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        std::memcpy(page, program.code.data(), program.code.size());
        function_ = reinterpret_cast<u64 (*)(u64, u8*)>(page);
    }
    ~Host() { munmap(reinterpret_cast<void*>(function_), page_size); }
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;

    /// The best of a few calls.
    double time(u64 turns) {
        double best = 1e9;
        for (int n = 0; n < 5; ++n) {
            const double start = seconds();
            benchmark::DoNotOptimize(function_(turns, memory_.data()));
            best = std::min(best, seconds() - start);
        }
        return best;
    }

private:
    std::vector<u8> memory_;
    u64 (*function_)(u64, u8*);
};

void interpreter(benchmark::State& state, const Program& program) {
    GuestCode machine;
    const u64 end = guest_at::code + program.code.size();
    machine.write(guest_at::code, program.code);
    machine.write(end, GuestCode::hlt);
    u64 instructions = 0;
    double spent = 0;
    for (auto _ : state) {
        machine.set_plain_state(guest_at::code);
        link_nodes(machine.ram(guest_at::data), guest_at::data);
        machine.c.gpr[rdi] = program.turns;
        machine.c.gpr[rsi] = guest_at::data;
        machine.at<u64>(machine.c.gpr[rsp]) = end;
        const double start = seconds();
        const GuestStop stop = machine.run(~u64{0} >> 2);
        spent += seconds() - start;
        instructions += stop.instructions;
        if (stop.outcome != RunOutcome::halted || stop.fault) state.SkipWithError("did not end");
    }
    if (instructions == 0) return;
    Host host{program};
    const double per_run = spent / static_cast<double>(state.iterations());
    state.counters["Minsn/s"] = static_cast<double>(instructions) / spent / 1e6;
    state.counters["x_native"] = per_run / host.time(program.turns);
}

const bool registered = [] {
    for (const Program& program : programs)
        benchmark::RegisterBenchmark((std::string{"interpreter/"} + program.name).c_str(),
                                     interpreter, program)
            ->Unit(benchmark::kMillisecond);
    return true;
}();

}  // namespace

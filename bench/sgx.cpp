// SPDX-License-Identifier: Apache-2.0
// How many enclave entries and exits, interruptions and resumptions, and pages added and measured
// a second: instructions of a small program at full service of the run loop. No emulator but this
// one has SGX, so there is no peer to set it beside; the plain loop and, in the same run, the
// CPUID exit (exits.cpp) say how fast the host was.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <ctime>

#include "arch/sgx/pageinfo.h"
#include "cpu/event/event.h"
#include "unit/cpu/sgx/attack_machine.h"

namespace {

using namespace postern;
using namespace postern::cpu;
using namespace postern::cpu::sgx::attack;

constexpr u64 round_trips = 50'000, pages_a_run = 2'000;
constexpr u64 most_instructions = 100'000'000;

/// The thread's processor time: others may be using the machine.
double cpu_seconds() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// `body`, again and again: R15 counts down. DEC R15; JNZ.
Bytes loop_of(const Bytes& body) {
    Bytes code = join({body, {0x49, 0xff, 0xcf, 0x0f, 0x85}});
    const auto back = static_cast<u32>(0 - (code.size() + 4));
    for (unsigned n = 0; n < 4; ++n) code.push_back(static_cast<u8>(back >> (8 * n)));
    return join({code, {0xcd, 0x80}});
}

/// Starts `code` at `outside` with R15 = `count`, and times it to its end.
double seconds_of(AttackMachine& m, u32 cpl, const Bytes& code, u64 count) {
    m.set_plain_state(outside);
    m.set_cpl(cpl);
    m.c.gpr[r15] = count;
    m.write(outside, code);
    const double start = cpu_seconds();
    const GuestStop stop = m.go_on(most_instructions);
    const double seconds = cpu_seconds() - start;
    if (stop.fault || stop.state.gpr[r15] != 0) std::abort();
    return seconds;
}

void report(benchmark::State& state, const char* what, u64 count, double seconds) {
    state.counters[what] =
        static_cast<double>(state.iterations()) * static_cast<double>(count) / seconds;
}

void plain_loop(benchmark::State& state) {
    AttackMachine m;
    double seconds = 0;
    for (auto _ : state) seconds += seconds_of(m, 3, loop_of({0x90}), 20 * round_trips);
    report(state, "rounds/s", 20 * round_trips, seconds);
}

/// EENTER; inside nothing but EEXIT, to the loop's end.
void enter_and_exit(benchmark::State& state) {
    const Bytes entry = enter_bytes();
    AttackMachine m{enclu_bytes(EncluLeaf::eexit, outside + entry.size(), 0)};
    double seconds = 0;
    for (auto _ : state) seconds += seconds_of(m, 3, loop_of(entry), round_trips);
    report(state, "round_trips/s", round_trips, seconds);
}

/// One interrupt after the other, `distance` instructions apart.
class Metronome final : public InterruptController {
public:
    explicit Metronome(const Cpu& c) : c_{c} {}
    static constexpr u8 vector = 0x40;
    static constexpr u64 distance = 30;

    int pending_vector(u64 time) override { return time >= next_ ? vector : -1; }
    void acknowledge(u8) override {
        ++taken;
        next_ = now(c_) + distance;
    }
    void end_of_interrupt() override {}
    [[nodiscard]] u64 next_event() const override { return next_; }
    [[nodiscard]] u8 task_priority() const override { return 0; }
    void set_task_priority(u8) override {}
    u64 read_msr(u32, u64, bool& fault) override {
        fault = true;
        return 0;
    }
    bool write_msr(u32, u64, u64) override { return false; }

    u64 taken = 0;

private:
    const Cpu& c_;
    u64 next_ = 0;
};

/// The enclave spins; each interrupt is an AEX, a handler of one IRETQ, and ERESUME at the AEP.
void interrupt_and_resume(benchmark::State& state) {
    AttackMachine m{{0xeb, 0xfe}};
    m.write(guest_at::handlers + 16 * u64{Metronome::vector}, Bytes{0x48, 0xcf});
    m.write(aep, Bytes{0x0f, 0x01, 0xd7});
    Metronome metronome{m.c};
    double seconds = 0;
    u64 taken = 0;
    m.go_inside();
    m.c.interrupts = &metronome;
    m.c.flags.set(Rflag::if_);
    for (auto _ : state) {
        const double start = cpu_seconds();
        while (metronome.taken < round_trips)
            if (run(m.c, now(m.c) + 1'000'000) != RunOutcome::time) std::abort();
        seconds += cpu_seconds() - start;
        taken += metronome.taken;
        metronome.taken = 0;
    }
    state.counters["round_trips/s"] = static_cast<double>(taken) / seconds;
}

Bytes encls_bytes(EnclsLeaf leaf, u64 rbx_value, u64 rcx_value) {
    return join({mov(rax, static_cast<u64>(leaf)),
                 mov(rbx, rbx_value),
                 mov(rcx, rcx_value),
                 {0x0f, 0x01, 0xcf}});
}

/// EADD, EEXTEND of all its 16 parts, and EREMOVE, so that the page is free again.
void add_and_measure(benchmark::State& state) {
    AttackMachine m;
    m.epc.secs(secs_page).attributes.flags.set(SgxAttribute::init, false);
    constexpr u64 pageinfo = guest_at::data, secinfo = pageinfo + 0x40, source = pageinfo + 0x1000;
    m.at<Pageinfo>(pageinfo) = {unused_at, source, secinfo, window_of(secs_page)};
    m.at<Secinfo>(secinfo) = {};
    m.at<Secinfo>(secinfo).flags = SecinfoFlags::from_raw(0x203);
    Bytes body = encls_bytes(EnclsLeaf::eadd, pageinfo, window_of(free_page));
    for (u64 part = 0; part < page_size; part += 256) {
        const u64 at = window_of(free_page) + part;
        body = join({body, encls_bytes(EnclsLeaf::eextend, window_of(secs_page), at)});
    }
    body = join({body, encls_bytes(EnclsLeaf::eremove, 0, window_of(free_page))});
    double seconds = 0;
    for (auto _ : state) seconds += seconds_of(m, 0, loop_of(body), pages_a_run);
    report(state, "pages/s", pages_a_run, seconds);
}

const bool registered = [] {
    const auto add = [](const char* name, void (*run)(benchmark::State&)) {
        benchmark::RegisterBenchmark(name, run)
            ->Unit(benchmark::kMillisecond)
            ->MinTime(0.1)
            ->Repetitions(7)
            ->ReportAggregatesOnly();
    };
    add("sgx/plain_loop", plain_loop);
    add("sgx/eenter_eexit", enter_and_exit);
    add("sgx/interrupt_aex_eresume", interrupt_and_resume);
    add("sgx/eadd_16_eextend_eremove", add_and_measure);
    return true;
}();

}  // namespace

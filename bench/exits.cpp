// SPDX-License-Identifier: Apache-2.0
// How many VM exits a second software in VMX root operation on our processor can take and resume
// from: programs of bench/exits, whose host does as little as possible.
#include <benchmark/benchmark.h>

#include <chrono>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "cpu/model.h"
#include "support/flat_program.h"

namespace {

using namespace postern;
using namespace postern::platform;

constexpr u64 most_time = 100'000'000;
constexpr u32 right_exit = 5;

std::vector<u8> read_program(const std::string& name) {
    std::ifstream file{std::string{BENCH_EXITS} + "/" + name + ".bin", std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

std::unique_ptr<Computer> make_computer(NullSink& nowhere) {
    ComputerConfig config;
    config.layout = layout_of(16 * mib, 0);
    config.model = &cpu::default_model();
    return std::move(*Computer::create(std::move(config), {nowhere, nowhere, [](u32) {}}));
}

/// The thread's processor time: others may be using the machine.
double cpu_seconds() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void exits(benchmark::State& state, const std::string& name) {
    const std::vector<u8> program = read_program(name);
    NullSink nowhere;
    double wall = 0, cpu = 0;
    for (auto _ : state) {
        state.PauseTiming();
        const auto computer = make_computer(nowhere);
        load_flat_program(*computer, program);
        state.ResumeTiming();
        const auto wall_start = std::chrono::steady_clock::now();
        const double cpu_start = cpu_seconds();
        const ComputerOutcome outcome = computer->run_until(most_time);
        cpu += cpu_seconds() - cpu_start;
        wall +=
            std::chrono::duration<double>(std::chrono::steady_clock::now() - wall_start).count();
        if (outcome.stop != ComputerStop::exit_port || outcome.value != right_exit)
            state.SkipWithError("the program did not end as it should");
    }
    const double round_trips = static_cast<double>(state.iterations()) * BENCH_ROUND_TRIPS;
    state.counters["round_trips/s"] = round_trips / wall;
    state.counters["by_cpu_time/s"] = round_trips / cpu;
}

const bool registered = [] {
    for (const std::string name : {"cpuid", "hlt", "pio", "ept"})
        benchmark::RegisterBenchmark(("exit_round_trips/" + name).c_str(), exits, name)
            ->Unit(benchmark::kMillisecond)
            ->MinTime(0.2)
            ->Repetitions(7)
            ->ReportAggregatesOnly();
    return true;
}();

}  // namespace

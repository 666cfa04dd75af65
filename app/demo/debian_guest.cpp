// SPDX-License-Identifier: Apache-2.0
#include "app/demo/debian_guest.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <iterator>

#include <fmt/format.h>

#include "app/hosted_stats.h"
#include "app/options.h"
#include "arch/vmx/controls.h"
#include "guests/linux_scenarios/orders.h"
#include "guests/scenarios.h"

namespace postern::app {

namespace {

constexpr u64 memory_size = 512 * platform::mib;
constexpr u64 epc_size = 64 * platform::mib;

/// In real time, for what makes no progress in the guest's.
constexpr u64 boot_milliseconds = 170'000;
constexpr u64 run_milliseconds = 60'000;

/// A piece of a run, after which the clock on the wall is looked at.
constexpr u64 piece = 100'000'000;

u32 number_of(std::string_view name) {
    const auto found = std::ranges::find_if(guests::scenario_names, [&](const auto& row) {
        return std::string_view{row.name} == name;
    });
    return static_cast<u32>(found - std::begin(guests::scenario_names));
}

void add(host::Guest& guest, VmcsField field, u32 bits) {
    guest.port().vmwrite(field, guest.port().vmread(field) | bits);
}

/// What a guest of our own is given when it is made.
void set_policies(host::Guest& guest, const Setting& setting) {
    hv::Config& policies = guest.vm().policies();
    policies.protections = setting.protections;
    policies.enclave_fault = setting.enclave_fault;
    policies.hidden = setting.hidden;
    policies.livelock_ticks = setting.livelock_ticks;
    guest.machine().system().choices = setting.choices;
    SecondaryControls exiting;
    exiting.set(SecondaryControl::rdrand_exiting, setting.hidden.has(hv::HiddenFeature::rdrand));
    exiting.set(SecondaryControl::rdseed_exiting, setting.hidden.has(hv::HiddenFeature::rdseed));
    add(guest, VmcsField::secondary_processor_based_controls, exiting.to_raw());
    if (setting.timer == 0) return;
    policies.preemption_timer = setting.timer;
    add(guest, VmcsField::pin_based_controls,
        PinControls{PinControl::activate_vmx_preemption_timer}.to_raw());
    add(guest, VmcsField::vm_exit_controls,
        ExitControls{ExitControl::save_vmx_preemption_timer_value}.to_raw());
    guest.port().vmwrite(VmcsField::vmx_preemption_timer_value, setting.timer);
}

/// Of counters, which are u64 each.
template <class Counts>
Counts difference(const Counts& after, const Counts& before) {
    using Words = std::array<u64, sizeof(Counts) / sizeof(u64)>;
    auto words = std::bit_cast<Words>(after);
    const auto start = std::bit_cast<Words>(before);
    std::ranges::transform(words, start, words.begin(), std::minus{});
    return std::bit_cast<Counts>(words);
}

// --- The pipe from a child: the counters, then the lines.

void write_all(int to, const void* bytes, size_t count) {
    const char* at = static_cast<const char*>(bytes);
    while (count != 0) {
        const ssize_t written = write(to, at, count);
        if (written <= 0) _exit(1);
        at += written;
        count -= static_cast<size_t>(written);
    }
}

std::string read_all(int from) {
    std::string bytes;
    std::array<char, 65536> some{};
    for (;;) {
        const ssize_t count = read(from, some.data(), some.size());
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return bytes;
        bytes.append(some.data(), static_cast<size_t>(count));
    }
}

void write_report(int to, const ScenarioReport& report) {
    write_all(to, &report.counters, sizeof report.counters);
    write_all(to, &report.enclave, sizeof report.enclave);
    for (std::string line : report.wrong) {
        std::ranges::replace(line, '\n', ' ');
        line += '\n';
        write_all(to, line.data(), line.size());
    }
}

platform::Expected<ScenarioReport> report_of(const std::string& bytes) {
    ScenarioReport report;
    constexpr size_t head = sizeof report.counters + sizeof report.enclave;
    if (bytes.size() < head)
        return platform::error("a run of the demo has come to no end", "its process",
                               "one that reports");
    std::memcpy(&report.counters, bytes.data(), sizeof report.counters);
    std::memcpy(&report.enclave, bytes.data() + sizeof report.counters, sizeof report.enclave);
    for (const std::string_view line : split(std::string_view{bytes}.substr(head), '\n'))
        if (!line.empty()) report.wrong.emplace_back(line);
    return report;
}

}  // namespace

void DebianGuest::Lines::put(u8 byte) {
    if (byte == '\r') return;
    if (byte != '\n') {
        line_ += static_cast<char>(byte);
        return;
    }
    const host::Guest* const guest = owner_->guest_.get();
    owner_->observer_(line_, guest != nullptr ? guest->now() : 0);
    line_.clear();
}

void DebianGuest::mark(u32 value) {
    if (watcher_.recorder != nullptr) return watcher_.recorder->mark(value);
    if (value != guests::mark_ready) return;
    ready_ = true;
    guest_->interrupt();
}

platform::Expected<std::unique_ptr<DebianGuest>> DebianGuest::create(platform::Kernel kernel,
                                                                     LineObserver observer) {
    std::unique_ptr<DebianGuest> made{new DebianGuest{std::move(observer)}};
    host::GuestConfig config;
    config.layout = platform::layout_of(memory_size, epc_size);
    config.model = &cpu::default_model();
    config.kernel = std::move(kernel);
    config.test_devices = true;
    auto guest = host::Guest::create(std::move(config),
                                     {made->serial_, made->debug_, made->watcher_,
                                      [owner = made.get()](u32 value) { owner->mark(value); }});
    if (!guest) return std::unexpected{guest.error()};
    made->guest_ = std::move(*guest);
    return made;
}

std::optional<host::RunResult> DebianGuest::boot() {
    using Wall = std::chrono::steady_clock;
    const auto deadline = Wall::now() + std::chrono::milliseconds{boot_milliseconds};
    while (!ready_) {
        if (auto result = guest_->run_until(guest_->now() + piece)) return result;
        if (Wall::now() >= deadline) return guest_->finish(host::Ending::time_limit);
    }
    return std::nullopt;
}

host::RunResult DebianGuest::finish() {
    return guest_->run({guest_->now() + u64{100} * piece, run_milliseconds});
}

const hv::EnclaveTable::Entry* DebianGuest::enclave() const {
    const auto entries = guest_->vm().enclaves().entries();
    const auto newest = std::ranges::max_element(
        entries, {}, [](const auto& entry) { return entry.enclave.number; });
    return newest == entries.end() ? nullptr : &*newest;
}

Observation DebianGuest::observe_here(const ScenarioRun& which, Trial trial) {
    host::Guest& guest = *guest_;
    Observation seen;
    seen.of_a_process = true;
    seen.doorbell = guest.devices().doorbell_function->address();
    Recorder recorder{seen, trial};
    recorder.watch(guest);
    watcher_.recorder = &recorder;
    // What the run is not to have, it does not have from the row's first mark on.
    trial.at_begin = [&, begin = std::move(trial.at_begin)](host::Guest& at) {
        set_policies(at, which.setting);
        begin(at);
    };
    seen.result = guest.run({guest.now() + trial.instruction_limit, run_milliseconds});
    watcher_.recorder = nullptr;
    if (seen.row_end == 0) seen.row_end = seen.exits.size();
    seen.rings = guest.devices().doorbell.rings();
    seen.ring_count = guest.devices().doorbell.count();
    seen.missing_fields = guest.port().missing_fields();
    seen.serial = debug_.text();
    read_lines(seen, trial.said_as);
    return seen;
}

ScenarioReport DebianGuest::run_here(const Scenario& scenario, const ScenarioRun& which) {
    const u32 number = number_of(guest_name_of(scenario, which));
    const u32 side = which.setting.mode == "outside" ? 2 : 1;
    const hv::Counters before = guest_->counters();
    const hv::EnclaveCounters enclave_before =
        enclave() != nullptr ? enclave()->counters : hv::EnclaveCounters{};
    guest_->devices().mark_port.answer(guests::order_of(number, side));
    Account account;
    judge(scenario, which, observe_here(which, trial_of(scenario, which)), account);
    ScenarioReport report{std::move(account.wrong), difference(guest_->counters(), before), {}};
    if (enclave() != nullptr) report.enclave = difference(enclave()->counters, enclave_before);
    // Without a protection the hypervisor does not know what it counts.
    if (which.setting.protections == hv::all_protections)
        std::ranges::move(disagreements(counts_of(*guest_)), std::back_inserter(report.wrong));
    return report;
}

platform::Expected<ScenarioReport> DebianGuest::run(const Scenario& scenario,
                                                    const ScenarioRun& which) {
    std::array<int, 2> ends{};
    if (pipe(ends.data()) != 0)
        return platform::error(std::strerror(errno), "a pipe", "one more file");
    const pid_t child = fork();
    if (child < 0) return platform::error(std::strerror(errno), "fork", "one more process");
    if (child == 0) {
        close(ends[0]);
        write_report(ends[1], run_here(scenario, which));
        _exit(0);
    }
    close(ends[1]);
    const std::string bytes = read_all(ends[0]);
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return platform::error(fmt::format("a run of the demo ended with status {:#x}", status),
                               "its process", "0");
    return report_of(bytes);
}

}  // namespace postern::app

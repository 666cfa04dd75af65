// SPDX-License-Identifier: Apache-2.0
// A guest that means harm, on the software processor under the hypervisor: at CPL 0 and 3, in
// every mode, it writes any MSR, control register, table and descriptor, plays with ports, devices
// and its APIC, runs leaves of SGX with garbage and with operands that are half right, and random
// code in an enclave; or all of that as a program under a kernel that does no wrong. Whatever it
// does: Postern goes on or stops the guest for a reason that is the guest's; no VM entry fails; an
// honest processor gives no anomaly; the hypervisor's pages, EPT and the EPC are as they should be.
// iterations: 2000
// with: fuzz/hosted/soup.cpp tests/support/hosted_kernel.cpp tests/support/hosted_invariants.cpp
// with: tests/support/epc_invariants.cpp tests/unit/cpu/sgx/enclave_machine.cpp
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "arch/sgx/leaf.h"
#include "cpu/model.h"
#include "cpu/vmx/check.h"
#include "fuzz/hosted/soup.h"
#include "support/epc_invariants.h"
#include "support/hosted_invariants.h"

namespace {

using namespace postern;
using namespace postern::fuzz;

constexpr u64 instructions_at_most = 6000;

std::string hexadecimal(u64 value) {
    char text[32];
    std::snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(value));
    return text;
}

/// How guests ended, what they did, and what of it was not implemented; printed at the end.
struct Tally {
    std::map<std::string, u64> lines;
    ~Tally() {
        for (const auto& [what, count] : lines)
            std::printf("%8llu  %s\n", static_cast<unsigned long long>(count), what.c_str());
    }
    void count(const std::string& what, u64 more = 1) { lines[what] += more; }
};
Tally tally;

/// Looks at each exit, and in between takes back pages that the guest has mapped.
class Watch final : public hv::Watcher {
public:
    void begin(host::Guest& guest, u64 forgets_every) {
        guest_ = &guest;
        forgets_every_ = forgets_every;
        exits_ = 0;
    }
    void end() { guest_ = nullptr; }

    void exit(const hv::ExitRecord& record) override {
        tally.count(record.kind == hv::ExitKind::enclave    ? "exits from an enclave"
                    : record.kind == hv::ExitKind::delivery ? "exits in a delivery for an enclave"
                                                            : "other exits");
        if (guest_ == nullptr) return;
        if (const auto breach = host::test::apic_is_as_kept(*guest_, record.vcpu))
            broken(breach.rule, hexadecimal(breach.value));
        if (forgets_every_ == 0 || ++exits_ % forgets_every_ != 0) return;
        const u64 place = exits_ % 3 == 0 ? at::epc : exits_ % 3 == 1 ? at::code : at::kernel;
        guest_->vcpu().forget(Gpa{place + (exits_ * 0x9e37 % 16) * page_size});
    }
    void stopped(const hv::StopReport&) override {}
    void reset(const hv::ResetRecord& record) override {
        tally.count(record.cause == hv::ResetCause::device ? "resets" : "resets by a triple fault");
    }
    void anomaly(hv::Anomaly anomaly, const hv::ExitRecord& record) override {
        broken("an honest processor gives no anomaly",
               hexadecimal(static_cast<u64>(anomaly)) + ", exit reason " +
                   hexadecimal(record.raw_reason) + ", RIP " + hexadecimal(record.rip_or_aep));
    }

private:
    host::Guest* guest_ = nullptr;
    u64 forgets_every_ = 0;
    u64 exits_ = 0;
};

/// The time of a few resets does not count.
u64 limit_of(const host::Guest& guest) {
    constexpr u64 resets_at_most = 3;
    return instructions_at_most +
           std::min(guest.resets(), resets_at_most) * host::Guest::reset_time;
}

/// The rule of VM entry that the guest's state breaks.
std::string failed_check(host::Guest& guest) {
    cpu::Cpu& c = guest.machine().processor();
    for (const auto failure : {cpu::vmx::EntryFailure::controls, cpu::vmx::EntryFailure::host,
                               cpu::vmx::EntryFailure::guest})
        if (const cpu::vmx::EntryCheck* check = cpu::vmx::first_violated(failure, c))
            return std::string{check->title} + ": " + std::string{check->rule};
    return "no check of VM entry";
}

void count_end(const host::RunResult& result, bool by_programs) {
    const std::string who = by_programs ? "programs: " : "any: ";
    switch (result.ending) {
        case host::Ending::exit_port: return tally.count(who + "to the end");
        case host::Ending::power_off: return tally.count(who + "switched off");
        case host::Ending::reset: return tally.count(who + "reset");
        case host::Ending::halted: return tally.count(who + "halted");
        case host::Ending::instruction_limit: return tally.count(who + "at the limit");
        case host::Ending::time_limit: return tally.count(who + "exits without end");
        case host::Ending::processor:
            return tally.count(who + result.what.substr(0, result.what.find(" at RIP")));
        case host::Ending::stopped: break;
    }
    const std::string reason = result.stop.reason == hv::StopReason::triple_fault ? "triple fault"
                               : result.stop.reason == hv::StopReason::not_implemented
                                   ? "not implemented"
                                   : "stopped";
    const std::string what = result.stop.what != nullptr ? result.stop.what : "";
    tally.count(who + reason + (what.empty() ? "" : ": " + what) + ", exit reason " +
                std::to_string(result.stop.exit.raw_reason & 0xffff));
}

void judge(host::Guest& guest, const host::test::ReserveWatch& reserve,
           const host::RunResult& result, bool by_programs) {
    count_end(result, by_programs);
    if (const auto breach = host::test::wrong_end(result, by_programs)) {
        const bool entry = result.stop.reason == hv::StopReason::entry_failed ||
                           result.stop.reason == hv::StopReason::vmfail;
        broken(breach.rule,
               host::test::describe(result) + (entry ? "; " + failed_check(guest) : ""));
    }
    if (result.instructions > limit_of(guest))
        broken("the limit holds", host::test::describe(result));
    if (const auto breach = host::test::ept_maps_only_the_guest(guest))
        broken(breach.rule, hexadecimal(breach.value));
    if (const auto breach = reserve.look()) broken(breach.rule, hexadecimal(breach.value));
    const std::array<const cpu::Cpu*, 1> processors{&guest.machine().processor()};
    if (const auto breach = cpu::sgx::first_breach({*guest.machine().epc(), processors}))
        broken(breach.rule, "EPC page " + std::to_string(breach.page));
    if (!guest.port().missing_fields().empty()) broken("no VMCS field is missing", "one is");
}

/// A guest may exit again and again without retiring anything: no time passes, and only its owner's
/// patience ends that.
host::RunResult run_bounded(host::Guest& guest) {
    constexpr unsigned patience = 3;
    unsigned still = 0;
    u64 before = guest.now();
    for (;;) {
        if (auto result = guest.run_until(limit_of(guest))) return *result;
        if (guest.now() >= limit_of(guest)) return guest.finish(host::Ending::instruction_limit);
        still = guest.now() == before ? still + 1 : 0;
        if (still == patience) return guest.finish(host::Ending::time_limit);
        before = guest.now();
    }
}

host::GuestConfig any_config(Random& random) {
    host::GuestConfig config;
    config.layout = layout();
    config.model = &cpu::default_model();
    if (random.once_in(4)) config.preemption_timer = 1 + static_cast<u32>(random.below(40));
    if (random.once_in(4)) config.mmio_marking = hv::MmioMarking::violation;
    if (random.once_in(4)) config.hidden = hv::HiddenFeatures::from_raw(random.byte() & 63);
    if (random.once_in(8)) config.enclave_fault = hv::EnclaveFault::gp;
    config.livelock_ticks = 0;
    config.kernel.name = "fuzz";
    return config;
}

Slot any_slot(Random& random, bool programs_only) {
    Soup soup{random};
    Slot slot;
    slot.kernel = !programs_only && !random.once_in(3);
    slot.code = soup.portion(slot_size);
    for (u64& value : slot.gpr) value = random.once_in(3) ? soup.value() : soup.address();
    if (!random.once_in(8)) slot.gpr[rsp] = at::stack + 8 * random.below(64);
    constexpr u64 tf_df_of_nt_ac = 0x4'4d00, iopl = 0x3000, interrupts = 0x200;
    if (random.once_in(4)) slot.rflags |= random.word() & tf_df_of_nt_ac;
    if (slot.kernel && random.once_in(4)) slot.rflags |= iopl;
    if (slot.kernel && random.once_in(2)) slot.rflags |= interrupts;
    return slot;
}

Slot enter_the_enclave() {
    Slot slot{.code = {0x0f, 0x01, 0xd7}};
    slot.gpr[rax] = static_cast<u64>(EncluLeaf::eenter);
    slot.gpr[rbx] = at::elrange;
    slot.gpr[rcx] = at::aep;
    slot.gpr[rsp] = at::stack;
    return slot;
}

Program any_program(Random& random, bool programs_only) {
    Program program;
    for (u64 left = 8 + random.below(slots_most - 8); left != 0; --left)
        program.slots.push_back(any_slot(random, programs_only));
    if (random.once_in(2)) program.slots.front() = enter_the_enclave();
    Soup soup{random};
    while (program.enclave_code.size() + slot_size < page_size && !random.once_in(20)) {
        const std::vector<u8> portion = soup.portion(slot_size);
        program.enclave_code.insert(program.enclave_code.end(), portion.begin(), portion.end());
    }
    program.repairs = programs_only || !random.once_in(4);
    if (random.once_in(6)) {
        program.spoilt_leaf = random.below(enclave_pages + 2);
        program.spoilt_bits = u64{1} << random.below(20);
    }
    return program;
}

void run(Random& random, bool programs_only) {
    static Watch watch;
    platform::NullSink nowhere;
    host::GuestConfig config = any_config(random);
    const u64 forgets_every = random.once_in(3) ? 1 + random.below(16) : 0;
    config.kernel.file = make_kernel(any_program(random, programs_only));
    if (!programs_only && random.once_in(2)) config.on_reset = host::OnReset::restart;
    auto guest = host::Guest::create(std::move(config), {nowhere, nowhere, watch, [](u32) {}});
    if (!guest) broken("the guest is built", guest.error().what);
    const host::test::ReserveWatch reserve{**guest};
    watch.begin(**guest, forgets_every);
    const host::RunResult result = run_bounded(**guest);
    watch.end();
    judge(**guest, reserve, result, programs_only);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Random random{{data, size}};
    run(random, random.once_in(3));
    return 0;
}

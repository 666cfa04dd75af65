// SPDX-License-Identifier: Apache-2.0
// A guest that is a hypervisor itself and means harm: its VMCS is mostly right, and a few fields,
// EPT entries, MSR areas, bitmaps and events in it are not; its own guest runs what the guests of
// fuzz_hosted_guest run, at CPL 0 and 3; and it handles exits as it happens: it goes on, skips,
// injects, changes fields, clears and reloads its VMCS, leaves VMX operation. Beside the rules of
// fuzz_hosted_guest: no entry of its guest's fails that was not refused before, its guest's EPT
// leads to its memory only, and it sees no exit that its controls cannot give. Some guests run a
// second time, are saved near one of their exits, and another goes on from there: exit for exit as
// the first, to the same state.
// iterations: 600
// with: fuzz/hosted/soup.cpp tests/support/nested_kernel.cpp tests/support/hosted_kernel.cpp
// with: tests/support/hosted_invariants.cpp tests/support/epc_invariants.cpp
// with: tests/unit/cpu/sgx/enclave_machine.cpp
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "cpu/model.h"
#include "fuzz/hosted/soup.h"
#include "hv/exit/table.h"
#include "support/epc_invariants.h"
#include "support/hosted_invariants.h"
#include "support/nested_kernel.h"

namespace {

using namespace postern;
using namespace postern::fuzz;
using F = VmcsField;
using test::nested::Op;
using test::nested::OpCode;
namespace l1 = test::nested::at;

constexpr u64 instructions_at_most = 60'000;
constexpr auto row_of_reason = hv::index_exit_rows(hv::exit_rows);

/// How guests ended and what their hypervisors saw; printed at the end.
struct Tally {
    std::map<std::string, u64> lines;
    ~Tally() {
        for (const auto& [what, count] : lines)
            std::printf("%8llu  %s\n", static_cast<unsigned long long>(count), what.c_str());
    }
    void count(const std::string& what) { ++lines[what]; }
};
Tally tally;

/// Reasons that no control asks for by its row alone, or that come whatever the controls are.
bool can_see(const hv::Vmcs12& vmcs12, ExitReason reason) {
    const BasicReason basic = reason.basic();
    if (reason.entry_failed())
        return basic == BasicReason::entry_failure_guest_state ||
               basic == BasicReason::entry_failure_msr_loading;
    switch (basic) {
        case BasicReason::external_interrupt:
            return vmcs12.has(PinControl::external_interrupt_exiting);
        case BasicReason::vmx_preemption_timer_expired:
            return vmcs12.has(PinControl::activate_vmx_preemption_timer);
        case BasicReason::ept_violation:
        case BasicReason::ept_misconfiguration: return vmcs12.has(SecondaryControl::enable_ept);
        case BasicReason::io_instruction:
            return vmcs12.has(PrimaryControl::use_io_bitmaps) ||
                   vmcs12.has(PrimaryControl::unconditional_io_exiting);
        case BasicReason::interrupt_window:
            return vmcs12.has(PrimaryControl::interrupt_window_exiting);
        case BasicReason::nmi_window: return vmcs12.has(PrimaryControl::nmi_window_exiting);
        default: break;
    }
    const auto number = static_cast<size_t>(basic);
    return number < reason_limit && row_of_reason[number]->wanted(vmcs12);
}

class Watch final : public hv::Watcher {
public:
    void begin(host::Guest* guest) {
        if (guest != nullptr) exits.clear();
        guest_ = guest;
    }
    void exit(const hv::ExitRecord& record) override {
        if (guest_ == nullptr) return;
        if (const auto breach = host::test::apic_is_as_kept(*guest_, record.vcpu))
            broken(breach.rule, std::to_string(breach.value));
        exits.push_back(record);
        if (record.action != hv::Action::reflected) return;
        const hv::Vmcs12& vmcs12 = guest_->vcpu().nested().vmcs12();
        const auto reason = ExitReason::from_vmcs(vmcs12.get<F::exit_reason>());
        tally.count("seen: reason " + std::to_string(static_cast<unsigned>(reason.basic())));
        if (!can_see(vmcs12, reason))
            broken("a hypervisor sees what its controls give",
                   "exit reason " + std::to_string(reason.to_vmcs()));
    }
    void stopped(const hv::StopReport&) override {}
    void anomaly(hv::Anomaly anomaly, const hv::ExitRecord& record) override {
        broken("an honest processor gives no anomaly",
               std::to_string(static_cast<u64>(anomaly)) + ", exit reason " +
                   std::to_string(record.raw_reason) + ", RIP " +
                   std::to_string(record.rip_or_aep));
    }

    std::vector<hv::ExitRecord> exits;

private:
    host::Guest* guest_ = nullptr;
};

void count_end(const host::RunResult& result) {
    constexpr std::array names{"exit port", "reset",     "switched off",      "halted",
                               "stopped",   "processor", "instruction limit", "time limit"};
    std::string what = names[static_cast<size_t>(result.ending)];
    if (result.ending == host::Ending::processor)
        what = result.what.substr(0, result.what.find(" at RIP"));
    if (result.ending == host::Ending::stopped) {
        what += " " + std::to_string(static_cast<unsigned>(result.stop.reason));
        if (result.stop.what != nullptr) what += std::string{": "} + result.stop.what;
    }
    tally.count("end: " + what);
}

void judge(host::Guest& guest, const host::test::ReserveWatch& reserve,
           const host::RunResult& result) {
    count_end(result);
    if (const auto breach = host::test::wrong_end(result, false))
        broken(breach.rule, host::test::describe(result));
    if (guest.counters().entry_failures != 0)
        broken("what the processor would refuse is refused before", host::test::describe(result));
    if (const auto breach = host::test::ept_maps_only_the_guest(guest))
        broken(breach.rule, std::to_string(breach.value));
    if (const auto breach = reserve.look()) broken(breach.rule, std::to_string(breach.value));
    const std::array<const cpu::Cpu*, 1> processors{&guest.machine().processor()};
    if (const auto breach = cpu::sgx::first_breach({*guest.machine().epc(), processors}))
        broken(breach.rule, "EPC page " + std::to_string(breach.page));
    if (!guest.port().missing_fields().empty()) broken("no VMCS field is missing", "one is");
}

host::RunResult run_bounded(host::Guest& guest) {
    constexpr unsigned patience = 3;
    unsigned still = 0;
    u64 before = guest.now();
    for (;;) {
        if (auto result = guest.run_until(instructions_at_most)) return *result;
        if (guest.now() >= instructions_at_most)
            return guest.finish(host::Ending::instruction_limit);
        still = guest.now() == before ? still + 1 : 0;
        if (still == patience) return guest.finish(host::Ending::time_limit);
        before = guest.now();
    }
}

/// Makes a program of both levels.
class Maker {
public:
    explicit Maker(Random& random) : random_{random}, soup_{random} {}

    test::nested::Program make() {
        make_guest();
        add(OpCode::vmclear, test::nested::vmcs_at(1));
        add(OpCode::vmclear, test::nested::vmcs_at(0));
        add(OpCode::vmptrld, test::nested::vmcs_at(0));
        add(OpCode::write_fields);
        add(OpCode::poke32, 0xfee0'00f0, 0x1ff);
        choose_controls();
        for (unsigned n = 0; n < 30; ++n) {
            while (random_.once_in(2)) spoil();
            add(OpCode::enter, random_.once_in(10) ? random_.below(3) : 0);
            if (!random_.once_in(8)) add(OpCode::handle, some_slot());
            if (random_.once_in(6)) add(OpCode::write_fields);
        }
        program_.logged = {F::exit_reason, F::exit_qualification};
        return std::move(program_);
    }

private:
    void add(OpCode code, u64 a = 0, u64 b = 0, u64 c = 0) {
        program_.script.push_back({code, a, b, c});
    }
    void field(F field, u64 value) { add(OpCode::write_field, static_cast<u64>(field), value); }
    u64 some_slot() { return at::code + random_.below(slots_most) * slot_size; }

    void make_guest() {
        for (u64 n = 0; n < slots_most; ++n) {
            Slot slot;
            slot.kernel = !random_.once_in(3);
            slot.code = soup_.portion(slot_size);
            for (u64& value : slot.gpr)
                value = random_.once_in(3) ? soup_.value() : soup_.address();
            slot.gpr[rsp] = at::stack + 8 * random_.below(64);
            if (random_.once_in(3)) slot.rflags |= 0x200;
            if (random_.once_in(8)) slot.rflags |= random_.word() & 0x4'4d00;
            program_.l2.slots.push_back(std::move(slot));
        }
        program_.l2.repairs = !random_.once_in(6);
        for (unsigned n = 0; n < 8; ++n) program_.calls.push_back(soup_.portion(48));
    }

    void choose_controls() {
        constexpr u32 primary_bits = 0x79f9'9e8c & ~0x0800'0000u, secondary_bits = 0x0230'dd7f;
        if (random_.once_in(3)) return;
        field(F::pin_based_controls, 0x16 | (random_.word() & 0x69));
        field(F::primary_processor_based_controls,
              0x8400'6172 | (random_.word() & random_.word() & primary_bits));
        field(F::secondary_processor_based_controls,
              0x10aa ^ (random_.word() & random_.word() & random_.word() & secondary_bits));
        field(F::exception_bitmap, random_.word() & random_.word());
        field(F::vm_exit_controls, 0x0003'6ffb | (random_.word() & 0x007c'8004));
        field(F::vm_entry_controls, 0x13fb | (random_.word() & 0xc004));
        field(F::cr0_guest_host_mask, random_.word() & random_.word() & 0xe005'003f);
        field(F::cr4_guest_host_mask, random_.word() & random_.word() & 0x37'ffff);
        for (unsigned n = 0; n < 8; ++n) {
            add(OpCode::poke64, l1::io_bitmaps + 8 * random_.below(1024), random_.word());
            add(OpCode::poke64, l1::msr_bitmap + 8 * random_.below(512), random_.word());
        }
    }

    /// A value of a field, or of memory that a VMCS points to.
    u64 value() {
        switch (random_.below(6)) {
            case 0: return random_.word();
            case 1: return u64{1} << random_.below(64);
            case 2: return random_.below(256);
            case 3: return l1::base + page_size * random_.below(64);
            case 4: return page_size * random_.below(0x1400);
            default: return soup_.address();
        }
    }
    F some_field() { return vmcs_field_rows[random_.below(vmcs_field_count)].field; }
    F usual_field() {
        const auto& fields = program_.fields;
        return fields[random_.below(fields.size())].field;
    }

    void spoil();
    void spoil_ept();
    void spoil_lists();
    void inject();

    Random& random_;
    Soup soup_;
    test::nested::Program program_;
};

/// The entry of any level gets a bit more or less, or leads elsewhere.
void Maker::spoil_ept() {
    const u64 entry = random_.once_in(2)
                          ? l1::ept_small + 8 * random_.below(512)
                          : l1::ept + page_size * random_.below(5) + 8 * random_.below(6);
    const std::array targets{at::data,        at::code,          l1::base,    l1::ept,
                             l1::vmxon,       at::epc,           at::nowhere, u64{0xfee0'0000},
                             u64{0x100'0000}, u64{0xf'ffff'f000}};
    const u64 bits = random_.below(0x100) | (random_.once_in(4) ? value() & ~u64{0xfff} : 0);
    add(OpCode::poke64, entry,
        random_.once_in(8) ? random_.word() : random_.one_of(targets) | bits | 0x30);
    if (!random_.once_in(4)) add(OpCode::invept, random_.below(4), l1::ept | 0x1e, 0);
}

void Maker::spoil_lists() {
    const u64 list = l1::msr_lists + random_.below(3) * l1::msr_list_size;
    constexpr std::array<u64, 12> msrs{0x10,        0x1b,        0x174,       0x277,
                                       0xc000'0080, 0xc000'0082, 0xc000'0100, 0x800,
                                       0xc000'0102, 0x79,        0x3a,        0x480};
    for (u64 n = 0; n < 3; ++n) {
        add(OpCode::poke64, list + 16 * n, random_.once_in(8) ? value() : random_.one_of(msrs));
        add(OpCode::poke64, list + 16 * n + 8, value());
    }
    constexpr std::array counts{F::vm_entry_msr_load_count, F::vm_exit_msr_store_count,
                                F::vm_exit_msr_load_count};
    field(random_.one_of(counts), random_.once_in(16) ? value() : random_.below(4));
    constexpr std::array addresses{F::vm_entry_msr_load_address, F::vm_exit_msr_store_address,
                                   F::vm_exit_msr_load_address};
    if (random_.once_in(6)) field(random_.one_of(addresses), value() & ~u64{15});
}

void Maker::inject() {
    const u64 type = random_.below(8), vector = random_.below(random_.once_in(8) ? 256 : 32);
    field(F::vm_entry_interruption_information, 0x8000'0000 | (random_.word() & 0x800) | type << 8 |
                                                    (type == 2   ? 2
                                                     : type == 7 ? 0
                                                                 : vector));
    field(F::vm_entry_exception_error_code, random_.once_in(4) ? value() : random_.below(32));
    field(F::vm_entry_instruction_length, random_.below(17));
}

void Maker::spoil() {
    switch (random_.below(20)) {
        case 0:
        case 1: return field(some_field(), value());
        case 2:
        case 3:
            return add(OpCode::flip_field, static_cast<u64>(usual_field()),
                       u64{1} << random_.below(random_.once_in(2) ? 64 : 32));
        case 4:
        case 5: return spoil_ept();
        case 6: return spoil_lists();
        case 7:
        case 8: return inject();
        case 9: return add(OpCode::call, l1::code + 64 * random_.below(8));
        case 10: return add(OpCode::poke32, 0xfee0'0300, 0x4'4000 | (random_.word() & 0x7ff));
        case 11:
            add(OpCode::vmclear, test::nested::vmcs_at(random_.below(3)));
            return add(OpCode::vmptrld, test::nested::vmcs_at(random_.below(2)));
        case 12:
            add(random_.once_in(2) ? OpCode::vmclear : OpCode::vmptrld, value());
            return add(OpCode::vmptrld, test::nested::vmcs_at(random_.below(3)));
        case 13: return add(OpCode::invvpid, random_.below(5), value(), soup_.address());
        case 14:
            add(OpCode::vmxoff, random_.once_in(4) ? value() : l1::vmxon);
            return add(OpCode::vmptrld, test::nested::vmcs_at(0));
        case 15: return field(F::guest_activity_state, random_.below(5));
        case 16: return field(F::guest_rip, random_.once_in(4) ? value() : some_slot());
        case 17:
            // A region that another processor of its own might have written.
            add(OpCode::poke64, test::nested::vmcs_at(1) + 8 * random_.below(512), value());
            add(OpCode::vmptrld, test::nested::vmcs_at(1));
            return random_.once_in(2) ? add(OpCode::write_fields) : void();
        case 18:
            return add(
                OpCode::write_msr,
                random_.one_of(std::array<u64, 6>{0x10, 0x1b, 0x6e0, 0xc000'0080, 0x277, 0x1d9}),
                value());
        default: return field(F::vmx_preemption_timer_value, random_.below(3000));
    }
}

host::GuestConfig any_config(Random& random) {
    host::GuestConfig config;
    config.layout = platform::layout_of(l1::memory, epc_pages * page_size);
    config.model = &cpu::default_model();
    config.nested = true;
    if (random.once_in(4)) config.preemption_timer = 1 + static_cast<u32>(random.below(40));
    if (random.once_in(4)) config.mmio_marking = hv::MmioMarking::violation;
    if (random.once_in(4)) config.hidden = hv::HiddenFeatures::from_raw(random.byte() & 63);
    if (random.once_in(4)) config.apicv = false;
    config.livelock_ticks = 0;
    config.kernel.name = "fuzz";
    return config;
}

/// A guest and who listens to it. Without a kernel a snapshot follows.
struct Run {
    Run(host::GuestConfig config, const std::vector<u8>& kernel) {
        config.kernel.file = kernel;
        auto made = host::Guest::create(std::move(config), {nowhere, nowhere, watch, [](u32) {}});
        if (!made) broken("the guest is built", made.error().what);
        guest = std::move(*made);
        watch.begin(guest.get());
    }

    platform::NullSink nowhere;
    Watch watch;
    std::unique_ptr<host::Guest> guest;
};

/// Before one of the exits, with it just handled, or a little later; mostly of L2's, if any.
u64 near_an_exit(const Watch& whole, Random& random) {
    std::vector<u64> times;
    const bool any = random.once_in(4);
    for (const hv::ExitRecord& exit : whole.exits)
        if (any || exit.of_l2 != 0) times.push_back(exit.tsc);
    if (times.empty()) times.push_back(whole.exits.back().tsc);
    const u64 time = times[random.below(times.size())];
    return std::min(time + random.below(4) - (time != 0 ? 1 : 0), instructions_at_most);
}

/// What comes of a guest that was saved at `where` is what comes of it without that.
void compare_with_saved(const host::GuestConfig& config, const std::vector<u8>& kernel, Run& whole,
                        const host::RunResult& result, u64 where) {
    Run saved{config, kernel};
    while (saved.guest->now() < where)
        if (saved.guest->run_until(where)) return tally.count("saved: it has ended by then");
    const platform::snapshot::Bytes bytes = snapshot_bytes(saved.guest->subject());
    Run loaded{config, {}};
    if (const auto fine = load_snapshot(loaded.guest->subject(), bytes, "memory"); !fine)
        broken("a snapshot of a guest can be loaded", fine.error().what);
    tally.count(saved.guest->vcpu().nested().in_l2() ? "saved: in L2" : "saved: in L1");
    const host::RunResult end = run_bounded(*loaded.guest);
    if (end.ending != result.ending || end.value != result.value)
        broken("a loaded guest ends as the saved one", host::test::describe(end));
    std::vector<hv::ExitRecord> exits = saved.watch.exits;
    exits.insert(exits.end(), loaded.watch.exits.begin(), loaded.watch.exits.end());
    if (exits != whole.watch.exits)
        broken("a loaded guest has the exits of the saved one",
               "saved at " + std::to_string(where));
    if (state_digest(loaded.guest->subject()) != state_digest(whole.guest->subject()))
        broken("a loaded guest comes to the same state", "saved at " + std::to_string(where));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Random random{{data, size}};
    const host::GuestConfig config = any_config(random);
    const std::vector<u8> kernel = make_kernel(Maker{random}.make());
    Run run{config, kernel};
    const host::test::ReserveWatch reserve{*run.guest};
    const host::RunResult result = run_bounded(*run.guest);
    judge(*run.guest, reserve, result);
    const bool goes_on = result.ending != host::Ending::time_limit && !run.watch.exits.empty();
    if (random.once_in(5) && goes_on)
        compare_with_saved(config, kernel, run, result, near_an_exit(run.watch, random));
    return 0;
}

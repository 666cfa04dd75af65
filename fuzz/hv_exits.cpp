// SPDX-License-Identifier: Apache-2.0
// Any exits from a processor that keeps to nothing: all 32 bits of the reason, every
// exit-information field, guest state, registers and decode results come from the input. Whatever
// it says, an exit with bit 27 touches no device, fetches nothing and moves neither RIP nor a
// register, and what the hypervisor wants injected is what VM entry takes.
// iterations: 12000
#include <algorithm>

#include "fuzz/input.h"
#include "host/fake_processor.h"

namespace {

using namespace postern;
using host::fake::FakeDevices;
using host::fake::FakeWatcher;

using fuzz::broken;
using fuzz::hold;

class Input : public fuzz::Input {
public:
    using fuzz::Input::Input;

    /// Small, at an end of its range, one that something knows, or anything.
    u64 value() {
        const u8 kind = byte();
        switch (kind % 8) {
            case 0: return kind >> 3;
            case 1: return u64{1} << (kind >> 2);
            case 2: return ~u64{0} - (kind >> 3);
            case 3: return word(2);
            case 4: return word(4);
            case 5: return word();
            default: return known[kind / 8 % known.size()];
        }
    }
    u64 address() {
        using namespace host::fake;
        constexpr std::array<Gpa, 6> places{Gpa{0},  epc_base, doorbell,
                                            nowhere, rom_base, Gpa{~u64{0xffff}}};
        const u8 kind = byte();
        if (kind % 8 >= places.size()) return value();
        return places[kind % 8].raw() + (kind >= 0x80 ? word(2) : 0);
    }
    /// Mostly one that exists.
    u32 event() {
        const u8 kind = byte();
        if (kind < 0x60) return 0;
        if (kind < 0x80) return static_cast<u32>(word(4));
        const u32 vector = byte() % (kind < 0xc0 ? 22 : 256);
        const u32 type = kind % 8;
        const bool has_code = kind % 16 < 8
                                  ? type == 3 && has_error_code(static_cast<Vector>(vector))
                                  : (kind & 16) != 0;
        return 1u << 31 | (has_code ? 1u << 11 : 0) | type << 8 | vector;
    }

private:
    /// MSRs, CPUID leaves, values of CR0, CR4 and EFER, qualifications of accesses to them.
    static constexpr std::array<u64, 16> known{
        0x3a, 0x8c,        0x277,       0x1a0,       0xc000'0080, 0x7, 0xd,   0x12,
        0x1,  0x4000'0000, 0x8000'0001, 0x8000'0033, 0x20,        0x4, 0xd00, 0x3f8'0008};
};

/// The rules for an injected event, once more from the manual. SDM 3C, "VM-Entry Control Fields"
/// and "Checks on Guest Non-Register State".
struct EntryRules {
    u32 information, error_code, length, interruptibility;
    u64 rflags, cr0, debugctl, pending_debug;

    [[nodiscard]] const char* broken_rule() const {
        if (information >> 31 == 0) return nullptr;
        const u32 vector = information & 0xff;
        const u32 type = information >> 8 & 7;
        const bool has_code = (information >> 11 & 1) != 0;
        constexpr u32 with_code =
            1u << 8 | 1u << 10 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 17;
        const bool wants_code =
            type == 3 && (cr0 & 1) != 0 && vector < 32 && (with_code >> vector & 1) != 0;
        if ((information & 0x7fff'f000) != 0) return "reserved bits of the event are 0";
        if (type == 1 || type == 7) return "the event is of a type that we may inject";
        if (type == 2 && vector != 2) return "an NMI has vector 2";
        if (type == 3 && vector > 31) return "an exception has a vector below 32";
        if (has_code != wants_code) return "an error code is delivered where there is one";
        if (has_code && error_code >> 16 != 0) return "an error code has 16 bits";
        if (type >= 4 && (length == 0 || length > 15)) return "a software event has a length";
        if (type == 0 && (rflags >> 9 & 1) == 0) return "an interrupt enters with IF set";
        if (type == 0 && (interruptibility & 3) != 0) return "no interrupt enters behind STI";
        if (type == 2 && (interruptibility & 2) != 0) return "no NMI enters behind MOV SS";
        const bool steps = (rflags >> 8 & 1) != 0 && (debugctl >> 1 & 1) == 0;
        if ((interruptibility & 3) != 0 && (pending_debug >> 14 & 1) != u64{steps})
            return "behind STI and MOV SS, BS is pending exactly under TF without BTF";
        return nullptr;
    }
};

/// The fields that an exit writes or that the guest could have left in any state.
constexpr std::array any_fields{
    VmcsField::guest_linear_address,
    VmcsField::vm_exit_instruction_length,
    VmcsField::vm_exit_instruction_information,
    VmcsField::vm_exit_interruption_error_code,
    VmcsField::idt_vectoring_error_code,
    VmcsField::guest_rip,
    VmcsField::guest_rsp,
    VmcsField::guest_rflags,
    VmcsField::guest_cr0,
    VmcsField::guest_cr3,
    VmcsField::guest_cr4,
    VmcsField::guest_ia32_efer,
    VmcsField::guest_dr7,
    VmcsField::guest_ia32_debugctl,
    VmcsField::guest_ia32_pat,
    VmcsField::guest_cs_base,
    VmcsField::guest_cs_access_rights,
    VmcsField::guest_ss_access_rights,
    VmcsField::guest_pending_debug_exceptions,
    VmcsField::vmx_preemption_timer_value,
};

class AnyProcessor final : public host::fake::FakeProcessor {
public:
    explicit AnyProcessor(Input& input) : input_{&input} {}

    hv::EntryOutcome enter(hv::GuestRegisters& registers, hv::EntryKind) override {
        check_entry();
        access = {.kind = static_cast<hv::DecodedAccess::Kind>(input_->byte() %
                                                               hv::DecodedAccess::kind_count),
                  .length = input_->byte(),
                  .memory_size = static_cast<u8>(1u << input_->byte() % 4),
                  .register_size = static_cast<u8>(1u << input_->byte() % 4),
                  .gpr = static_cast<u8>(input_->byte() % gpr_count),
                  .high_byte = input_->byte() >= 0xc0,
                  .immediate = input_->value()};
        if (access.high_byte) access.gpr = access.gpr % 4;
        now += input_->byte() % 4;
        const u8 outcome = input_->byte();
        reason = ExitReason::from_vmcs(no_exit_reason);
        if (outcome == 0xfe) return hv::EntryOutcome::vmfail_invalid;
        if (outcome == 0xfd) return hv::EntryOutcome::vmfail_valid;
        reason = ExitReason::from_vmcs(any_reason());
        write_exit();
        for (unsigned gpr = 0; gpr < gpr_count; ++gpr)
            if (input_->byte() % (gpr == rax || gpr == rcx ? 2 : 8) == 0)
                registers.gpr[gpr] = input_->value();
        before = registers;
        writes.clear();
        return hv::EntryOutcome::exited;
    }

    ExitReason reason = ExitReason::from_vmcs(no_exit_reason);
    hv::GuestRegisters before;

private:
    [[nodiscard]] u32 get(VmcsField field) { return static_cast<u32>(vmcs[field]); }

    void check_entry() {
        const EntryRules rules{get(VmcsField::vm_entry_interruption_information),
                               get(VmcsField::vm_entry_exception_error_code),
                               get(VmcsField::vm_entry_instruction_length),
                               get(VmcsField::guest_interruptibility_state),
                               vmcs[VmcsField::guest_rflags],
                               vmcs[VmcsField::guest_cr0],
                               vmcs[VmcsField::guest_ia32_debugctl],
                               vmcs[VmcsField::guest_pending_debug_exceptions]};
        if (const char* rule = rules.broken_rule()) broken(rule, rules.information);
        const auto valid = [](const auto& write) {
            return write.first == VmcsField::vm_entry_interruption_information &&
                   write.second >> 31 != 0;
        };
        hold(std::ranges::count_if(writes, valid) <= 1, "at most one event is injected");
    }

    u32 any_reason() {
        const u8 kind = input_->byte();
        u32 raw = input_->byte() % u32{reason_limit};
        if (kind % 32 == 0) raw = static_cast<u32>(input_->word(4));
        if (kind >= 0x60) raw |= 1u << 27;
        if (kind % 8 == 1) raw |= 1u << 26;
        return raw;
    }

    void write_exit() {
        vmcs[VmcsField::exit_reason] = reason.to_vmcs();
        vmcs[VmcsField::vm_entry_interruption_information] &= 0x7fff'ffff;
        vmcs[VmcsField::vm_exit_interruption_information] = input_->event();
        vmcs[VmcsField::idt_vectoring_information] = input_->event();
        vmcs[VmcsField::guest_interruptibility_state] = input_->byte() % 4 == 0
                                                            ? input_->word(1) & 0x1f
                                                        : reason.from_enclave() ? 0x10
                                                                                : 0;
        vmcs[VmcsField::exit_qualification] = input_->value();
        vmcs[VmcsField::guest_physical_address] = input_->address();
        vmcs[VmcsField::vm_exit_instruction_length] = 0;
        for (unsigned left = input_->byte() % 8; left != 0; --left) {
            const VmcsField field = any_fields[input_->byte() % any_fields.size()];
            vmcs[field] = input_->value();
        }
    }

    Input* input_;
};

hv::Config any_config(Input& input) {
    hv::Config config = host::fake::default_config();
    const u8 word = input.byte();
    config.enclave_fault = static_cast<hv::EnclaveFault>(word % 3);
    config.mmio_marking = static_cast<hv::MmioMarking>(word >> 2 & 1);
    if ((word & 8) != 0) config.epc.size = 0;
    if ((word & 16) != 0) config.preemption_timer = 5;
    config.hidden = hv::HiddenFeatures::from_raw(input.byte() & 63);
    if ((word & 32) != 0) config.pool.pages = 5 + input.byte() % 20;
    if ((word & 64) != 0) config.forced_primary_controls = static_cast<u32>(input.word(4));
    if ((word & 128) != 0) config.forced_secondary_controls = static_cast<u32>(input.word(4));
    config.livelock_limit = 3;
    return config;
}

struct Touches {
    size_t devices, decodes;
    friend bool operator==(const Touches&, const Touches&) = default;
};

class Run {
public:
    explicit Run(Input& input)
        : input_{input}, processor_{input}, vm_{processor_, devices_, watcher_, any_config(input)},
          vcpu_{processor_, vm_} {}

    void to_its_end() {
        using namespace host::fake;
        static_cast<void>(
            vm_.add_memory({Gpa{0}, guest_ram_size, hv::SlotKind::ram, Hpa{guest_ram_host}}));
        static_cast<void>(
            vm_.add_memory({epc_base, 1u << 20, hv::SlotKind::epc, Hpa{0x4000'0000}}));
        static_cast<void>(vm_.add_memory({rom_base, page_size, hv::SlotKind::rom, Hpa{5u << 20}}));
        static_cast<void>(vm_.add_mmio({doorbell, page_size}));
        hv::StartState state;
        state.rip = kernel_rip;
        if (!vcpu_.start(state)) {
            hold(vcpu_.stop_report().reason != hv::StopReason::none, "no start, but no reason");
            return;
        }
        processor_.writes.clear();
        for (unsigned exits = 0; exits < exits_at_most && !input_.empty(); ++exits)
            if (!step()) return;
    }

private:
    static constexpr unsigned exits_at_most = 64;

    [[nodiscard]] Touches touches() const {
        return {devices_.touches.size() + devices_.port_touches.size(), processor_.decodes};
    }

    bool step() {
        const u8 between = input_.byte();
        if (between % 16 == 0) vcpu_.queue_interrupt(input_.byte());
        if (between % 16 == 1) vcpu_.forget(Gpa{input_.address()});
        devices_.answers = between % 2 == 0;
        devices_.read_value = input_.value();
        if (!vcpu_.wants_to_run()) {
            const bool halts = vcpu_.run_once() == hv::Next::halt;
            hold(halts && watcher_.records.size() == exits_, "a halted guest is not entered");
            return true;
        }
        const Touches before = touches();
        const hv::Next next = vcpu_.run_once();
        ++exits_;
        hold(watcher_.records.size() == exits_, "each exit is recorded once");
        hold((next == hv::Next::stop) == (watcher_.stops.size() == 1), "a stop is reported once");
        const ExitReason reason = processor_.reason;
        if (reason.from_enclave() && !reason.entry_failed()) enclave_left_alone(before, next);
        interruptibility_only_cleared();
        for (const std::string& complaint : processor_.complaints) broken(complaint.c_str(), 0);
        return next != hv::Next::stop;
    }

    void enclave_left_alone(const Touches& before, hv::Next next) {
        const u32 raw = processor_.reason.to_vmcs();
        hold(touches() == before, "an enclave's exit touches no device and decodes nothing", raw);
        hold(!processor_.rip_was_written(), "an enclave's exit leaves RIP alone", raw);
        hold(processor_.writes_of(VmcsField::guest_rsp) == 0, "and RSP", raw);
        hold(processor_.writes_of(VmcsField::guest_rflags) == 0, "and RFLAGS", raw);
        hold(vcpu_.registers().gpr == processor_.before.gpr, "and every register", raw);
        hold(next != hv::Next::halt, "an enclave does not halt the guest", raw);
        const hv::ExitKind kind = vcpu_.last_exit().kind;
        hold(kind == hv::ExitKind::enclave || kind == hv::ExitKind::delivery,
             "bit 27 gives the exit its type", raw);
    }

    /// Only the blocking of NMIs comes back, if an IRET that ended it runs again.
    void interruptibility_only_cleared() {
        constexpr u64 due_to_iret = 1u << 12, nmi = 1u << 3;
        const hv::ExitRecord& exit = vcpu_.last_exit();
        const bool iret = ((exit.qualification | exit.interruption) & due_to_iret) != 0;
        const u64 before = exit.interruptibility_before | (iret ? nmi : 0);
        for (const auto& [field, value] : processor_.writes)
            if (field == VmcsField::guest_interruptibility_state)
                hold((value & ~before) == 0, "interruptibility is only cleared", value);
    }

    Input& input_;
    AnyProcessor processor_;
    FakeDevices devices_;
    FakeWatcher watcher_;
    hv::Vm vm_;
    hv::Vcpu vcpu_;
    size_t exits_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input{{data, size}};
    // A guest that was stopped is followed by another.
    while (!input.empty()) Run{input}.to_its_end();
    return 0;
}

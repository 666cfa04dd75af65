// SPDX-License-Identifier: Apache-2.0
// Any VMCS through VMLAUNCH: all fields random, random under legal controls, and one or a few
// fields off a state that enters. Whatever it says, the outcome is a VMfail that changes nothing, a
// VM entry that fails with the host's state loaded and the guest's left alone, or a guest, which
// then runs for a few hundred instructions.
// iterations: 20000
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "cpu/decode/block_cache.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/model.h"
#include "cpu/run.h"
#include "cpu/vmx/capability.h"
#include "cpu/vmx/exec.h"
#include "cpu/vmx/vmx.h"
#include "fuzz/input.h"

namespace {

using namespace postern;
using cpu::Cpu;
using F = VmcsField;

using fuzz::broken;
using fuzz::hold;

namespace at {
constexpr u64 vmxon = 0x1000, vmcs = 0x2000, linked_vmcs = 0x3000;
constexpr u64 bitmaps = 0x4000;  // three pages
constexpr u64 lists = 0x7000, ept = 0x8000, tables = 0x9000, ept_level3 = 0xa000;
constexpr u64 gdt = 0xb000, idt = 0xc000, level3 = 0xd000, virtual_apic = 0xe000, log = 0xf000;
constexpr u64 pdptes = 0x1'0000;
constexpr u64 guest_code = 0x2'0000, host_code = 0x2'1000, handler = 0x2'2000, stack = 0x3'0000;
constexpr u64 ram = 0x8'0000;
}  // namespace at

constexpr u64 instructions_at_most = 300;

struct FieldValue {
    VmcsField field;
    u64 value;
};

// clang-format off
/// A 64-bit guest of a 64-bit host, both in the identity map.
constexpr FieldValue baseline[]{
    {F::virtual_processor_identifier, 1},
    {F::guest_es_selector, 0x10}, {F::guest_cs_selector, 0x08}, {F::guest_ss_selector, 0x10},
    {F::guest_ds_selector, 0x10}, {F::guest_fs_selector, 0x10}, {F::guest_gs_selector, 0x10},
    {F::guest_tr_selector, 0x18},
    {F::host_es_selector, 0x10}, {F::host_cs_selector, 0x08}, {F::host_ss_selector, 0x10},
    {F::host_tr_selector, 0x18},
    {F::io_bitmap_a, at::bitmaps}, {F::io_bitmap_b, at::bitmaps + 0x1000},
    {F::msr_bitmap, at::bitmaps + 0x2000}, {F::ept_pointer, at::ept | 0x1e},
    {F::virtual_apic_address, at::virtual_apic}, {F::pml_address, at::log},
    {F::vm_entry_msr_load_address, at::lists}, {F::vm_exit_msr_store_address, at::lists + 0x400},
    {F::vm_exit_msr_load_address, at::lists + 0x800},
    {F::vmcs_link_pointer, ~u64{0}},
    {F::guest_ia32_pat, 0x0007'0406'0007'0406}, {F::guest_ia32_efer, 0xd01},
    {F::host_ia32_pat, 0x0606'0606'0606'0606}, {F::host_ia32_efer, 0x500},
    {F::pin_based_controls, 0x16}, {F::primary_processor_based_controls, 0x9400'6172},
    {F::secondary_processor_based_controls, 0x22},
    {F::vm_exit_controls, 0x003b'6fff}, {F::vm_entry_controls, 0xd3ff},
    {F::guest_es_limit, 0xffff'ffff}, {F::guest_cs_limit, 0xffff'ffff},
    {F::guest_ss_limit, 0xffff'ffff}, {F::guest_ds_limit, 0xffff'ffff},
    {F::guest_fs_limit, 0xffff'ffff}, {F::guest_gs_limit, 0xffff'ffff},
    {F::guest_tr_limit, 0x67}, {F::guest_gdtr_limit, 0x7f}, {F::guest_idtr_limit, 0xfff},
    {F::guest_es_access_rights, 0xc093}, {F::guest_cs_access_rights, 0xa09b},
    {F::guest_ss_access_rights, 0xc093}, {F::guest_ds_access_rights, 0xc093},
    {F::guest_fs_access_rights, 0xc093}, {F::guest_gs_access_rights, 0xc093},
    {F::guest_ldtr_access_rights, 0x1'0000}, {F::guest_tr_access_rights, 0x8b},
    {F::guest_cr0, 0x8000'0033}, {F::guest_cr3, at::tables}, {F::guest_cr4, 0x26b0},
    {F::guest_gdtr_base, at::gdt}, {F::guest_idtr_base, at::idt}, {F::guest_dr7, 0x400},
    {F::guest_rsp, at::stack}, {F::guest_rip, at::guest_code}, {F::guest_rflags, 0x202},
    {F::host_cr0, 0x8000'0031}, {F::host_cr3, at::tables}, {F::host_cr4, 0x20a0},
    {F::host_gdtr_base, at::gdt}, {F::host_idtr_base, at::idt},
    {F::host_rsp, at::stack}, {F::host_rip, at::host_code},
};
// clang-format on

/// No device and no interrupt.
class NoBus final : public cpu::Bus {
public:
    u64 read(Hpa, unsigned) override { return ~u64{0}; }
    void write(Hpa, unsigned, u64) override {}
    u32 in(u16, unsigned) override { return ~u32{0}; }
    void out(u16, unsigned, u32) override {}
    bool stop_requested() const override { return false; }
};

class NoInterrupts final : public cpu::InterruptController {
public:
    int pending_vector(u64) override { return -1; }
    void acknowledge(u8) override {}
    void end_of_interrupt() override {}
    u64 next_event() const override { return ~u64{0}; }
    u8 task_priority() const override { return 0; }
    void set_task_priority(u8) override {}
    u64 read_msr(u32, u64, bool& fault) override {
        fault = true;
        return 0;
    }
    bool write_msr(u32, u64, u64) override { return false; }
};

struct alignas(page_size) RamPage {
    u8 byte[page_size];
};

class Machine {
public:
    Machine() {
        system_.memory.ram = ram();
        system_.memory.low_size = at::ram;
        system_.memory.epc_base = 0x1'4000'0000;
        system_.memory.epc_size = 0x1'0000;
        system_.model = &cpu::default_model();
        system_.bus = &bus_;
        c.interrupts = &interrupts_;
    }
    ~Machine() { cpu::destroy(c); }
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    /// In VMX root operation, the baseline guest in the current VMCS.
    void start(std::span<const u8> code) {
        std::memset(ram(), 0, at::ram);
        cpu::reset(c, system_, 0);
        c.vmx.hosted = true;
        write_memory(code);
        enter_root_software();
        for (const FieldValue& row : baseline) set(row.field, row.value);
    }

    /// Of a field that does not exist nothing is set.
    void set(VmcsField field, u64 value) {
        static_cast<void>(cpu::vmx::vmwrite(c, static_cast<u32>(field), value));
    }
    [[nodiscard]] u64 get(VmcsField field) const { return c.vmx.vmcs.slot[vmcs_index(field)]; }
    void put(u64 address, u64 value, unsigned size = 8) {
        std::memcpy(ram() + address, &value, size);
    }

private:
    std::unique_ptr<Cpu> owned_ = std::make_unique<Cpu>();

public:
    Cpu& c = *owned_;

private:
    u8* ram() { return static_cast<u8*>(static_cast<void*>(ram_.data())); }

    void write_memory(std::span<const u8> code) {
        u64 basic = 0;
        hold(cpu::vmx::read_capability(static_cast<u32>(Msr::vmx_basic), basic), "IA32_VMX_BASIC");
        for (const u64 region : {at::vmxon, at::vmcs, at::linked_vmcs}) put(region, basic, 4);
        put(at::tables, at::level3 | 7);
        put(at::level3, 0x87);
        put(at::ept, at::ept_level3 | 7);
        put(at::ept_level3, 0xb7);
        put(at::pdptes, 0x1'1001);
        put(0x1'1000, 0x83);
        put(at::gdt + 8, 0x00af'9b00'0000'ffff);
        put(at::gdt + 16, 0x00cf'9300'0000'ffff);
        for (u64 vector = 0; vector < 256; ++vector) {
            put(at::idt + 16 * vector,
                0x8e00'0008'0000 | (at::handler & 0xffff) | (at::handler >> 16) << 48);
        }
        put(at::host_code, 0xf4f4'f4f4);
        put(at::handler, 0xf4f4'f4f4);
        const size_t size = std::min<size_t>(code.size(), 256);
        std::memcpy(ram() + at::guest_code, code.data(), size);
        put(at::guest_code + size, 0xfeeb, 2);  // JMP to itself
    }

    void enter_root_software() {
        c.cr0 = Cr0Word::from_raw(0x8000'0031);
        c.cr3 = at::tables;
        c.cr4 = Cr4Word::from_raw(0x20a0);
        c.efer = EferWord::from_raw(0x500);
        c.segment[cs] = {0x08, 0, 0xa09b, ~u32{0}, 0, 0};
        c.segment[ss] = {0x10, 0, 0xc093, ~u32{0}, 0, 0};
        c.rip = at::host_code;
        c.next_rip = c.rip + 3;
        c.gpr[rsp] = at::stack;
        hold(cpu::vmx::vmxon(c, Hpa{at::vmxon}).ok(), "VMXON");
        hold(cpu::vmx::vmclear(c, Hpa{at::vmcs}).ok(), "VMCLEAR");
        hold(cpu::vmx::vmptrld(c, Hpa{at::vmcs}).ok(), "VMPTRLD");
    }

    std::vector<RamPage> ram_ = std::vector<RamPage>(at::ram / page_size);
    NoBus bus_;
    NoInterrupts interrupts_;
    cpu::System system_;
};

class Random : public fuzz::Random {
public:
    using fuzz::Random::Random;

    /// Anything, or something that looks like a value of a field.
    u64 value() {
        constexpr u64 telling[]{0,           1,           2,        3,           0xfff,
                                0x1000,      0xffff,      0x1'0000, 0xffff'ffff, 0x8000'0000'0000,
                                ~u64{0},     at::tables,  at::ept,  at::vmcs,    at::linked_vmcs,
                                0x8000'0b0e, 0x8000'0202, 0x3202,   0xf3,        0x9b};
        switch (byte() % 6) {
            case 0: return word();
            case 1: return u64{1} << (byte() & 63);
            case 2: return byte();
            case 3: return ~(u64{1} << (byte() & 63));
            default: return telling[below(std::size(telling))];
        }
    }
    /// Near `before`: other bits, a little more or less; or any value.
    u64 near(u64 before) {
        switch (byte() % 5) {
            case 0: return value();
            case 1: return before + 1;
            case 2: return before - 1;
            case 3: return before ^ u64 { 1 } << (byte() & 63) ^ u64 { 1 } << (byte() & 31);
            default: return before ^ u64 { 1 } << (byte() & 63);
        }
    }
};

void randomize_all(Machine& m, Random& random) {
    for (const VmcsFieldRow& row : vmcs_field_rows)
        m.set(row.field, (random.word() & 1) != 0 ? random.word() : random.value());
}

/// Random bits within what the capability MSRs allow.
u64 legal(Random& random, ControlWord word) {
    const ControlCapability capability = cpu::vmx::true_capability(word);
    const u32 wanted = static_cast<u32>(random.word() & random.word());
    return capability.completed(wanted & capability.may_be_1());
}

void legalize_controls(Machine& m, Random& random) {
    using enum ControlWord;
    m.set(F::pin_based_controls, legal(random, pin));
    m.set(F::primary_processor_based_controls, legal(random, primary));
    m.set(F::secondary_processor_based_controls, legal(random, secondary));
    m.set(F::vm_exit_controls, legal(random, exit) | 1u << 9);
    m.set(F::vm_entry_controls, legal(random, entry));
}

void change_fields(Machine& m, Random& random, unsigned count) {
    while (count-- != 0) {
        const VmcsField field = vmcs_field_rows[random.below(vmcs_field_count)].field;
        m.set(field, random.near(m.get(field)));
    }
}

/// Other states that enter.
void vary(Machine& m, Random& random) {
    switch (random.byte() % 8) {
        case 0:  // PAE paging, the table in memory
            m.set(F::vm_entry_controls, 0xd1ff);
            m.set(F::guest_ia32_efer, 0);
            m.set(F::guest_cs_access_rights, 0xc09b);
            m.set(F::guest_cr3, at::pdptes);
            m.set(F::secondary_processor_based_controls, 0);
            break;
        case 1:  // real-address mode
            m.set(F::vm_entry_controls, 0xd1ff);
            m.set(F::guest_ia32_efer, 0);
            m.set(F::guest_cr0, 0x30);
            m.set(F::guest_cs_access_rights, 0x9b);
            m.set(F::guest_cs_limit, 0xffff);
            m.set(F::secondary_processor_based_controls, 0xa2);
            break;
        case 2: m.set(F::guest_activity_state, 1 + random.byte() % 3); break;
        case 3:
            m.set(F::vm_entry_interruption_information, 0x8000'0020 + random.byte() % 0xe0);
            break;
        case 4:
            legalize_controls(m, random);
            m.set(F::vm_entry_controls, 0xd3ff);
            break;
        case 5: m.set(F::vmcs_link_pointer, at::linked_vmcs); break;
        case 6:
            m.set(F::vm_entry_msr_load_count, 2);
            m.put(at::lists, random.below(0x300) + (random.byte() % 2 == 0 ? 0xc000'0080 : 0));
            m.put(at::lists + 8, random.value());
            break;
        default: break;
    }
}

/// What a VMfail leaves alone.
struct RootState {
    std::array<u64, gpr_count> gpr;
    std::array<Segment, segment_count> segment;
    u64 rip, next_rip, cr0, cr3, cr4, efer, dr7, gdtr, idtr, debugctl, pat, sysenter, pending;
    friend bool operator==(const RootState&, const RootState&) = default;
};

RootState root_state(const Cpu& c) {
    RootState s{};
    std::copy_n(c.gpr.begin(), gpr_count, s.gpr.begin());
    s.segment = c.segment;
    s.rip = c.rip;
    s.next_rip = c.next_rip;
    s.cr0 = c.cr0.to_raw();
    s.cr3 = c.cr3;
    s.cr4 = c.cr4.to_raw();
    s.efer = c.efer.to_raw();
    s.dr7 = c.dr7;
    s.gdtr = c.gdtr.base;
    s.idtr = c.idtr.base;
    s.debugctl = c.msr.debugctl;
    s.pat = c.msr.pat;
    s.sysenter = c.msr.sysenter_eip;
    s.pending = c.event.pending_debug;
    return s;
}

void check_vmfail(const Machine& m, const RootState& before) {
    const u64 error = m.get(F::vm_instruction_error);
    constexpr u64 carry_parity_adjust_sign_overflow = 0x895;
    hold(error == 7 || error == 8, "VMLAUNCH fails for its controls or the host's state", error);
    hold((cpu::rflags(m.c) & 0x40) != 0, "VMfailValid sets ZF", cpu::rflags(m.c));
    hold((cpu::rflags(m.c) & carry_parity_adjust_sign_overflow) == 0, "and nothing else");
    hold(root_state(m.c) == before, "VMfail changes nothing");
}

void check_host_state(const Machine& m) {
    const Cpu& c = m.c;
    hold(!c.vmx.non_root, "a failed entry and an exit end in VMX root operation");
    hold(c.rip == m.get(F::host_rip), "with the host's RIP", c.rip);
    hold(c.gpr[rsp] == m.get(F::host_rsp), "RSP", c.gpr[rsp]);
    hold(cpu::rflags(c) == 2, "RFLAGS", cpu::rflags(c));
    hold(c.cr3 == m.get(F::host_cr3), "CR3", c.cr3);
    hold(c.cr4.to_raw() == m.get(F::host_cr4), "CR4", c.cr4.to_raw());
    hold(c.efer.has(Efer::lma) == c.segment[cs].is_long(), "IA-32e mode with 64-bit code");
    hold(c.segment[cs].selector == m.get(F::host_cs_selector), "CS", c.segment[cs].selector);
    hold(c.segment[gs].base == m.get(F::host_gs_base), "GS base", c.segment[gs].base);
    hold(c.gdtr.base == m.get(F::host_gdtr_base), "GDTR", c.gdtr.base);
    hold(c.cpl == 0 && c.dr7 == 0x400, "CPL 0 and DR7", c.cpl);
}

using Slots = decltype(cpu::Vmcs::slot);

void check_failed_entry(const Machine& m, Slots before) {
    const u64 reason = m.get(F::exit_reason), qualification = m.get(F::exit_qualification);
    if (reason == 0x8000'0021)
        hold(qualification == 0 || qualification == 2 || qualification == 4,
             "qualification of bad guest state", qualification);
    else if (reason == 0x8000'0022)
        hold(qualification - 1 < m.get(F::vm_entry_msr_load_count), "number of the bad MSR",
             qualification);
    else
        broken("a failed entry has reason 33 or 34", reason);
    before[vmcs_index(F::exit_reason)] = reason;
    before[vmcs_index(F::exit_qualification)] = qualification;
    hold(before == m.c.vmx.vmcs.slot, "a failed entry leaves every other field alone");
    hold(!m.c.vmx.vmcs.launched, "and the launch state");
    if (m.c.vmx.abort == 0) check_host_state(m);
}

void check_guest_state(const Machine& m) {
    const Cpu& c = m.c;
    const bool ia32e = (m.get(F::vm_entry_controls) >> 9 & 1) != 0;
    hold(c.vmx.non_root && c.vmx.vmcs.launched, "an entry is one");
    hold(c.rip == m.get(F::guest_rip), "with the guest's RIP", c.rip);
    hold(cpu::rflags(c) == m.get(F::guest_rflags), "RFLAGS", cpu::rflags(c));
    hold(c.cr3 == m.get(F::guest_cr3), "CR3", c.cr3);
    hold(c.efer.has(Efer::lma) == ia32e, "LMA", c.efer.to_raw());
    hold(!ia32e || (c.cr0.has(Cr0::pg) && c.cr4.has(Cr4::pae)), "IA-32e mode needs paging and PAE");
    hold(!c.cr0.has(Cr0::pg) || c.cr0.has(Cr0::pe), "paging needs protection", c.cr0.to_raw());
    hold(c.cpl == (m.get(F::guest_ss_access_rights) >> 5 & 3), "CPL is SS.DPL", c.cpl);
}

/// To the first VM exit, if there is one so soon.
void run_guest(Machine& m) {
    Cpu& c = m.c;
    const cpu::RunOutcome outcome = cpu::run(c, cpu::now(c) + instructions_at_most);
    hold(outcome != cpu::RunOutcome::breakpoint, "nobody debugs");
    if (c.vmx.abort != 0)
        return hold(outcome == cpu::RunOutcome::shutdown, "a VMX abort is a shutdown");
    hold(outcome != cpu::RunOutcome::shutdown, "a guest's triple fault is a VM exit");
    if (outcome == cpu::RunOutcome::unimplemented)
        return hold(c.pending.what != nullptr, "what is not implemented has a name");
    if (outcome != cpu::RunOutcome::vm_exit)
        return hold(c.vmx.non_root, "without a VM exit the guest goes on");
    const ExitReason reason = ExitReason::from_vmcs(static_cast<u32>(m.get(F::exit_reason)));
    hold(!reason.entry_failed(), "a VM exit is not a failed entry", reason.to_vmcs());
    hold(static_cast<u32>(reason.basic()) < reason_limit, "its reason exists", reason.to_vmcs());
    check_host_state(m);
}

void launch(Machine& m) {
    Cpu& c = m.c;
    const RootState before = root_state(c);
    const Slots slots = c.vmx.vmcs.slot;
    cpu::Insn insn{};
    insn.imm = static_cast<i64>(BasicReason::vmlaunch);
    insn.length = 3;
    const Result<> done = cpu::vmx::exec_vmx_instruction(c, insn);
    if (c.vmx.non_root) {
        hold(done.ok(), "VMLAUNCH completes");
        check_guest_state(m);
        return run_guest(m);
    }
    if (m.get(F::exit_reason) >> 31 != 0) return check_failed_entry(m, slots);
    hold(done.ok(), "VMLAUNCH completes");
    check_vmfail(m, before);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static Machine m;
    const std::span<const u8> bytes{data, size};
    Random random{bytes};
    m.start(bytes.subspan(bytes.size() / 2));
    const u8 kind = random.byte();
    switch (kind % 8) {
        case 0: randomize_all(m, random); break;
        case 1:
            randomize_all(m, random);
            legalize_controls(m, random);
            break;
        case 2:
            vary(m, random);
            change_fields(m, random, 2 + kind / 64);
            break;
        default:
            vary(m, random);
            change_fields(m, random, 1);
            break;
    }
    launch(m);
    return 0;
}

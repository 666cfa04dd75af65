// SPDX-License-Identifier: Apache-2.0
// A processor, devices and a watcher of paper for hv/: the VMCS is a map, exits are written by
// whoever uses it (`postern matrix`, fuzzers, tests), and everything that the hypervisor does is
// on record. Of VM entry it knows the two checks that an injected event or a kept state of an
// enclave can fail. What should never happen to it is a complaint; its owner looks at them.
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arch/apic.h"
#include "arch/vmx/capability.h"
#include "arch/vmx/exit_reason.h"
#include "arch/vmx/interruptibility.h"
#include "arch/vmx/interruption_information.h"
#include "hv/port.h"
#include "hv/vcpu.h"
#include "hv/vm.h"
#include "hv/watch.h"

namespace postern::host::fake {

inline constexpr u64 aep = 0x0000'0000'0030'2000;
inline constexpr u64 tcs = 0x0000'7f00'0000'1000;
inline constexpr u32 epc_host = 0x4000'0000;
inline constexpr u64 kernel_rip = 0x0000'0000'0030'0100;

/// What an exit leaves in the VMCS, beside its reason. What is not given is as the manual says
/// for the kind of exit.
// NOLINTBEGIN(readability-redundant-member-init): g++ warns of members that a designated
// initializer leaves out, but not if they have one of their own.
struct ExitInfo {
    Gpa gpa{};
    Gva gla{};
    u64 qualification = 0;
    u32 length = 0;
    u32 instruction_information = 0;
    InterruptionInformation interruption{};
    u32 error_code = 0;
    InterruptionInformation idt_vectoring{};
    u32 idt_error_code = 0;
    std::optional<u32> interruptibility{};
    std::optional<u32> cpl{};
    std::optional<u64> rip{};
    std::optional<u64> rflags{};
    std::optional<u64> rax{}, rcx{};
    u64 ticks = 1000;  // since the exit before
};
// NOLINTEND(readability-redundant-member-init)

/// What an entry injected; nothing, unless has_value().
struct Injected {
    [[nodiscard]] bool has_value() const { return information.valid(); }

    InterruptionInformation information;
    u32 error_code = 0;
    u32 instruction_length = 0;
};

struct MmioAccess {
    u64 address;
    unsigned size;
    bool write;
    u64 value;
};

/// Physical memory, zero until written: pages that no test touches cost nothing.
class Ram {
public:
    explicit Ram(size_t size)
        : size_{size}, bytes_{static_cast<u8*>(std::calloc(size, 1)), std::free} {}
    [[nodiscard]] u8* data() { return bytes_.get(); }
    [[nodiscard]] size_t size() const { return size_; }
    [[nodiscard]] u8& at(size_t index) { return bytes_.get()[checked(index)]; }
    [[nodiscard]] u8 at(size_t index) const { return bytes_.get()[checked(index)]; }

private:
    [[nodiscard]] size_t checked(size_t index) const {
        if (index >= size_) std::abort();
        return index;
    }

    size_t size_;
    std::unique_ptr<u8, void (*)(void*)> bytes_;
};

class FakeProcessor : public hv::Port {
public:
    static constexpr size_t ram_size = 8u << 20;

    FakeProcessor() : ram{ram_size} {
        const auto anything = [](u32 must) { return ControlCapability{must, ~0u}.to_raw(); };
        msrs[static_cast<u32>(Msr::vmx_basic)] =
            VmxBasic::of(0x11, 4096).with_true_controls().to_raw();
        msrs[static_cast<u32>(Msr::vmx_true_pinbased_ctls)] = anything(0x16);
        msrs[static_cast<u32>(Msr::vmx_true_procbased_ctls)] = anything(0x0400'6172);
        msrs[static_cast<u32>(Msr::vmx_true_exit_ctls)] = anything(0x0003'6dfb);
        msrs[static_cast<u32>(Msr::vmx_true_entry_ctls)] = anything(0x0000'11fb);
        msrs[static_cast<u32>(Msr::vmx_procbased_ctls2)] = anything(0);
        msrs[static_cast<u32>(Msr::feature_control)] = 0x6'0001;
        msrs[static_cast<u32>(Msr::vmx_cr4_fixed0)] = 0x2000;
        msrs[static_cast<u32>(Msr::vmx_cr4_fixed1)] = 0x0077'2fff;
        msrs[static_cast<u32>(Msr::mtrrcap)] = 0x50a;
        cpuid_leaves[{0, 0}] = {0x16, 0, 0, 0};
        cpuid_leaves[{1, 0}] = {0, 0, 0, 0x1'72ff};  // MTRR, MCA, PAT and older ones
        // TSC_ADJUST, SGX; WAITPKG, SGX_LC; IBRS, ...
        cpuid_leaves[{7, 0}] = {0, 0x6, 0x4000'0020, 0xb400'0000};
        cpuid_leaves[{0xd, 0}] = {7, 0, 0, 0};
        cpuid_leaves[{0xd, 1}] = {0xf, 0, 0, 0};  // XSAVES
        // SGX1 and SGX2, 16 MiB of EPC.
        cpuid_leaves[{0x12, 0}] = {3, 1, 0, 0x381f};
        cpuid_leaves[{0x12, 1}] = {0xb6, 0, 7, 0};
        cpuid_leaves[{0x12, 2}] = {epc_host | 1, 0, 0x0100'0001, 0};
        cpuid_leaves[{0x8000'0001, 0}] = {0, 0, 0, 0x2810'0800};  // NX, RDTSCP, ...
        cpuid_leaves[{0x8000'0008, 0}] = {0x302e, 0, 0, 0};       // 46 and 48 bits
    }

    /// VMX as a guest could be given it, and more: everything that may be 1, 5-level EPT, advanced
    /// exit information, VMWRITE to any field.
    void offer_vmx() {
        const auto anything = [](u32 must) { return ControlCapability{must, ~0u}.to_raw(); };
        const auto basic = VmxBasic::from_raw(msrs[static_cast<u32>(Msr::vmx_basic)]);
        msrs[static_cast<u32>(Msr::vmx_basic)] =
            basic.with_ins_outs().with_any_error_code().to_raw();
        msrs[static_cast<u32>(Msr::vmx_pinbased_ctls)] = anything(pin_default1.plain);
        msrs[static_cast<u32>(Msr::vmx_procbased_ctls)] = anything(primary_default1.plain);
        msrs[static_cast<u32>(Msr::vmx_exit_ctls)] = anything(exit_default1.plain);
        msrs[static_cast<u32>(Msr::vmx_entry_ctls)] = anything(entry_default1.plain);
        msrs[static_cast<u32>(Msr::vmx_misc)] = 0x0000'0042'7e04'81e5;
        msrs[static_cast<u32>(Msr::vmx_ept_vpid_cap)] = 0x0000'0f01'06f3'41c1;
        msrs[static_cast<u32>(Msr::vmx_cr0_fixed0)] = 0x8000'0021;
        msrs[static_cast<u32>(Msr::vmx_cr0_fixed1)] = 0xffff'ffff;
        cpuid_leaves[{1, 0}].ecx |= 1u << 5;
    }

    // What its owner arranges.
    void exits_with(ExitReason reason, const ExitInfo& info = {}) {
        script.push_back({hv::EntryOutcome::exited, reason, info});
    }
    void entry_fails(hv::EntryOutcome outcome) {
        script.push_back({outcome, ExitReason::from_vmcs(0), {}});
    }

    // What it sees afterwards.
    [[nodiscard]] bool rip_was_written() const { return writes_of(VmcsField::guest_rip) != 0; }
    [[nodiscard]] size_t writes_of(VmcsField field) const {
        size_t count = 0;
        for (const auto& [written, value] : writes) count += written == field ? 1u : 0u;
        return count;
    }
    u64& at(VmcsField field) { return vmcs[field]; }
    void complain(std::string what) { complaints.push_back(std::move(what)); }

    u64 vmread(VmcsField field) override {
        ++reads[field];
        return vmcs[field];
    }
    void vmwrite(VmcsField field, u64 value) override {
        if (is_read_only(field)) complain("a write to " + std::string{name_of(field)});
        writes.emplace_back(field, value);
        vmcs[field] = value;
    }
    bool vmclear(Hpa) override { return true; }
    /// The first to be loaded has what the owner has written before.
    bool vmptrld(Hpa region) override {
        if (region.raw() == current_vmcs) return true;
        if (current_vmcs != 0) {
            others[current_vmcs] = std::move(vmcs);
            vmcs = std::move(others[region.raw()]);
        }
        current_vmcs = region.raw();
        return true;
    }

    hv::EntryOutcome enter(hv::GuestRegisters& registers, hv::EntryKind kind) override {
        entries.push_back(kind);
        const auto event = InterruptionInformation::from_raw(
            static_cast<u32>(vmcs[VmcsField::vm_entry_interruption_information]));
        if (const auto failed = check_entry(event)) return *failed;
        if (script.empty()) {
            complain("the guest ran on, and no exit is written for it");
            exits_with(ExitReason{BasicReason::triple_fault});
        }
        const Scripted exit = script.front();
        script.pop_front();
        if (exit.outcome != hv::EntryOutcome::exited) return exit.outcome;
        injections.push_back(event.valid() ? injected(event) : Injected{});
        follow_virtual_apic();
        vmcs[VmcsField::vm_entry_interruption_information] &= 0x7fff'ffff;
        take_exit(exit.reason, exit.info, registers);
        return hv::EntryOutcome::exited;
    }

    void invept(u64) override { ++invepts; }
    void invvpid(u16 vpid) override { invvpids.push_back(vpid); }
    hv::EnclsResult encls(EnclsLeaf leaf, const hv::EnclsOperands& operands) override {
        return on_encls ? on_encls(leaf, operands) : hv::EnclsResult{};
    }
    hv::CpuidResult cpuid(u32 leaf, u32 subleaf) override { return cpuid_leaves[{leaf, subleaf}]; }
    u64 rdmsr(u32 msr) override { return msrs[msr]; }
    bool wrmsr(u32 msr, u64 value) override {
        msrs[msr] = value;
        return true;
    }
    bool xsetbv(u32, u64 value) override { return (value & 1) != 0; }
    u64 read_dr(unsigned number) override { return dr.at(number); }
    void write_dr(unsigned number, u64 value) override { dr.at(number) = value; }
    u64 tsc() override { return now; }
    u32 pkru() override { return guest_pkru; }
    void reset_extended_state() override {
        guest_pkru = 0;
        ++extended_resets;
    }
    void set_timer(u64 deadline) override { timer = deadline; }
    void kick(unsigned vcpu) override { kicks.push_back(vcpu); }
    u8* page(Hpa address) override {
        const u64 base = address.page().raw();
        ++page_uses[base];
        return base < ram.size() ? ram.data() + base : nullptr;
    }
    hv::DecodedAccess decode(const u8* bytes, size_t count, hv::CodeSize size) override {
        decoded_bytes.assign(bytes, bytes + count);
        decoded_size = size;
        ++decodes;
        if (access.memory.address_size != 0) return access;
        // An operand that nobody gave is where the exit says, in the identity mapping.
        hv::DecodedAccess decoded = access;
        decoded.memory = {.address_size = 8,
                          .displacement = vmcs[VmcsField::guest_physical_address]};
        return decoded;
    }

    struct Scripted {
        hv::EntryOutcome outcome;
        ExitReason reason;
        ExitInfo info;
    };

    std::map<VmcsField, u64> vmcs;  // the current one
    std::map<u64, std::map<VmcsField, u64>> others;
    u64 current_vmcs = 0;
    std::map<VmcsField, size_t> reads;
    std::vector<std::pair<VmcsField, u64>> writes;
    std::deque<Scripted> script;
    std::vector<hv::EntryKind> entries;
    std::vector<Injected> injections;  // one for each entry that succeeded
    std::map<u32, u64> msrs;
    std::map<std::pair<u32, u32>, hv::CpuidResult> cpuid_leaves;
    std::array<u64, 8> dr{};
    Ram ram;
    std::map<u64, size_t> page_uses;
    hv::DecodedAccess access;
    std::vector<u8> decoded_bytes;
    hv::CodeSize decoded_size = hv::CodeSize::bits64;
    size_t decodes = 0;
    size_t invepts = 0;
    std::vector<u16> invvpids;
    size_t extended_resets = 0;
    std::function<hv::EnclsResult(EnclsLeaf, const hv::EnclsOperands&)> on_encls;
    u32 guest_pkru = 0;
    u64 now = 0;
    u64 timer = ~u64{0};
    std::vector<unsigned> kicks;
    std::vector<std::string> complaints;

private:
    [[nodiscard]] Injected injected(InterruptionInformation event) {
        return {event, static_cast<u32>(vmcs[VmcsField::vm_entry_exception_error_code]),
                static_cast<u32>(vmcs[VmcsField::vm_entry_instruction_length])};
    }

    /// SDM 3C, "VM-Entry Control Fields" (a software event needs a length) and "Checks on Guest
    /// Non-Register State" (enclave interruption excludes blocking by MOV SS).
    std::optional<hv::EntryOutcome> check_entry(InterruptionInformation event) {
        const u64 length = vmcs[VmcsField::vm_entry_instruction_length];
        if (event.valid() && event.uses_instruction_length() && (length == 0 || length > 15)) {
            vmcs[VmcsField::vm_instruction_error] =
                static_cast<u32>(VmInstructionError::entry_invalid_control_fields);
            return hv::EntryOutcome::vmfail_valid;
        }
        if ((vmcs[VmcsField::guest_interruptibility_state] & 0x12) == 0x12) {
            vmcs[VmcsField::exit_reason] = 0x8000'0021;
            vmcs[VmcsField::exit_qualification] = 0;
            return hv::EntryOutcome::exited;
        }
        return std::nullopt;
    }

    /// What its owner has changed in the virtual-APIC page is the processor's doing: RVI and SVI
    /// are the highest vectors there. SDM 3C, "Guest Non-Register State".
    void follow_virtual_apic() {
        const auto secondary = SecondaryControls::from_raw(
            static_cast<u32>(vmcs[VmcsField::secondary_processor_based_controls]));
        const u8* const registers = page(Hpa{vmcs[VmcsField::virtual_apic_address]});
        if (!secondary.has(SecondaryControl::virtual_interrupt_delivery) || registers == nullptr)
            return;
        const auto highest = [&](u32 first) {
            apic::Vectors words{};
            for (u32 n = 0; n < words.size(); ++n)
                std::memcpy(&words[n], registers + u64{first + n} * 16, sizeof words[n]);
            return static_cast<u64>(std::max(apic::highest(words), 0));
        };
        vmcs[VmcsField::guest_interrupt_status] =
            highest(apic::reg_requested) | highest(apic::reg_in_service) << 8;
    }

    /// An external interrupt is delivered only with RFLAGS.IF set.
    static u64 default_rflags(const ExitInfo& info) {
        const bool external =
            info.idt_vectoring.valid() && info.idt_vectoring.type() == InterruptionType::external;
        return external ? 0x202 : 0x2;
    }

    void take_exit(ExitReason reason, const ExitInfo& info, hv::GuestRegisters& registers) {
        now += info.ticks;
        vmcs[VmcsField::exit_reason] = reason.to_vmcs();
        vmcs[VmcsField::exit_qualification] = info.qualification;
        if (reason.entry_failed()) return;  // no guest state is saved
        const bool enclave = reason.from_enclave();
        vmcs[VmcsField::guest_physical_address] = info.gpa.raw();
        vmcs[VmcsField::guest_linear_address] = info.gla.raw();
        vmcs[VmcsField::vm_exit_instruction_length] = info.length;
        vmcs[VmcsField::vm_exit_instruction_information] = info.instruction_information;
        vmcs[VmcsField::vm_exit_interruption_information] = info.interruption.to_raw();
        vmcs[VmcsField::vm_exit_interruption_error_code] = info.error_code;
        vmcs[VmcsField::idt_vectoring_information] = info.idt_vectoring.to_raw();
        vmcs[VmcsField::idt_vectoring_error_code] = info.idt_error_code;
        vmcs[VmcsField::guest_interruptibility_state] =
            info.interruptibility.value_or(enclave ? 0x10 : 0);
        vmcs[VmcsField::guest_rip] = info.rip.value_or(enclave ? aep : kernel_rip);
        vmcs[VmcsField::guest_rflags] = info.rflags.value_or(default_rflags(info));
        const u64 cpl = info.cpl.value_or(enclave ? 3 : 0);
        vmcs[VmcsField::guest_ss_access_rights] = 0xc093 | cpl << 5;
        if (!enclave) {
            if (info.rax) registers.gpr[rax] = *info.rax;
            if (info.rcx) registers.gpr[rcx] = *info.rcx;
            return;
        }
        registers.gpr = {};
        registers.gpr[rax] = info.rax.value_or(3);
        registers.gpr[rbx] = tcs;
        registers.gpr[rcx] = info.rcx.value_or(aep);
    }
};

/// Answers everywhere a device range is registered, and remembers every touch.
class FakeDevices final : public hv::Devices {
public:
    bool mmio_read(Gpa address, unsigned size, u64& value) override {
        touches.push_back({address.raw(), size, false, read_value});
        value = read_value;
        return answers;
    }
    bool mmio_write(Gpa address, unsigned size, u64 value) override {
        touches.push_back({address.raw(), size, true, value});
        return answers;
    }
    bool port_read(u16 port, unsigned size, u32& value) override {
        port_touches.push_back({port, size, false, read_value});
        value = static_cast<u32>(read_value);
        return answers;
    }
    bool port_write(u16 port, unsigned size, u32 value) override {
        port_touches.push_back({port, size, true, value});
        return answers;
    }

    void end_of_interrupt(u8 vector) override { ends.push_back(vector); }
    u8 acknowledge_external() override { return external_vector; }

    std::vector<MmioAccess> touches;
    std::vector<MmioAccess> port_touches;
    std::vector<u8> ends;
    u8 external_vector = 0x20;
    u64 read_value = 0x1122'3344'5566'7788;
    bool answers = true;
};

class FakeWatcher final : public hv::Watcher {
public:
    void exit(const hv::ExitRecord& record) override { records.push_back(record); }
    void anomaly(hv::Anomaly anomaly, const hv::ExitRecord&) override {
        anomalies.push_back(anomaly);
    }
    void stopped(const hv::StopReport& report) override { stops.push_back(report); }

    std::vector<hv::ExitRecord> records;
    std::vector<hv::Anomaly> anomalies;
    std::vector<hv::StopReport> stops;
};

inline constexpr Gpa epc_base{0x1000'0000};
inline constexpr Gpa doorbell{0xfe00'0000};
inline constexpr Gpa nowhere{0xd000'0000};  // neither memory nor a registered device
inline constexpr Gpa rom_base{0xffff'0000};
inline constexpr u64 guest_ram_host = 1u << 20;
inline constexpr u64 guest_ram_size = 4u << 20;

inline hv::Config default_config() {
    hv::Config config;
    config.pool = {Hpa{6u << 20}, 128};
    config.epc = {epc_base, 1u << 20};
    return config;
}

/// A guest with 4 MiB of RAM at 0, EPC, a ROM and a doorbell; identity page tables in its RAM: of
/// the first 8 MiB, and of all from 1 to 4 GiB.
struct Machine {
    explicit Machine(const hv::Config& config = default_config())
        : vm{prepared(config), devices, watcher, config}, vcpu{processor, vm} {
        using hv::MemorySlot;
        using hv::SlotKind;
        expect(
            vm.add_memory(MemorySlot{Gpa{0}, guest_ram_size, SlotKind::ram, Hpa{guest_ram_host}}));
        expect(vm.add_memory(MemorySlot{epc_base, 1u << 20, SlotKind::epc, Hpa{epc_host}}));
        expect(vm.add_memory(MemorySlot{rom_base, page_size, SlotKind::rom, Hpa{5u << 20}}));
        expect(vm.add_mmio({doorbell, page_size}));
        write64(0x1000, 0x2007);
        write64(0x2000, 0x3007);
        for (u64 i = 0; i < 4; ++i) write64(0x3000 + 8 * i, i << 21 | 0x87);
        for (u64 i = 1; i < 4; ++i) write64(0x2000 + 8 * i, i << 30 | 0x87);
        hv::StartState state;
        state.rip = kernel_rip;
        state.cr3 = 0x1000;
        expect(vcpu.start(state));
        processor.writes.clear();
        processor.page_uses.clear();
    }

    void write64(u64 gpa, u64 value) {
        for (unsigned i = 0; i < 8; ++i)
            processor.ram.at(guest_ram_host + gpa + i) = static_cast<u8>(value >> 8 * i);
    }
    void write_bytes(u64 gpa, const std::vector<u8>& bytes) {
        for (size_t i = 0; i < bytes.size(); ++i)
            processor.ram.at(guest_ram_host + gpa + i) = bytes[i];
    }

    hv::Next exits_with(ExitReason reason, const ExitInfo& info = {}) {
        processor.writes.clear();
        processor.exits_with(reason, info);
        return vcpu.run_once();
    }
    hv::Next enclave_exits(BasicReason reason, const ExitInfo& info = {}) {
        return exits_with(ExitReason{reason}.in_enclave(), info);
    }
    hv::Next normal_exit(BasicReason reason, const ExitInfo& info = {}) {
        return exits_with(ExitReason{reason}, info);
    }

    /// Enters once more and says what that entry injected.
    Injected injected() {
        processor.exits_with(ExitReason{BasicReason::external_interrupt});
        expect(vcpu.run_once() == hv::Next::resume && !processor.injections.empty());
        return processor.injections.empty() ? Injected{} : processor.injections.back();
    }
    [[nodiscard]] const hv::ExitRecord& record() const { return vcpu.last_exit(); }
    [[nodiscard]] u64 count(hv::Anomaly anomaly) const { return vcpu.counters().of(anomaly); }
    [[nodiscard]] u64 anomalies() const { return watcher.anomalies.size(); }

    FakeProcessor processor;
    FakeDevices devices;
    FakeWatcher watcher;
    hv::Vm vm;
    hv::Vcpu vcpu;

private:
    FakeProcessor& prepared(const hv::Config& config) {
        if (config.nested) processor.offer_vmx();
        return processor;
    }
    void expect(bool done) {
        if (!done) processor.complain("the guest cannot be built, or does not go on");
    }
};

}  // namespace postern::host::fake

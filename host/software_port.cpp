// SPDX-License-Identifier: Apache-2.0
// The port's calls, each on the processor's own functions.
#include "host/software_port.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "arch/paging.h"
#include "arch/regs/xcr0.h"
#include "arch/vmx/capability.h"
#include "arch/vmx/exit_reason.h"
#include "cpu/cpuid.h"
#include "cpu/decode/block_cache.h"
#include "cpu/event/event.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/model.h"
#include "cpu/msr.h"
#include "cpu/reset.h"
#include "cpu/run.h"
#include "cpu/sgx/sgx.h"
#include "cpu/vmx/vmx.h"

namespace postern::host {

namespace {

/// Where a parked processor stands. Nothing is there, and nothing is ever fetched.
constexpr u64 parking_rip = 0xffff'8000'0000'0000;

constexpr u16 host_code = 0x08;
constexpr u16 host_data = 0x10;
constexpr u16 host_tss = 0x18;

constexpr u32 code_rights = 0xa09b;
constexpr u32 data_rights = 0xc093;
constexpr u32 tss_rights = 0x008b;

constexpr Cr0Word host_cr0{Cr0::pe, Cr0::mp, Cr0::et, Cr0::ne, Cr0::wp, Cr0::pg};
constexpr Cr4Word host_cr4{Cr4::pae, Cr4::osfxsr, Cr4::osxmmexcpt, Cr4::vmxe};
constexpr EferWord host_efer{Efer::sce, Efer::lme, Efer::lma, Efer::nxe};

}  // namespace

void SoftwarePort::load_parked_state() {
    cpu::Cpu& c = *cpu_;
    c.cr0 = host_cr0;
    c.cr4 = host_cr4;
    c.efer = host_efer;
    c.cr3 = pages_.page_table.raw();
    c.rip = parking_rip;
    c.cpl = 0;
    c.event.activity = ActivityState::active;
    for (Segment& segment : c.segment) segment = {host_data, 0, data_rights, ~u32{0}, 0, 0};
    c.segment[cs] = {host_code, 0, code_rights, ~u32{0}, 0, 0};
    c.segment[tr] = {host_tss, 0, tss_rights, tss64::size - 1, 0, 0};
    c.segment[ldtr] = {0, 0, access_rights_unusable, 0, 0, 0};
    c.gdtr = c.idtr = {0, 0xffff};
    cpu::flush_translations(c);
    cpu::select_tlb(c);
}

bool SoftwarePort::start() {
    load_parked_state();
    cpu_->vmx.hosted = true;
    u64 basic = 0;
    if (!cpu::vmx::read_capability(static_cast<u32>(Msr::vmx_basic), basic)) {
        fail("the processor has no VMX");
        return false;
    }
    const u32 revision = VmxBasic::from_raw(basic).revision();
    std::memcpy(page(pages_.vmxon_region), &revision, sizeof revision);
    if (cpu::vmx::vmxon(*cpu_, pages_.vmxon_region).ok()) return true;
    fail("VMXON fails");
    return false;
}

hv::HostState SoftwarePort::host_state() const {
    hv::HostState host;
    host.cr0 = host_cr0.to_raw();
    host.cr3 = pages_.page_table.raw();
    host.cr4 = host_cr4.to_raw();
    host.efer = host_efer.to_raw();
    host.pat = cpu_->msr.pat;
    host.rip = parking_rip;
    host.cs = host_code;
    host.ss = host_data;
    host.tr = host_tss;
    return host;
}

void SoftwarePort::fail(std::string why) {
    if (failure_.empty()) failure_ = std::move(why);
}

void SoftwarePort::note_missing(VmcsField field) {
    if (std::ranges::find(missing_fields_, field) == missing_fields_.end())
        missing_fields_.push_back(field);
}

u64 SoftwarePort::vmread(VmcsField field) {
    u64 value = 0;
    if (cpu::vmx::vmread(*cpu_, static_cast<u32>(field), value).ok()) return value;
    note_missing(field);
    return 0;
}

void SoftwarePort::vmwrite(VmcsField field, u64 value) {
    if (!cpu::vmx::vmwrite(*cpu_, static_cast<u32>(field), value).ok()) note_missing(field);
}

bool SoftwarePort::vmclear(Hpa region) { return cpu::vmx::vmclear(*cpu_, region).ok(); }
bool SoftwarePort::vmptrld(Hpa region) { return cpu::vmx::vmptrld(*cpu_, region).ok(); }

hv::EntryOutcome SoftwarePort::enter(hv::GuestRegisters& registers, hv::EntryKind kind) {
    cpu::Cpu& c = *cpu_;
    bool entered = c.vmx.non_root;  // its turn before this one ended there
    if (!entered) {
        for (unsigned n = 0; n < gpr_count; ++n)
            if (n != rsp) c.gpr[n] = registers.gpr[n];
        c.cr2 = registers.cr2;
        const auto status = cpu::vmx::enter(c, kind == hv::EntryKind::launch, entered);
        if (status.kind == cpu::vmx::Status::Kind::fail_invalid)
            return hv::EntryOutcome::vmfail_invalid;
        if (!status.ok()) return hv::EntryOutcome::vmfail_valid;
    }
    const hv::EntryOutcome outcome = entered ? run_guest() : failed_entry();
    if (outcome == hv::EntryOutcome::running) return outcome;
    for (unsigned n = 0; n < gpr_count; ++n)
        if (n != rsp) registers.gpr[n] = c.gpr[n];
    registers.cr2 = c.cr2;
    return outcome;
}

/// In runs that end where the host has something to do: an NMI to raise, a turn to end, or just to
/// look up.
cpu::RunOutcome SoftwarePort::run_to_exit() {
    for (;;) {
        const u64 now = cpu::now(*cpu_);
        if (now >= nmi_due_) {
            cpu_->event.nmi_pending = true;
            nmi_due_ = end_of_time;
        }
        const u64 until = std::min({nmi_due_, now + longest_run_, until_});
        const cpu::RunOutcome outcome = cpu::run(*cpu_, until);
        if (outcome != cpu::RunOutcome::time || is_turn_over()) return outcome;
        if (cpu::now(*cpu_) >= until_) return outcome;
    }
}

void SoftwarePort::fail_unimplemented() {
    fail(fmt::format("not implemented: {} at RIP {:#x}{}",
                     cpu_->pending.what != nullptr ? cpu_->pending.what : "unnamed", cpu_->rip,
                     cpu_->enclave.active ? " (in an enclave)" : ""));
}

void SoftwarePort::fail_shut_down() {
    const u32 abort = cpu_->vmx.abort;
    fail(abort != 0 ? fmt::format("VMX abort {}", abort) : "the processor shut down");
}

/// The host's interrupt has been taken if it was what the guest was left for.
hv::EntryOutcome SoftwarePort::exited() {
    const auto reason = ExitReason::from_vmcs(static_cast<u32>(vmread(VmcsField::exit_reason)));
    if (reason.basic() == BasicReason::external_interrupt) ticks_->taken(cpu::now(*cpu_));
    return hv::EntryOutcome::exited;
}

/// To the next VM exit, or to the end of the turn. Failed: the processor could not go on;
/// failure() says why.
hv::EntryOutcome SoftwarePort::run_guest() {
    cpu_->turn_over = false;
    switch (run_to_exit()) {
        case cpu::RunOutcome::vm_exit: return exited();
        case cpu::RunOutcome::time:
        case cpu::RunOutcome::halted: return hv::EntryOutcome::running;
        case cpu::RunOutcome::unimplemented: fail_unimplemented(); break;
        case cpu::RunOutcome::shutdown: fail_shut_down(); break;
        case cpu::RunOutcome::breakpoint:
        case cpu::RunOutcome::stop_requested:
            fail("the processor came back without a VM exit");
            break;
    }
    return hv::EntryOutcome::vmfail_invalid;
}

/// Its VM exit may have failed, too.
hv::EntryOutcome SoftwarePort::failed_entry() {
    if (cpu_->vmx.abort != 0) fail_shut_down();
    if (cpu_->pending.kind == cpu::PendingKind::unimplemented) fail_unimplemented();
    return failure_.empty() ? hv::EntryOutcome::exited : hv::EntryOutcome::vmfail_invalid;
}

/// The shootdown of the others costs nothing: they stand still.
void SoftwarePort::invept(u64 ept_pointer) {
    for (cpu::Cpu* const c : machine_->processors())
        static_cast<void>(
            cpu::vmx::invept(*c, static_cast<u64>(InveptType::single_context), ept_pointer));
}

void SoftwarePort::invvpid(u16 vpid) {
    static_cast<void>(
        cpu::vmx::invvpid(*cpu_, static_cast<u64>(InvvpidType::single_context), vpid, 0));
}

/// The one page of tables leads back to itself by its last entry: walked four times it is its own
/// last level, and the windows are its first entries.
void SoftwarePort::map_windows(const hv::EnclsOperands& operands) {
    constexpr unsigned self = page_table_entry_count - 1;
    static_assert(linear_index(hv::encls_window(0), 4) == self);
    static_assert(linear_index(hv::encls_window(0), 3) == self);
    static_assert(linear_index(hv::encls_window(0), 2) == self);
    static_assert(linear_index(hv::encls_window(0), 1) == 0);
    constexpr u64 usable = PageEntry{PageEntryBit::p, PageEntryBit::rw}.to_raw();
    u8* const table = page(pages_.page_table);
    const auto put = [table](unsigned entry, u64 value) {
        std::memcpy(table + entry * sizeof value, &value, sizeof value);
    };
    put(self, pages_.page_table.raw() | usable);
    for (unsigned n = 0; n < hv::encls_window_count; ++n) {
        const u64 target = operands.window[n].raw();
        put(n, target == 0 ? 0 : target | usable);
        cpu::flush_page(*cpu_, Gva{hv::encls_window(n)});
    }
}

/// General registers are nobody's between a VM exit and the next entry, RFLAGS is the exit's.
hv::EnclsResult SoftwarePort::encls(EnclsLeaf leaf, const hv::EnclsOperands& operands) {
    cpu::Cpu& c = *cpu_;
    if (c.vmx.non_root) {
        fail("ENCLS by the hypervisor while its processor is in the guest");
        return {.faulted = true, .vector = static_cast<u8>(Vector::invalid_opcode)};
    }
    map_windows(operands);
    c.gpr[rax] = static_cast<u64>(leaf);
    c.gpr[rbx] = operands.rbx;
    c.gpr[rcx] = operands.rcx;
    c.gpr[rdx] = operands.rdx;
    const Result<> ran = cpu::sgx::encls(c);
    map_windows({});
    hv::EnclsResult result;
    result.faulted = !ran.ok();
    if (ran.ok()) {
        result.rax = c.gpr[rax];
        result.rflags = cpu::rflags(c);
        return result;
    }
    if (c.pending.kind == cpu::PendingKind::exception) {
        result.vector = static_cast<u8>(c.pending.vector);
        result.error_code = c.pending.error_code;
        result.address = c.pending.address;
    } else {
        fail_unimplemented();
        result.vector = static_cast<u8>(Vector::invalid_opcode);
    }
    c.pending = {};
    return result;
}

hv::CpuidResult SoftwarePort::cpuid(u32 leaf, u32 subleaf) {
    const auto result = cpu::cpuid(*cpu_, leaf, subleaf);
    return {result.eax, result.ebx, result.ecx, result.edx};
}

/// A fault leaves its reason in the processor; the hypervisor only learns that there was one.
u64 SoftwarePort::rdmsr(u32 msr) {
    const Result<u64> value = cpu::read_msr(*cpu_, msr);
    if (value.ok()) return value.value();
    cpu_->pending = {};
    return 0;
}

bool SoftwarePort::wrmsr(u32 msr, u64 value) {
    if (cpu::write_msr(*cpu_, msr, value).ok()) return true;
    cpu_->pending = {};
    return false;
}

/// SDM 2D, "XSETBV".
bool SoftwarePort::xsetbv(u32 xcr, u64 value) {
    const Xcr0Word wanted = Xcr0Word::from_raw(value);
    const Xcr0Word supported = cpu::supported_xcr0(*cpu_->system->model);
    if (xcr != 0 || !is_legal_xcr0(wanted, supported)) return false;
    cpu_->xcr0 = value;
    return true;
}

/// The host's, also while the guest is only paused.
u64 SoftwarePort::tsc() { return clock_->now() + cpu_->msr.tsc_adjust; }
u32 SoftwarePort::pkru() { return cpu_->pkru; }
void SoftwarePort::reset_extended_state() { cpu::reset_extended_state(*cpu_); }

void SoftwarePort::set_timer(u64 deadline) {
    const bool is_never = deadline == HostTicks::never;
    const u64 now = clock_->now();
    const auto ahead = static_cast<i64>(deadline - tsc());
    ticks_->set_timer(is_never     ? HostTicks::never
                      : ahead <= 0 ? now
                                   : now + static_cast<u64>(ahead));
}

/// One that is not in its guest looks for itself before it enters.
void SoftwarePort::kick(unsigned vcpu) {
    if (vcpu < all_ticks_.size() && machine_->processor(vcpu).vmx.non_root) all_ticks_[vcpu].kick();
}

u64 SoftwarePort::read_dr(unsigned number) {
    if (number < 4) return cpu_->dr[number];
    return number == 6 ? cpu_->dr6 : cpu_->dr7;
}

void SoftwarePort::write_dr(unsigned number, u64 value) {
    if (number < 4)
        cpu_->dr[number] = value;
    else if (number == 6)
        cpu_->dr6 = value;
    else
        cpu_->dr7 = value;
}

u8* SoftwarePort::page(Hpa address) { return machine_->system().memory.pointer(address.page()); }

void SoftwarePort::about_to_write(Hpa address, size_t count) {
    const u8* const bytes = machine_->system().memory.pointer(address);
    if (bytes != nullptr) cpu::about_to_write(machine_->system(), bytes, count);
}

hv::DecodedAccess SoftwarePort::decode(const u8* bytes, size_t count, hv::CodeSize size) {
    return decoded_.decode(bytes, count, size);
}

}  // namespace postern::host

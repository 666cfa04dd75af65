// SPDX-License-Identifier: Apache-2.0
// A port that passes everything on but one lie: after an exit from an enclave it reports an
// instruction length that is not zero. No processor of ours does so; the lie shows what the
// check of RIP is good for.
#pragma once

#include "arch/vmx/exit_reason.h"
#include "hv/port.h"

namespace postern::host {

class LyingPort final : public hv::Port {
public:
    static constexpr u64 lie = 4;

    explicit LyingPort(hv::Port& honest) : honest_{&honest} {}

    u64 vmread(VmcsField field) override {
        const u64 truth = honest_->vmread(field);
        return field == VmcsField::vm_exit_instruction_length && enclave_exit() ? lie : truth;
    }
    void vmwrite(VmcsField field, u64 value) override { honest_->vmwrite(field, value); }
    bool vmclear(Hpa region) override { return honest_->vmclear(region); }
    bool vmptrld(Hpa region) override { return honest_->vmptrld(region); }
    hv::EntryOutcome enter(hv::GuestRegisters& registers, hv::EntryKind kind) override {
        return honest_->enter(registers, kind);
    }
    void invept(u64 ept_pointer) override { honest_->invept(ept_pointer); }
    void invvpid(u16 vpid) override { honest_->invvpid(vpid); }
    hv::EnclsResult encls(EnclsLeaf leaf, const hv::EnclsOperands& operands) override {
        return honest_->encls(leaf, operands);
    }
    hv::CpuidResult cpuid(u32 leaf, u32 subleaf) override { return honest_->cpuid(leaf, subleaf); }
    u64 rdmsr(u32 msr) override { return honest_->rdmsr(msr); }
    bool wrmsr(u32 msr, u64 value) override { return honest_->wrmsr(msr, value); }
    bool xsetbv(u32 xcr, u64 value) override { return honest_->xsetbv(xcr, value); }
    u64 read_dr(unsigned number) override { return honest_->read_dr(number); }
    void write_dr(unsigned number, u64 value) override { honest_->write_dr(number, value); }
    u64 tsc() override { return honest_->tsc(); }
    u32 pkru() override { return honest_->pkru(); }
    void reset_extended_state() override { honest_->reset_extended_state(); }
    void set_timer(u64 deadline) override { honest_->set_timer(deadline); }
    void kick(unsigned vcpu) override { honest_->kick(vcpu); }
    u8* page(Hpa address) override { return honest_->page(address); }
    void about_to_write(Hpa address, size_t count) override {
        honest_->about_to_write(address, count);
    }
    hv::DecodedAccess decode(const u8* bytes, size_t count, hv::CodeSize size) override {
        return honest_->decode(bytes, count, size);
    }

private:
    [[nodiscard]] bool enclave_exit() {
        const auto raw = static_cast<u32>(honest_->vmread(VmcsField::exit_reason));
        const ExitReason reason = ExitReason::from_vmcs(raw);
        return reason.from_enclave() && !reason.entry_failed();
    }

    hv::Port* honest_;
};

}  // namespace postern::host

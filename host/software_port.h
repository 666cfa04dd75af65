// SPDX-License-Identifier: Apache-2.0
// The hypervisor's port on one software processor, which is one virtual processor's alone. Each
// call runs the semantic function of the instruction it stands for; a VM entry runs the guest until
// the next VM exit is complete, or until the processor's turn is over.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "cpu/run.h"
#include "host/decode.h"
#include "host/ticks.h"
#include "hv/config.h"
#include "hv/port.h"
#include "platform/machine.h"

namespace postern::host {

class SoftwarePort final : public hv::Port {
public:
    /// Pages of physical memory that are the host's own.
    struct Pages {
        Hpa vmxon_region;
        /// Maps itself and the windows of ENCLS: the parked processor executes nothing else.
        Hpa page_table;
    };
    /// What all processors of a machine share, and outlives them.
    struct Surroundings {
        platform::Machine& machine;
        const platform::Clock& clock;
        std::span<HostTicks> ticks;  // one for each processor
    };

    SoftwarePort(const Surroundings& surroundings, Pages pages, unsigned number = 0)
        : machine_{&surroundings.machine}, clock_{&surroundings.clock},
          all_ticks_{surroundings.ticks}, ticks_{&surroundings.ticks[number]},
          cpu_{&machine_->processor(number)}, pages_{pages} {}

    /// Puts the processor into 64-bit mode and VMX root operation. False: failure() says why.
    [[nodiscard]] bool start();

    /// What every VM exit is to load: the state start() made.
    [[nodiscard]] hv::HostState host_state() const;

    /// Why a guest could not be run any further, from the processor's side; empty: it could.
    /// enter() reports VMfail then, which is not the reason.
    [[nodiscard]] const std::string& failure() const { return failure_; }

    /// Fields that were asked for though the processor does not have them.
    [[nodiscard]] const std::vector<VmcsField>& missing_fields() const { return missing_fields_; }

    /// The guest runs until absolute time `until`; enter() gives EntryOutcome::running then. Also
    /// where it waits, and at a PAUSE: see is_turn_over().
    void run_until(u64 until) { until_ = until; }
    /// The guest waits, or others may go on.
    [[nodiscard]] bool is_turn_over() const {
        return cpu_->turn_over || cpu_->event.activity != ActivityState::active;
    }

    /// An NMI for the host arrives at absolute time `due`, once. In the guest it is a VM exit.
    void raise_nmi_at(u64 due) { nmi_due_ = due; }

    /// The processor comes back at least so often, in instructions. Nothing may depend on it.
    void set_longest_run(u64 instructions) { longest_run_ = instructions; }

    u64 vmread(VmcsField field) override;
    void vmwrite(VmcsField field, u64 value) override;
    bool vmclear(Hpa region) override;
    bool vmptrld(Hpa region) override;
    hv::EntryOutcome enter(hv::GuestRegisters& registers, hv::EntryKind kind) override;
    void invept(u64 ept_pointer) override;
    void invvpid(u16 vpid) override;
    hv::EnclsResult encls(EnclsLeaf leaf, const hv::EnclsOperands& operands) override;
    hv::CpuidResult cpuid(u32 leaf, u32 subleaf) override;
    u64 rdmsr(u32 msr) override;
    bool wrmsr(u32 msr, u64 value) override;
    bool xsetbv(u32 xcr, u64 value) override;
    u64 read_dr(unsigned number) override;
    void write_dr(unsigned number, u64 value) override;
    u64 tsc() override;
    u32 pkru() override;
    void reset_extended_state() override;
    void set_timer(u64 deadline) override;
    void kick(unsigned vcpu) override;
    u8* page(Hpa address) override;
    void about_to_write(Hpa address, size_t count) override;
    hv::DecodedAccess decode(const u8* bytes, size_t count, hv::CodeSize size) override;

private:
    static constexpr u64 end_of_time = u64{1} << 62;

    void load_parked_state();
    void map_windows(const hv::EnclsOperands& operands);
    [[nodiscard]] hv::EntryOutcome run_guest();
    [[nodiscard]] hv::EntryOutcome exited();
    [[nodiscard]] hv::EntryOutcome failed_entry();
    void fail_shut_down();
    void fail_unimplemented();
    [[nodiscard]] cpu::RunOutcome run_to_exit();
    void fail(std::string why);
    void note_missing(VmcsField field);

    platform::Machine* machine_;
    const platform::Clock* clock_;
    std::span<HostTicks> all_ticks_;
    HostTicks* ticks_;
    cpu::Cpu* cpu_;
    Pages pages_;
    u64 until_ = end_of_time;
    u64 nmi_due_ = end_of_time;
    u64 longest_run_ = end_of_time;
    DecodeCache decoded_;
    std::string failure_;
    std::vector<VmcsField> missing_fields_;
};

}  // namespace postern::host

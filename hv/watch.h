// SPDX-License-Identifier: Apache-2.0
// What the hypervisor tells whoever watches it: a record of each exit, anomalies, why a guest
// was stopped, and counters. Plain data of fixed size; the text is made by app/.
#pragma once

#include <array>
#include <type_traits>

#include "arch/vmx/exit_reason.h"
#include "base/types.h"

namespace postern::hv {

/// What an exit is typed as. failed: VMLAUNCH/VMRESUME itself or the entry did.
enum class ExitKind : u8 { normal, enclave, delivery, failed };
inline constexpr size_t exit_kind_count = 4;

/// What was done about an exit: the last and strongest of what its handler asked for.
enum class Action : u8 {
    none,
    acknowledged,     // nothing to do; the guest goes on
    retried,          // the interrupted instruction runs again
    mapped,           // a page was mapped, then the instruction runs again
    control_dropped,  // the intercept was switched off, then the instruction runs again
    redelivered,      // the event whose delivery was interrupted is injected again
    reinjected,       // the exception that exited is injected
    faulted,          // another fault is injected in the instruction's place
    guarded,          // the enclave guard: one fault, nothing else
    emulated,         // carried out by the hypervisor, RIP moved on
    halted,
    stopped,
    reflected,  // passed on to the hypervisor in the guest, which runs on in its place
};
inline constexpr size_t action_count = 13;

/// What should not be, on a processor that keeps to the manual. Counted and reported.
enum class Anomaly : u8 {
    enclave_flag_without_interruptibility,  // exit-reason bit 27 without interruptibility bit 4
    interruptibility_without_enclave_flag,
    rax_is_not_eresume,
    rcx_is_not_rip,
    cpl_is_not_3,
    instruction_length_not_zero,
    page_offset_not_zero,
    rip_write_refused,
    reason_impossible_from_enclave,
    reason_impossible_in_delivery,
    reserved_reason,
    control_never_set,        // an exit whose control is not ours to set
    zero_length_instruction,  // a normal exit to skip, with length 0
    mov_ss_shadow_refused,
    livelock,
};
inline constexpr size_t anomaly_count = 15;

/// One VM exit. `rip_or_aep` and `tcs` say which by `kind`: for an enclave's exit RIP is the
/// AEP and RBX the TCS; else tcs is 0.
struct ExitRecord {
    u64 sequence = 0;
    u64 tsc = 0;
    u32 raw_reason = 0;  // all 32 bits; no_exit_reason if VMLAUNCH or VMRESUME failed
    ExitKind kind = ExitKind::normal;
    Action action = Action::none;
    u8 cpl : 7 = 0;
    u8 of_l2 : 1 = 0;                 // 1: of the guest that a hypervisor in the guest runs
    u8 vcpu = 0;                      // whose exit
    u32 interruptibility_before = 0;  // as saved by the exit
    u32 interruptibility_after = 0;   // as the next entry finds it
    u64 rip_or_aep = 0;
    u64 rip_after = 0;
    u64 tcs = 0;
    u64 rax = 0;
    u64 rcx = 0;
    u64 qualification = 0;
    u64 guest_linear = 0;
    u64 guest_physical = 0;
    u32 instruction_length = 0;
    u32 interruption = 0;  // VM-exit interruption information
    u32 interruption_error_code = 0;
    u32 idt_vectoring = 0;
    u32 idt_vectoring_error_code = 0;
    u32 injected = 0;  // VM-entry interruption information of the next entry
    u32 injected_error_code = 0;
    u32 anomalies = 0;  // bit n: Anomaly n
    u64 rflags = 0;
    u64 secs = 0;  // guest-physical address of the enclave's SECS; 0: none, or not known

    friend constexpr bool operator==(const ExitRecord&, const ExitRecord&) = default;
};
static_assert(std::is_trivially_copyable_v<ExitRecord> && std::is_standard_layout_v<ExitRecord>);
static_assert(sizeof(ExitRecord) == 144, "a change of the record is a new version of traces");

enum class StopReason : u8 {
    none,
    unknown_exit_reason,  // the number matches no row
    reserved_exit_reason,
    triple_fault,
    delivery_onto_device,  // the original event is exit.idt_vectoring
    delivery_failed,       // no way to finish the delivery of exit.idt_vectoring
    entry_failed,          // exit-reason bit 31
    vmfail,                // detail: the VM-instruction error
    out_of_table_pages,
    no_instruction_length,    // an instruction to pass over, with length 0
    enclave_fault,            // the policy for faults of the guard is to stop
    processor_lacks_control,  // detail: the capability MSR; what names the control
    bad_configuration,
    sgx_operand,      // the processor faulted on a page that the hypervisor mapped for ENCLS
    not_implemented,  // what names it
};

/// Why a guest cannot go on. `what` has static lifetime, or is null.
struct StopReport {
    StopReason reason = StopReason::none;
    const char* what = nullptr;
    u64 detail = 0;
    ExitRecord exit;
};

/// An enclave of the guest, as its ECREATE and EINIT showed it.
struct EnclaveIdentity {
    u64 number = 0;  // 1: the first that was created
    u64 secs = 0;    // guest-physical address of its SECS
    u64 base = 0;    // linear
    u64 size = 0;
    u64 initialized = 0;  // 1: EINIT has succeeded, and mrenclave is known
    std::array<u8, 32> mrenclave{};

    friend constexpr bool operator==(const EnclaveIdentity&, const EnclaveIdentity&) = default;
};
static_assert(std::is_trivially_copyable_v<EnclaveIdentity> &&
              std::is_standard_layout_v<EnclaveIdentity>);

enum class ResetCause : u32 {
    device,        // software asked for it
    triple_fault,  // the chipset answers the shutdown with it
};

/// A guest that begins anew. Its exits behind this are of what it runs then.
struct ResetRecord {
    u64 number = 0;  // 1: the first
    u64 tsc = 0;     // as ExitRecord has it
    u32 vcpu = 0;    // who brought it about
    ResetCause cause = ResetCause::device;

    friend constexpr bool operator==(const ResetRecord&, const ResetRecord&) = default;
};
static_assert(std::is_trivially_copyable_v<ResetRecord> && std::is_standard_layout_v<ResetRecord>);

class Watcher {
public:
    virtual void exit(const ExitRecord& record) = 0;
    /// Called while the exit is handled: `record` is not complete yet.
    virtual void anomaly(Anomaly anomaly, const ExitRecord& record) = 0;
    virtual void stopped(const StopReport& report) = 0;
    /// One was created, or initialized.
    virtual void enclave(const EnclaveIdentity&) {}
    /// By whoever runs the guest.
    virtual void reset(const ResetRecord&) {}

protected:
    ~Watcher() = default;
};

struct Counters {
    std::array<std::array<u64, exit_kind_count>, reason_limit> by_reason{};
    std::array<u64, anomaly_count> anomalies{};
    u64 exits = 0;  // every exit, failed entries included
    u64 unknown_reasons = 0;
    u64 entry_failures = 0;  // exit-reason bit 31
    u64 vmfails = 0;
    u64 bus_locks = 0;  // exit-reason bit 26
    u64 guard_hits = 0;
    u64 injected_ud = 0;  // by us; an intercepted #UD that is re-injected is not counted
    u64 injected_gp = 0;
    u64 reinjected = 0;
    u64 redelivered = 0;
    u64 retries = 0;
    u64 controls_dropped = 0;
    u64 zero_length_skips = 0;   // from an enclave
    u64 skip_anomalies = 0;      // a skip with a length, from an enclave
    u64 delivery_incidents = 0;  // an event that interrupted an enclave exited on its way
    u64 triple_faults = 0;
    u64 ept_maps = 0;
    u64 ept_maps_from_enclave = 0;
    u64 ept_forgets = 0;  // by Vcpu::forget
    u64 emulated_mmio = 0;
    u64 emulated_io = 0;

    [[nodiscard]] constexpr u64 of(Anomaly anomaly) const {
        return anomalies[static_cast<size_t>(anomaly)];
    }
    [[nodiscard]] constexpr u64 of(BasicReason reason, ExitKind kind) const {
        const auto row = static_cast<size_t>(reason);
        return row < reason_limit ? by_reason[row][static_cast<size_t>(kind)] : 0;
    }
};

}  // namespace postern::hv

// SPDX-License-Identifier: Apache-2.0
// Instructions of exits outside enclaves, and those few that an enclave can exit by.
#include <array>

#include "base/table.h"
#include "hv/exit/handlers.h"

namespace postern::hv {
namespace {

/// An exit that one of two words of controls brings, and when the guest is not to have the
/// instruction at all.
struct Intercept {
    BasicReason reason;
    bool primary;
    u8 control;
    bool (*is_hidden)(const Config&);
};

constexpr Intercept by(BasicReason reason, PrimaryControl control,
                       bool (*is_hidden)(const Config&)) {
    return {reason, true, static_cast<u8>(control), is_hidden};
}
constexpr Intercept by(BasicReason reason, SecondaryControl control,
                       bool (*is_hidden)(const Config&)) {
    return {reason, false, static_cast<u8>(control), is_hidden};
}

constexpr bool not_hidden(const Config&) { return false; }
template <HiddenFeature feature>
constexpr bool if_hidden(const Config& config) {
    return config.hidden.has(feature);
}

constexpr std::array intercepts{
    by(BasicReason::invlpg, PrimaryControl::invlpg_exiting, not_hidden),
    by(BasicReason::rdpmc, PrimaryControl::rdpmc_exiting, not_hidden),
    by(BasicReason::rdtsc, PrimaryControl::rdtsc_exiting, not_hidden),
    by(BasicReason::mwait, PrimaryControl::mwait_exiting, if_hidden<HiddenFeature::monitor>),
    by(BasicReason::monitor, PrimaryControl::monitor_exiting, if_hidden<HiddenFeature::monitor>),
    by(BasicReason::pause, PrimaryControl::pause_exiting, not_hidden),
    by(BasicReason::access_to_gdtr_or_idtr, SecondaryControl::descriptor_table_exiting, not_hidden),
    by(BasicReason::access_to_ldtr_or_tr, SecondaryControl::descriptor_table_exiting, not_hidden),
    by(BasicReason::rdtscp, PrimaryControl::rdtsc_exiting, if_hidden<HiddenFeature::rdtscp>),
    by(BasicReason::rdrand, SecondaryControl::rdrand_exiting, if_hidden<HiddenFeature::rdrand>),
    by(BasicReason::invpcid, PrimaryControl::invlpg_exiting, if_hidden<HiddenFeature::invpcid>),
    by(BasicReason::rdseed, SecondaryControl::rdseed_exiting, if_hidden<HiddenFeature::rdseed>),
    by(BasicReason::umwait, PrimaryControl::rdtsc_exiting, if_hidden<HiddenFeature::waitpkg>),
    by(BasicReason::tpause, PrimaryControl::rdtsc_exiting, if_hidden<HiddenFeature::waitpkg>),
};
static_assert(is_strictly_sorted(intercepts, [](const Intercept& row) { return row.reason; }));

const Intercept& intercept_of(BasicReason reason) {
    for (const Intercept& row : intercepts)
        if (row.reason == reason) return row;
    __builtin_unreachable();
}

/// False: the control was off. PAUSE has a second one, which counts loops at CPL 0.
bool drop_control(Exit& exit) {
    const Intercept& row = intercept_of(exit.basic());
    const bool dropped = row.primary ? exit.drop(static_cast<PrimaryControl>(row.control))
                                     : exit.drop(static_cast<SecondaryControl>(row.control));
    if (row.reason != BasicReason::pause) return dropped;
    return exit.drop(SecondaryControl::pause_loop_exiting) || dropped;
}

/// Switches off what is never ours to set; without the protection nothing is done, and the same
/// instruction exits for ever.
template <class View>
Next drop_and_retry(View& exit) {
    exit.report(Anomaly::control_never_set);
    if (!exit.config().protections.has(Protection::retry)) return exit.retry();
    if (!drop_control(exit)) return exit.retry();
    return exit.retry_without_control();
}

template <class View>
Next hidden_or_forced(View& exit) {
    if (intercept_of(exit.basic()).is_hidden(exit.config()))
        return exit.fault(Vector::invalid_opcode);
    return drop_and_retry(exit);
}

}  // namespace

/// RDRAND, RDTSC, PAUSE and their like: the intercept is set only to hide the instruction. One
/// that is met all the same is switched off, and the instruction runs again. SDM 3D,
/// "Unexpected Event Handling" and "VMM Interactions with SGX".
Next on_hidden_or_forced(NormalExit& exit) { return hidden_or_forced(exit); }
Next on_enclave_hidden_or_forced(EnclaveExit& exit) { return hidden_or_forced(exit); }

/// An instruction that the guest's CPUID does not offer.
Next on_undefined_instruction(NormalExit& exit) { return exit.fault(Vector::invalid_opcode); }
Next on_enclave_undefined(EnclaveExit& exit) { return exit.fault(Vector::invalid_opcode); }

Next on_hlt(NormalExit& exit) { return exit.halt(); }

/// INVD, WBINVD, WBNOINVD: memory is coherent, there is nothing to write back or to lose.
Next on_cache_flush(NormalExit& exit) { return exit.done(); }

/// SDM 2D, "XSETBV". The exit is taken at CPL 0 only; all other checks are the processor's.
Next on_xsetbv(NormalExit& exit) {
    const u64 value = (exit.read(rdx) << 32) | (exit.read(rax) & 0xffff'ffff);
    if (!exit.set_xcr(static_cast<u32>(exit.read(rcx)), value))
        return exit.fault(Vector::general_protection);
    return exit.done();
}

/// MOV DR exits before the check of CPL, and before that of CR4.DE. SDM 3C, "Relative Priority
/// of Faults and VM Exits".
Next on_mov_dr(NormalExit& exit) {
    if (exit.cpl() != 0) return exit.fault(Vector::general_protection);
    const auto access = MovDr::from_raw(exit.qualification());
    u64 value = exit.read(access.gpr());
    if (!access.from_dr()) {
        if (!exit.write_dr(access.debug_register(), value))
            return exit.fault(Vector::invalid_opcode);
        return exit.done();
    }
    if (!exit.read_dr(access.debug_register(), value)) return exit.fault(Vector::invalid_opcode);
    exit.write(access.gpr(), value);
    return exit.done();
}

/// A guest of 32 bits switches tasks. What its CPL 3 asks for does not stop it.
Next on_task_switch(NormalExit& exit) {
    if (exit.cpl() == 3) return exit.fault(Vector::invalid_opcode);
    return exit.not_implemented("a task switch");
}

Next on_enclave_mov_dr(EnclaveExit& exit) { return exit.fault(Vector::general_protection); }

}  // namespace postern::hv

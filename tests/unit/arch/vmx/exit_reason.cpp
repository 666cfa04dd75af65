// SPDX-License-Identifier: Apache-2.0
// Exit reasons: the numbers, copied by hand from SDM 3D, appendix "VMX Basic Exit Reasons", and
// the flags of the exit-reason field.
#include "arch/vmx/exit_reason.h"

#include <gtest/gtest.h>

#include <concepts>

namespace postern {
namespace {

struct Numbered {
    u16 number;
    BasicReason reason;
    const char* name;
};

constexpr Numbered by_hand[] = {
    {0, BasicReason::exception_or_nmi, "exception_or_nmi"},
    {1, BasicReason::external_interrupt, "external_interrupt"},
    {2, BasicReason::triple_fault, "triple_fault"},
    {3, BasicReason::init_signal, "init_signal"},
    {4, BasicReason::startup_ipi, "startup_ipi"},
    {5, BasicReason::io_smi, "io_smi"},
    {6, BasicReason::other_smi, "other_smi"},
    {7, BasicReason::interrupt_window, "interrupt_window"},
    {8, BasicReason::nmi_window, "nmi_window"},
    {9, BasicReason::task_switch, "task_switch"},
    {10, BasicReason::cpuid, "cpuid"},
    {11, BasicReason::getsec, "getsec"},
    {12, BasicReason::hlt, "hlt"},
    {13, BasicReason::invd, "invd"},
    {14, BasicReason::invlpg, "invlpg"},
    {15, BasicReason::rdpmc, "rdpmc"},
    {16, BasicReason::rdtsc, "rdtsc"},
    {17, BasicReason::rsm, "rsm"},
    {18, BasicReason::vmcall, "vmcall"},
    {19, BasicReason::vmclear, "vmclear"},
    {20, BasicReason::vmlaunch, "vmlaunch"},
    {21, BasicReason::vmptrld, "vmptrld"},
    {22, BasicReason::vmptrst, "vmptrst"},
    {23, BasicReason::vmread, "vmread"},
    {24, BasicReason::vmresume, "vmresume"},
    {25, BasicReason::vmwrite, "vmwrite"},
    {26, BasicReason::vmxoff, "vmxoff"},
    {27, BasicReason::vmxon, "vmxon"},
    {28, BasicReason::control_register_access, "control_register_access"},
    {29, BasicReason::mov_dr, "mov_dr"},
    {30, BasicReason::io_instruction, "io_instruction"},
    {31, BasicReason::rdmsr, "rdmsr"},
    {32, BasicReason::wrmsr, "wrmsr"},
    {33, BasicReason::entry_failure_guest_state, "entry_failure_guest_state"},
    {34, BasicReason::entry_failure_msr_loading, "entry_failure_msr_loading"},
    {35, BasicReason::reserved_35, "reserved_35"},
    {36, BasicReason::mwait, "mwait"},
    {37, BasicReason::monitor_trap_flag, "monitor_trap_flag"},
    {38, BasicReason::reserved_38, "reserved_38"},
    {39, BasicReason::monitor, "monitor"},
    {40, BasicReason::pause, "pause"},
    {41, BasicReason::entry_failure_machine_check, "entry_failure_machine_check"},
    {42, BasicReason::reserved_42, "reserved_42"},
    {43, BasicReason::tpr_below_threshold, "tpr_below_threshold"},
    {44, BasicReason::apic_access, "apic_access"},
    {45, BasicReason::virtualized_eoi, "virtualized_eoi"},
    {46, BasicReason::access_to_gdtr_or_idtr, "access_to_gdtr_or_idtr"},
    {47, BasicReason::access_to_ldtr_or_tr, "access_to_ldtr_or_tr"},
    {48, BasicReason::ept_violation, "ept_violation"},
    {49, BasicReason::ept_misconfiguration, "ept_misconfiguration"},
    {50, BasicReason::invept, "invept"},
    {51, BasicReason::rdtscp, "rdtscp"},
    {52, BasicReason::vmx_preemption_timer_expired, "vmx_preemption_timer_expired"},
    {53, BasicReason::invvpid, "invvpid"},
    {54, BasicReason::wbinvd_or_wbnoinvd, "wbinvd_or_wbnoinvd"},
    {55, BasicReason::xsetbv, "xsetbv"},
    {56, BasicReason::apic_write, "apic_write"},
    {57, BasicReason::rdrand, "rdrand"},
    {58, BasicReason::invpcid, "invpcid"},
    {59, BasicReason::vmfunc, "vmfunc"},
    {60, BasicReason::encls, "encls"},
    {61, BasicReason::rdseed, "rdseed"},
    {62, BasicReason::page_modification_log_full, "page_modification_log_full"},
    {63, BasicReason::xsaves, "xsaves"},
    {64, BasicReason::xrstors, "xrstors"},
    {65, BasicReason::pconfig, "pconfig"},
    {66, BasicReason::spp_related_event, "spp_related_event"},
    {67, BasicReason::umwait, "umwait"},
    {68, BasicReason::tpause, "tpause"},
    {69, BasicReason::loadiwkey, "loadiwkey"},
    {70, BasicReason::enclv, "enclv"},
    {71, BasicReason::sgx_conflict, "sgx_conflict"},
    {72, BasicReason::enqcmd_pasid_translation_failure, "enqcmd_pasid_translation_failure"},
    {73, BasicReason::enqcmds_pasid_translation_failure, "enqcmds_pasid_translation_failure"},
    {74, BasicReason::bus_lock, "bus_lock"},
    {75, BasicReason::instruction_timeout, "instruction_timeout"},
    {76, BasicReason::seamcall, "seamcall"},
    {77, BasicReason::tdcall, "tdcall"},
    {78, BasicReason::rdmsrlist, "rdmsrlist"},
    {79, BasicReason::wrmsrlist, "wrmsrlist"},
    {80, BasicReason::urdmsr, "urdmsr"},
    {81, BasicReason::uwrmsr, "uwrmsr"},
    {82, BasicReason::reserved_82, "reserved_82"},
    {83, BasicReason::reserved_83, "reserved_83"},
    {84, BasicReason::rdmsr_immediate, "rdmsr_immediate"},
    {85, BasicReason::wrmsr_immediate, "wrmsr_immediate"},
};
static_assert(std::size(by_hand) == 86 && reason_limit == 86);

static_assert(ExitReason::from_vmcs(0x0800'0030).basic() == BasicReason::ept_violation);
static_assert(ExitReason::from_vmcs(0x0800'0030).from_enclave());
static_assert(ExitReason{BasicReason::ept_violation}.in_enclave().to_vmcs() == 0x0800'0030);

// Bus lock and enclave at once; a failed entry is not an enclave's.
static_assert(ExitReason::from_vmcs(0x0c00'0030).basic() == BasicReason::ept_violation);
static_assert(ExitReason::from_vmcs(0x0c00'0030).bus_lock());
static_assert(ExitReason::from_vmcs(0x0c00'0030).from_enclave());
static_assert(ExitReason::from_vmcs(0x8000'0021).entry_failed());
static_assert(!ExitReason::from_vmcs(0x8000'0021).from_enclave());
static_assert(ExitReason::from_vmcs(0x8000'0021).basic() == BasicReason::entry_failure_guest_state);

// The number and the field are types of their own: neither is comparable with an integer, nor
// convertible from or to one.
static_assert(!std::equality_comparable_with<ExitReason, u32>);
static_assert(!std::equality_comparable_with<BasicReason, u16>);
static_assert(!std::convertible_to<u32, ExitReason>);
static_assert(!std::convertible_to<ExitReason, u32>);
static_assert(!std::convertible_to<BasicReason, ExitReason>);
static_assert(!std::constructible_from<ExitReason, int>);

TEST(BasicReason, NumbersAndNamesAreTheManuals) {
    for (const Numbered& row : by_hand) {
        EXPECT_EQ(static_cast<u16>(row.reason), row.number);
        EXPECT_EQ(name_of(row.reason), row.name);
    }
    EXPECT_EQ(name_of(static_cast<BasicReason>(86)), "unknown");
    EXPECT_EQ(name_of(static_cast<BasicReason>(0xffff)), "unknown");
}

TEST(ExitReason, EachFlagHasItsBitAndLeavesTheNumberAlone) {
    constexpr ExitReason plain{BasicReason::wrmsr_immediate};
    EXPECT_EQ(plain.to_vmcs(), 85u);
    EXPECT_EQ(plain.with_busy_shadow_stack().to_vmcs(), 0x0200'0055u);
    EXPECT_EQ(plain.with_bus_lock().to_vmcs(), 0x0400'0055u);
    EXPECT_EQ(plain.in_enclave().to_vmcs(), 0x0800'0055u);
    EXPECT_EQ(plain.with_pending_mtf().to_vmcs(), 0x1000'0055u);
    EXPECT_EQ(plain.in_root().to_vmcs(), 0x2000'0055u);
    EXPECT_EQ(plain.with_entry_failure().to_vmcs(), 0x8000'0055u);
    EXPECT_EQ(plain.in_enclave().with_bus_lock().basic(), BasicReason::wrmsr_immediate);
}

TEST(ExitReason, EachAccessorReadsItsBitAlone) {
    for (unsigned position = 0; position < 32; ++position) {
        const auto reason = ExitReason::from_vmcs(1u << position);
        EXPECT_EQ(reason.busy_shadow_stack(), position == 25) << position;
        EXPECT_EQ(reason.bus_lock(), position == 26) << position;
        EXPECT_EQ(reason.from_enclave(), position == 27) << position;
        EXPECT_EQ(reason.pending_mtf(), position == 28) << position;
        EXPECT_EQ(reason.from_root(), position == 29) << position;
        EXPECT_EQ(reason.entry_failed(), position == 31) << position;
        EXPECT_EQ(reason.basic() == BasicReason{}, position >= 16) << position;
        EXPECT_EQ(reason.to_vmcs(), 1u << position);
    }
}

TEST(ExitReason, AFlagMakesAnotherReasonOfTheSameNumber) {
    constexpr ExitReason outside{BasicReason::ept_violation};
    EXPECT_FALSE(outside == outside.in_enclave());
    EXPECT_EQ(outside.basic(), outside.in_enclave().basic());
}

TEST(ExitReason, TheMarkForNoExitHasNoFlagAndNoName) {
    constexpr auto mark = ExitReason::from_vmcs(no_exit_reason);
    EXPECT_EQ(no_exit_reason, 0xdeadu);
    EXPECT_FALSE(mark.from_enclave());
    EXPECT_FALSE(mark.entry_failed());
    EXPECT_EQ(name_of(mark.basic()), "unknown");
}

}  // namespace
}  // namespace postern

// SPDX-License-Identifier: Apache-2.0
// What VM entry loads.
#include "unit/cpu/vmx/violation.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

TEST(VmEntry, LoadsRegistersSegmentsAndFlow) {
    M m = M::with_guest();
    m.c.cr0 = Cr0Word::from_raw(0x8000'0031);
    m.turn_on(F::guest_cr0, 0x6000'0000);  // CD and NW: not loaded
    m.run();
    const Cpu& c = m.c;
    EXPECT_TRUE(c.vmx.non_root);
    EXPECT_EQ(c.cr0.to_raw(), 0x8000'0033u);
    EXPECT_EQ(c.cr3, 0x9000u);
    EXPECT_EQ(c.cr4.to_raw(), 0x26b0u);
    EXPECT_EQ(c.efer.to_raw(), 0xd01u);
    EXPECT_EQ(c.msr.pat, 0x0007'0406'0007'0406u);
    EXPECT_EQ(c.dr7, 0x401u);
    EXPECT_EQ(c.msr.sysenter_cs, 0x30u);
    EXPECT_EQ(c.msr.sysenter_esp, 0x1111u);
    EXPECT_EQ(c.msr.sysenter_eip, 0x2222u);
    EXPECT_EQ(c.segment[cs].access_rights, 0xa09bu);
    EXPECT_EQ(c.segment[tr].base, 0xa000u);
    EXPECT_EQ(c.segment[fs].base, 0x7f00'0000'1000u);
    EXPECT_EQ(c.gpr[row_fs_base], 0x7f00'0000'1000u);
    EXPECT_EQ(c.gpr[row_gs_base], 0xffff'8800'0000'2000u);
    EXPECT_EQ(c.gdtr.base, 0xb000u);
    EXPECT_EQ(c.gdtr.limit, 0x7fu);
    EXPECT_EQ(c.idtr.base, 0xc000u);
    EXPECT_EQ(c.cpl, 0u);
    EXPECT_EQ(c.rip, guest_rip_value);
    EXPECT_EQ(c.next_rip, guest_rip_value);
    EXPECT_EQ(c.gpr[rsp], 0x8'0000u);
    EXPECT_EQ(rflags(c), 0x202u);
    EXPECT_TRUE(c.vmx.vmcs.launched);
}

TEST(VmEntry, WithoutTheirLoadControlsPatAndDr7StayAndEferFollowsTheMode) {
    M m = M::with_guest();
    m.c.msr.pat = 0x0101;
    m.c.dr7 = 0x455;
    m.c.efer = EferWord::from_raw(0xd00);
    m.set(F::vm_entry_controls, 0x13fb);  // IA-32e mode guest only
    m.run();
    EXPECT_EQ(m.c.msr.pat, 0x0101u);
    EXPECT_EQ(m.c.dr7, 0x455u);
    EXPECT_EQ(m.c.efer.to_raw(), 0xd00u);
}

TEST(VmEntry, Cr0KeepsWhatTheManualSays) {
    M m = M::with_guest();
    m.c.cr0 = Cr0Word::from_raw(0xe000'0031);  // CD, NW set in root
    m.set(F::guest_cr0, 0x8005'0023);          // ET clear
    m.run();
    EXPECT_EQ(m.c.cr0.to_raw(), 0xe005'0033u);
}

TEST(VmEntry, Dr7ReadsAsItAlwaysDoes) {
    M m = M::with_guest();
    m.set(F::guest_dr7, 0xd302);
    m.run();
    EXPECT_EQ(m.c.dr7, 0x0702u) << "bit 10 set; 12, 14 and 15 clear";
}

TEST(VmEntry, LoadsPdptesFromTheVmcsOrWithoutEptFromTheTableAtCr3) {
    M fields = M::with_guest();
    make_guest_legacy(fields);
    fields.set(F::guest_pdpte0, 0x1'1001);
    fields.set(F::guest_pdpte3, 0x1'4009);
    fields.run();
    EXPECT_EQ(fields.c.pdpte, (std::array<u64, 4>{0x1'1001, 0, 0, 0x1'4009}));

    M table = M::with_guest();
    make_guest_pae_without_ept(table);
    table.set(F::guest_cr3, 0x9020);
    table.set(F::guest_pdpte0, 0x1'1001);
    write_physical(table.c, Hpa{0x9028}, 8, 0x1'2001);
    table.run();
    EXPECT_EQ(table.c.pdpte, (std::array<u64, 4>{0, 0x1'2001, 0, 0}));
}

TEST(VmEntry, LeavesPdptesAloneForAGuestWithoutPaePaging) {
    M m = M::with_guest();
    m.c.pdpte = {1, 2, 3, 4};
    m.set(F::guest_pdpte0, 0x1'1001);
    m.run();
    EXPECT_EQ(m.c.pdpte, (std::array<u64, 4>{1, 2, 3, 4}));
}

TEST(VmEntry, LoadsOfUnusableRegistersWhatTheManualSays) {
    M m = M::with_guest();
    for (const unsigned index : {es, ss, ds, fs, ldtr}) {
        m.set(segment_field(F::guest_es_selector, index), 0x20 + index);
        m.set(segment_field(F::guest_es_base, index), 0xffff'8765'4321);
        set_rights(m, index, 0x1'0000);
    }
    m.set(F::guest_fs_base, 0xffff'8765'4321'0123);
    m.set(F::guest_ss_selector, 0x20);
    m.run();
    const auto& segment = m.c.segment;
    EXPECT_EQ(segment[ds].selector, 0x23u);
    EXPECT_TRUE(segment[ds].unusable());
    EXPECT_EQ(segment[ds].base, 0x8765'4321u);
    EXPECT_EQ(segment[es].base, 0x8765'4321u);
    EXPECT_EQ(segment[ss].base, 0x8765'4320u) << "bits 3:0 are cleared";
    EXPECT_TRUE(segment[ss].unusable());
    EXPECT_TRUE(segment[ss].db());
    EXPECT_EQ(segment[fs].base, 0xffff'8765'4321'0123);
    EXPECT_EQ(m.c.gpr[row_fs_base], 0xffff'8765'4321'0123);
    EXPECT_EQ(segment[ldtr].base, 0u) << "some canonical address";
}

TEST(VmEntry, TheDplOfAnUnusableSsIsTheCpl) {
    M m = M::with_guest();
    m.set(F::guest_cs_selector, 0x0b);
    set_rights(m, cs, 0xa0fb);
    m.set(F::guest_ss_selector, 3);
    set_rights(m, ss, 0x1'0060);
    m.run();
    EXPECT_EQ(m.c.cpl, 3u);
    EXPECT_EQ(m.c.segment[ss].access_rights, 0x1'4060u);
}

TEST(VmEntry, ClearsAddressRangeMonitoring) {
    M m = M::with_guest();
    m.c.monitor.armed = true;
    m.c.monitor.line = 0x1000;
    m.run();
    EXPECT_FALSE(m.c.monitor.armed);
}

TEST(VmEntry, UserGuestHasCpl3AndItsTlb) {
    M m = M::with_guest();
    m.set(F::guest_cs_selector, 0x0b);
    m.set(F::guest_cs_access_rights, 0xa0fb);
    m.set(F::guest_ss_selector, 0x13);
    m.set(F::guest_ss_access_rights, 0xc0f3);
    m.run();
    EXPECT_EQ(m.c.cpl, 3u);
    EXPECT_EQ(m.c.tlb, &m.c.tlbs[tlb_user]);
}

TEST(VmEntry, NonRegisterState) {
    M m = M::with_guest();
    m.set(F::guest_interruptibility_state, 9);
    m.set(F::guest_pending_debug_exceptions, 0x1002);
    m.c.event.nmi_pending = true;
    m.c.event.mtf_pending = true;
    m.c.event.trap_pending = true;
    m.run();
    EXPECT_EQ(m.c.event.blocking.to_raw(), 9u);
    EXPECT_EQ(m.c.event.activity, ActivityState::active);
    EXPECT_EQ(m.c.event.pending_debug, 0x1002u);
    EXPECT_TRUE(m.c.event.nmi_pending);
    EXPECT_FALSE(m.c.event.mtf_pending);
    EXPECT_FALSE(m.c.event.trap_pending);
    EXPECT_FALSE(m.c.event.injection.valid);

    M halted = M::with_guest();
    halted.set(F::guest_activity_state, 1);
    halted.run();
    EXPECT_EQ(halted.c.event.activity, ActivityState::hlt);
}

TEST(VmEntry, ControlsInForce) {
    M m = M::with_guest();
    m.run();
    EXPECT_EQ(m.c.vmx.vpid, 1u);
    EXPECT_EQ(m.c.vmx.ept_pointer, 0x801eu);
    EXPECT_EQ(m.c.vmx.tsc_offset, 0u) << "offsetting is off";
    EXPECT_EQ(m.c.vmx.preemption_deadline, ~u64{0});

    M timed = M::with_guest();
    timed.turn_on(F::pin_based_controls, 0x40);
    timed.turn_on(F::primary_processor_based_controls, 8);
    timed.set(F::secondary_processor_based_controls, 0);
    timed.set(F::vmx_preemption_timer_value, 1000);
    timed.run();
    EXPECT_EQ(timed.c.vmx.preemption_deadline, start_time + 1000);
    EXPECT_EQ(timed.c.vmx.tsc_offset, 0x1234'5678u);
    EXPECT_EQ(timed.c.vmx.vpid, 0u);
    EXPECT_EQ(timed.c.vmx.ept_pointer, 0u);
}

TEST(VmEntry, VirtualizesApicAccessesUntilTheExit) {
    M m = M::with_guest();
    m.set(F::apic_access_address, 0xfee0'0000);
    m.run();
    EXPECT_FALSE(m.c.vmx.apic_access.virtualized);
    m.c.tlb->insert(0x40'0000, 0x1000, tlb_reads, false);
    exit(m.c, {.reason = BasicReason::hlt});
    m.turn_on(F::secondary_processor_based_controls, 1);
    m.run();
    EXPECT_TRUE(m.c.vmx.apic_access.virtualized);
    EXPECT_EQ(m.c.vmx.apic_access.page, 0xfee0'0000u);
    EXPECT_FALSE(m.c.tlb->translates(0x40'0000, tlb_reads))
        << "nothing cached may lead to the page";
    exit(m.c, {.reason = BasicReason::hlt});
    EXPECT_FALSE(m.c.vmx.apic_access.virtualized);
}

TEST(VmEntry, InjectsWhatTheFieldSays) {
    M m = M::with_guest();
    m.c.cr2 = 0xdead'b000;
    m.set(F::vm_entry_interruption_information, 0x8000'0b0e);
    m.set(F::vm_entry_exception_error_code, 0x8007);
    m.set(F::vm_entry_instruction_length, 5);
    m.run();
    const EventInProgress& event = m.c.event.injection;
    EXPECT_TRUE(event.valid);
    EXPECT_TRUE(event.injected);
    EXPECT_FALSE(event.enclave);
    EXPECT_EQ(event.information, 0x8000'0b0eu);
    EXPECT_EQ(event.error_code, 0x8007u);
    EXPECT_EQ(event.instruction_length, 0u) << "a fault has none";
    EXPECT_EQ(event.address, 0xdead'b000u) << "CR2 is the hypervisor's to set";
    EXPECT_EQ(m.get(F::vm_entry_interruption_information), 0x8000'0b0eu);
}

TEST(VmEntry, InjectionRemembersInterruptibilityBit4) {
    M m = M::with_guest();
    m.set(F::guest_interruptibility_state, 0x10);
    m.set(F::vm_entry_interruption_information, 0x8000'0603);
    m.set(F::vm_entry_instruction_length, 1);
    m.run();
    EXPECT_TRUE(m.c.event.injection.enclave);
    EXPECT_EQ(m.c.event.injection.instruction_length, 1u);
    EXPECT_FALSE(m.c.enclave.active) << "bit 4 does not enter the enclave";
}

struct PendingCase {
    u32 information;
    u32 blocking;
    bool kept;
};

TEST(VmEntry, AnInjectedEventDropsPendingDebugExceptions) {
    constexpr PendingCase cases[]{
        {0, 0, true},
        {0x8000'0020, 0, false},  // external interrupt
        {0x8000'0202, 0, false},  // NMI
        {0x8000'0306, 0, false},  // #UD
        {0x8000'0603, 0, false},  // INT3
        {0x8000'0603, 2, true},   // INT3 in the shadow of MOV SS
        {0x8000'0501, 2, false},  // INT1
        {0x8000'0700, 0, true},   // a pending MTF VM exit is no vectored event
    };
    for (const PendingCase& row : cases) {
        SCOPED_TRACE(row.information);
        M m = M::with_guest();
        m.set(F::guest_pending_debug_exceptions, 0x1001);
        m.set(F::vm_entry_interruption_information, row.information);
        m.set(F::vm_entry_instruction_length, 1);
        m.set(F::guest_interruptibility_state, row.blocking);
        m.run();
        EXPECT_EQ(m.c.event.pending_debug, row.kept ? 0x1001u : 0u);
    }
}

TEST(VmEntry, LoadsTheMsrList) {
    M m = M::with_guest();
    m.put_msr_entry(entry_list_at, 0, 0xc000'0102, 0xaaaa);  // IA32_KERNEL_GS_BASE
    m.put_msr_entry(entry_list_at, 1, 0xc000'0082, 0xbbbb);  // IA32_LSTAR
    m.set(F::vm_entry_msr_load_address, entry_list_at);
    m.set(F::vm_entry_msr_load_count, 2);
    m.run();
    EXPECT_EQ(m.c.msr.kernel_gs_base, 0xaaaau);
    EXPECT_EQ(m.c.msr.lstar, 0xbbbbu);
}

TEST(VmEntry, WithoutOffsettingTheTimeStampCounterIsNotScaled) {
    constexpr u64 tsc_scaling = 1u << 25, tsc_offsetting = 1u << 3, twice = u64{2} << 48;
    for (const bool offsets : {false, true}) {
        M m = M::with_guest();
        m.turn_on(F::secondary_processor_based_controls, tsc_scaling);
        m.set(F::tsc_multiplier, twice);
        if (offsets) m.turn_on(F::primary_processor_based_controls, tsc_offsetting);
        m.run();
        EXPECT_EQ(m.c.vmx.tsc_multiplier, offsets ? twice : 0u);
    }
}

/// The number is what IA32_VMX_MISC recommends as the most.
TEST(VmEntry, AnMsrListEndsAtTheRecommendedMaximum) {
    constexpr unsigned most = 512;
    for (const unsigned count : {most, most + 1, ~0u >> 4}) {
        SCOPED_TRACE(count);
        M m = M::with_guest();
        for (unsigned n = 0; n <= most; ++n) m.put_msr_entry(long_list_at, n, 0xc000'0102, n);
        m.set(F::vm_entry_msr_load_address, long_list_at);
        m.set(F::vm_entry_msr_load_count, count);
        bool entered = false;
        EXPECT_TRUE(m.enter(entered).ok());
        EXPECT_EQ(entered, count == most);
        EXPECT_EQ(m.c.msr.kernel_gs_base, most - 1);
        if (entered) continue;
        EXPECT_EQ(m.get(F::exit_reason), 0x8000'0022u);
        EXPECT_EQ(m.get(F::exit_qualification), most + 1);
    }
}

struct BadMsr {
    u64 head;
    u64 value;
};

/// IA32_APIC_BASE: the local APIC elsewhere.
TEST(VmEntry, AnMsrValueThatIsNotImplementedIsNoFailedEntry) {
    M m = M::with_guest();
    m.put_msr_entry(entry_list_at, 0, 0x1b, 0xfec0'0900);
    m.set(F::vm_entry_msr_load_address, entry_list_at);
    m.set(F::vm_entry_msr_load_count, 1);
    m.set(F::vm_exit_msr_load_count, 0);
    bool entered = true;
    EXPECT_TRUE(m.enter(entered).ok());
    EXPECT_FALSE(entered);
    EXPECT_EQ(m.c.pending.kind, PendingKind::unimplemented);
    EXPECT_STREQ(m.c.pending.what, "a local APIC that is moved over memory");
    EXPECT_NE(m.get(F::exit_reason), 0x8000'0022u);
}

// covers: entry_failure_msr_loading
TEST(VmEntry, AnMsrThatMayNotBeLoadedFailsTheEntryWithReason34AndItsNumber) {
    constexpr BadMsr bad[]{
        {0xc000'0100, 0},              // FS base
        {0xc000'0101, 0},              // GS base
        {0x808, 0},                    // an x2APIC register
        {0x1'0000'0174, 0},            // reserved bit
        {0xc000'0082, not_canonical},  // WRMSR would fault
        {0x480, 0},                    // read-only
        {0x79, 0},                     // a microcode update
    };
    for (const BadMsr& row : bad) {
        SCOPED_TRACE(row.head);
        M m = M::with_guest();
        m.put_msr_entry(entry_list_at, 0, 0xc000'0102, 0xaaaa);
        m.put_msr_entry(entry_list_at, 1, row.head, row.value);
        m.set(F::vm_entry_msr_load_address, entry_list_at);
        m.set(F::vm_entry_msr_load_count, 2);
        m.c.event.blocking.set(Interruptibility::nmi);
        bool entered = true;
        EXPECT_TRUE(m.enter(entered).ok());
        EXPECT_FALSE(entered);
        EXPECT_EQ(m.get(F::exit_reason), 0x8000'0022u);
        EXPECT_EQ(m.get(F::exit_qualification), 2u);
        EXPECT_EQ(m.c.pending.kind, PendingKind::none);
        EXPECT_EQ(m.c.rip, host_rip_value);
        EXPECT_EQ(m.c.cr3, 0xd000u);
        EXPECT_TRUE(m.c.event.blocking.has(Interruptibility::nmi)) << "as before the entry";
        EXPECT_FALSE(m.c.vmx.non_root);
        EXPECT_FALSE(m.c.vmx.vmcs.launched);
    }
}

}  // namespace
}  // namespace postern::cpu::vmx

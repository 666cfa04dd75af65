// SPDX-License-Identifier: Apache-2.0
// EPT exits of instructions and of events, from the run loop: what is recorded, what the guest is
// left with, and that it goes on where it was. Qualifications as in ept_machine.h.
#include "cpu/flags.h"
#include "cpu/vmx/vmx.h"
#include "unit/cpu/mmu/ept_machine.h"

namespace postern::cpu {
namespace {

using F = VmcsField;

constexpr u64 violation = 48, misconfiguration = 49, log_full = 62;
constexpr u64 resume_flag = 0x1'0000;

/// A guest at guest_at::code whose hypervisor only wants EPT.
struct EptExit : EptMachine {
    static constexpr u64 code = guest_at::code;
    static constexpr u64 secondary = 0xa2;  // EPT, VPID, unrestricted guest

    EptExit() {
        c.vmx.on = c.vmx.hosted = true;
        c.vmx.current = guest_at::spare + 0x3'0000;
        c.cr4.set(Cr4::vmxe);
        set(F::pin_based_controls, 0x16);
        set(F::primary_processor_based_controls, 0x9400'6172);
        set(F::secondary_processor_based_controls, secondary);
        set(F::msr_bitmap, guest_at::spare + 0x3'1000);
        set(F::virtual_processor_identifier, 1);
        set(F::vm_exit_controls, 0x0013'6fff);
        set(F::vm_entry_controls, 0x0000'd3ff);
        set(F::vmcs_link_pointer, ~u64{0});
        set(F::host_cr0, c.cr0.to_raw());
        set(F::host_cr3, c.cr3);
        set(F::host_cr4, c.cr4.to_raw());
        set(F::host_ia32_pat, 0x0007'0406'0007'0406);
        set(F::host_ia32_efer, 0x500);
        for (const F field : {F::host_cs_selector, F::host_ss_selector, F::host_tr_selector})
            set(field, 8);
        set(F::host_rip, guest_at::handlers);
        set(F::exit_reason, ~u32{0});
        be_in_guest();
        use(eptp_plain);
    }
    void set(F field, u64 value) { c.vmx.vmcs.slot[vmcs_index(field)] = value; }
    u64 get(F field) const { return c.vmx.vmcs.slot[vmcs_index(field)]; }

    void be_in_guest() {
        c.vmx.non_root = true;
        c.vmx.vpid = 1;
        c.vmx.preemption_deadline = ~u64{0};
    }
    /// Tables of the guest have all their flags.
    void warm(std::initializer_list<u64> pages) {
        for (const u64 at : pages) expect_fine(Access::write, at);
        expect_fine(Access::execute, code);
        c.pending = {};
    }
    void put(std::initializer_list<u8> bytes, u64 at = code) {
        m.write(at, {bytes.begin(), bytes.size()});
        c.rip = at;
    }
    RunOutcome run() { return cpu::run(c, now(c) + 100); }

    void expect_exit(u64 reason, u64 qualification, u64 physical) {
        ASSERT_EQ(run(), RunOutcome::vm_exit);
        EXPECT_EQ(get(F::exit_reason), reason);
        EXPECT_EQ(get(F::exit_qualification), qualification);
        EXPECT_EQ(get(F::guest_physical_address), physical);
    }
    void expect_violation(u64 qualification, u64 physical, u64 linear) {
        expect_exit(violation, qualification, physical);
        EXPECT_EQ(get(F::guest_linear_address), linear);
    }
    /// An instruction, not an event, was interrupted, and will be executed again.
    void expect_restart(u64 rip = code) {
        EXPECT_EQ(get(F::guest_rip), rip);
        EXPECT_EQ(get(F::guest_rflags) & resume_flag, resume_flag);
        EXPECT_EQ(get(F::idt_vectoring_information), 0u);
    }
    /// VMRESUME. What the exit saved is what the guest goes on with.
    void resume() {
        c.vmx.vmcs.launched = true;
        set(F::ept_pointer, eptp_);
        bool entered = false;
        const vmx::Status status = vmx::enter(c, false, entered);
        ASSERT_TRUE(status.ok()) << static_cast<u32>(status.error);
        ASSERT_TRUE(entered) << get(F::exit_reason);
    }
    void use(u64 eptp) {
        eptp_ = eptp;
        EptMachine::use(eptp);
    }
    u64 eptp_ = 0;
};

TEST_F(EptExit, StoreIsExecutedAgainOnceThePageIsThere) {
    warm({page});
    put({0x48, 0x89, 0x07, 0xf4});  // mov [rdi], rax; hlt
    c.gpr[rdi] = page + 0x18;
    entry(page) = 0;
    expect_violation(0x782, page + 0x18, page + 0x18);
    expect_restart();
    EXPECT_EQ(m.at<u64>(page + 0x18), 0u);
    permit(page, rwx);
    c.gpr[rax] = 0x1234;
    resume();
    EXPECT_EQ(run(), RunOutcome::stop_requested);
    EXPECT_EQ(m.at<u64>(page + 0x18), 0x1234u);
    EXPECT_EQ(c.rip, code + 4);
}

TEST_F(EptExit, StoreThatReachesIntoAMissingPageWritesNothing) {
    warm({page, other_page});
    put({0x48, 0x89, 0x07});
    c.gpr[rdi] = page + 0xffc;
    entry(other_page) = 0;
    expect_violation(0x782, other_page, other_page);
    expect_restart();
    EXPECT_EQ(m.at<u32>(page + 0xffc), 0u);
}

TEST_F(EptExit, FirstOfTwoMissingPagesIsReported) {
    warm({page, other_page});
    put({0x48, 0x8b, 0x07});  // mov rax, [rdi]
    c.gpr[rdi] = page + 0xffc;
    entry(page) = entry(other_page) = 0;
    expect_violation(0x781, page + 0xffc, page + 0xffc);
}

TEST_F(EptExit, ReadModifyWriteIsReportedAsAWrite) {
    warm({page});
    put({0x48, 0x01, 0x07});  // add [rdi], rax
    c.gpr[rdi] = page;
    permit(page, 5);
    expect_violation(0x7aa, page, page);
    expect_restart();
}

TEST_F(EptExit, LockedReadModifyWriteIsReportedAsAWriteEvenIfItWouldNotStore) {
    warm({page});
    put({0xf0, 0x0f, 0xb1, 0x37});  // lock cmpxchg [rdi], esi
    c.gpr[rdi] = page;
    c.gpr[rax] = 1;
    permit(page, 1);
    expect_violation(0x78a, page, page);
}

TEST_F(EptExit, PushLeavesTheStackPointer) {
    const u64 top = page + 0x800;
    warm({page});
    put({0x50});
    c.gpr[rsp] = top;
    permit(page, 1);
    expect_violation(0x78a, top - 8, top - 8);
    EXPECT_EQ(get(F::guest_rsp), top);
}

TEST_F(EptExit, FetchIsReportedWithTheByteItWanted) {
    warm({page});
    put({0xf4}, page + 0x238);
    permit(page, 3);
    expect_violation(0x79c, page + 0x238, page + 0x238);
    expect_restart(page + 0x238);
}

TEST_F(EptExit, InstructionThatReachesIntoAMissingPageIsReportedWithThatPage) {
    warm({page, other_page});
    put({0x48, 0x89, 0x07}, page + 0xffe);
    permit(other_page, 1);
    expect_violation(0x78c, other_page, other_page);
    expect_restart(page + 0xffe);
}

TEST_F(EptExit, RepeatedStringStopsAtTheMissingPage) {
    warm({page, other_page});
    put({0xf3, 0xaa, 0xf4});  // rep stosb; hlt
    c.gpr[rdi] = page + 0xffd;
    c.gpr[rcx] = 5;
    c.gpr[rax] = 0x5a;
    entry(other_page) = 0;
    expect_violation(0x782, other_page, other_page);
    expect_restart();
    EXPECT_EQ(c.gpr[rcx], 2u);
    EXPECT_EQ(c.gpr[rdi], other_page);
    EXPECT_EQ(m.at<u8>(page + 0xfff), 0x5a);
    permit(other_page, rwx);
    resume();
    EXPECT_EQ(run(), RunOutcome::stop_requested);
    EXPECT_EQ(m.at<u16>(other_page), 0x5a5a);
    EXPECT_EQ(m.at<u8>(other_page + 2), 0);
}

TEST_F(EptExit, MisconfigurationHasTheAddressAndNoQualification) {
    warm({page});
    put({0x48, 0x8b, 0x07});
    c.gpr[rdi] = page + 8;
    permit(page, 6);
    expect_exit(misconfiguration, 0, page + 8);
    expect_restart();
}

TEST_F(EptExit, ViolationOfADescriptorTableIsASupervisorsAccess) {
    warm({});
    put({0x8e, 0xd8});  // mov ds, eax
    c.gpr[rax] = 0x10;
    m.map(page, guest_at::gdt, pte_present | pte_write);
    c.gdtr.base = page;
    entry(guest_at::gdt) = 0;
    expect_violation(0x581, guest_at::gdt + 0x10, page + 0x10);
    expect_restart();
}

TEST_F(EptExit, DeliveredExceptionStandsInTheIdtVectoringInformation) {
    warm({guest_at::idt});
    put({0x0f, 0x0b});  // ud2
    entry(guest_at::idt) = 0;
    expect_violation(0x781, guest_at::idt + 6 * 16, guest_at::idt + 6 * 16);
    EXPECT_EQ(get(F::idt_vectoring_information), 0x8000'0306u);
    EXPECT_EQ(get(F::guest_rip), code);
    EXPECT_EQ(get(F::guest_rflags) & resume_flag, resume_flag);
}

TEST_F(EptExit, PageFaultThatMeetsAMissingStackHasItsErrorCodeAndCr2) {
    constexpr u64 stack_page = guest_at::handler_stack - 0x1000;
    warm({guest_at::idt, stack_page});
    put({0x48, 0x8b, 0x07});
    c.gpr[rdi] = guest_at::not_present + 4;
    permit(stack_page, 1);
    expect_exit(violation, 0x78a, guest_at::handler_stack - 8);
    EXPECT_EQ(get(F::idt_vectoring_information), 0x8000'0b0eu);
    EXPECT_EQ(get(F::idt_vectoring_error_code), 0u);
    EXPECT_EQ(c.cr2, guest_at::not_present + 4);
}

TEST_F(EptExit, SoftwareInterruptKeepsItsLength) {
    warm({guest_at::idt});
    put({0xcd, 0x80});
    entry(guest_at::idt) = 0;
    expect_violation(0x781, guest_at::idt + 0x800, guest_at::idt + 0x800);
    EXPECT_EQ(get(F::idt_vectoring_information), 0x8000'0480u);
    EXPECT_EQ(get(F::vm_exit_instruction_length), 2u);
}

TEST_F(EptExit, InjectedEventThatMeetsAViolationComesBack) {
    warm({guest_at::idt});
    put({0x48, 0x8b, 0x07, 0xf4});
    c.gpr[rdi] = page;
    entry(page) = 0;
    expect_violation(0x781, page, page);
    set(F::vm_entry_interruption_information, 0x8000'0021);
    set(F::guest_rflags, 0x202);
    entry(guest_at::idt) = 0;
    resume();
    expect_violation(0x781, guest_at::idt + 0x210, guest_at::idt + 0x210);
    EXPECT_EQ(get(F::idt_vectoring_information), 0x8000'0021u);
    EXPECT_EQ(get(F::guest_rip), code);
    EXPECT_EQ(get(F::vm_entry_interruption_information), 0x21u);
}

/// SDM 3C, "Information About NMI Unblocking Due to IRET".
struct EptIret : EptExit {
    void iret_from_missing_stack(u64 pin_controls, bool blocked) {
        warm({page});
        set(F::pin_based_controls, pin_controls);
        put({0x48, 0xcf});  // iretq
        c.gpr[rsp] = page;
        c.event.blocking.set(Interruptibility::nmi, blocked);
        entry(page) = 0;
    }
};

TEST_F(EptIret, ThatUnblockedNmisSaysSoInBit12) {
    iret_from_missing_stack(0x16, true);
    expect_violation(0x1781, page, page);
    EXPECT_EQ(get(F::guest_interruptibility_state), 0u);
}

TEST_F(EptIret, ThatHadNothingToUnblockDoesNot) {
    iret_from_missing_stack(0x16, false);
    expect_violation(0x781, page, page);
}

TEST_F(EptIret, WithVirtualNmisUnblocksThose) {
    iret_from_missing_stack(0x3e, true);
    expect_violation(0x1781, page, page);
    EXPECT_EQ(get(F::guest_interruptibility_state), 0u);
}

TEST_F(EptIret, WithNmiExitingAloneUnblocksNone) {
    iret_from_missing_stack(0x1e, true);
    expect_violation(0x781, page, page);
    EXPECT_EQ(get(F::guest_interruptibility_state), 8u);
}

TEST_F(EptIret, MisconfigurationHasNoSuchBit) {
    iret_from_missing_stack(0x16, true);
    permit(page, 2);
    expect_exit(misconfiguration, 0, page);
    EXPECT_EQ(get(F::guest_interruptibility_state), 0u);
}

TEST_F(EptIret, FullLogHasIt) {
    iret_from_missing_stack(0x16, true);
    permit(page, rwx);
    use(eptp_with_ad);
    warm({});
    set(F::secondary_processor_based_controls, secondary | 0x2'0000);
    set(F::pml_index, 0xffff);
    expect_exit(log_full, 0x1000, page);
    EXPECT_EQ(get(F::guest_interruptibility_state), 0u);
}

struct PmlExit : EptExit {
    PmlExit() {
        use(eptp_with_ad);
        warm({page});
        put({0x48, 0x89, 0x07, 0xf4});
        c.gpr[rdi] = page + 0x18;
        c.gpr[rax] = 0x77;
        entry(page) &= ~(accessed | dirty);
        set(F::secondary_processor_based_controls, secondary | 0x2'0000);
        set(F::pml_address, log);
    }
};

TEST_F(PmlExit, PageModificationLogFullComesBeforeTheStoreThatIsLoggedAfterwards) {
    set(F::pml_index, 0xffff);
    expect_exit(log_full, 0, page + 0x18);
    expect_restart();
    EXPECT_EQ(m.at<u64>(page + 0x18), 0u);
    EXPECT_EQ(flags(page), 0u);
    set(F::pml_index, 511);
    resume();
    EXPECT_EQ(run(), RunOutcome::stop_requested);
    EXPECT_EQ(m.at<u64>(page + 0x18), 0x77u);
    EXPECT_EQ(flags(page), accessed | dirty);
    EXPECT_EQ(logged(511), page);
    EXPECT_EQ(get(F::pml_index), 510u);
}

TEST_F(PmlExit, StoresThatHitTheTlbAreNotLoggedAgain) {
    set(F::pml_index, 5);
    put({0x48, 0x8b, 0x0f, 0x48, 0x89, 0x07, 0x48, 0x89, 0x07, 0xf4});  // a load, two stores
    EXPECT_EQ(run(), RunOutcome::stop_requested);
    EXPECT_EQ(get(F::pml_index), 4u);
    EXPECT_EQ(logged(5), page);
}

TEST_F(PmlExit, InveptMakesTheNextStoreSetTheFlagsAndLogAgain) {
    set(F::pml_index, 5);
    EXPECT_EQ(run(), RunOutcome::stop_requested);
    entry(page) &= ~(accessed | dirty);
    c.rip = code;
    c.event.activity = ActivityState::active;
    EXPECT_EQ(run(), RunOutcome::stop_requested);
    EXPECT_EQ(get(F::pml_index), 4u);  // cached
    EXPECT_TRUE(vmx::invept(c, 1, eptp_with_ad).ok());
    c.rip = code;
    c.event.activity = ActivityState::active;
    EXPECT_EQ(run(), RunOutcome::stop_requested);
    EXPECT_EQ(get(F::pml_index), 3u);
    EXPECT_EQ(flags(page), accessed | dirty);
}

struct EptPae : EptExit {
    static constexpr u64 pdpt_of_guest = 0x8'0020;
    EptPae() {
        m.set_mode(GuestMode::protected32);
        c.cr4.set(Cr4::pae);
        c.efer = {};
        const u64 directory = 0x8'1000;
        m.at<u64>(pdpt_of_guest) = directory | 1;
        m.at<u64>(directory) = 0x80 | 0xe7;  // 2 MiB at 0
        set(F::vm_entry_controls, 0xd1ff);
    }
};

TEST_F(EptPae, MovToCr0ThatLoadsMissingPdptesExitsAndPagingStaysOff) {
    put({0x0f, 0x22, 0xc0, 0xf4});  // mov cr0, eax; hlt
    c.cr3 = pdpt_of_guest;
    c.gpr[rax] = c.cr0.with(Cr0::pg).to_raw();
    entry(pdpt_of_guest) = 0;
    expect_exit(violation, 0x001, pdpt_of_guest);
    expect_restart();
    EXPECT_EQ(get(F::guest_cr0) >> 31, 0u);
    permit(pdpt_of_guest, 1);
    resume();
    EXPECT_EQ(run(), RunOutcome::stop_requested);
    EXPECT_TRUE(c.cr0.has(Cr0::pg));
    EXPECT_EQ(c.pdpte[0], 0x8'1001u);
}

TEST_F(EptPae, MovToCr3ThatLoadsMissingPdptesExitsAndKeepsCr3) {
    put({0x0f, 0x22, 0xd8});  // mov cr3, eax
    c.cr0.set(Cr0::pg);
    c.cr3 = pdpt_of_guest;
    c.pdpte = {0x8'1001, 0, 0, 0};
    flush_translations(c);
    c.gpr[rax] = page;
    entry(page) = 0;
    expect_exit(violation, 0x001, page);
    expect_restart();
    EXPECT_EQ(get(F::guest_cr3), pdpt_of_guest);
    EXPECT_EQ(c.pdpte[0], 0x8'1001u);
}

TEST_F(EptExit, RealModeIsTranslatedWithoutPaging) {
    m.set_mode(GuestMode::real16);
    c.segment[ds].base = page;
    put({0xa1, 0x34, 0x02});  // mov ax, [234H]
    c.rip = 0;
    entry(page) = 0;
    expect_violation(0x781, page + 0x234, page + 0x234);
    EXPECT_EQ(get(F::guest_rip), 0u);
}

}  // namespace
}  // namespace postern::cpu

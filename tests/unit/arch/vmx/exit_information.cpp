// SPDX-License-Identifier: Apache-2.0
// The views of exit qualifications, interruption and instruction information, against raw words
// put together by hand.
#include <gtest/gtest.h>

#include <concepts>

#include "arch/vmx/exit_qualification.h"
#include "arch/vmx/instruction_information.h"
#include "arch/vmx/interruptibility.h"
#include "arch/vmx/interruption_information.h"

namespace postern {
namespace {

// An enclave's instruction was interrupted: bit 4.
static_assert(InterruptibilityState{Interruptibility::enclave}.to_raw() == 0x10);
static_assert(InterruptibilityState{Interruptibility::sti}.to_raw() == 0x1);
static_assert(InterruptibilityState{Interruptibility::mov_ss}.to_raw() == 0x2);
static_assert(InterruptibilityState{Interruptibility::nmi}.to_raw() == 0x8);
static_assert((interruptibility_reserved & 0x1f) == 0 && interruptibility_reserved == 0xffff'ffe0);
static_assert(static_cast<u32>(ActivityState::wait_for_sipi) == 3);

// Views of different words do not mix.
static_assert(!std::equality_comparable_with<EptViolation, u64>);
static_assert(!std::convertible_to<u64, EptViolation>);

TEST(EptViolation, AccessorsReadTheirBits) {
    // A write to a page that is readable only, by linear address, user mode.
    constexpr auto violation = EptViolation::from_raw(0x38a);
    EXPECT_FALSE(violation.read());
    EXPECT_TRUE(violation.write());
    EXPECT_FALSE(violation.fetch());
    EXPECT_TRUE(violation.readable());
    EXPECT_FALSE(violation.writable());
    EXPECT_FALSE(violation.executable());
    EXPECT_EQ(violation.permissions(), 1u);
    EXPECT_TRUE(violation.linear_address_valid());
    EXPECT_TRUE(violation.final_translation());
    EXPECT_TRUE(violation.user_mode_address());
    EXPECT_FALSE(violation.nmi_unblocking_due_to_iret());
}

TEST(EptViolation, BuildersSetTheirBits) {
    EXPECT_EQ(EptViolation{}.with_read().to_raw(), 0x1u);
    EXPECT_EQ(EptViolation{}.with_write().to_raw(), 0x2u);
    EXPECT_EQ(EptViolation{}.with_fetch().to_raw(), 0x4u);
    EXPECT_EQ(EptViolation{}.with_permissions(5).to_raw(), 0x28u);
    EXPECT_EQ(EptViolation{}.with_user_executable().to_raw(), 0x40u);
    EXPECT_EQ(EptViolation{}.with_linear_address().to_raw(), 0x80u);
    EXPECT_EQ(EptViolation{}.with_final_translation().to_raw(), 0x100u);
    EXPECT_EQ(EptViolation{}.with_nmi_unblocking().to_raw(), 0x1000u);
    EXPECT_EQ(EptViolation::from_raw(0x180).with_linear_address(false).to_raw(), 0x100u);
}

TEST(IoQualification, DescribesInAndOut) {
    constexpr auto rep_insd = IoQualification::from_raw(0x03f8'003b);
    EXPECT_EQ(rep_insd.size(), 4u);
    EXPECT_TRUE(rep_insd.is_in());
    EXPECT_TRUE(rep_insd.is_string());
    EXPECT_TRUE(rep_insd.is_rep());
    EXPECT_FALSE(rep_insd.is_immediate());
    EXPECT_EQ(rep_insd.port(), 0x3f8);
    EXPECT_EQ(IoQualification{}.with_size(1).with_port(0xf4).with_immediate().to_raw(),
              0x00f4'0040u);
    EXPECT_EQ(IoQualification{}.with_size(2).with_in().with_port(0xffff).to_raw(), 0xffff'0009u);
    EXPECT_EQ(IoQualification{}.with_size(4).with_string().with_rep().to_raw(), 0x33u);
}

TEST(CrAccess, DescribesMovClsAndLmsw) {
    constexpr auto mov_to_cr3 = CrAccess::from_raw(0x503);
    EXPECT_EQ(mov_to_cr3.control_register(), 3u);
    EXPECT_EQ(mov_to_cr3.type(), CrAccessType::mov_to_cr);
    EXPECT_EQ(mov_to_cr3.gpr(), rbp);
    EXPECT_EQ(CrAccess::mov_to(4, r15).to_raw(), 0xf04u);
    EXPECT_EQ(CrAccess::mov_from(8, rdx).to_raw(), 0x218u);
    EXPECT_EQ(CrAccess::clts().to_raw(), 0x20u);
    EXPECT_EQ(CrAccess::lmsw(0xabcd, true).to_raw(), 0xabcd'0070u);
    EXPECT_EQ(CrAccess::lmsw(0xabcd, false).lmsw_source(), 0xabcd);
    EXPECT_FALSE(CrAccess::lmsw(1, false).lmsw_from_memory());
}

TEST(MovDr, DescribesBothDirections) {
    EXPECT_EQ(MovDr::to(7, rax).to_raw(), 0x007u);
    EXPECT_EQ(MovDr::from(6, r8).to_raw(), 0x816u);
    EXPECT_EQ(MovDr::from_raw(0x816).debug_register(), 6u);
    EXPECT_TRUE(MovDr::from_raw(0x816).from_dr());
    EXPECT_EQ(MovDr::from_raw(0x816).gpr(), r8);
}

TEST(DebugQualification, HasDr6Positions) {
    EXPECT_EQ(DebugQualification{}.with_single_step().to_raw(), 0x4000u);
    EXPECT_EQ(DebugQualification{}.with_register_access().to_raw(), 0x2000u);
    EXPECT_EQ(DebugQualification{}.with_breakpoints(0b1001).to_raw(), 0x9u);
    EXPECT_TRUE(DebugQualification::from_raw(0x1'4800).rtm());
    EXPECT_TRUE(DebugQualification::from_raw(0x1'4800).bus_lock());
    EXPECT_TRUE(DebugQualification::from_raw(0x1'4800).single_step());
}

TEST(ApicAccess, KeepsTheTypeWhenTheOffsetIsGone) {
    EXPECT_EQ(ApicAccess::of(ApicAccessType::linear_write, 0x300).to_raw(), 0x1300u);
    EXPECT_EQ(ApicAccess::of(ApicAccessType::physical_during_instruction, 0).to_raw(), 0xf000u);
    EXPECT_EQ(ApicAccess::from_raw(0xa0b0).type(), ApicAccessType::physical_during_delivery);
    EXPECT_EQ(ApicAccess::from_raw(0xa0b0).offset(), 0xb0);
}

TEST(TaskSwitch, HasSelectorAndSource) {
    EXPECT_EQ(TaskSwitch::of(TaskSwitchSource::task_gate, 0x28).to_raw(), 0xc000'0028u);
    EXPECT_EQ(TaskSwitch::from_raw(0x4000'0030).source(), TaskSwitchSource::iret);
    EXPECT_EQ(TaskSwitch::from_raw(0x4000'0030).selector(), 0x30);
}

TEST(SgxConflict, HasTheFourCodes) {
    EXPECT_EQ(static_cast<u16>(SgxConflictCode::tracking_resource_conflict), 0);
    EXPECT_EQ(static_cast<u16>(SgxConflictCode::tracking_reference_conflict), 1);
    EXPECT_EQ(static_cast<u16>(SgxConflictCode::epc_page_conflict_exception), 2);
    EXPECT_EQ(static_cast<u16>(SgxConflictCode::epc_page_conflict_error), 3);
    constexpr auto conflict = SgxConflict::of(SgxConflictCode::epc_page_conflict_error, 7);
    EXPECT_EQ(conflict.code(), SgxConflictCode::epc_page_conflict_error);
    EXPECT_EQ(conflict.error(), 7);
}

TEST(InterruptionInformation, BuildersGiveTheManualsWords) {
    using Info = InterruptionInformation;
    EXPECT_EQ(Info::hardware_exception(Vector::invalid_opcode, false).to_raw(), 0x8000'0306u);
    EXPECT_EQ(Info::hardware_exception(Vector::page_fault, true).to_raw(), 0x8000'0b0eu);
    EXPECT_EQ(Info::hardware_exception(Vector::double_fault).to_raw(), 0x8000'0b08u);
    EXPECT_EQ(Info::external(0x20).to_raw(), 0x8000'0020u);
    EXPECT_EQ(Info::nmi().to_raw(), 0x8000'0202u);
    EXPECT_EQ(Info::software_interrupt(0x80).to_raw(), 0x8000'0480u);
    EXPECT_EQ(Info::privileged_software_exception().to_raw(), 0x8000'0501u);
    EXPECT_EQ(Info::software_exception(Vector::breakpoint).to_raw(), 0x8000'0603u);
    EXPECT_EQ(Info::pending_mtf().to_raw(), 0x8000'0700u);
    EXPECT_EQ(Info::nmi().with_nmi_unblocking().to_raw(), 0x8000'1202u);
}

TEST(InterruptionInformation, AccessorsReadTheirBits) {
    constexpr auto info = InterruptionInformation::from_raw(0x8000'1b0e);
    EXPECT_TRUE(info.valid());
    EXPECT_EQ(info.vector(), 14);
    EXPECT_EQ(info.type(), InterruptionType::hardware_exception);
    EXPECT_TRUE(info.error_code_valid());
    EXPECT_TRUE(info.nmi_unblocking_due_to_iret());
    EXPECT_TRUE(info.is_exception(Vector::page_fault));
    EXPECT_FALSE(info.is_exception(Vector::general_protection));
    EXPECT_FALSE(InterruptionInformation::from_raw(0x0000'0b0e).is_exception(Vector::page_fault));
    EXPECT_FALSE(InterruptionInformation::external(14).is_exception(Vector::page_fault));
}

TEST(InterruptionInformation, ABreakpointOfAnEnclaveDiffersFromOneOutside) {
    using Info = InterruptionInformation;
    constexpr auto inside = Info::hardware_exception(Vector::breakpoint, false);
    constexpr auto outside = Info::software_exception(Vector::breakpoint);
    EXPECT_EQ(inside.to_raw(), 0x8000'0303u);
    EXPECT_FALSE(inside == outside);
    EXPECT_FALSE(inside.uses_instruction_length());
    EXPECT_TRUE(outside.uses_instruction_length());
    EXPECT_TRUE(Info::software_interrupt(3).uses_instruction_length());
    EXPECT_TRUE(Info::privileged_software_exception().uses_instruction_length());
    EXPECT_FALSE(Info::pending_mtf().uses_instruction_length());
    EXPECT_FALSE(Info::nmi().uses_instruction_length());
}

TEST(InstructionInformation, DescribesAMemoryOperand) {
    // VMREAD [gs: rbx + rsi * 8], r9 with 64-bit addresses.
    constexpr u32 raw = 0x9000'0000 | 3u << 23 | 6u << 18 | 5u << 15 | 2u << 7 | 3u;
    constexpr auto info = MemoryOperandInformation::from_raw(raw);
    EXPECT_FALSE(info.is_register());
    EXPECT_EQ(info.register2(), r9);
    EXPECT_EQ(info.parts().segment, gs);
    EXPECT_EQ(info.parts().address_size, AddressSize::bits64);
    EXPECT_EQ(info.parts().scaling, 3);
    EXPECT_TRUE(info.parts().has_base && info.parts().has_index);
    EXPECT_EQ(info.parts().base, rbx);
    EXPECT_EQ(info.parts().index, rsi);
    EXPECT_EQ(MemoryOperandInformation::of_memory(info.parts()).with_register2(r9).to_raw(), raw);
}

TEST(InstructionInformation, MarksAbsentBaseAndIndex) {
    constexpr auto info = MemoryOperandInformation::from_raw(1u << 22 | 1u << 27);
    EXPECT_FALSE(info.parts().has_index);
    EXPECT_FALSE(info.parts().has_base);
    EXPECT_EQ(MemoryOperandInformation::of_register(rdi).to_raw(), 0x438u);
    EXPECT_TRUE(MemoryOperandInformation::of_register(rdi).is_register());
    EXPECT_EQ(MemoryOperandInformation::from_raw(2u << 28).table_instruction(), 2u);
}

TEST(InstructionInformation, DescribesInsOutsAndRdrand) {
    EXPECT_EQ(StringIoInformation::of(AddressSize::bits64, ds).to_raw(), 0x1'8100u);
    EXPECT_EQ(StringIoInformation::from_raw(0x1'8100).segment(), ds);
    EXPECT_EQ(RegisterOperandInformation::of(r10, 8).to_raw(), 0x1050u);
    EXPECT_EQ(RegisterOperandInformation::from_raw(0x1050).size(), 8u);
    EXPECT_EQ(RegisterOperandInformation::of(rax, 2).size(), 2u);
    EXPECT_EQ(RegisterOperandInformation::from_raw(0x0850).size(), 4u);
    EXPECT_EQ(RegisterOperandInformation::from_raw(0x0850).gpr(), r10);
}

}  // namespace
}  // namespace postern

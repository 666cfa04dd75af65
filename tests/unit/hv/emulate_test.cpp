// SPDX-License-Identifier: Apache-2.0
// Around the emulated instruction: what the exit said against what is decoded, strings that stop
// half-way, faults of the other operand, and INS and OUTS.
#include "hv/emulate/emulator.h"

#include "arch/vmx/exit_qualification.h"
#include "arch/vmx/instruction_information.h"
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

using Kind = DecodedAccess::Kind;

constexpr u64 read_violation = 0x181;
constexpr u64 write_violation = 0x182;
constexpr u64 rf = 1u << 16;
constexpr u64 tf = 1u << 8;
constexpr u64 ram_page = 0x20'0000;

u64 rip(Machine& machine) { return machine.processor.at(VmcsField::guest_rip); }
u64 rflags(Machine& machine) { return machine.processor.at(VmcsField::guest_rflags); }

DecodedAccess store() {
    return {.kind = Kind::store_register,
            .length = 2,
            .memory_size = 4,
            .register_size = 4,
            .gpr = rax};
}
DecodedAccess string(Kind kind, u8 size, Repeat repeat = Repeat::while_equal) {
    DecodedAccess access{.kind = kind, .length = 2, .memory_size = size};
    access.repeat = repeat;
    access.memory = {.address_size = 8};
    return access;
}

struct Emulate : ::testing::Test {
    u64& gpr(Gpr which) { return machine.vcpu.registers().gpr[which]; }
    Next device_exit(u64 qualification = read_violation, ExitInfo info = {}) {
        info.gpa = doorbell;
        info.qualification = qualification;
        return machine.normal_exit(BasicReason::ept_violation, info);
    }
    [[nodiscard]] size_t touches() const { return machine.devices.touches.size(); }
    /// The page is not present any more; its neighbours are.
    void take_away_ram_page() {
        for (u64 i = 0; i < 512; ++i) machine.write64(0x9000 + 8 * i, (ram_page + (i << 12)) | 7);
        machine.write64(0x9000, 0);
        machine.write64(0x3000 + 8, 0x9007);
    }
    /// And 2 MiB on either side of its beginning.
    void map_epc() {
        const u64 entry = 0x3000 + 8 * (epc_base.raw() >> 21);
        machine.write64(entry - 8, (epc_base.raw() - 0x20'0000) | 0x87);
        machine.write64(entry, epc_base.raw() | 0x87);
    }

    Machine machine;
};

TEST_F(Emulate, AnAccessOfTheOtherKindRunsAgainAndNotForEver) {
    machine.processor.access = store();
    for (unsigned n = 0; n < Emulator::retries_at_most; ++n) {
        EXPECT_EQ(device_exit(read_violation), Next::resume);
        EXPECT_EQ(machine.record().action, Action::retried);
        EXPECT_EQ(rip(machine), kernel_rip);
    }
    EXPECT_EQ(device_exit(read_violation), Next::stop);
    EXPECT_EQ(touches(), 0u);
}

TEST_F(Emulate, WhatIsCarriedOutInBetweenStartsTheCountAgain) {
    for (unsigned n = 0; n < 3 * Emulator::retries_at_most; ++n) {
        machine.processor.access = store();
        const bool right = n % Emulator::retries_at_most == 5;
        EXPECT_EQ(device_exit(right ? write_violation : read_violation), Next::resume);
    }
    EXPECT_EQ(touches(), 3u);
}

TEST_F(Emulate, AProgramWhoseInstructionNeverFitsTakesUd) {
    machine.processor.access = store();
    for (unsigned n = 0; n < Emulator::retries_at_most; ++n)
        EXPECT_EQ(device_exit(read_violation, {.cpl = 3}), Next::resume);
    EXPECT_EQ(device_exit(read_violation, {.cpl = 3}), Next::resume);
    expect_exception(machine.injected(), Vector::invalid_opcode);
    EXPECT_EQ(touches(), 0u);
}

TEST_F(Emulate, AnOperandElsewhereThanTheExitSaysRunsAgain) {
    machine.processor.access = store();
    machine.processor.access.memory = {.address_size = 8, .displacement = ram_page};
    EXPECT_EQ(device_exit(write_violation), Next::resume);
    EXPECT_EQ(machine.record().action, Action::retried);
    EXPECT_EQ(machine.processor.ram.at(guest_ram_host + ram_page), 0);
}

TEST_F(Emulate, BytesThatAreNoInstructionOrNotThereRunAgain) {
    machine.processor.access = {};
    EXPECT_EQ(device_exit(), Next::resume);
    EXPECT_EQ(machine.record().action, Action::retried);
    machine.processor.access = store();
    EXPECT_EQ(device_exit(write_violation, {.rip = 0x7f'ffff'f000}), Next::resume);
    EXPECT_EQ(machine.record().action, Action::retried);
    EXPECT_EQ(touches(), 0u);
}

TEST_F(Emulate, AnOperandAcrossTwoPagesReachesDevicesByBytes) {
    machine.processor.access = store();
    machine.processor.access.memory = {.address_size = 8, .displacement = doorbell.raw() + 0xffe};
    gpr(rax) = 0x4433'2211;
    machine.normal_exit(BasicReason::ept_misconfiguration, {.gpa = doorbell + 0xffe});
    ASSERT_EQ(touches(), 4u);
    for (unsigned n = 0; n < 4; ++n) {
        EXPECT_EQ(machine.devices.touches[n].address, doorbell.raw() + 0xffe + n);
        EXPECT_EQ(machine.devices.touches[n].size, 1u);
        EXPECT_EQ(machine.devices.touches[n].value, 0x11u * (n + 1));
    }
    EXPECT_EQ(rip(machine), kernel_rip + 2);
}

TEST_F(Emulate, AMoveFromMemoryThatIsNotThereIsAPageFaultAndTouchesNothing) {
    take_away_ram_page();
    machine.processor.access = string(Kind::move_string, 4);
    gpr(rcx) = 10;
    gpr(rsi) = ram_page + 0x123;
    gpr(rdi) = doorbell.raw();
    EXPECT_EQ(device_exit(write_violation, {.cpl = 3}), Next::resume);
    EXPECT_EQ(touches(), 0u);
    EXPECT_EQ(gpr(rcx), 10u);
    EXPECT_EQ(machine.vcpu.registers().cr2, ram_page + 0x123);
    EXPECT_EQ(rflags(machine) & rf, rf) << "as a fault pushes it";
    expect_exception(machine.injected(), Vector::page_fault, 4);
}

TEST_F(Emulate, AFaultHalfWayKeepsTheIterationsDoneBefore) {
    take_away_ram_page();
    machine.processor.access = string(Kind::move_string, 4);
    gpr(rcx) = 10;
    gpr(rsi) = ram_page - 12;
    gpr(rdi) = doorbell.raw();
    device_exit(write_violation);
    EXPECT_EQ(touches(), 3u);
    EXPECT_EQ(gpr(rcx), 7u);
    EXPECT_EQ(gpr(rsi), ram_page);
    EXPECT_EQ(gpr(rdi), doorbell.raw() + 12);
    EXPECT_EQ(rip(machine), kernel_rip);
    EXPECT_EQ(machine.vcpu.registers().cr2, ram_page);
    expect_exception(machine.injected(), Vector::page_fault, 0);
}

TEST_F(Emulate, OneExitCarriesOutALimitedNumberOfIterations) {
    machine.processor.access = string(Kind::store_string, 1);
    gpr(rcx) = Emulator::iterations_at_most + 3;
    gpr(rdi) = doorbell.raw();
    device_exit(write_violation);
    EXPECT_EQ(touches(), Emulator::iterations_at_most);
    EXPECT_EQ(gpr(rcx), 3u);
    EXPECT_EQ(rip(machine), kernel_rip);
    EXPECT_EQ(rflags(machine) & rf, rf);
    device_exit(write_violation, {.rflags = 2 | rf});
    EXPECT_EQ(gpr(rcx), 0u);
    EXPECT_EQ(rip(machine), kernel_rip + 2);
    EXPECT_EQ(rflags(machine) & rf, 0u);
}

TEST_F(Emulate, WithTheTrapFlagEachIterationIsFollowedByATrap) {
    machine.processor.access = string(Kind::store_string, 1);
    gpr(rcx) = 3;
    gpr(rdi) = doorbell.raw();
    for (u64 left = 2;; --left) {
        machine.processor.at(VmcsField::guest_pending_debug_exceptions) = 0;
        device_exit(write_violation, {.rflags = 2 | tf});
        EXPECT_EQ(gpr(rcx), left);
        EXPECT_EQ(machine.processor.at(VmcsField::guest_pending_debug_exceptions), 1u << 14);
        EXPECT_EQ(rip(machine), left == 0 ? kernel_rip + 2 : kernel_rip);
        if (left == 0) break;
    }
}

TEST_F(Emulate, AStringThatHasLeftTheDeviceIsTheProcessorsAgain) {
    map_epc();
    machine.processor.access = string(Kind::move_string, 8);
    gpr(rcx) = 10;
    gpr(rsi) = epc_base.raw() - 8;  // no memory is before EPC
    gpr(rdi) = ram_page;
    machine.normal_exit(BasicReason::ept_violation,
                        {.gpa = Gpa{epc_base.raw() - 8}, .qualification = read_violation});
    EXPECT_EQ(touches(), 1u);
    EXPECT_EQ(gpr(rcx), 8u) << "the one after it was the first without a device";
}

TEST_F(Emulate, AnEmptyRepetitionDoesNothing) {
    machine.processor.access = string(Kind::store_string, 8);
    gpr(rcx) = 0;
    gpr(rdi) = 0xdead'0000'0000'0000;
    device_exit(write_violation);
    EXPECT_EQ(touches(), 0u);
    EXPECT_EQ(rip(machine), kernel_rip + 2);
}

TEST_F(Emulate, BlockingByStiEndsWithTheFirstIteration) {
    machine.processor.access = string(Kind::store_string, 1);
    gpr(rcx) = 2 * Emulator::iterations_at_most;
    gpr(rdi) = doorbell.raw();
    device_exit(write_violation, {.interruptibility = 1});
    EXPECT_EQ(machine.processor.at(VmcsField::guest_interruptibility_state), 0u);
}

TEST(EmulateWithoutTheGuard, TheInstructionAtTheAepIsTakenForTheEnclaves) {
    Machine machine{without(Protection::guard)};
    machine.processor.access = store();
    machine.processor.access.memory = {.address_size = 8, .displacement = ram_page};
    machine.enclave_exits(BasicReason::ept_violation,
                          {.gpa = doorbell, .qualification = read_violation});
    ASSERT_EQ(machine.devices.touches.size(), 1u);
    EXPECT_EQ(machine.devices.touches[0].address, doorbell.raw());
    EXPECT_TRUE(machine.devices.touches[0].write);
}

/// 32-bit code with flat segments, without paging.
void enter_protected_mode(Machine& machine) {
    machine.processor.at(VmcsField::guest_ia32_efer) = 0;
    machine.processor.at(VmcsField::guest_cr0) = 0x31;
    machine.processor.at(VmcsField::guest_cs_access_rights) = 0xc09b;
}

TEST_F(Emulate, SegmentsAreCheckedOutside64BitMode) {
    enter_protected_mode(machine);
    const auto limit = segment_field(VmcsField::guest_es_limit, ds);
    machine.processor.access = string(Kind::move_string, 4);
    machine.processor.access.memory = {.address_size = 4, .segment = ds};
    machine.processor.at(limit) = 0x1002;
    gpr(rcx) = 1;
    gpr(rsi) = 0x1000;
    gpr(rdi) = doorbell.raw();
    device_exit(write_violation);
    EXPECT_EQ(touches(), 0u);
    expect_exception(machine.injected(), Vector::general_protection, 0);
    machine.processor.at(limit) = 0x1003;
    device_exit(write_violation);
    EXPECT_EQ(touches(), 1u);
    machine.processor.access.memory.segment = ss;
    machine.processor.at(segment_field(VmcsField::guest_es_limit, ss)) = 0xfff;
    gpr(rcx) = 1;
    gpr(rsi) = 0x1000;
    gpr(rdi) = doorbell.raw();
    device_exit(write_violation);
    expect_exception(machine.injected(), Vector::stack_fault, 0);
}

TEST_F(Emulate, SixteenBitAddressesWrapWithinTheirRegister) {
    enter_protected_mode(machine);
    machine.processor.at(segment_field(VmcsField::guest_es_base, es)) = doorbell.raw() - 0xfff8;
    machine.processor.access = string(Kind::store_string, 4);
    machine.processor.access.memory = {.address_size = 2};
    gpr(rcx) = 0xaaaa'0001;
    gpr(rdi) = 0xbbbb'fffc;
    device_exit(write_violation);
    ASSERT_EQ(touches(), 1u);
    EXPECT_EQ(machine.devices.touches[0].address, doorbell.raw() + 4);
    EXPECT_EQ(gpr(rdi), 0xbbbb'0000u);
    EXPECT_EQ(gpr(rcx), 0xaaaa'0000u);
}

struct StringIo : Emulate {
    Next io(bool in, unsigned size, bool rep, ExitInfo info = {},
            AddressSize address_size = AddressSize::bits64, SegmentIndex segment = ds) {
        info.qualification = IoQualification::from_raw(0)
                                 .with_size(size)
                                 .with_in(in)
                                 .with_string()
                                 .with_rep(rep)
                                 .with_port(0x1f0)
                                 .to_raw();
        info.instruction_information = StringIoInformation::of(address_size, segment).to_raw();
        info.length = 2;
        return machine.normal_exit(BasicReason::io_instruction, info);
    }
};

TEST_F(StringIo, InsWritesMemoryAndAdvances) {
    machine.devices.read_value = 0xaabb'ccdd;
    gpr(rcx) = 4;
    gpr(rdi) = ram_page;
    EXPECT_EQ(io(true, 2, true), Next::resume);
    EXPECT_EQ(gpr(rcx), 0u);
    EXPECT_EQ(gpr(rdi), ram_page + 8);
    EXPECT_EQ(machine.devices.port_touches.size(), 4u);
    for (unsigned n = 0; n < 8; ++n)
        EXPECT_EQ(machine.processor.ram.at(guest_ram_host + ram_page + n),
                  n % 2 != 0 ? 0xcc : 0xdd);
    EXPECT_EQ(rip(machine), kernel_rip + 2);
    EXPECT_EQ(machine.vcpu.counters().emulated_io, 1u);
}

TEST_F(StringIo, OutsReadsMemoryBackwardsWithTheDirectionFlag) {
    machine.write64(ram_page, 0x8877'6655'4433'2211);
    gpr(rcx) = 2;
    gpr(rsi) = ram_page + 4;
    EXPECT_EQ(io(false, 4, true, {.rflags = 0x402}), Next::resume);
    ASSERT_EQ(machine.devices.port_touches.size(), 2u);
    EXPECT_EQ(machine.devices.port_touches[0].value, 0x8877'6655u);
    EXPECT_EQ(machine.devices.port_touches[1].value, 0x4433'2211u);
    EXPECT_EQ(gpr(rsi), ram_page - 4);
}

TEST_F(StringIo, WithoutRepTheCountIsLeftAlone) {
    gpr(rcx) = 7;
    gpr(rsi) = ram_page;
    io(false, 1, false);
    EXPECT_EQ(gpr(rcx), 7u);
    EXPECT_EQ(gpr(rsi), ram_page + 1);
    EXPECT_EQ(machine.devices.port_touches.size(), 1u);
}

TEST_F(StringIo, AFaultingDestinationLosesNothingOfThePort) {
    take_away_ram_page();
    gpr(rcx) = 4;
    gpr(rdi) = ram_page - 2;
    io(true, 2, true, {.cpl = 3});
    EXPECT_EQ(machine.devices.port_touches.size(), 1u);
    EXPECT_EQ(gpr(rcx), 3u);
    EXPECT_EQ(machine.vcpu.registers().cr2, ram_page);
    expect_exception(machine.injected(), Vector::page_fault, 6);
}

TEST_F(StringIo, AnAbsentPortReadsAsOnes) {
    machine.devices.answers = false;
    machine.devices.read_value = 0;
    gpr(rdi) = ram_page;
    io(true, 4, false);
    for (unsigned n = 0; n < 4; ++n)
        EXPECT_EQ(machine.processor.ram.at(guest_ram_host + ram_page + n), 0xff);
}

TEST_F(StringIo, WhatIsWrittenToRomAndEpcIsLost) {
    map_epc();
    for (const Gpa place : {rom_base, epc_base}) {
        gpr(rdi) = place.raw();
        EXPECT_EQ(io(true, 1, false), Next::resume);
        EXPECT_EQ(machine.record().action, Action::emulated);
    }
    EXPECT_EQ(machine.processor.ram.at(5u << 20), 0);
    // EPC reads as ones.
    gpr(rsi) = epc_base.raw();
    io(false, 4, false);
    EXPECT_EQ(machine.devices.port_touches.back().value, 0xffff'ffffu);
}

TEST_F(StringIo, AMisalignedOperandOfAProgramThatAsksForChecksIsAc) {
    machine.processor.at(VmcsField::guest_cr0) |= 1u << 18;
    gpr(rsi) = ram_page + 1;
    io(false, 4, false, {.cpl = 3, .rflags = 0x4'0002});
    EXPECT_TRUE(machine.devices.port_touches.empty());
    expect_exception(machine.injected(), Vector::alignment_check, 0);
}

}  // namespace
}  // namespace postern::hv::test

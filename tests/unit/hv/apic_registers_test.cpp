// SPDX-License-Identifier: Apache-2.0
// The virtual local APIC by itself: registers, priorities, the timer, the modes.
#include <cstring>
#include <vector>

#include "hv/apic/virtual_apic.h"
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

using namespace apic;

constexpr u32 x2apic_msr(u32 index) { return x2apic_msr_first + index; }

struct Apic {
    explicit Apic(unsigned number = 0) {
        EXPECT_TRUE(vm.create());
        EXPECT_TRUE(vm.add_memory({Gpa{0}, guest_ram_size(), SlotKind::ram, Hpa{guest_ram_host}}));
        EXPECT_TRUE(apic.create(Hpa{5u << 20}, number));
    }
    static constexpr u64 guest_ram_size() { return host::fake::guest_ram_size; }

    void write(u32 index, u32 value) { apic.mmio_write(index << 4, value); }
    u32 read(u32 index) { return static_cast<u32>(apic.mmio_read(index << 4, 4)); }
    bool arrives(u8 vector, bool level = false) {
        return apic.receive({0, false, level, DeliveryMode::fixed, vector});
    }
    void pass(u64 ticks) {
        processor.now += ticks;
        apic.catch_up();
    }
    /// The vector is requested; it is taken back.
    bool requested(u8 vector) {
        apic.catch_up();
        if (apic.requested() != vector) return false;
        apic.take(vector);
        write(reg_end_of_interrupt, 0);
        return true;
    }
    VirtualApic::BaseWrite write_base(u64 value) { return apic.write_base(value, 40, true); }

    FakeProcessor processor;
    FakeDevices devices;
    FakeWatcher watcher;
    Vm vm{processor, devices, watcher, default_config()};
    VirtualApic apic{processor, vm};
};

struct PriorityRow {
    u32 task_priority;
    int in_service;  // -1: none
    u8 requested;
    u32 processor_priority;
    bool deliverable;
};

TEST(VirtualApicPriority, FollowsTheTaskAndWhatIsInService) {
    const PriorityRow rows[] = {
        {0x00, -1, 0x31, 0x00, true},    {0x2f, -1, 0x31, 0x2f, true},
        {0x30, -1, 0x3f, 0x30, false},   {0x3f, -1, 0x41, 0x3f, true},
        {0x00, 0x35, 0x3f, 0x30, false}, {0x00, 0x35, 0x41, 0x30, true},
        {0x41, 0x35, 0x51, 0x41, true},  {0x38, 0x35, 0x41, 0x38, true},
        {0x2f, 0x35, 0x3e, 0x30, false}, {0xff, -1, 0xff, 0xff, false},
        {0xe0, 0xd1, 0xf0, 0xe0, true},
    };
    for (const PriorityRow& row : rows) {
        Apic machine;
        if (row.in_service >= 0) {
            machine.arrives(static_cast<u8>(row.in_service));
            machine.apic.catch_up();
            machine.apic.take(static_cast<u8>(row.in_service));
        }
        machine.write(reg_task_priority, row.task_priority);
        machine.arrives(row.requested);
        machine.apic.catch_up();
        EXPECT_EQ(machine.read(reg_processor_priority), row.processor_priority);
        EXPECT_EQ(machine.apic.deliverable(), row.deliverable ? row.requested : -1);
        EXPECT_EQ(machine.apic.requested(), row.requested);
    }
}

TEST(VirtualApicPriority, Cr8IsTheClassOfTheTaskPriority) {
    Apic machine;
    machine.write(reg_task_priority, 0x5a);
    EXPECT_EQ(machine.apic.cr8(), 5u);
    machine.apic.set_cr8(9);
    EXPECT_EQ(machine.read(reg_task_priority), 0x90u);
}

TEST(VirtualApicPriority, NothingIsLeftWhereTheApicIsCreatedAgain) {
    Apic machine;
    machine.arrives(0x41);
    machine.apic.catch_up();
    machine.apic.take(0x41);
    machine.arrives(0x51);
    machine.apic.catch_up();
    machine.apic.set_waiting(0x61, true);
    ASSERT_TRUE(machine.apic.create(Hpa{5u << 20}, 0));
    EXPECT_EQ(machine.apic.in_service(), -1);
    EXPECT_EQ(machine.apic.requested(), -1);
    EXPECT_EQ(machine.apic.waiting(), -1);
}

struct RegisterRow {
    u32 index, written, read;
};

TEST(VirtualApicRegisters, KeepTheBitsThatSoftwareSets) {
    const RegisterRow rows[] = {
        {reg_id, 0x0512'3456, 0x0500'0000},
        {reg_version, 0, 0x0005'0015},
        {reg_task_priority, 0xffff'ff5a, 0x5a},
        {reg_logical_destination, 0xa512'3456, 0xa500'0000},
        {reg_destination_format, 0, 0x0fff'ffff},
        {reg_spurious, 0xffff'ffef, 0x1ef},
        {reg_command_high, 0x1234'5678, 0x1234'5678},
        {reg_lvt_timer, ~0u, 0x0007'00ff},
        {reg_lvt_thermal, ~0u, 0x0001'07ff},
        {reg_lvt_lint0, ~0u, 0x0001'a7ff},
        {reg_lvt_error, ~0u, 0x0001'00ff},
        {reg_divide, ~0u, 0xb},
        {reg_requested, ~0u, 0},
        {reg_in_service + 3, ~0u, 0},
        {reg_current_count, ~0u, 0},
    };
    for (const RegisterRow& row : rows) {
        Apic machine;
        machine.write(row.index, row.written);
        EXPECT_EQ(machine.read(row.index), row.read) << std::hex << row.index;
    }
}

TEST(VirtualApicRegisters, SwitchedOffBySoftwareEveryLocalVectorIsMaskedAndNothingIsAccepted) {
    Apic machine;
    machine.write(reg_lvt_timer, 0x40);
    machine.write(reg_spurious, 0xff);
    for (u32 index = reg_lvt_timer; index <= reg_lvt_error; ++index)
        EXPECT_TRUE((machine.read(index) & lvt_masked) != 0);
    machine.write(reg_lvt_error, 0x41);
    EXPECT_EQ(machine.read(reg_lvt_error), lvt_masked | 0x41u);
    EXPECT_FALSE(machine.arrives(0x50));
}

TEST(VirtualApicRegisters, AnIllegalAccessIsAnErrorThatTheNextWriteOfEsrShows) {
    Apic machine;
    machine.write(reg_lvt_error, 0x45);
    EXPECT_EQ(machine.read(0x04), 0u);
    EXPECT_EQ(machine.read(reg_error_status), 0u);
    machine.write(reg_error_status, 0);
    EXPECT_EQ(machine.read(reg_error_status), illegal_register);
    EXPECT_TRUE(machine.requested(0x45));
    machine.write(reg_error_status, 0);
    EXPECT_EQ(machine.read(reg_error_status), 0u);
}

TEST(VirtualApicRegisters, VectorsBelow16AreErrors) {
    Apic machine;
    machine.arrives(0x0f);
    machine.write(reg_command_low, 0x0004'000f);
    machine.write(reg_error_status, 0);
    EXPECT_EQ(machine.read(reg_error_status), received_illegal_vector | send_illegal_vector);
    EXPECT_EQ(machine.apic.requested(), -1);
}

TEST(VirtualApicEnd, OnlyALevelsEndGoesToTheIoApics) {
    Apic machine;
    for (const bool level : {true, false}) {
        machine.arrives(0x61, level);
        machine.apic.catch_up();
        machine.apic.take(0x61);
        machine.write(reg_end_of_interrupt, 0);
    }
    EXPECT_EQ(machine.devices.ends, std::vector<u8>{0x61});
    EXPECT_EQ(machine.apic.in_service(), -1);
}

TEST(VirtualApicEnd, EndsTheHighestInService) {
    Apic machine;
    for (const u8 vector : {u8{0x41}, u8{0x51}}) {
        machine.arrives(vector);
        machine.apic.catch_up();
        machine.apic.take(vector);
    }
    machine.write(reg_end_of_interrupt, 0);
    EXPECT_EQ(machine.apic.in_service(), 0x41);
}

struct DivideRow {
    u32 written;
    u64 ticks;  // of the TSC for one count
};

TEST(VirtualApicTimer, CountsTheCrystalDividedAsItsRegisterSays) {
    const DivideRow rows[] = {{0x0, 80},   {0x1, 160},  {0x2, 320},  {0x3, 640},
                              {0x8, 1280}, {0x9, 2560}, {0xa, 5120}, {0xb, 40}};
    for (const DivideRow& row : rows) {
        Apic machine;
        machine.write(reg_divide, row.written);
        machine.write(reg_lvt_timer, 0x50);
        machine.write(reg_initial_count, 100);
        EXPECT_EQ(machine.apic.due(), 100 * row.ticks);
        machine.pass(30 * row.ticks);
        EXPECT_EQ(machine.read(reg_current_count), 70u);
        machine.pass(70 * row.ticks - 1);
        EXPECT_EQ(machine.read(reg_current_count), 1u);
        EXPECT_EQ(machine.apic.requested(), -1);
        machine.pass(1);
        EXPECT_EQ(machine.read(reg_current_count), 0u);
        EXPECT_TRUE(machine.requested(0x50));
    }
}

TEST(VirtualApicTimer, OneShotEndsAndPeriodicGoesOn) {
    Apic machine;
    machine.write(reg_divide, 0xb);
    machine.write(reg_lvt_timer, 0x50);
    machine.write(reg_initial_count, 10);
    machine.pass(400);
    EXPECT_TRUE(machine.requested(0x50));
    EXPECT_EQ(machine.apic.due(), VirtualApic::never);
    machine.pass(4000);
    EXPECT_FALSE(machine.requested(0x50));

    machine.write(reg_lvt_timer, 0x2'0051);
    machine.write(reg_initial_count, 10);
    const u64 start = machine.processor.now;
    machine.pass(400);
    EXPECT_TRUE(machine.requested(0x51));
    EXPECT_EQ(machine.apic.due(), start + 800);
    machine.pass(1000);  // two periods at once are one request
    EXPECT_TRUE(machine.requested(0x51));
    EXPECT_EQ(machine.apic.due(), start + 1600);
    machine.write(reg_initial_count, 0);
    EXPECT_EQ(machine.apic.due(), VirtualApic::never);
}

TEST(VirtualApicTimer, AMaskedOneCountsAndIsSilent) {
    Apic machine;
    machine.write(reg_lvt_timer, lvt_masked | 0x50);
    machine.write(reg_initial_count, 10);
    machine.pass(100'000);
    EXPECT_EQ(machine.apic.requested(), -1);
}

TEST(VirtualApicTimer, TheDeadlineCountsOnlyInItsMode) {
    constexpr auto msr = static_cast<u32>(Msr::tsc_deadline);
    Apic machine;
    u64 value = 0;
    EXPECT_TRUE(machine.apic.write_msr(msr, 500));
    EXPECT_TRUE(machine.apic.read_msr(msr, value));
    EXPECT_EQ(value, 0u);
    machine.write(reg_lvt_timer, 0x4'0052);
    EXPECT_TRUE(machine.apic.write_msr(msr, 500));
    machine.write(reg_initial_count, 7);
    EXPECT_EQ(machine.read(reg_initial_count), 0u);
    EXPECT_EQ(machine.apic.due(), 500u);
    machine.pass(499);
    EXPECT_TRUE(machine.apic.read_msr(msr, value));
    EXPECT_EQ(value, 500u);
    machine.pass(1);
    EXPECT_TRUE(machine.requested(0x52));
    EXPECT_TRUE(machine.apic.read_msr(msr, value));
    EXPECT_EQ(value, 0u);
    EXPECT_TRUE(machine.apic.write_msr(msr, 3));  // long past
    EXPECT_TRUE(machine.requested(0x52));
}

TEST(VirtualApicTimer, TheDeadlineIsOneOfTheGuestsTsc) {
    Apic machine;
    machine.processor.now = 10'000;
    machine.apic.set_tsc_offset(~u64{0} - 8'999);  // 9000 behind
    machine.write(reg_lvt_timer, 0x4'0052);
    EXPECT_TRUE(machine.apic.write_msr(static_cast<u32>(Msr::tsc_deadline), 1'500));
    EXPECT_EQ(machine.apic.due(), 10'500u);
}

TEST(VirtualApicTimer, AChangeToOrFromTheDeadlinesModeDisarms) {
    for (const u32 mode : {0x0'0000u, 0x2'0000u}) {
        Apic machine;
        machine.write(reg_lvt_timer, mode | 0x50);
        machine.write(reg_initial_count, 10);
        machine.write(reg_lvt_timer, 0x4'0050);
        EXPECT_EQ(machine.apic.due(), VirtualApic::never);
        EXPECT_TRUE(machine.apic.write_msr(static_cast<u32>(Msr::tsc_deadline), 5000));
        machine.write(reg_lvt_timer, mode | 0x50);
        EXPECT_EQ(machine.apic.due(), VirtualApic::never);
    }
    Apic machine;  // between the others it goes on
    machine.write(reg_lvt_timer, 0x50);
    machine.write(reg_initial_count, 10);
    machine.write(reg_lvt_timer, 0x2'0050);
    EXPECT_EQ(machine.apic.due(), 800u);
}

constexpr u64 base_off = 0xfee0'0100, base_xapic = 0xfee0'0900, base_x2apic = 0xfee0'0d00;
constexpr u64 base_invalid = 0xfee0'0500;  // x2APIC without the enable bit

struct ModeRow {
    u64 before, after;
    VirtualApic::BaseWrite result;
};

TEST(VirtualApicModes, OnlyTheManualsTransitionsAreLegal) {
    using enum VirtualApic::BaseWrite;
    const ModeRow rows[] = {
        {base_off, base_off, done},
        {base_off, base_xapic, done},
        {base_off, base_x2apic, fault},
        {base_off, base_invalid, fault},
        {base_xapic, base_off, done},
        {base_xapic, base_xapic, done},
        {base_xapic, base_x2apic, done},
        {base_xapic, base_invalid, fault},
        {base_x2apic, base_off, done},
        {base_x2apic, base_xapic, fault},
        {base_x2apic, base_x2apic, done},
        {base_x2apic, base_invalid, fault},
        {base_xapic, base_xapic | 1, fault},
        {base_xapic, base_xapic | 0x200, fault},
        {base_xapic, base_xapic | u64{1} << 40, fault},
        {base_xapic, 0xfed0'0900, done},           // nothing is there
        {base_xapic, 0x0010'0900, unimplemented},  // over memory
    };
    for (const ModeRow& row : rows) {
        Apic machine;
        if (row.before != base_xapic) {
            EXPECT_EQ(machine.write_base(row.before), done);
        }
        EXPECT_EQ(machine.write_base(row.after), row.result)
            << std::hex << row.before << " to " << row.after;
        u64 value = 0;
        EXPECT_TRUE(machine.apic.read_msr(static_cast<u32>(Msr::apic_base), value));
        EXPECT_EQ(value, row.result == done ? row.after : row.before);
    }
    Apic machine;
    EXPECT_EQ(machine.apic.write_base(base_x2apic, 40, false), fault);
}

TEST(VirtualApicModes, SwitchedOffItForgets) {
    Apic machine;
    machine.write(reg_task_priority, 0x50);
    machine.arrives(0x41);
    EXPECT_EQ(machine.write_base(base_off), VirtualApic::BaseWrite::done);
    EXPECT_FALSE(machine.apic.claims(Gpa{0xfee0'0000}));
    EXPECT_FALSE(machine.arrives(0x42));
    EXPECT_EQ(machine.write_base(base_xapic), VirtualApic::BaseWrite::done);
    EXPECT_TRUE(machine.apic.claims(Gpa{0xfee0'0ff0}));
    EXPECT_EQ(machine.read(reg_task_priority), 0u);
    EXPECT_EQ(machine.read(reg_spurious), 0xffu);
    EXPECT_EQ(machine.apic.requested(), -1);
}

TEST(VirtualApicModes, X2apicHasItsRegistersInMsrsAndNoPage) {
    Apic machine{5};
    machine.write(reg_id, 0x0900'0000);
    u64 value = 0;
    EXPECT_FALSE(machine.apic.read_msr(x2apic_msr(reg_id), value));
    EXPECT_EQ(machine.write_base(base_x2apic), VirtualApic::BaseWrite::done);
    EXPECT_FALSE(machine.apic.claims(Gpa{0xfee0'0000}));
    EXPECT_TRUE(machine.apic.read_msr(x2apic_msr(reg_id), value));
    EXPECT_EQ(value, 5u);
    EXPECT_TRUE(machine.apic.read_msr(x2apic_msr(reg_logical_destination), value));
    EXPECT_EQ(value, 0x20u);
    for (const u32 index : {u32{reg_destination_format}, u32{reg_command_high},
                            u32{reg_arbitration_priority}, u32{reg_self_ipi}, 0x00u, 0x3au, 0xffu})
        EXPECT_FALSE(machine.apic.read_msr(x2apic_msr(index), value)) << std::hex << index;
}

struct MsrRow {
    u32 index;
    u64 value;
    bool taken;
};

TEST(VirtualApicModes, X2apicRefusesReservedBits) {
    const MsrRow rows[] = {
        {reg_task_priority, 0xff, true},
        {reg_task_priority, 0x100, false},
        {reg_end_of_interrupt, 0, true},
        {reg_end_of_interrupt, 1, false},
        {reg_error_status, 0, true},
        {reg_error_status, 1, false},
        {reg_spurious, 0x1ff, true},
        {reg_spurious, 0x200, false},
        {reg_id, 0, false},
        {reg_version, 0, false},
        {reg_logical_destination, 0, false},
        {reg_destination_format, 0, false},
        {reg_command_low, 0x41, true},
        {reg_command_low, 0x1'0000, false},
        {reg_command_high, 0, false},
        {reg_lvt_timer, 0x7'00ff, true},
        {reg_lvt_timer, 0x8'0000, false},
        {reg_divide, 0xb, true},
        {reg_divide, 0x4, false},
        {reg_current_count, 0, false},
        {reg_self_ipi, 0x41, true},
        {reg_self_ipi, 0x141, false},
        {reg_initial_count, ~u64{0}, false},
        {reg_in_service, 0, false},
    };
    for (const MsrRow& row : rows) {
        Apic machine;
        EXPECT_EQ(machine.write_base(base_x2apic), VirtualApic::BaseWrite::done);
        EXPECT_EQ(machine.apic.write_msr(x2apic_msr(row.index), row.value), row.taken)
            << std::hex << row.index << " " << row.value;
    }
}

TEST(VirtualApicModes, TheCommandIsOneRegisterOf64BitsInX2apicMode) {
    Apic machine;
    EXPECT_EQ(machine.write_base(base_x2apic), VirtualApic::BaseWrite::done);
    u64 value = 0;
    EXPECT_TRUE(machine.apic.write_msr(x2apic_msr(reg_command_low), 0x0000'0123'0000'0041));
    EXPECT_TRUE(machine.apic.read_msr(x2apic_msr(reg_command_low), value));
    EXPECT_EQ(value, 0x0000'0123'0000'0041u);
    u64 in_page = 0;
    std::memcpy(&in_page, machine.processor.ram.data() + (5u << 20) + 0x300, sizeof in_page);
    EXPECT_EQ(in_page, value) << "where the processor reads it from";
}

TEST(VirtualApicState, IsRestored) {
    Apic machine;
    machine.write(reg_lvt_timer, 0x50);
    machine.write(reg_divide, 0xb);
    machine.write(reg_initial_count, 10);
    machine.arrives(0x61);
    const VirtualApic::State saved = machine.apic.state();
    VirtualApic other{machine.processor, machine.vm};
    ASSERT_TRUE(other.restore(saved));
    EXPECT_EQ(other.due(), 400u);
    other.catch_up();
    EXPECT_EQ(other.requested(), 0x61);
    VirtualApic::State nowhere_state = saved;
    nowhere_state.page = u64{1} << 40;
    EXPECT_FALSE(other.restore(nowhere_state));
}

TEST(VirtualApicExternal, The8259sAreHeardThroughLint0AsItsEntrySays) {
    Apic machine;
    EXPECT_FALSE(machine.apic.external_asks());
    machine.apic.set_external(true);
    EXPECT_TRUE(machine.apic.external_asks());
    machine.write(reg_lvt_lint0, lvt_masked | 0x700);
    EXPECT_FALSE(machine.apic.external_asks());
    machine.apic.set_external(false);
    machine.write(reg_lvt_lint0, 0x48);  // fixed: an edge requests
    machine.apic.set_external(true);
    EXPECT_FALSE(machine.apic.external_asks());
    EXPECT_TRUE(machine.requested(0x48));
    machine.write(reg_lvt_lint0, 0x400);  // NMI
    machine.apic.set_external(false);
    machine.apic.set_external(true);
    EXPECT_EQ(machine.apic.state().nmi_pending, 1u);
    EXPECT_EQ(machine.write_base(base_off), VirtualApic::BaseWrite::done);
    EXPECT_TRUE(machine.apic.external_asks()) << "without an APIC it is the processor's INTR";
}

}  // namespace
}  // namespace postern::hv::test

// SPDX-License-Identifier: Apache-2.0
// Exits with every field random, from a processor that keeps to nothing: whatever it says, an
// exit with bit 27 fetches nothing, touches no device and leaves RIP and registers alone.
#include "tests/support/fake_port.h"
#include "tests/support/random.h"

namespace postern::hv::test {
namespace {

constexpr u64 seed = 0x9e37'79b9'7f4a'7c15;
constexpr int guests = 600;
constexpr int exits_per_guest = 100;

using postern::test::Random;

Gpa random_address(Random& random) {
    const std::array places{u64{0},        epc_base.raw(), doorbell.raw(),
                            nowhere.raw(), rom_base.raw(), random.next()};
    return Gpa{places[random.below(places.size())] + random.below(0x10'0000)};
}

/// A valid event, mostly one that exists.
InterruptionInformation random_event(Random& random) {
    const u32 raw = random.next32();
    return InterruptionInformation::from_raw(random.once_in(8) ? raw : (raw & 0xb1f) | 1u << 31);
}

ExitInfo random_info(Random& random) {
    ExitInfo info{.gpa = random_address(random),
                  .gla = Gva{random.next()},
                  .qualification = random.next() >> random.below(64),
                  .length = random.once_in(2) ? 0 : static_cast<u32>(random.below(16)),
                  .instruction_information = random.next32()};
    if (random.once_in(2)) info.interruption = random_event(random);
    if (random.once_in(3)) info.idt_vectoring = random_event(random);
    info.error_code = random.next32();
    info.idt_error_code = random.next32();
    if (random.once_in(2)) info.interruptibility = random.next32() & 0x1f;
    if (random.once_in(2)) info.cpl = static_cast<u32>(random.below(4));
    if (random.once_in(4)) info.rip = random.next();
    if (random.once_in(2)) info.rflags = random.next();
    if (random.once_in(4)) info.rax = random.next();
    if (random.once_in(2)) info.rcx = random.once_in(2) ? random.next() : random.below(0x1000);
    info.ticks = random.below(3);
    return info;
}

ExitReason random_reason(Random& random) {
    u32 raw = static_cast<u32>(random.below(reason_limit));
    if (random.once_in(50)) raw = random.next32() & 0x7fff'ffff;
    if (!random.once_in(4)) raw |= 0x0800'0000;
    if (random.once_in(10)) raw |= 0x0400'0000;
    return ExitReason::from_vmcs(raw);
}

void expect_enclave_left_alone(Machine& machine, size_t devices_before, size_t decodes_before) {
    EXPECT_EQ(machine.devices.touches.size() + machine.devices.port_touches.size(), devices_before);
    EXPECT_EQ(machine.processor.decodes, decodes_before);
    EXPECT_FALSE(machine.processor.rip_was_written());
    const auto& gpr = machine.vcpu.registers().gpr;
    EXPECT_EQ(gpr[rbx], tcs);
    for (const Gpr zero : {rdx, rsi, rdi, r8, r15}) EXPECT_EQ(gpr[zero], 0u);
}

TEST(RandomExits, NeverMakeAnEnclavesExitDoMoreThanItMay) {
    Random random{seed};
    int enclave_exits = 0;
    for (int guest = 0; guest < guests; ++guest) {
        Machine machine;
        for (int i = 0; i < exits_per_guest; ++i) {
            machine.processor.access = {
                .kind = static_cast<DecodedAccess::Kind>(random.below(DecodedAccess::kind_count)),
                .length = static_cast<u8>(random.below(16)),
                .memory_size = static_cast<u8>(1u << random.below(4)),
                .register_size = static_cast<u8>(1u << random.below(4)),
                .gpr = static_cast<u8>(random.below(4)),
                .high_byte = random.once_in(4),
                .immediate = random.next()};
            const ExitReason reason = random_reason(random);
            const ExitInfo info = random_info(random);
            const size_t devices =
                machine.devices.touches.size() + machine.devices.port_touches.size();
            const size_t decodes = machine.processor.decodes;
            const size_t entries = machine.processor.injections.size();
            const Next next = machine.exits_with(reason, info);
            const bool entered = machine.processor.injections.size() != entries;
            if (entered && reason.from_enclave()) {
                ++enclave_exits;
                expect_enclave_left_alone(machine, devices, decodes);
            }
            ASSERT_FALSE(testing::Test::HasFailure())
                << "seed " << seed << ", guest " << guest << ", exit " << i << ", reason "
                << std::hex << reason.to_vmcs();
            if (next == Next::stop) break;
        }
        ASSERT_EQ(machine.watcher.records.size(), machine.processor.entries.size());
    }
    EXPECT_GT(enclave_exits, 1000);
}

}  // namespace
}  // namespace postern::hv::test

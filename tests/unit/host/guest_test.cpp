// SPDX-License-Identifier: Apache-2.0
// Whole guests of a few instructions, from ELF file to exit status.
#include "host/guest.h"

#include <gtest/gtest.h>

#include "cpu/model.h"
#include "unit/platform/elf_image.h"

namespace postern::host {
namespace {

class Watched final : public hv::Watcher {
public:
    void exit(const hv::ExitRecord& record) override { exits.push_back(record); }
    void anomaly(hv::Anomaly, const hv::ExitRecord&) override { ++anomalies; }
    void stopped(const hv::StopReport&) override { ++stops; }

    std::vector<hv::ExitRecord> exits;
    int anomalies = 0;
    int stops = 0;
};

class SmallGuest : public ::testing::Test {
protected:
    /// Code at 1 MiB, whose page is followed by one of zeros.
    void load(const std::vector<u8>& code) {
        test::ElfFile file;
        file.entry(0x10'0000);
        file.add({1, 0x1000, 0x10'0000, code.size(), 0x2000});
        for (size_t i = 0; i < code.size(); ++i) file.put(0x1000 + i, code[i], 1);
        GuestConfig config;
        config.layout = platform::layout_of(memory, 2 * platform::mib);
        config.model = &cpu::default_model();
        config.kernel.name = "test";
        config.kernel.file = file.bytes;
        auto made = Guest::create(std::move(config), {serial, debug, watched, {}});
        ASSERT_TRUE(made.has_value()) << made.error().what;
        guest = std::move(*made);
    }
    RunResult run(const std::vector<u8>& code, Limits limits = {1'000'000, 0}) {
        load(code);
        return guest ? guest->run(limits) : RunResult{};
    }

    u64 memory = 64 * platform::mib;
    platform::StringSink serial, debug;
    Watched watched;
    std::unique_ptr<Guest> guest;
};

TEST_F(SmallGuest, TheExitPortGivesAnOddStatus) {
    // mov al, 5; out 0f4h, al
    const RunResult result = run({0xb0, 5, 0xe6, 0xf4});
    EXPECT_EQ(result.ending, Ending::exit_port);
    EXPECT_EQ(result.value, 5u);
    EXPECT_EQ(exit_status(result), 11);
    ASSERT_FALSE(watched.exits.empty());
    EXPECT_EQ(watched.exits.back().raw_reason, 30u);
    EXPECT_EQ(guest->port().missing_fields().size(), 0u);
}

TEST_F(SmallGuest, SerialOutputReachesItsSink) {
    // mov dx, 3f8h; mov al, 'h'; out dx, al; mov al, 'i'; out dx, al; out 0f4h, al
    run({0x66, 0xba, 0xf8, 0x03, 0xb0, 'h', 0xee, 0xb0, 'i', 0xee, 0xe6, 0xf4});
    EXPECT_EQ(serial.text(), "hi");
}

TEST_F(SmallGuest, ResetIsACleanEnd) {
    // mov dx, 0cf9h; mov al, 6; out dx, al
    const RunResult result = run({0x66, 0xba, 0xf9, 0x0c, 0xb0, 6, 0xee});
    EXPECT_EQ(result.ending, Ending::reset);
    EXPECT_EQ(exit_status(result), 0);
}

TEST_F(SmallGuest, HltWithNothingToWakeItCannotGoOn) {
    const RunResult result = run({0xf4});
    EXPECT_EQ(result.ending, Ending::halted);
    EXPECT_EQ(exit_status(result), 4);
}

TEST_F(SmallGuest, TheInstructionLimitIsExact) {
    const RunResult result = run({0xeb, 0xfe}, {12'345, 0});  // jmp $
    EXPECT_EQ(result.ending, Ending::instruction_limit);
    EXPECT_EQ(result.instructions, 12'345u);
    EXPECT_EQ(exit_status(result), 124);
    EXPECT_EQ(watched.exits.back().raw_reason, 48u);  // the first touch of its page: no other
}

TEST_F(SmallGuest, TheTimeLimitEndsALoop) {
    const RunResult result = run({0xeb, 0xfe}, {0, 1});
    EXPECT_EQ(result.ending, Ending::time_limit);
    EXPECT_EQ(exit_status(result), 124);
    EXPECT_EQ(result.instructions % 10'000'000, 0u);
}

TEST_F(SmallGuest, AFaultWithoutIdtIsATripleFault) {
    const RunResult result = run({0x0f, 0x0b});  // ud2
    EXPECT_EQ(result.ending, Ending::stopped);
    EXPECT_EQ(result.stop.reason, hv::StopReason::triple_fault);
    EXPECT_EQ(exit_status(result), 4);
    EXPECT_EQ(watched.stops, 1);
}

TEST_F(SmallGuest, AnUnimplementedInstructionIsNamedWithItsAddress) {
    // nop; lea rax, [rip + 0x7fffffff]
    const RunResult result = run({0x90, 0x48, 0x8d, 0x05, 0xff, 0xff, 0xff, 0x7f});
    EXPECT_EQ(result.ending, Ending::processor);
    EXPECT_EQ(exit_status(result), 4);
    EXPECT_EQ(result.what, "not implemented: a RIP-relative operand 2 GiB away at RIP 0x100001");
}

TEST_F(SmallGuest, DeviceAccessesAreEmulatedAtTheirOffsets) {
    // mov edi, 0fe000000h; mov eax, [rdi]; mov [rdi+40h], eax; mov byte [rdi+41h], 7; out 0f4h, al
    const RunResult result =
        run({0xbf, 0, 0, 0, 0xfe, 0x8b, 0x07, 0x89, 0x47, 0x40, 0xc6, 0x47, 0x41, 7, 0xe6, 0xf4});
    EXPECT_EQ(result.value, 0u);  // the low byte of b3110000h
    const std::vector<platform::Doorbell::Ring> expected{
        {0, 0xb311'0000, 0, 4, false}, {1, 0xb311'0000, 0x40, 4, true}, {2, 7, 0x41, 1, true}};
    EXPECT_EQ(guest->devices().doorbell.rings(), expected);
    EXPECT_EQ(guest->vcpu().counters().emulated_mmio, 3u);
    EXPECT_EQ(watched.anomalies, 0);
}

TEST_F(SmallGuest, NoGuestAddressIsThePhysicalOneBehindIt) {
    // mov dword [rip+0fffh-6], 12345678h stores at 101000h less what follows; out 0f4h, al
    load({0xc7, 0x05, 0xf6, 0x0f, 0, 0, 0x78, 0x56, 0x34, 0x12, 0xe6, 0xf4});
    ASSERT_EQ(guest->run({1'000'000, 0}).ending, Ending::exit_port);
    const auto& below = guest->machine().system().memory;
    const u8* const same_number = below.pointer(Hpa{0x10'1000});
    const u8* const bytes = guest->vm().bytes_at(Gpa{0x10'1000});
    ASSERT_NE(bytes, nullptr);
    EXPECT_EQ(bytes[0], 0x78);
    EXPECT_EQ(bytes[3], 0x12);
    EXPECT_NE(bytes, same_number);
    EXPECT_NE(guest->machine().layout().epc_base, 0x1'0000'0000u);
}

TEST_F(SmallGuest, MemoryAboveFourGibIsReachedThroughTheGuestsOwnTables) {
    memory = 4 * platform::gib;
    load({0xe6, 0xf4});
    EXPECT_EQ(guest->vm().bytes_at(Gpa{0xc000'0000}), nullptr);
    const u8* const below_hole = guest->vm().bytes_at(Gpa{0xbfff'f000});
    const u8* const above = guest->vm().bytes_at(Gpa{0x1'0000'0000});
    ASSERT_NE(below_hole, nullptr);
    ASSERT_NE(above, nullptr);
    EXPECT_EQ(above - below_hole, 0x1000);  // RAM is one mapping
}

TEST_F(SmallGuest, TheSameGuestRunsTheSameWay) {
    const std::vector<u8> code{0xb9, 0x10, 0x27, 0, 0, 0xff, 0xc9, 0x75, 0xfc, 0xe6, 0xf4};
    const RunResult first = run(code);
    const auto exits = watched.exits;
    watched.exits.clear();
    const RunResult second = run(code);
    EXPECT_EQ(first.instructions, second.instructions);
    EXPECT_EQ(exits, watched.exits);
    EXPECT_EQ(first.instructions, 1u + 2 * 10'000);  // OUT exits: it retires nothing
}

const std::vector<u8> endless{0xeb, 0xfe};  // jmp $
constexpr u32 external_interrupt = 1;

TEST_F(SmallGuest, TheTimerIsAVmExitAtItsTime) {
    load(endless);
    guest->port().set_timer(5'000);
    EXPECT_FALSE(guest->run_until(4'999));
    EXPECT_NE(watched.exits.back().raw_reason, external_interrupt);
    EXPECT_FALSE(guest->run_until(20'000));
    EXPECT_EQ(watched.exits.back().raw_reason, external_interrupt);
    EXPECT_EQ(watched.exits.back().tsc, 5'000u);
}

TEST_F(SmallGuest, ATimerThatIsTakenBackDoesNotCome) {
    load(endless);
    guest->port().set_timer(5'000);
    guest->port().set_timer(~u64{0});
    EXPECT_FALSE(guest->run_until(20'000));
    EXPECT_NE(watched.exits.back().raw_reason, external_interrupt);
}

TEST_F(SmallGuest, AKickLeavesThePausedGuestOnce) {
    load(endless);
    EXPECT_FALSE(guest->run_until(1'000));
    guest->port().kick(0);
    EXPECT_FALSE(guest->run_until(2'000));
    EXPECT_EQ(watched.exits.back().raw_reason, external_interrupt);
    EXPECT_EQ(watched.exits.back().tsc, 1'000u);
    const size_t exits = watched.exits.size();
    EXPECT_FALSE(guest->run_until(3'000));
    EXPECT_EQ(watched.exits.size(), exits);
}

TEST_F(SmallGuest, WhereItsRunIsCutDoesNotShow) {
    // mov ecx, 10000; l: pause; in al, 40h; dec ecx; jnz l; out 0f4h, al
    const std::vector<u8> code{0xb9, 0x10, 0x27, 0,    0,    0xf3, 0x90, 0xe4,
                               0x40, 0xff, 0xc9, 0x75, 0xf8, 0xe6, 0xf4};
    const RunResult whole = run(code);
    const auto exits = watched.exits;
    watched.exits.clear();
    load(code);
    std::optional<RunResult> cut;
    for (u64 until = 777; !cut; until += 777) cut = guest->run_until(until);
    EXPECT_EQ(cut->instructions, whole.instructions);
    EXPECT_EQ(cut->value, whole.value);
    EXPECT_EQ(exits, watched.exits);
}

TEST_F(SmallGuest, AbsentMemoryReadsAsOnes) {
    // mov edi, 0d0000000h; mov eax, [rdi]; out 0f4h, al
    const RunResult result = run({0xbf, 0, 0, 0, 0xd0, 0x8b, 0x07, 0xe6, 0xf4});
    EXPECT_EQ(result.ending, Ending::exit_port);
    EXPECT_EQ(result.value, 0xffu);
}

TEST_F(SmallGuest, PowerGoesOffByAcpi) {
    // mov dx, 604h; mov ax, 3400h (SLP_EN, type 5); out dx, ax
    const RunResult result = run({0x66, 0xba, 0x04, 0x06, 0x66, 0xb8, 0x00, 0x34, 0x66, 0xef});
    EXPECT_EQ(result.ending, Ending::power_off);
    EXPECT_EQ(exit_status(result), 0);
}

TEST_F(SmallGuest, ABrokenKernelIsRefused) {
    GuestConfig config;
    config.layout = platform::layout_of(memory, 0);
    config.model = &cpu::default_model();
    config.kernel.name = "broken";
    config.kernel.file = {'n', 'o'};
    const auto made = Guest::create(std::move(config), {serial, debug, watched, {}});
    ASSERT_FALSE(made.has_value());
    EXPECT_EQ(made.error().where, "broken");
}

}  // namespace
}  // namespace postern::host

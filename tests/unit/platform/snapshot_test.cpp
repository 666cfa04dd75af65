// SPDX-License-Identifier: Apache-2.0
// Machines that are saved, loaded and run on.
#include "platform/snapshot/snapshot.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "platform/snapshot/container.h"
#include "platform/snapshot/fields.h"
#include "platform/snapshot/processor.h"
#include "unit/platform/running_machine.h"

namespace postern::platform {
namespace {

using test::MachineKind;
using test::RunningMachine;
namespace at = test::running_at;

constexpr u64 whole_run = 40'000;

/// The message in the form that the program prints.
std::string text(const Error& e) { return e.where + ": " + e.what + "; " + e.right; }

std::string load_error(RunningMachine& machine, const snapshot::Bytes& file) {
    const auto loaded = load_snapshot(machine.subject(), file, "file");
    return loaded ? "" : text(loaded.error());
}

TEST(Snapshot, AMachineRunsOnAsIfItHadNeverBeenSaved) {
    RunningMachine straight;
    ASSERT_EQ(straight.run_to(whole_run), cpu::RunOutcome::time);
    const std::string end = straight.digest();
    ASSERT_GT(straight.serial.text().size(), 100u);
    ASSERT_GT(straight.at<u64>(0x9000), 10u);

    for (const u64 when : {u64{1}, u64{8}, u64{777}, u64{1234}, u64{5000}, u64{20'003}}) {
        RunningMachine first;
        ASSERT_EQ(first.run_to(when), cpu::RunOutcome::time);
        const snapshot::Bytes file = snapshot_bytes(first.subject());
        const std::string middle = first.digest();

        RunningMachine second;
        ASSERT_EQ(second.run_to(333), cpu::RunOutcome::time);  // all of which is forgotten
        const std::string noise = second.serial.text();
        ASSERT_EQ(load_error(second, file), "");
        EXPECT_EQ(second.digest(), middle);
        EXPECT_EQ(second.now(), when);
        ASSERT_EQ(second.run_to(whole_run), cpu::RunOutcome::time);
        EXPECT_EQ(second.digest(), end) << "saved at " << when;
        EXPECT_EQ(first.serial.text() + second.serial.text().substr(noise.size()),
                  straight.serial.text());
    }
}

TEST(Snapshot, SavingChangesNothing) {
    RunningMachine straight;
    straight.run_to(10'000);
    RunningMachine saved;
    for (u64 when = 500; when <= 10'000; when += 500) {
        saved.run_to(when);
        static_cast<void>(snapshot_bytes(saved.subject()));
    }
    EXPECT_EQ(saved.digest(), straight.digest());
}

TEST(Snapshot, TheSameStateGivesTheSameBytes) {
    RunningMachine first, second;
    first.run_to(5000);
    second.run_to(2345);
    second.run_to(5000);
    EXPECT_EQ(snapshot_bytes(first.subject()), snapshot_bytes(second.subject()));
}

TEST(Snapshot, TheDigestDoesNotTellHowInstructionsWereRun) {
    RunningMachine ordinary;
    ordinary.run_to(whole_run);
    for (const cpu::Engine engine :
         {cpu::Engine{.unchained = true}, cpu::Engine{.one_code_page = true}}) {
        RunningMachine other;
        other.machine->system().engine = engine;
        other.run_to(whole_run);
        EXPECT_EQ(other.digest(), ordinary.digest());
    }
}

TEST(Snapshot, TheDigestTellsStatesApart) {
    RunningMachine machine;
    machine.run_to(1000);
    const std::string before = machine.digest();
    EXPECT_EQ(before.size(), 64u);
    const auto changes_digest = [&](auto& value) {
        ++value;
        const bool changed = machine.digest() != before;
        --value;
        return changed && machine.digest() == before;
    };
    EXPECT_TRUE(changes_digest(machine.at<u8>(0x7f'ffff)));
    EXPECT_TRUE(changes_digest(machine.c().gpr[r15]));
    EXPECT_TRUE(changes_digest(machine.c().horizon));
    EXPECT_TRUE(changes_digest(machine.machine->system().epc->bytes[0x1f'ffff]));
    EXPECT_TRUE(changes_digest(machine.machine->system().epc->next_enclave_id));
    EXPECT_TRUE(changes_digest(machine.machine->system().epc->next_page_version));
    EXPECT_TRUE(changes_digest(machine.machine->system().sgx_seed));
    EXPECT_TRUE(changes_digest(machine.machine->system().epc->conflicts.asked[11]));
    EXPECT_TRUE(changes_digest(machine.machine->system().epc->entries[511].enclave_address));
    Serial::State state = machine.serial_port.state();
    ++state.scratch;
    machine.serial_port.restore(state);
    EXPECT_NE(machine.digest(), before);
}

/// add al, [0x400000]; jmp back
constexpr u8 reading_code[] = {0x02, 0x04, 0x25, 0x00, 0x00, 0x40, 0x00, 0xeb, 0xf7};

TEST(Snapshot, ATranslationThatItsTableNoLongerGivesIsKept) {
    RunningMachine first{{}, reading_code};
    first.at<u8>(at::small_pages) = 1;
    first.at<u8>(at::small_pages + page_size) = 100;
    first.run_to(10);
    ASSERT_EQ(first.c().gpr[rax], 5u);
    first.at<u64>(at::pt) += page_size;  // without INVLPG

    RunningMachine second;
    ASSERT_EQ(load_error(second, snapshot_bytes(first.subject())), "");
    second.run_to(20);
    EXPECT_EQ(second.c().gpr[rax], 10u);
    cpu::flush_translations(second.c());
    second.run_to(22);
    EXPECT_EQ(second.c().gpr[rax], 110u);
}

TEST(Snapshot, CodeCachedBeforeLoadingIsNotRun) {
    RunningMachine first{{}, reading_code};
    first.at<u8>(at::small_pages) = 1;
    first.run_to(2);
    RunningMachine second;
    second.run_to(20);  // from the same address, other code
    ASSERT_EQ(load_error(second, snapshot_bytes(first.subject())), "");
    second.run_to(1002);
    EXPECT_EQ(second.c().gpr[rax], 501u & 0xff);
}

TEST(Snapshot, ConflictsAndInterruptionsThatWereAskedForAreRestored) {
    RunningMachine first;
    cpu::sgx::Conflicts& conflicts = first.machine->system().epc->conflicts;
    conflicts.rate[2] = cpu::sgx::Conflicts::always;
    conflicts.seed[2] = 5;
    conflicts.asked[2] = 9;
    conflicts.given[63] = 8;
    cpu::sgx::Interruptions& interruptions = first.machine->system().epc->interruptions;
    interruptions.when = cpu::sgx::Interruptions::When::every;
    interruptions.number = 10;
    interruptions.retired = 95;
    interruptions.due = 100;
    RunningMachine second;
    ASSERT_EQ(load_error(second, snapshot_bytes(first.subject())), "");
    const cpu::sgx::Conflicts& loaded = second.machine->system().epc->conflicts;
    EXPECT_EQ(loaded.rate[2], u64{1} << 32);
    EXPECT_EQ(loaded.seed[2], 5u);
    EXPECT_EQ(loaded.asked[2], 9u);
    EXPECT_EQ(loaded.given[63], 8u);
    EXPECT_EQ(loaded.rate[3], 0u);
    const cpu::sgx::Interruptions& wished = second.machine->system().epc->interruptions;
    EXPECT_EQ(wished.when, cpu::sgx::Interruptions::When::every);
    EXPECT_EQ(wished.number, 10u);
    EXPECT_EQ(wished.retired, 95u);
    EXPECT_EQ(wished.due, 100u);
}

TEST(Snapshot, TheEpcIsRestored) {
    RunningMachine first;
    cpu::Epc& epc = *first.machine->system().epc;
    epc.next_enclave_id = 77;
    epc.next_page_version = 88;
    epc.bytes[5 * page_size + 9] = 0xab;
    epc.entries[5] = {.enclave_address = 0x1234'5000,
                      .tracking_epoch = 9,
                      .enclave_secs = 3,
                      .page_type = PageType::reg,
                      .valid = true,
                      .r = true,
                      .w = false,
                      .x = true,
                      .blocked = false,
                      .pending = false,
                      .modified = false,
                      .pr = false,
                      .reserved = {}};
    RunningMachine second;
    second.machine->system().epc->bytes[0] = 1;
    second.machine->system().epc->entries[0].valid = true;
    ASSERT_EQ(load_error(second, snapshot_bytes(first.subject())), "");
    const cpu::Epc& loaded = *second.machine->system().epc;
    EXPECT_EQ(loaded.next_enclave_id, 77u);
    EXPECT_EQ(loaded.next_page_version, 88u);
    EXPECT_EQ(loaded.bytes[5 * page_size + 9], 0xab);
    EXPECT_EQ(loaded.bytes[0], 0);
    EXPECT_FALSE(loaded.entries[0].valid);
    EXPECT_EQ(loaded.entries[5].enclave_address, 0x1234'5000u);
    EXPECT_EQ(loaded.entries[5].tracking_epoch, 9u);
    EXPECT_TRUE(loaded.entries[5].x);
}

/// A snapshot, changed in every way that can be told from outside.
class BadSnapshot : public ::testing::Test {
protected:
    void SetUp() override {
        machine.run_to(2000);
        file = snapshot_bytes(machine.subject());
        before = machine.digest();
    }
    /// Nothing must change when loading fails.
    std::string refused() {
        const std::string message = load_error(machine, file);
        EXPECT_EQ(machine.digest(), before);
        return message;
    }

    RunningMachine machine;
    snapshot::Bytes file;
    std::string before;
};

TEST_F(BadSnapshot, OtherFilesAreNone) {
    file = {'E', 'L', 'F'};
    EXPECT_EQ(refused(), "file: not a snapshot; a file that --save wrote");
    file.clear();
    EXPECT_EQ(refused(), "file: not a snapshot; a file that --save wrote");
}

TEST_F(BadSnapshot, AnotherVersionIsNamed) {
    file[8] = 99;
    EXPECT_EQ(refused(),
              "file: a snapshot of version 99; one of version 4, which this program writes");
}

TEST_F(BadSnapshot, AnotherLayoutOfTheStateIsRefused) {
    // With its checksum right, as the other build would have written it.
    file = snapshot::encode_container({4, snapshot::processor_layout() + 1}, {});
    EXPECT_EQ(refused(),
              "file: a snapshot by a build that lays out the machine's state differently; one "
              "written by this build");
}

TEST_F(BadSnapshot, EveryTruncationIsSeen) {
    const snapshot::Bytes whole = file;
    for (size_t size = 24; size < whole.size(); size += size < 4096 ? 1 : 509) {
        file.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        const std::string message = load_error(machine, file);
        ASSERT_EQ(message.find("file: the snapshot is truncated"), 0u) << size << ": " << message;
    }
    EXPECT_EQ(machine.digest(), before);
}

TEST_F(BadSnapshot, EveryFlippedBitIsSeen) {
    for (size_t n = 0; n < file.size(); n += n < 4096 ? 1 : 251) {
        file[n] ^= 0x10;
        ASSERT_NE(load_error(machine, file), "") << "byte " << n;
        file[n] ^= 0x10;
    }
    EXPECT_EQ(machine.digest(), before);
}

TEST_F(BadSnapshot, WhatFollowsItsEndIsSeen) {
    file.push_back(0);
    EXPECT_EQ(refused(), "file: bytes follow the snapshot's end; a file that --save wrote");
}

std::string load_into(const MachineKind& kind, const snapshot::Bytes& file) {
    RunningMachine machine{kind};
    return load_error(machine, file);
}

TEST_F(BadSnapshot, OtherOptionsAreNamed) {
    EXPECT_EQ(load_into({.memory = 10 * mib}, file),
              "file: a snapshot of a machine with --memory 8M, and this one has 10M; --memory 8M");
    EXPECT_EQ(load_into({.epc = 4 * mib}, file),
              "file: a snapshot of a machine with --epc 2M, and this one has 4M; --epc 2M");
    EXPECT_EQ(load_into({.epc = 0}, file),
              "file: a snapshot of a machine with --epc 2M, and this one has 0; --epc 2M");
    cpu::Model model = cpu::default_model();
    model.features.set(cpu::Feature::avx2, !cpu::has_feature(model, cpu::Feature::avx2));
    EXPECT_EQ(load_into({.model = &model}, file),
              "file: a snapshot of a machine whose " + std::string{model.name} +
                  " has other features; --cpu with the features that it was saved with");
    model = cpu::default_model();
    model.physical_bits = 40;
    EXPECT_EQ(load_into({.model = &model}, file),
              "file: a snapshot of a machine with --cpu postern-v3,phys-bits=46, and this one has "
              "phys-bits=40; --cpu postern-v3,phys-bits=46");
    model.name = "other";
    EXPECT_EQ(load_into({.model = &model}, file),
              "file: a snapshot of a machine with --cpu " + std::string{cpu::default_model().name} +
                  ", and this one has other; --cpu " + std::string{cpu::default_model().name});
}

TEST_F(BadSnapshot, AnotherSgxSeedIsNamed) {
    machine.machine->system().sgx_seed = 7;
    EXPECT_EQ(load_error(machine, file),
              "file: a snapshot of a machine with --sgx-seed 1, and this one has 7; --sgx-seed 1");
}

TEST_F(BadSnapshot, OtherChoicesAreRefused) {
    machine.machine->system().choices.vmx_instruction_in_enclave_is_ud = true;
    EXPECT_EQ(load_error(machine, file),
              "file: a snapshot of a machine with other choices; the same --choice options that "
              "it was saved with");
}

TEST_F(BadSnapshot, OtherDevicesAreRefused) {
    const auto loaded = load_snapshot(subject_of(*machine.machine), file, "file");
    ASSERT_FALSE(loaded.has_value());
    EXPECT_EQ(text(loaded.error()),
              "file: the snapshot lacks section epcm; a file that --save wrote, and the same "
              "options as then");
}

class SnapshotFile : public ::testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (std::filesystem::temp_directory_path() / "snapshot.XXXXXX").string();
        ASSERT_NE(mkdtemp(pattern.data()), nullptr);
        directory = pattern;
        path = (directory / "machine.snap").string();
    }
    void TearDown() override { std::filesystem::remove_all(directory); }

    std::filesystem::path directory;
    std::string path;
};

TEST_F(SnapshotFile, IsWrittenAndReadBack) {
    RunningMachine first;
    first.run_to(3000);
    ASSERT_TRUE(save_snapshot(first.subject(), path).has_value());
    EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
    EXPECT_EQ(std::filesystem::file_size(path), snapshot_bytes(first.subject()).size());
    RunningMachine second;
    ASSERT_TRUE(load_snapshot(second.subject(), path).has_value());
    EXPECT_EQ(second.digest(), first.digest());
}

TEST_F(SnapshotFile, IsNotThereIfItCannotBeWritten) {
    RunningMachine machine;
    std::filesystem::create_directory(path);  // what is to be replaced cannot be
    const auto saved = save_snapshot(machine.subject(), path);
    ASSERT_FALSE(saved.has_value());
    EXPECT_EQ(saved.error().where, path);
    EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
    const auto nowhere = save_snapshot(machine.subject(), path + "/no/such");
    ASSERT_FALSE(nowhere.has_value());
    EXPECT_EQ(nowhere.error().what, "the snapshot cannot be written (No such file or directory)");
}

TEST_F(SnapshotFile, ThatIsMissingOrAbsurdlyLargeIsRefused) {
    RunningMachine machine;
    const auto missing = load_snapshot(machine.subject(), path);
    ASSERT_FALSE(missing.has_value());
    EXPECT_EQ(text(missing.error()), path + ": no such file; a file that --save wrote");
    std::ofstream{path}.put('x');
    std::filesystem::resize_file(path, 1u << 30);
    const auto large = load_snapshot(machine.subject(), path);
    ASSERT_FALSE(large.has_value());
    EXPECT_NE(large.error().what.find("bytes are more than the"), std::string::npos);
}

// What follows is about a hostile file: every checksum is right.

class HostileSnapshot : public BadSnapshot {
protected:
    void SetUp() override {
        BadSnapshot::SetUp();
        const auto found = snapshot::decode_container(file, "file", version());
        ASSERT_TRUE(found.has_value());
        for (const auto& s : *found) sections.push_back({s.name, {s.bytes.begin(), s.bytes.end()}});
    }
    static snapshot::Version version() { return {4, snapshot::processor_layout()}; }
    snapshot::Bytes& section(const std::string& name) {
        for (auto& s : sections)
            if (s.name == name) return s.bytes;
        ADD_FAILURE() << name;
        return sections.front().bytes;
    }
    template <class T>
    void put(const std::string& name, size_t offset, T value) {
        snapshot::Bytes& bytes = section(name);
        ASSERT_LE(offset + sizeof value, bytes.size());
        std::memcpy(&bytes[offset], &value, sizeof value);
    }
    void expect_senseless(const std::string& name) {
        file = snapshot::encode_container(version(), sections);
        EXPECT_EQ(refused(), "file: section " + name +
                                 " of the snapshot makes no sense; a file that --save wrote, and "
                                 "the same options as then");
    }

    std::vector<snapshot::Section> sections;
};

TEST_F(HostileSnapshot, ATruthValueThatIsNeitherIsRefused) {
    put<u8>("cpu.0", offsetof(cpu::Cpu, event) + offsetof(cpu::EventState, nmi_pending), 2);
    expect_senseless("cpu.0");
}

TEST_F(HostileSnapshot, AnUnknownActivityIsRefused) {
    put<u32>("cpu.0", offsetof(cpu::Cpu, event) + offsetof(cpu::EventState, activity), 4);
    expect_senseless("cpu.0");
}

TEST_F(HostileSnapshot, MxcsrBitsThatTheHostWouldRefuseAreRefused) {
    put<u32>("cpu.0", offsetof(cpu::Cpu, vector) + offsetof(cpu::VectorState, mxcsr), 0x1'0000);
    expect_senseless("cpu.0");
}

TEST_F(HostileSnapshot, AnEnclavesFrameBeyondTheEpcIsRefused) {
    constexpr size_t enclave = offsetof(cpu::Cpu, enclave);
    put<u8>("cpu.0", enclave + offsetof(cpu::Enclave, active), 1);
    put<u64>("cpu.0", enclave + offsetof(cpu::Enclave, size), 0x10'0000);
    put<u32>("cpu.0", enclave + offsetof(cpu::Enclave, ssa_frame_pages), 1);
    file = snapshot::encode_container(version(), sections);
    RunningMachine fine;
    EXPECT_EQ(load_error(fine, file), "");
    put<u64>("cpu.0", enclave + offsetof(cpu::Enclave, ssa_gpr), 2 * mib);
    expect_senseless("cpu.0");
}

TEST_F(HostileSnapshot, ATranslationToOutsideOfMemoryIsRefused) {
    ASSERT_GE(section("tlb.0").size(), 16u + 32u);  // the code page, a translation
    put<u64>("tlb.0", 16 + 8, 8 * mib);
    expect_senseless("tlb.0");
}

TEST_F(HostileSnapshot, ACodePageOutsideOfMemoryIsRefused) {
    put<u64>("tlb.0", 0, 8 * mib);
    expect_senseless("tlb.0");
}

TEST_F(HostileSnapshot, AMonitoredLineOutsideOfMemoryIsRefused) {
    constexpr size_t monitor = offsetof(cpu::Cpu, monitor);
    put<u8>("cpu.0", monitor + offsetof(cpu::Monitor, armed), 1);
    put<u64>("cpu.0", monitor + offsetof(cpu::Monitor, line), 8 * mib);
    expect_senseless("cpu.0");
}

TEST_F(HostileSnapshot, AVirtualApicWriteThatIsNeitherTrueNorFalseIsRefused) {
    constexpr size_t apic = offsetof(cpu::Cpu, vmx) + offsetof(cpu::VmxState, virtual_apic);
    put<u8>("cpu.0", apic + offsetof(cpu::VirtualApicState, write_pending), 2);
    expect_senseless("cpu.0");
}

TEST_F(HostileSnapshot, AVirtualApicWriteOutsideOfItsPageIsRefused) {
    constexpr size_t apic = offsetof(cpu::Cpu, vmx) + offsetof(cpu::VmxState, virtual_apic);
    put<u16>("cpu.0", apic + offsetof(cpu::VirtualApicState, write_offset), 0x1000);
    expect_senseless("cpu.0");
}

TEST_F(HostileSnapshot, AnEpcmEntryWithAnUnknownSecsIsRefused) {
    snapshot::Bytes& epcm = section("epcm");
    const size_t entries = epcm.size();  // there are none
    epcm.resize(entries + 40);
    put<u32>("epcm", entries + 8 + offsetof(EpcmEntry, enclave_secs), 512);
    expect_senseless("epcm");
}

TEST_F(HostileSnapshot, AVersionThatMeansAnEmptySlotIsRefused) {
    put<u64>("epcm", 8, 0);
    expect_senseless("epcm");
}

TEST_F(HostileSnapshot, ARateOfConflictsAboveOneIsRefused) {
    put<u64>("epcm", 16, cpu::sgx::Conflicts::always + 1);
    expect_senseless("epcm");
}

TEST_F(HostileSnapshot, InterruptionsAfterEveryZeroInstructionsAreRefused) {
    using cpu::sgx::Interruptions;
    const size_t at = section("epcm").size() - sizeof(Interruptions);  // there are no entries
    put<u64>("epcm", at + offsetof(Interruptions, when), 1);
    expect_senseless("epcm");
    put<u64>("epcm", at + offsetof(Interruptions, number), 1);
    put<u64>("epcm", at + offsetof(Interruptions, when), 4);
    expect_senseless("epcm");
}

TEST_F(HostileSnapshot, ADevicesIndexBeyondItsArrayIsRefused) {
    put<u8>("device.serial", offsetof(Serial::State, fifo_first), 16);
    expect_senseless("device.serial");
}

TEST_F(HostileSnapshot, MorePagesThanTheMachineHasAreRefused) {
    put<u32>("ram", 0, 8);  // the first piece's number
    expect_senseless("ram");
}

TEST_F(HostileSnapshot, AMissingSectionIsNamed) {
    sections.pop_back();
    file = snapshot::encode_container(version(), sections);
    EXPECT_EQ(refused(),
              "file: the snapshot lacks section epc; a file that --save wrote, and the "
              "same options as then");
}

TEST_F(HostileSnapshot, ASectionTooManyIsNamed) {
    sections.push_back({"surprise", {}});
    file = snapshot::encode_container(version(), sections);
    EXPECT_EQ(refused(),
              "file: section surprise is none that this machine has; a file that --save "
              "wrote, and the same options as then");
}

// Whoever adds a member to the processor's state adds it to fields.h.

/// Where the members lie that fields.h names.
template <class State>
std::vector<bool> named_bytes(const State& state) {
    std::vector<bool> named(sizeof state);
    snapshot::each_field(state, [&](const auto& field) {
        const auto from = reinterpret_cast<const u8*>(&field) - reinterpret_cast<const u8*>(&state);
        std::fill_n(named.begin() + from, sizeof field, true);
    });
    return named;
}

TEST(SnapshotFields, LeaveNoGapInAProcessorThatIsMoreThanAlignment) {
    const auto c = std::make_unique<cpu::Cpu>();
    std::vector<bool> named = named_bytes(*c);
    std::fill_n(named.begin() + offsetof(cpu::Cpu, next_rip), sizeof c->next_rip, true);
    std::fill_n(named.begin() + offsetof(cpu::Cpu, pending), sizeof c->pending, true);
    size_t gap = 0;
    for (size_t n = 0; n < snapshot::processor_bytes; ++n) {
        gap = named[n] ? 0 : gap + 1;
        const size_t most = n / 64 == offsetof(cpu::Cpu, vector) / 64 - 1 ? 63 : 7;
        const bool vector_end =
            n >= offsetof(cpu::Cpu, event) - 64 && n < offsetof(cpu::Cpu, event);
        ASSERT_LE(gap, vector_end ? 63 : most) << "byte " << n << " of cpu::Cpu";
    }
}

#if __has_builtin(__builtin_clear_padding)
template <class State>
class SnapshotFieldsOf : public ::testing::Test {};

// Not SpaceTags: g++ 12 clears the padding at its end in the second of its tags.
using States = ::testing::Types<cpu::DescriptorTable, cpu::EventInProgress, cpu::EventState,
                                cpu::ApicAccessPage, cpu::VirtualApicState, cpu::SpaceTag,
                                cpu::Enclave, cpu::Monitor>;
TYPED_TEST_SUITE(SnapshotFieldsOf, States);

TYPED_TEST(SnapshotFieldsOf, NameEveryByteThatIsNotPadding) {
    TypeParam state;
    std::memset(static_cast<void*>(&state), 0xff, sizeof state);
    __builtin_clear_padding(&state);
    const std::vector<bool> named = named_bytes(state);
    for (size_t n = 0; n < sizeof state; ++n)
        ASSERT_EQ(named[n], reinterpret_cast<const u8*>(&state)[n] != 0) << "byte " << n;
}
#endif

}  // namespace
}  // namespace postern::platform

// SPDX-License-Identifier: Apache-2.0
// Runs the programs for a whole computer as a hosted guest, whose local APICs are virtual: with
// APIC virtualization and without it they must end as they do bare. See ../README.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include "computer/programs.h"
#include "cpu/model.h"
#include "host/guest.h"

namespace postern::host {
namespace {

constexpr u64 most_time = 50'000'000;
constexpr u64 entry = 0x10'0000, program_at = 0x1'0000, program_size = 0x4000;

/// What hosted guests do not have, by the beginning of the program's name: MWAIT, which is hidden
/// from them, and of VMX what hv/nested does not offer.
constexpr std::array<std::string_view, 4> left_out{"vmx_posted_", "vmx_virtual_",
                                                   "ept_with_a_modif", "mwait_"};

/// An ELF file: the way to 32-bit mode at 1 MiB, the program where it expects to be.
std::vector<u8> kernel_of(const std::vector<u8>& program) {
    constexpr size_t way_offset = 0x1000, program_offset = 0x2000;
    std::vector<u8> file(program_offset + program_size);
    const auto put = [&file](size_t at, u64 value, size_t size) {
        std::memcpy(file.data() + at, &value, size);
    };
    const auto segment = [&put](size_t at, u64 offset, u64 address, u64 size) {
        put(at, 1 | u64{7} << 32, 8);  // to be loaded; all accesses
        put(at + 8, offset, 8);
        put(at + 16, address, 8);
        put(at + 24, address, 8);
        put(at + 32, size, 8);
        put(at + 40, size, 8);
        put(at + 48, page_size, 8);
    };
    put(0, 0x0001'0102'464c'457f, 8);  // 64 bits, little-endian
    put(16, 2 | 62u << 16, 4);         // executable, x86-64
    put(20, 1, 4);
    put(24, entry, 8);
    put(32, 64, 8);  // the two program headers follow
    put(52, 64 | 56u << 16, 4);
    put(56, 2, 2);
    segment(64, way_offset, entry, page_size);
    segment(64 + 56, program_offset, program_at, program_size);
    const std::vector<u8> way = test::bytes_of(COMPUTER_BINARIES "/to_protected_mode.bin");
    std::ranges::copy(way, file.begin() + way_offset);
    std::ranges::copy(program, file.begin() + program_offset);
    return file;
}

class Silent final : public hv::Watcher {
public:
    void exit(const hv::ExitRecord&) override {}
    void anomaly(hv::Anomaly anomaly, const hv::ExitRecord& record) override {
        ADD_FAILURE() << "anomaly " << static_cast<unsigned>(anomaly) << " at exit reason "
                      << record.raw_reason;
    }
    void stopped(const hv::StopReport& report) override {
        ADD_FAILURE() << "stopped: " << static_cast<unsigned>(report.reason) << " "
                      << (report.what != nullptr ? report.what : "") << ", exit reason "
                      << report.exit.raw_reason << ", RIP " << std::hex << report.exit.rip_or_aep;
    }
};

class HostedTest : public testing::Test {
public:
    HostedTest(std::string source, std::string binary, bool apicv)
        : source_{std::move(source)}, binary_{std::move(binary)}, apicv_{apicv} {}
    void TestBody() override;

private:
    std::string source_, binary_;
    bool apicv_;
};

void HostedTest::TestBody() {
    const test::Specification s = test::read_specification(source_);
    ASSERT_EQ(s.error, "");
    const std::vector<u8> program = test::bytes_of(binary_);
    ASSERT_FALSE(program.empty());
    ASSERT_LE(program.size(), program_size);
    GuestConfig config;
    config.layout = platform::layout_of(64 * platform::mib, 0);
    config.model = &cpu::default_model();
    config.processors = s.processors;
    config.apicv = apicv_;
    config.nested = true;
    config.kernel.name = "test";
    config.kernel.file = kernel_of(program);
    platform::NullSink nowhere;
    Silent silent;
    auto guest = Guest::create(std::move(config), {nowhere, nowhere, silent, {}});
    ASSERT_TRUE(guest.has_value()) << guest.error().what;
    const RunResult result = (*guest)->run({most_time, 0});
    ASSERT_EQ(result.ending, Ending::exit_port) << result.what;
    EXPECT_EQ(result.value, s.exit);
    for (const auto& [at, bytes] : s.memory) {
        const u8* const ram = (*guest)->vm().bytes_at(Gpa{at});
        ASSERT_NE(ram, nullptr);
        EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), ram))
            << "at " << std::hex << at << ": " << unsigned{ram[0]} << " " << unsigned{ram[1]} << " "
            << unsigned{ram[2]} << " " << unsigned{ram[3]};
    }
}

void register_tests() {
    for (const auto& [name, source, binary] : test::computer_programs()) {
        const auto begins_name = [&name](std::string_view start) {
            return name.starts_with(start);
        };
        if (std::ranges::any_of(left_out, begins_name)) continue;
        for (const bool apicv : {true, false})
            testing::RegisterTest(apicv ? "HostedWithApicv" : "HostedWithoutApicv", name.c_str(),
                                  nullptr, nullptr, source.c_str(), 1,
                                  [source, binary, apicv]() -> testing::Test* {
                                      return new HostedTest{source, binary, apicv};
                                  });
    }
}

}  // namespace
}  // namespace postern::host

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    postern::host::register_tests();
    return RUN_ALL_TESTS();
}

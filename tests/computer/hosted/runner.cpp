// SPDX-License-Identifier: Apache-2.0
// Runs the programs for a whole computer as a hosted guest, whose local APICs are virtual: with
// APIC virtualization and without it they must end as they do bare. See ../README.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string_view>
#include <vector>

#include "cpu/model.h"
#include "host/guest.h"

namespace postern::host {
namespace {

constexpr u64 most_time = 50'000'000;
constexpr u64 entry = 0x10'0000, program_at = 0x1'0000, program_size = 0x4000;

/// What hosted guests do not have, by the beginning of the program's name: MWAIT, which is hidden
/// from them, and of VMX what hv/nested does not offer.
constexpr std::array<std::string_view, 4> left_out{"vmx_posted_", "vmx_virtual_", "ept_with_a_modif",
                                                   "mwait_"};

struct Specification {
    unsigned processors = 1;
    u32 exit = 0;
    std::map<u64, std::vector<u8>> memory;
};

u64 number(const std::string& text) { return std::strtoull(text.c_str(), nullptr, 0); }

/// The headers are checked by the other runner.
Specification parse(const std::string& source) {
    Specification s;
    std::ifstream file{source};
    for (std::string text; std::getline(file, text);) {
        if (!text.starts_with("#:")) continue;
        std::istringstream line{text.substr(2)};
        std::string what, value;
        line >> what >> value;
        if (what == "processors") s.processors = static_cast<unsigned>(number(value));
        if (what == "exit") s.exit = static_cast<u32>(number(value));
        if (!what.starts_with('[')) continue;
        std::vector<u8>& bytes = s.memory[number(what.substr(1, what.size() - 2))];
        while (line >> value) bytes.push_back(static_cast<u8>(std::stoul(value, nullptr, 16)));
    }
    return s;
}

std::vector<u8> bytes_of(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

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
    const std::vector<u8> way = bytes_of(COMPUTER_BINARIES "/to_protected_mode.bin");
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
    const Specification s = parse(source_);
    const std::vector<u8> program = bytes_of(binary_);
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
    namespace fs = std::filesystem;
    const fs::path sources{COMPUTER_SOURCES}, binaries{COMPUTER_BINARIES};
    std::vector<fs::path> files;
    for (const fs::directory_entry& e : fs::directory_iterator{sources})
        if (e.path().extension() == ".s") files.push_back(e.path().filename());
    std::ranges::sort(files);
    for (const fs::path& file : files) {
        const std::string name = file.stem();
        if (std::ranges::any_of(left_out, [&](auto start) { return name.starts_with(start); }))
            continue;
        const std::string source = sources / file;
        const std::string binary = (binaries / file).replace_extension(".bin");
        for (const bool apicv : {true, false})
            testing::RegisterTest(apicv ? "HostedWithApicv" : "HostedWithoutApicv", name.c_str(),
                                  nullptr, nullptr, source.c_str(), 1, [=]() -> testing::Test* {
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

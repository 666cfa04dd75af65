// SPDX-License-Identifier: Apache-2.0
// Runs every assembled file in all its ways and compares with its header.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "arch/regs/gpr.h"
#include "asm/specification.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"
#include "support/guest_code.h"

namespace postern::asm_test {
namespace {

using namespace cpu;

constexpr u64 most_instructions = 100'000;
constexpr u64 memory_first = guest_at::code, memory_last = guest_at::page_tables;
constexpr u8 filling = 0xa5;
constexpr u32 user_bit = 4;  // of #PF's error code

struct FlagName {
    const char* name;
    unsigned bit;
};
constexpr std::array flag_names{FlagName{"cf", 0},  FlagName{"pf", 2},  FlagName{"af", 4},
                                FlagName{"zf", 6},  FlagName{"sf", 7},  FlagName{"tf", 8},
                                FlagName{"df", 10}, FlagName{"of", 11}, FlagName{"ac", 18}};

/// What decides how code runs; only the start sets them, code reads and changes them itself.
struct SystemName {
    const char* name;
    void (*set)(Cpu& c, u64 value);
};
constexpr std::array system_names{
    SystemName{"cr0", [](Cpu& c, u64 v) { c.cr0 = Cr0Word::from_raw(v); }},
    SystemName{"cr3", [](Cpu& c, u64 v) { c.cr3 = v; }},
    SystemName{"cr4", [](Cpu& c, u64 v) { c.cr4 = Cr4Word::from_raw(v); }},
    SystemName{"efer", [](Cpu& c, u64 v) { c.efer = EferWord::from_raw(v); }},
    SystemName{"pkru", [](Cpu& c, u64 v) { c.pkru = static_cast<u32>(v); }},
    SystemName{"xcr0", [](Cpu& c, u64 v) { c.xcr0 = v; }}};

std::vector<u8> read_file(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
}

std::optional<u64> find(const Values& values, std::string_view name) {
    const auto at = values.find(std::string{name});
    return at == values.end() ? std::nullopt : std::optional{at->second};
}

bool is_open(const Specification& s, std::string_view name) {
    return std::ranges::find(s.open, name) != s.open.end();
}

class Way {
public:
    Way(const Specification& s, const std::vector<u8>& code, u32 cpl, u64 slice)
        : s_{s}, code_{code}, cpl_{cpl}, slice_{slice}, machine_{cpl} {}
    GuestStop run();
    void check(const GuestStop& stop) const;

private:
    void prepare();
    void prepare_system();
    void check_end(const GuestStop& stop) const;
    void check_fault(const GuestStop& stop) const;
    void check_registers(const GuestState& state) const;
    void check_memory(const GuestStop& stop) const;

    const Specification& s_;
    const std::vector<u8>& code_;
    u32 cpl_;
    u64 slice_;
    GuestCode machine_;
    GuestState before_{};
    std::vector<u8> memory_before_;
    u64 code_base_ = 0;
};

void Way::prepare() {
    std::memset(machine_.ram(guest_at::data), filling, guest_at::stack - guest_at::data);
    machine_.write(s_.at, code_);
    if (cpl_ == 0)
        machine_.write(s_.at + code_.size(), GuestCode::hlt);
    else
        machine_.write(s_.at + code_.size(), GuestCode::int80);
    for (const auto& [at, bytes] : s_.memory_in) machine_.write(at, bytes);
    if (s_.mode != GuestMode::long64) machine_.set_mode(s_.mode);
    machine_.set_plain_state(s_.at);
    prepare_system();
    Cpu& c = machine_.c;
    for (unsigned n = 0; n < gpr_count; ++n)
        if (const auto value = find(s_.in, gpr_names[n])) c.gpr[n] = *value;
    u64 flags = 0;
    for (const FlagName& f : flag_names) flags |= find(s_.in, f.name).value_or(0) << f.bit;
    set_rflags(c, flags);
    std::copy_n(c.gpr.begin(), gpr_count, before_.gpr.begin());
    before_.rflags = flags;
    if (s_.mode != GuestMode::long64) code_base_ = c.segment[cs].base;
    memory_before_.assign(machine_.ram(memory_first), machine_.ram(memory_last));
    for (const auto& [at, bytes] : s_.memory_out)
        std::ranges::copy(bytes, memory_before_.begin() + static_cast<i64>(at - memory_first));
}

/// SDM 3A, "PDPTE Registers": with PAE paging they are loaded with CR3.
void Way::prepare_system() {
    Cpu& c = machine_.c;
    for (const SystemName& row : system_names)
        if (const auto value = find(s_.in, row.name)) row.set(c, *value);
    if (s_.in.contains("cr3") && c.cr4.has(Cr4::pae) && !c.efer.has(Efer::lma))
        for (unsigned n = 0; n < c.pdpte.size(); ++n) c.pdpte[n] = machine_.at<u64>(c.cr3 + 8 * n);
    flush_translations(c);
}

GuestStop Way::run() {
    prepare();
    return machine_.run(s_.stop.value_or(most_instructions), slice_);
}

void Way::check_fault(const GuestStop& stop) const {
    ASSERT_TRUE(stop.fault.has_value()) << "no fault";
    const Fault& wanted = *s_.fault;
    EXPECT_EQ(mnemonic_of(stop.fault->vector), wanted.name);
    const bool is_page_fault = stop.fault->vector == Vector::page_fault;
    const u32 user = is_page_fault && cpl_ == 3 ? user_bit : 0;
    if (wanted.error_code) {
        EXPECT_EQ(stop.fault->error_code, *wanted.error_code | user);
    }
    EXPECT_EQ(stop.fault->cr2, wanted.cr2.value_or(stop.fault->cr2));
    EXPECT_EQ(stop.state.rip, wanted.at.value_or(s_.at - code_base_));
}

void Way::check_end(const GuestStop& stop) const {
    if (s_.stop) {
        EXPECT_EQ(stop.outcome, RunOutcome::time);
        EXPECT_EQ(stop.state.rip, *s_.stop_rip);
        return;
    }
    ASSERT_EQ(stop.outcome, RunOutcome::halted)
        << (machine_.c.pending.what != nullptr ? machine_.c.pending.what : "");
    if (s_.fault) return check_fault(stop);
    ASSERT_FALSE(stop.fault.has_value())
        << mnemonic_of(stop.fault->vector) << " at " << std::hex << stop.state.rip;
    const u64 end =
        cpl_ == 3 ? code_base_ + stop.state.rip : code_linear(machine_.c, stop.state.rip);
    EXPECT_EQ(end, s_.at + code_.size());
}

void Way::check_registers(const GuestState& state) const {
    for (unsigned n = 0; n < gpr_count; ++n) {
        if (is_open(s_, gpr_names[n])) continue;
        EXPECT_EQ(state.gpr[n], find(s_.out, gpr_names[n]).value_or(before_.gpr[n]))
            << gpr_names[n] << ": " << std::hex << state.gpr[n];
    }
    for (const FlagName& f : flag_names) {
        if (is_open(s_, f.name)) continue;
        EXPECT_EQ(state.rflags >> f.bit & 1,
                  find(s_.out, f.name).value_or(before_.rflags >> f.bit & 1))
            << f.name;
    }
}

constexpr u64 longest_frame = 16;

/// What a fault outside IA-32e mode pushed on the stack it interrupted, at most.
u64 pushed_first(const Specification& s, const GuestStop& stop, u64 stack_base) {
    const bool pushes = s.fault && s.mode != GuestMode::long64 && s.mode != GuestMode::compat32;
    return pushes ? stack_base + stop.state.gpr[rsp] - longest_frame : memory_last;
}

void Way::check_memory(const GuestStop& stop) const {
    const u8* after = machine_.ram(memory_first);
    const u64 frame = pushed_first(s_, stop, machine_.c.segment[ss].base);
    for (size_t n = 0; n < memory_before_.size(); ++n) {
        if (memory_first + n - frame < longest_frame) continue;
        ASSERT_EQ(memory_before_[n], after[n]) << "at " << std::hex << memory_first + n;
    }
}

void Way::check(const GuestStop& stop) const {
    check_end(stop);
    if (testing::Test::HasFatalFailure()) return;
    check_registers(stop.state);
    check_memory(stop);
    EXPECT_EQ(stop.instructions, s_.instructions.value_or(stop.instructions));
}

class AsmTest : public testing::Test {
public:
    AsmTest(std::string source, std::string binary)
        : source_{std::move(source)}, binary_{std::move(binary)} {}
    void TestBody() override;

private:
    std::string source_, binary_;
};

void AsmTest::TestBody() {
    const Specification s = parse(source_);
    ASSERT_EQ(s.error, "");
    const std::vector<u8> code = read_file(binary_);
    ASSERT_FALSE(code.empty());
    std::optional<u64> retired;
    for (const u32 cpl : {0u, 3u}) {
        if (s.cpl && *s.cpl != cpl) continue;
        for (const u64 slice : {~u64{0}, u64{1}, u64{2}, u64{7}}) {
            SCOPED_TRACE("cpl " + std::to_string(cpl) + ", slices of " + std::to_string(slice));
            Way way{s, code, cpl, slice};
            const GuestStop stop = way.run();
            way.check(stop);
            EXPECT_EQ(stop.instructions, retired.value_or(stop.instructions));
            retired = stop.instructions;
        }
    }
}

void register_tests() {
    namespace fs = std::filesystem;
    const fs::path sources{ASM_SOURCES}, binaries{ASM_BINARIES};
    std::vector<fs::path> files;
    for (const fs::directory_entry& e : fs::recursive_directory_iterator{sources})
        if (e.path().extension() == ".s") files.push_back(fs::relative(e.path(), sources));
    std::ranges::sort(files);
    for (const fs::path& file : files) {
        const std::string group = "Asm_" + file.parent_path().string();
        const std::string source = sources / file;
        const std::string binary = (binaries / file).replace_extension(".bin");
        testing::RegisterTest(group.c_str(), file.stem().c_str(), nullptr, nullptr, source.c_str(),
                              1, [=]() -> testing::Test* { return new AsmTest{source, binary}; });
    }
}

}  // namespace
}  // namespace postern::asm_test

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    postern::asm_test::register_tests();
    return RUN_ALL_TESTS();
}

// SPDX-License-Identifier: Apache-2.0
// The hypervisor's emulation against the processor: random instructions with a memory operand run
// twice from the same state, once on RAM, once on a device that behaves as RAM. Registers, flags,
// memory, page tables and the exceptions must be the same.
#include "tests/unit/host/emulate_rig.h"

#include <fmt/format.h>

#include "tests/support/random.h"

namespace postern::host::test {
namespace {

constexpr u64 seed = 0x0bad'cafe'1234'5678;

using postern::test::Random;

enum class Immediate : u8 { none, byte, full };

/// One opcode; all that a prefix can change about it is left to chance.
struct Form {
    const char* name;
    std::vector<u8> opcode;
    int digit = -1;  // of ModRM.reg; -1: a register
    Immediate immediate = Immediate::none;
    bool byte_operand = false;
    bool lockable = false;
    /// Status flags that the instruction leaves undefined.
    Rflags undefined{};
};

constexpr Rflags none_undefined{};
constexpr Rflags shift_undefined{Rflag::af, Rflag::of, Rflag::cf};
constexpr Rflags bit_undefined{Rflag::af, Rflag::of, Rflag::sf, Rflag::pf};
constexpr Rflags af_undefined{Rflag::af};

std::vector<Form> all_forms() {
    std::vector<Form> forms;
    const std::array<const char*, 8> alu{"add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"};
    for (u8 n = 0; n < 8; ++n) {
        const bool logic = n == 1 || n == 4 || n == 6;
        const Rflags undefined = logic ? af_undefined : none_undefined;
        const bool lock = n != 7;
        for (u8 low = 0; low < 4; ++low)
            forms.push_back({alu[n],
                             {static_cast<u8>(8 * n + low)},
                             -1,
                             Immediate::none,
                             (low & 1) == 0,
                             lock && low < 2,
                             undefined});
        forms.push_back({alu[n], {0x80}, n, Immediate::byte, true, lock, undefined});
        forms.push_back({alu[n], {0x81}, n, Immediate::full, false, lock, undefined});
        forms.push_back({alu[n], {0x83}, n, Immediate::byte, false, lock, undefined});
    }
    for (const u8 wide : {u8{0}, u8{1}}) {
        const bool byte = wide == 0;
        const auto op = [wide](u8 opcode) { return static_cast<u8>(opcode + wide); };
        const Immediate full = byte ? Immediate::byte : Immediate::full;
        forms.push_back({"test", {op(0x84)}, -1, Immediate::none, byte, false, af_undefined});
        forms.push_back({"test", {op(0xf6)}, 0, full, byte, false, af_undefined});
        forms.push_back({"not", {op(0xf6)}, 2, Immediate::none, byte, true});
        forms.push_back({"neg", {op(0xf6)}, 3, Immediate::none, byte, true});
        forms.push_back({"inc", {op(0xfe)}, 0, Immediate::none, byte, true});
        forms.push_back({"dec", {op(0xfe)}, 1, Immediate::none, byte, true});
        forms.push_back({"xchg", {op(0x86)}, -1, Immediate::none, byte, true});
        forms.push_back({"mov", {op(0x88)}, -1, Immediate::none, byte});
        forms.push_back({"mov", {op(0x8a)}, -1, Immediate::none, byte});
        forms.push_back({"mov", {op(0xc6)}, 0, full, byte});
        forms.push_back({"movzx", {0x0f, op(0xb6)}});
        forms.push_back({"movsx", {0x0f, op(0xbe)}});
        forms.push_back({"xadd", {0x0f, op(0xc0)}, -1, Immediate::none, byte, true});
        forms.push_back({"cmpxchg", {0x0f, op(0xb0)}, -1, Immediate::none, byte, true});
        for (const u8 digit : {u8{0}, u8{1}, u8{2}, u8{3}, u8{4}, u8{5}, u8{7}}) {
            const Rflags undefined = digit < 4 ? Rflags{Rflag::of} : shift_undefined;
            forms.push_back({"shift", {op(0xc0)}, digit, Immediate::byte, byte, false, undefined});
            forms.push_back({"shift by 1",
                             {op(0xd0)},
                             digit,
                             Immediate::none,
                             byte,
                             false,
                             digit < 4 ? none_undefined : af_undefined});
            forms.push_back(
                {"shift by cl", {op(0xd2)}, digit, Immediate::none, byte, false, undefined});
        }
    }
    forms.push_back({"movsxd", {0x63}});
    forms.push_back({"movnti", {0x0f, 0xc3}});
    forms.push_back({"movbe", {0x0f, 0x38, 0xf0}});
    forms.push_back({"movbe", {0x0f, 0x38, 0xf1}});
    forms.push_back({"cmpxchg8b/16b", {0x0f, 0xc7}, 1, Immediate::none, false, true});
    for (const u8 opcode : {u8{0xa3}, u8{0xab}, u8{0xb3}, u8{0xbb}})
        forms.push_back(
            {"bt", {0x0f, opcode}, -1, Immediate::none, false, opcode != 0xa3, bit_undefined});
    for (u8 digit = 4; digit < 8; ++digit)
        forms.push_back(
            {"bt", {0x0f, 0xba}, digit, Immediate::byte, false, digit != 4, bit_undefined});
    for (u8 n = 0; n < 16; ++n) {
        forms.push_back({"cmovcc", {0x0f, static_cast<u8>(0x40 + n)}});
        forms.push_back({"setcc", {0x0f, static_cast<u8>(0x90 + n)}, 0, Immediate::none, true});
    }
    return forms;
}

/// Near an edge of a page, or anywhere.
u64 random_target(Random& random) {
    if (random.once_in(3)) return first_linear + random.below(end_linear - first_linear - 16);
    const u64 page = first_linear + page_size * random.below(8);
    return page + (random.once_in(2) ? random.below(16) : page_size - 1 - random.below(16));
}

Start random_start(Random& random) {
    Start start;
    for (u64& value : start.gpr) {
        value = random.next();
        if (random.once_in(3)) value = static_cast<u64>(static_cast<i64>(value) >> 56);
    }
    start.gpr[rsp] = stack_top;
    start.user = random.once_in(3);
    start.rflags = rflags_fixed_one | (random.next() & rflags_status_mask);
    if (random.once_in(6)) start.rflags |= Rflags{Rflag::tf}.to_raw();
    if (random.once_in(4)) start.rflags |= Rflags{Rflag::ac}.to_raw();
    if (random.once_in(3)) start.rflags |= Rflags{Rflag::df}.to_raw();
    return start;
}

void append(std::vector<u8>& code, u64 value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i) code.push_back(static_cast<u8>(value >> 8 * i));
}

/// 32-bit code with segments that do not begin at 0, and sometimes end where the operand is.
void enter_legacy_mode(Random& random, Start& start) {
    start.mode = random.once_in(2) ? Mode::pae : Mode::bits32;
    start.user = false;
    start.ds_base = page_size * random.below(0x500);
    start.es_base = page_size * random.below(0x500);
    for (u64& value : start.gpr) value &= 0xffff'ffff;
}
u32 random_limit(Random& random, u64 offset) {
    if (offset < 16 || offset > 0xf'0000 || random.once_in(2)) return ~u32{0};
    return static_cast<u32>(offset - 8 + random.below(16));
}

/// ModRM, SIB and displacement of an operand at `target`, with the registers that make it so.
struct Address {
    u8 rex = 0;
    std::vector<u8> bytes;
};

Address random_address(Random& random, Start& start, u64 target, u8 reg_field) {
    Address address;
    const auto modrm = [&](unsigned mod, unsigned rm) {
        address.bytes.push_back(static_cast<u8>(mod << 6 | (reg_field & 7u) << 3 | (rm & 7)));
    };
    if (random.once_in(6)) {  // an absolute address by SIB
        modrm(0, 4);
        address.bytes.push_back(0x25);
        append(address.bytes, target, 4);
        return address;
    }
    const bool indexed = random.once_in(2);
    unsigned base = 0;
    const bool legacy = start.mode != Mode::bits64;
    const u64 registers = legacy ? 8 : 16;
    do base = static_cast<unsigned>(random.below(registers));
    while (base == rsp || base == rcx || base == rax || (legacy && base == rbp));
    unsigned index = base;
    while (index == base || index == rsp) index = static_cast<unsigned>(random.below(registers));
    const auto scale = static_cast<unsigned>(random.below(4));
    const bool wide = random.once_in(2);
    const u64 displacement = wide ? static_cast<u64>(static_cast<i32>(random.next()))
                                  : static_cast<u64>(static_cast<i8>(random.next()));
    start.gpr[base] = target - displacement - (indexed ? start.gpr[index] << scale : 0);
    if (legacy) start.gpr[base] &= 0xffff'ffff;
    modrm(wide ? 2 : 1, indexed ? 4 : base);
    if (indexed || (base & 7) == 4) {
        if (!indexed) {  // R12 as a base needs a SIB byte
            address.bytes.back() = static_cast<u8>((address.bytes.back() & ~7u) | 4);
            address.bytes.push_back(0x24);
        } else {
            address.bytes.push_back(static_cast<u8>(scale << 6 | (index & 7) << 3 | (base & 7)));
        }
    }
    append(address.bytes, displacement, wide ? 4 : 1);
    address.rex = static_cast<u8>(base >> 3 | (indexed ? (index >> 3) << 1 : 0));
    return address;
}

void random_instruction(Random& random, const Form& form, Start& start) {
    u64 target = random_target(random);
    const bool operand16 = random.once_in(4);
    const bool legacy = start.mode != Mode::bits64;
    const bool rex_w = !legacy && random.once_in(3);
    if (legacy) {
        target -= start.ds_base;
        target &= 0xffff'ffff;
        start.ds_limit = random_limit(random, target);
    }
    if (form.opcode == std::vector<u8>{0x0f, 0xc7}) target &= ~u64{7};
    unsigned reg = static_cast<unsigned>(form.digit);
    if (form.digit < 0) do
            reg = static_cast<unsigned>(random.below(legacy ? 8 : 16));
        while (reg == rsp);
    // The number of a bit: not so far away that all of them fault.
    if (form.undefined == bit_undefined && form.digit < 0)
        start.gpr[reg] =
            static_cast<u64>(static_cast<i64>(random.next()) >> 49) & (legacy ? ~u32{0} : ~u64{0});
    const Address address = random_address(random, start, target, static_cast<u8>(reg));
    u8 rex = static_cast<u8>(address.rex | (reg >> 3) << 2 | (rex_w ? 8 : 0));
    std::vector<u8>& code = start.code;
    if (form.lockable && random.once_in(3)) code.push_back(0xf0);
    if (operand16) code.push_back(0x66);
    if (!legacy && (rex != 0 || random.once_in(4))) code.push_back(0x40 | rex);
    code.insert(code.end(), form.opcode.begin(), form.opcode.end());
    code.insert(code.end(), address.bytes.begin(), address.bytes.end());
    if (form.immediate == Immediate::byte) append(code, random.next(), 1);
    if (form.immediate == Immediate::full) append(code, random.next(), operand16 && !rex_w ? 2 : 4);
}

std::string hex(const std::vector<u8>& bytes) {
    std::string text;
    for (const u8 byte : bytes) text += fmt::format("{:02x} ", byte);
    return text;
}

/// Both runs of one start, and all that must be alike.
class Emulation : public ::testing::Test {
protected:
    void fill_memory(Random& random) {
        for (u64 at = 0; at < 3 * page_size; at += 8) {
            const u64 value = random.next();
            native.write(data_at + at, &value, 8);
            emulated.write(data_at + at, &value, 8);
        }
        for (u64 at = 0; at < window_size; at += 8) {
            const u64 value = random.next();
            cpu::about_to_write(native.machine->system(), native.window() + at, 8);
            std::memcpy(native.window() + at, &value, 8);
            std::memcpy(emulated.window() + at, &value, 8);
        }
    }

    /// `undefined`: of the flags.
    void compare(const Start& start, Rflags undefined, const std::string& what) {
        const bool native_ended = native.run(start);
        const bool emulated_ended = emulated.run(start);
        ASSERT_TRUE(native_ended) << native.why() << "; " << what;
        ASSERT_TRUE(emulated_ended) << emulated.why() << "; " << what;
        const u64 kept = ~undefined.to_raw();
        End right = native.end();
        End found = emulated.end();
        right.rflags &= kept;
        found.rflags &= kept;
        for (unsigned n = 0; n < gpr_count; ++n)
            EXPECT_EQ(found.gpr[n], right.gpr[n]) << std::hex << "register " << n << ": " << what;
        EXPECT_EQ(found.rip, right.rip) << std::hex << what;
        EXPECT_EQ(found.rflags, right.rflags) << std::hex << what;
        EXPECT_EQ(found.cr2, right.cr2) << std::hex << what;
        EXPECT_EQ(found.dr6, right.dr6) << std::hex << what;
        compare_memory(what);
        if (right.rip < handlers_at) return;
        ++faults;
        if (start.mode == Mode::bits64) compare_frames(kept, what);
    }

    void compare_memory(const std::string& what) {
        EXPECT_EQ(std::memcmp(native.window(), emulated.window(), window_size), 0) << what;
        EXPECT_EQ(std::memcmp(native.ram() + data_at, emulated.ram() + data_at, 3 * page_size), 0)
            << what;
        EXPECT_EQ(std::memcmp(native.ram() + tables_at, emulated.ram() + tables_at, 0x6000), 0)
            << "page tables: " << what;
    }

    /// An error code or what was there before, RIP, CS, RFLAGS, RSP, SS.
    void compare_frames(u64 flags_kept, const std::string& what) {
        std::array<u64, 6> right{}, found{};
        std::memcpy(right.data(), native.ram() + stack_top - sizeof right, sizeof right);
        std::memcpy(found.data(), emulated.ram() + stack_top - sizeof found, sizeof found);
        right[3] &= flags_kept;
        found[3] &= flags_kept;
        EXPECT_EQ(found, right) << "the handler's frame: " << what;
    }

    Rig native{Window::ram};
    Rig emulated{Window::device};
    size_t faults = 0;
};

TEST_F(Emulation, InstructionsWithAMemoryOperandDoWhatTheProcessorDoes) {
    constexpr int rounds = 60;
    Random random{seed};
    fill_memory(random);
    const std::vector<Form> forms = all_forms();
    for (int round = 0; round < rounds; ++round)
        for (const Form& form : forms) {
            Start start = random_start(random);
            random_instruction(random, form, start);
            compare(start, form.undefined,
                    fmt::format("{}: {} (seed {:#x}, round {})", form.name, hex(start.code), seed,
                                round));
            if (HasFailure()) return;
        }
    EXPECT_GT(emulated.devices.touches, forms.size() * rounds / 2);
    EXPECT_GT(faults, forms.size() * rounds / 10);
    EXPECT_EQ(emulated.vcpu->counters().emulated_io, native.vcpu->counters().emulated_io);
}

TEST_F(Emulation, SegmentsAndOlderPagingDoWhatTheProcessorDoes) {
    constexpr int rounds = 20;
    Random random{seed};
    fill_memory(random);
    const std::vector<Form> forms = all_forms();
    for (int round = 0; round < rounds; ++round)
        for (const Form& form : forms) {
            if (form.opcode == std::vector<u8>{0x63}) continue;  // ARPL here
            Start start = random_start(random);
            enter_legacy_mode(random, start);
            random_instruction(random, form, start);
            compare(start, form.undefined,
                    fmt::format("{}: {} (seed {:#x}, round {})", form.name, hex(start.code), seed,
                                round));
            if (HasFailure()) return;
        }
    for (int round = 0; round < 1500; ++round) {
        Start start = random_start(random);
        enter_legacy_mode(random, start);
        start.gpr[rsi] = (random_target(random) - start.ds_base) & 0xffff'ffff;
        start.gpr[rdi] = (random_target(random) - start.es_base) & 0xffff'ffff;
        start.gpr[rcx] = random.below(40);
        start.ds_limit = random_limit(random, start.gpr[rsi]);
        start.es_limit = random_limit(random, start.gpr[rdi]);
        if (random.once_in(2)) start.code.push_back(0xf3);
        start.code.push_back(static_cast<u8>(random.once_in(2) ? 0xa4 : 0xa5));
        compare(start, none_undefined,
                fmt::format("{} (seed {:#x}, round {})", hex(start.code), seed, round));
        if (HasFailure()) return;
    }
    EXPECT_GT(emulated.devices.touches, 1000u);
    EXPECT_GT(faults, 500u);
}

TEST_F(Emulation, StringInstructionsDoWhatTheProcessorDoes) {
    constexpr int rounds = 4000;
    Random random{seed};
    fill_memory(random);
    for (int round = 0; round < rounds; ++round) {
        Start start = random_start(random);
        const std::array<u8, 10> opcodes{0xa4, 0xa5, 0xa6, 0xa7, 0xaa,
                                         0xab, 0xac, 0xad, 0xae, 0xaf};
        start.gpr[rsi] = random_target(random);
        start.gpr[rdi] = random_target(random);
        start.gpr[rcx] = random.once_in(8) ? random.below(3000) : random.below(40);
        if (random.once_in(2)) start.gpr[rax] = 0;
        const u64 repeat = random.below(3);
        if (repeat != 0) start.code.push_back(repeat == 1 ? 0xf3 : 0xf2);
        if (random.once_in(4)) start.code.push_back(0x66);
        if (random.once_in(6)) {
            start.code.push_back(0x67);
            start.gpr[rcx] |= random.next() << 32;
            start.gpr[rsi] |= random.next() << 32;
        }
        if (random.once_in(3)) start.code.push_back(0x48);
        start.code.push_back(opcodes[random.below(opcodes.size())]);
        compare(start, none_undefined,
                fmt::format("{} (seed {:#x}, round {})", hex(start.code), seed, round));
        if (HasFailure()) return;
    }
    EXPECT_GT(emulated.devices.touches, size_t{rounds});
}

TEST_F(Emulation, AbsoluteAddressesOfTheAccumulator) {
    Random random{seed};
    fill_memory(random);
    for (int round = 0; round < 400; ++round) {
        Start start = random_start(random);
        if (random.once_in(4)) start.code.push_back(0x66);
        if (random.once_in(3)) start.code.push_back(0x48);
        start.code.push_back(static_cast<u8>(0xa0 + random.below(4)));
        append(start.code, random_target(random), 8);
        compare(start, none_undefined, hex(start.code));
        if (HasFailure()) return;
    }
}

/// INS and OUTS exit in both; here the other side is RAM or the device.
TEST_F(Emulation, StringsOfPortsReachMemoryAndDevicesAlike) {
    Random random{seed};
    fill_memory(random);
    for (int round = 0; round < 2000; ++round) {
        Start start = random_start(random);
        start.gpr[rdx] = 0x300;
        start.gpr[rsi] = random_target(random);
        start.gpr[rdi] = random_target(random);
        start.gpr[rcx] = random.once_in(8) ? random.below(2000) : random.below(40);
        if (random.once_in(2)) start.code.push_back(0xf3);
        if (random.once_in(4)) start.code.push_back(0x66);
        start.code.push_back(static_cast<u8>(0x6c + random.below(4)));
        const std::string what = hex(start.code);
        compare(start, none_undefined, what);
        EXPECT_EQ(emulated.devices.written, native.devices.written) << what;
        EXPECT_EQ(emulated.devices.next_read, native.devices.next_read) << what;
        if (HasFailure()) return;
    }
}

}  // namespace
}  // namespace postern::host::test

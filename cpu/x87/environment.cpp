// SPDX-License-Identifier: Apache-2.0
// FNSTENV, FNSAVE and their inverses. Instruction and operand pointers, their selectors and the
// opcode are always zero (docs/model-defined.md).
#include "cpu/x87/environment.h"

#include <cstring>

#include "base/bits.h"
#include "cpu/event/event.h"
#include "cpu/exec/address.h"
#include "cpu/mmu/access.h"
#include "cpu/x87/control.h"
#include "cpu/x87/unit.h"

namespace postern::cpu {
namespace {

enum Tag : u16 { tag_valid, tag_zero, tag_special, tag_empty };

constexpr unsigned small_environment = 14, environment = 28;
constexpr size_t st_size = 10, st_total = 80;
constexpr size_t image_limit = environment + st_total;
using Image = std::array<u8, image_limit>;

u64 significand_of(const std::array<u8, 16>& st) {
    u64 value = 0;
    std::memcpy(&value, st.data(), sizeof value);
    return value;
}
u16 exponent_of(const std::array<u8, 16>& st) {
    u16 value = 0;
    std::memcpy(&value, st.data() + 8, sizeof value);
    return value & 0x7fff;
}

Tag tag_of(const std::array<u8, 16>& st) {
    const u64 significand = significand_of(st);
    const u16 exponent = exponent_of(st);
    if (exponent == 0 && significand == 0) return tag_zero;
    return exponent == 0 || exponent == 0x7fff || significand >> 63 == 0 ? tag_special : tag_valid;
}

bool has_registers(const Insn& i) { return i.imm > environment; }
unsigned environment_size(const Insn& i) {
    return static_cast<unsigned>(i.imm) - (has_registers(i) ? unsigned{st_total} : 0);
}

/// SDM 3A, "Alignment Requirements by Data Type".
unsigned image_alignment(const Insn& i) { return environment_size(i) == small_environment ? 2 : 4; }

/// Three words; the upper halves of 32-bit fields are ones, as every processor writes them.
/// SDM 1, figures "Protected Mode x87 FPU State Image in Memory" and those of real mode.
void put_environment(const Cpu& c, const X87State& state, unsigned size, u8* to) {
    const std::array words{state.fcw, state.fsw, full_tags(state)};
    std::memset(to, 0, size);
    if (size == small_environment) return (void)std::memcpy(to, words.data(), sizeof words);
    constexpr u16 ones = 0xffff;
    for (size_t n = 0; n < words.size(); ++n) {
        std::memcpy(to + 4 * n, &words[n], sizeof words[n]);
        std::memcpy(to + 4 * n + 2, &ones, sizeof ones);
    }
    // 16 bits of each pointer in real mode; the operand's selector in protected mode.
    const bool real = !c.cr0.has(Cr0::pe) || c.flags.has(Rflag::vm);
    if (real) {
        std::memcpy(to + 14, &ones, sizeof ones);
        std::memcpy(to + 22, &ones, sizeof ones);
    } else {
        std::memcpy(to + 26, &ones, sizeof ones);
    }
}

/// The registers stay where they are; `state` has them in the old order.
X87State from_environment(const X87State& state, unsigned size, const u8* from) {
    const unsigned step = size == small_environment ? 2 : 4;
    std::array<u16, 3> words;
    for (size_t n = 0; n < words.size(); ++n) std::memcpy(&words[n], from + step * n, 2);
    const u16 fcw = usable_fcw(words[0]);
    X87State result = with_fsw(state, usable_fsw(words[1], fcw));
    result.fcw = fcw;
    result.tag = abridged_tags(words[2]);
    return result;
}

Result<> load_image(Cpu& c, const Insn& i, Image& image) {
    TRY(check_x87(c));
    TRY(check_x87_exception(c));
    const Gva at = linear_address(c, i);
    TRY(load_bytes(c, at, image.data(), static_cast<unsigned>(i.imm)));
    return check_alignment(c, at, image_alignment(i));
}

Result<> store_image(Cpu& c, const Insn& i, const Image& image, unsigned size) {
    const Gva at = linear_address(c, i);
    TRY(probe_write(c, at, size));
    TRY(check_alignment(c, at, image_alignment(i)));
    return store_bytes(c, at, image.data(), size);
}

}  // namespace

X87State with_fsw(const X87State& state, u16 fsw) {
    X87State result = state;
    const unsigned turn = top_of(fsw) - top_of(state.fsw);
    for (unsigned n = 0; n < 8; ++n) result.st[n] = state.st[(n + turn) % 8];
    result.fsw = fsw;
    return result;
}

X87State initialised(const X87State& state) {
    X87State result = with_fsw(state, 0);
    result.fcw = fcw_init;
    result.tag = 0;
    return result;
}

u16 full_tags(const X87State& state) {
    unsigned tags = 0;
    for (unsigned n = 0; n < 8; ++n) {
        const bool in_use = (state.tag >> n & 1) != 0;
        const unsigned place = (n - top_of(state.fsw)) % 8;
        tags |= unsigned{in_use ? tag_of(state.st[place]) : tag_empty} << 2 * n;
    }
    return static_cast<u16>(tags);
}

u8 abridged_tags(u16 full) {
    unsigned tags = 0;
    for (unsigned n = 0; n < 8; ++n) tags |= ((full >> 2 * n & 3) != tag_empty ? 1u : 0u) << n;
    return static_cast<u8>(tags);
}

/// All exceptions are masked afterwards. SDM 2A, "FSTENV/FNSTENV".
Result<> exec_fnstenv(Cpu& c, const Insn& i) {
    TRY(check_x87(c));
    Image image;
    const unsigned size = environment_size(i);
    put_environment(c, guest_x87(c), size, image.data());
    TRY(store_image(c, i, image, size));
    take_back_x87(c);
    set_guest_fcw(c, c.vector.x87.fcw | x87_exceptions);
    return Done{};
}

/// SDM 2A, "FLDENV".
Result<> exec_fldenv(Cpu& c, const Insn& i) {
    Image image;
    TRY(load_image(c, i, image));
    set_guest_x87(c, from_environment(guest_x87(c), environment_size(i), image.data()));
    return Done{};
}

/// SDM 2A, "FSAVE/FNSAVE".
Result<> exec_fnsave(Cpu& c, const Insn& i) {
    TRY(check_x87(c));
    Image image;
    const X87State state = guest_x87(c);
    const unsigned size = environment_size(i);
    put_environment(c, state, size, image.data());
    for (size_t n = 0; n < 8; ++n)
        std::memcpy(image.data() + size + st_size * n, state.st[n].data(), st_size);
    TRY(store_image(c, i, image, static_cast<unsigned>(i.imm)));
    set_guest_x87(c, initialised(state));
    return Done{};
}

/// SDM 2A, "FRSTOR".
Result<> exec_frstor(Cpu& c, const Insn& i) {
    Image image;
    TRY(load_image(c, i, image));
    const unsigned size = environment_size(i);
    X87State state = from_environment({}, size, image.data());
    for (size_t n = 0; n < 8; ++n)
        std::memcpy(state.st[n].data(), image.data() + size + st_size * n, st_size);
    set_guest_x87(c, state);
    return Done{};
}

}  // namespace postern::cpu

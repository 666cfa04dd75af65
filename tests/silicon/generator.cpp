// SPDX-License-Identifier: Apache-2.0
// A case is an encoding made concrete, decoded again, and given registers under which its accesses
// stay where nothing else lies.
#include "silicon/generator.h"

#include <algorithm>
#include <cstring>

namespace postern::silicon {
namespace {

constexpr u64 status_flags = 0x8d5, direction_flag = 0x400;
constexpr u64 operand_room = 64;  // bytes of an operand's memory that a case sets
constexpr u64 around = 0x1000;    // nothing is mapped so far from the scratch area's ends
constexpr u64 not_canonical = 0x9000'0000'0000'0000;
constexpr u8 sib_follows = 4;

u32 random_mxcsr(Random& random) {
    const u64 r = random.next();
    u32 value = 0x1f80 | static_cast<u32>(r & 0x6000);
    if (random.one_in(4)) value |= static_cast<u32>(r & 0x8040);      // FTZ, DAZ
    if (random.one_in(4)) value |= static_cast<u32>(r >> 32 & 0x3f);  // sticky flags
    if (random.one_in(6)) value &= ~static_cast<u32>(r >> 40 << 7 & 0x1f80);
    return value;
}

/// Where an operand lies: often anywhere, sometimes across the pages, or where it may not be
/// written or not even read.
u64 operand_place(Random& random) {
    const u64 middle = scratch + scratch_size / 2;
    u64 at = scratch + 0x400 + random.below(scratch_size - 0x800);
    if (random.one_in(6)) at = middle - random.below(32);
    if (random.one_in(24)) at = read_only - random.below(40);
    if (random.one_in(48)) at = scratch - random.below(40);
    if (random.one_in(48)) at = read_only + 0x800 - random.below(0x40);
    if (random.one_in(96)) at = read_only + read_only_size - random.below(40);
    return random.one_in(2) ? at & ~u64{random.one_in(2) ? 31u : 15u} : at;
}

bool is_near(u64 at, u64 size) {
    if (at >> 47 != 0 && at >> 47 != 0x1ffff) return true;  // not canonical: faults anywhere
    return at >= scratch - around && at + size <= read_only + read_only_size + around;
}

class Maker {
public:
    Maker(const Row& row, Random& random) : row_{row}, random_{random} {}
    bool make(Case& k);

private:
    unsigned put_idle_prefixes();
    void put_bytes();
    unsigned put_modrm(unsigned n);
    void put_values();
    void put_x87();
    void lead_branch();
    bool lead_memory();
    void lead_astray();
    [[nodiscard]] bool accesses_are_safe() const;
    [[nodiscard]] bool is_branch() const {
        return draft_.d.instruction.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
    }
    void put_operand();
    bool decode_again() { return decode(k_.bytes.data(), k_.bytes.size(), draft_.d); }

    const Row& row_;
    Random& random_;
    Draft draft_{};
    Case& k_ = draft_.k;
};

unsigned Maker::put_modrm(unsigned n) {
    const Encoding& e = draft_.encoding;
    const auto r = random_.next();
    const auto reg = e.free_reg ? static_cast<u8>(r & 7) : e.reg;
    if (!e.is_memory) {
        const bool fixed = !e.free_reg && e.rm != 0;
        const auto rm = fixed ? e.rm : static_cast<u8>(r >> 8 & 7);
        k_.bytes[n++] = static_cast<u8>(0xc0 | reg << 3 | rm);
        return n;
    }
    const auto mod = static_cast<u8>((r >> 16) % 3);
    const auto rm = e.is_vsib ? sib_follows : static_cast<u8>(r >> 24 & 7);
    k_.bytes[n++] = static_cast<u8>(mod << 6 | reg << 3 | rm);
    const u8 sib = static_cast<u8>(r >> 32);
    if (rm == sib_follows) k_.bytes[n++] = sib;
    const bool no_base = mod == 0 && (rm == 5 || (rm == sib_follows && (sib & 7) == 5));
    const unsigned disp = mod == 1 ? 1 : (mod == 2 || no_base ? 4 : 0);
    // Big displacements reach the scratch area by themselves or with a base's help.
    const u64 value = no_base ? draft_.place : random_.next() >> (random_.one_in(2) ? 20 : 0);
    std::memcpy(k_.bytes.data() + n, &value, disp);
    return n + disp;
}

/// ES, CS, SS and DS overrides that mean nothing, now and then as many as there is room for.
unsigned Maker::put_idle_prefixes() {
    constexpr std::array<u8, 3> idle{0x26, 0x36, 0x2e};
    const auto count = static_cast<unsigned>(1 + random_.below(random_.one_in(4) ? 11 : 3));
    for (unsigned n = 0; n < count; ++n) k_.bytes[n] = idle[random_.below(idle.size())];
    return count;
}

void Maker::put_bytes() {
    const Encoding& e = draft_.encoding;
    k_.bytes.fill(0);
    unsigned n = 0;
    const u64 r = random_.next();
    if (random_.one_in(32)) n = put_idle_prefixes();
    const bool branch = row_.mnemonic == ZYDIS_MNEMONIC_CALL || row_.mnemonic == ZYDIS_MNEMONIC_JMP;
    if ((r & 15) == 0) k_.bytes[n++] = 0x67;
    if ((r >> 4 & 31) == 0 && !branch) k_.bytes[n++] = 0x3e;
    if ((r >> 40 & 31) == 0 && !branch) k_.bytes[n++] = 0x65;
    if ((r >> 9 & 15) == 0 && e.is_memory && !e.vex) k_.bytes[n++] = 0xf0;
    const auto extensions = static_cast<u8>(r >> 20 & 7);
    const bool has_rex = (r >> 16 & 3) != 0;
    const u8 rex = !has_rex ? u8{0} : static_cast<u8>(extensions | (e.vex ? 0 : 0x40));
    const auto vvvv = e.free_vvvv ? static_cast<u8>(r >> 24 & 15) : u8{0};
    n += put_head(e, {.rex = rex, .vvvv = vvvv, .two_byte_vex = (r >> 28 & 1) != 0},
                  k_.bytes.data() + n);
    if (e.has_modrm) n = put_modrm(n);
    const u64 immediate = interesting(random_);
    std::memcpy(k_.bytes.data() + n, &immediate, std::min<size_t>(8, k_.bytes.size() - n));
}

/// No exception is pending and all are masked; what of the stack is in use is random.
void Maker::put_x87() {
    X87& x87 = k_.before.x87;
    const u64 r = random_.next();
    x87.fcw = 0x37f;
    x87.fsw = static_cast<u16>(r & 0x3800);
    x87.tag = static_cast<u8>(r >> 16);
    for (auto& st : x87.st) {
        const u64 mantissa = interesting(random_);
        const auto head = static_cast<u16>(random_.next());
        std::memcpy(st.data(), &mantissa, 8);
        std::memcpy(st.data() + 8, &head, 2);
    }
}

void Maker::put_values() {
    for (u64& value : k_.before.gpr) value = interesting(random_);
    k_.before.rflags = 0x202 | (random_.next() & status_flags);
    if (random_.one_in(6)) k_.before.rflags |= direction_flag;
    for (Ymm& y : k_.before.ymm) {
        for (size_t at = 0; at < y.size(); at += 8) {
            const u64 value = interesting_float(random_);
            std::memcpy(y.data() + at, &value, 8);
        }
    }
    k_.before.mxcsr = random_mxcsr(random_);
    put_x87();
    for (size_t at = 0; at < k_.operand.size(); at += 8) {
        const u64 value = random_.one_in(2) ? interesting(random_) : interesting_float(random_);
        std::memcpy(k_.operand.data() + at, &value, 8);
    }
}

/// Direct branches: to the pads. Indirect ones find the far pad's address in the register.
void Maker::lead_branch() {
    if (!is_branch()) return;
    const ZydisDecodedInstruction& i = draft_.d.instruction;
    if (i.raw.imm[0].is_relative) {
        const auto& imm = i.raw.imm[0];
        const bool is_short = imm.size == 8;
        const u64 target = is_short ? k_.before.rip + near_distance : far_target;
        const u64 distance = target - k_.before.rip - k_.length;
        std::memcpy(k_.bytes.data() + imm.offset, &distance, imm.size / 8);
        decode_again();
    } else if (draft_.d.operand[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
               i.operand_count_visible != 0) {
        draft_.gpr(draft_.d.operand[0].reg.value) = far_target;
    }
}

/// Chooses base, index or displacement such that the operand lies at its place.
bool Maker::lead_memory() {
    const ZydisDecodedOperand* operand = draft_.memory();
    if (operand == nullptr || draft_.encoding.is_vsib) return true;
    const ZydisDecodedOperandMem& m = operand->mem;
    const ZydisDecodedInstruction& i = draft_.d.instruction;
    const bool relative = m.base == ZYDIS_REGISTER_RIP || m.base == ZYDIS_REGISTER_EIP;
    if (relative || (m.base == ZYDIS_REGISTER_NONE && m.index == ZYDIS_REGISTER_NONE)) {
        const u64 offset = draft_.place - draft_.segment_base();
        const u64 value = relative ? offset - k_.before.rip - k_.length : offset;
        std::memcpy(k_.bytes.data() + i.raw.disp.offset, &value, i.raw.disp.size / 8);
        return decode_again();
    }
    const ZydisRegister which = m.base != ZYDIS_REGISTER_NONE ? m.base : m.index;
    u64& reg = draft_.gpr(which);
    const u64 now = draft_.address(m);
    const u64 scale = which == m.base ? (m.base == m.index ? m.scale + 1u : 1u) : m.scale;
    reg += (draft_.place - now) / scale;
    if (i.address_width == 32) reg = (reg & 0xffff'ffff) | random_.next() << 32;
    return true;
}

/// Sometimes an address that is not canonical, where a base register can hold one.
void Maker::lead_astray() {
    const ZydisDecodedOperand* operand = draft_.memory();
    if (!random_.one_in(64) || operand == nullptr || draft_.encoding.is_vsib) return;
    const ZydisRegister base = operand->mem.base;
    if (base == ZYDIS_REGISTER_NONE || base == ZYDIS_REGISTER_RIP ||
        draft_.d.instruction.address_width != 64)
        return;
    draft_.gpr(base) ^= not_canonical;
}

/// Nothing but the scratch area and what lies unmapped around it may be touched.
bool Maker::accesses_are_safe() const {
    if (draft_.is(ZYDIS_CATEGORY_NOP) || draft_.is(ZYDIS_CATEGORY_WIDENOP)) return true;
    for (unsigned n = 0; n < draft_.d.instruction.operand_count; ++n) {
        const ZydisDecodedOperand& o = draft_.d.operand[n];
        if (o.type != ZYDIS_OPERAND_TYPE_MEMORY || o.mem.type == ZYDIS_MEMOP_TYPE_AGEN ||
            o.mem.type == ZYDIS_MEMOP_TYPE_VSIB)
            continue;
        if (!is_near(draft_.address(o.mem) - 0x400, 0x800)) return false;
    }
    return true;
}

/// Branches find the far pad's address wherever they look for a target.
void Maker::put_operand() {
    constexpr u64 last = scratch + scratch_size - operand_room;
    k_.operand_at = std::clamp(draft_.place, scratch, last);
    if (!is_branch()) return;
    for (size_t at = 0; at < operand_room; at += 8)
        std::memcpy(k_.operand.data() + at, &far_target, 8);
    if (draft_.place > last) k_.operand_at = std::min(draft_.place + 8 - operand_room, last);
}

bool Maker::make(Case& k) {
    draft_.encoding = row_.encodings[random_.below(row_.encodings.size())];
    draft_.place = operand_place(random_);
    put_bytes();
    if (!decode_again() || draft_.mnemonic() != row_.mnemonic) return false;
    const Group* group = group_of(draft_.d);
    if (group == nullptr) return false;
    k_.length = draft_.d.instruction.length;
    k_.row = static_cast<u16>(row_.mnemonic);
    k_.before.rip = usual_place;
    if (random_.one_in(8)) k_.before.rip = code + 0x1000 - 1 - random_.below(k_.length);
    put_values();
    if (group->lead != nullptr) group->lead(draft_, random_);
    lead_branch();
    if (!lead_memory()) return false;
    lead_astray();
    if (draft_.mnemonic() != row_.mnemonic || draft_.d.instruction.length != k_.length)
        return false;
    if (!accesses_are_safe()) return false;
    const ZydisDecodedOperand* operand = draft_.memory();
    if (is_branch() && operand != nullptr && draft_.address(operand->mem) != draft_.place)
        return false;
    // Targets are put into the scratch area only.
    if (is_branch() && draft_.place > read_only - 8) return false;
    put_operand();
    k = k_;
    return true;
}

}  // namespace

const ZydisDecodedOperand* Draft::memory() const {
    for (unsigned n = 0; n < d.instruction.operand_count_visible; ++n)
        if (d.operand[n].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            d.operand[n].mem.type != ZYDIS_MEMOP_TYPE_AGEN)
            return &d.operand[n];
    return nullptr;
}

u64 Draft::address(const ZydisDecodedOperandMem& m) const {
    const auto value = [&](ZydisRegister r) -> u64 {
        if (r == ZYDIS_REGISTER_NONE) return 0;
        if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP) return k.before.rip + k.length;
        return k.before.gpr[static_cast<size_t>(ZydisRegisterGetId(r))];
    };
    const u64 a = value(m.base) + value(m.index) * (m.scale == 0 ? 1u : m.scale) +
                  static_cast<u64>(m.disp.has_displacement ? m.disp.value : 0);
    const u64 base = m.segment == ZYDIS_REGISTER_GS ? gs_base : 0;
    return base + (d.instruction.address_width == 32 ? static_cast<u32>(a) : a);
}

u64 Draft::segment_base() const {
    for (unsigned n = 0; n < d.instruction.operand_count; ++n)
        if (d.operand[n].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            d.operand[n].mem.segment == ZYDIS_REGISTER_GS)
            return gs_base;
    return 0;
}

const std::array<u8, scratch_size>& plain_memory() {
    static const std::array<u8, scratch_size> memory = [] {
        std::array<u8, scratch_size> bytes{};
        Random random{1};
        for (u8& b : bytes) b = static_cast<u8>(random.next());
        return bytes;
    }();
    return memory;
}

Case generate(const Row& row, Random& random) {
    Case k;
    Maker maker{row, random};
    while (!maker.make(k)) {
    }
    return k;
}

}  // namespace postern::silicon

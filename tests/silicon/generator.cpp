// SPDX-License-Identifier: Apache-2.0
// Encodings are found by decoding every opcode once; a case is one of them made concrete, decoded
// again, and given registers under which its accesses stay where nothing else lies.
#include "silicon/generator.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string_view>
#include <tuple>

#include "cpu/decode/instruction_table.h"

namespace postern::silicon {
namespace {

constexpr u64 status_flags = 0x8d5, direction_flag = 0x400;
constexpr u64 operand_room = 64;  // bytes of an operand's memory that a case sets
constexpr u64 around = 0x1000;    // nothing is mapped so far from the scratch area's ends
constexpr u64 not_canonical = 0x9000'0000'0000'0000;

const ZydisDecoder& decoder() {
    static const ZydisDecoder instance = [] {
        ZydisDecoder d;
        ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        return d;
    }();
    return instance;
}

// Finding encodings.

constexpr std::array<u8, 4> prefixes{0, 0x66, 0xf2, 0xf3};

/// Prefixes, REX, escape and opcode.
unsigned put_head(const Encoding& e, u8 rex, u8* bytes) {
    unsigned n = 0;
    if (e.prefix != 0) bytes[n++] = e.prefix;
    const auto full = static_cast<u8>(rex | (e.wide ? 0x48 : 0));
    if (full != 0) bytes[n++] = static_cast<u8>(full | 0x40);
    if (e.map != 0) bytes[n++] = 0x0f;
    if (e.map == 2) bytes[n++] = 0x38;
    if (e.map == 3) bytes[n++] = 0x3a;
    bytes[n++] = e.opcode;
    return n;
}

bool is_usable_register(ZydisRegister r) {
    switch (ZydisRegisterGetClass(r)) {
        case ZYDIS_REGCLASS_GPR8:
        case ZYDIS_REGCLASS_GPR16:
        case ZYDIS_REGCLASS_GPR32:
        case ZYDIS_REGCLASS_GPR64:
        case ZYDIS_REGCLASS_XMM: return true;
        default: return false;
    }
}

/// Operands that both sides have and that may hold anything.
bool is_usable(const Decoded& d) {
    const bool near = d.instruction.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE ||
                      (d.instruction.meta.branch_type != ZYDIS_BRANCH_TYPE_FAR &&
                       (d.instruction.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) == 0);
    if (!near) return false;
    for (unsigned n = 0; n < d.instruction.operand_count_visible; ++n) {
        const ZydisDecodedOperand& o = d.operand[n];
        if (o.type == ZYDIS_OPERAND_TYPE_REGISTER && !is_usable_register(o.reg.value)) return false;
        if (o.type == ZYDIS_OPERAND_TYPE_MEMORY &&
            (o.mem.segment == ZYDIS_REGISTER_FS || o.mem.segment == ZYDIS_REGISTER_GS))
            return false;
    }
    return true;
}

bool decode_encoding(const Encoding& e, Decoded& d) {
    std::array<u8, 16> bytes{};
    unsigned n = put_head(e, 0, bytes.data());
    bytes[n] = static_cast<u8>((e.is_memory ? 0 : 0xc0) | e.reg << 3 | e.rm);
    return decode(bytes.data(), bytes.size(), d) && is_usable(d);
}

using Rows = std::map<ZydisMnemonic, std::vector<Encoding>>;

bool is_compared(ZydisMnemonic mnemonic) {
    const cpu::InstructionRow* row = cpu::instruction_row(mnemonic);
    return row != nullptr && (row->kind == cpu::InstructionClass::integer ||
                              row->kind == cpu::InstructionClass::exact);
}

/// All eight values of ModRM.reg mean the same instruction: it names a register.
bool is_reg_free(Encoding e, ZydisMnemonic mnemonic) {
    for (e.reg = 0; e.reg < 8; ++e.reg) {
        Decoded d;
        if (!decode_encoding(e, d) || d.instruction.mnemonic != mnemonic) return false;
    }
    return true;
}

void add_encodings(Encoding e, Rows& rows) {
    Decoded d;
    if (!decode_encoding(e, d)) d.instruction.mnemonic = ZYDIS_MNEMONIC_INVALID;
    const ZydisMnemonic first = d.instruction.mnemonic;
    const bool modrm = first == ZYDIS_MNEMONIC_INVALID || d.instruction.raw.modrm.offset != 0;
    if (!modrm) {
        e.has_modrm = false;
        if (!e.is_memory && is_compared(first)) rows[first].push_back(e);
        return;
    }
    e.has_modrm = true;
    if (first != ZYDIS_MNEMONIC_INVALID && is_reg_free(e, first)) {
        e.free_reg = true;
        if (is_compared(first)) rows[first].push_back(e);
        return;
    }
    const unsigned rms = e.is_memory ? 1 : 8;
    for (e.reg = 0; e.reg < 8; ++e.reg) {
        ZydisMnemonic of_group = ZYDIS_MNEMONIC_INVALID;
        for (e.rm = 0; e.rm < rms; ++e.rm) {
            if (!decode_encoding(e, d) || d.instruction.mnemonic == of_group) continue;
            of_group = d.instruction.mnemonic;
            if (is_compared(of_group)) rows[of_group].push_back(e);
        }
    }
}

bool is_prefix_byte(unsigned opcode) {
    return (opcode >= 0x40 && opcode < 0x50) || opcode == 0x26 || opcode == 0x2e ||
           opcode == 0x36 || opcode == 0x3e || (opcode >= 0x64 && opcode <= 0x67) ||
           opcode == 0xf0 || opcode == 0xf2 || opcode == 0xf3 || opcode == 0x0f || opcode == 0xc4 ||
           opcode == 0xc5 || opcode == 0x62;
}

// Values.

u64 interesting(Random& random) {
    const u64 r = random.next();
    switch (random.below(8)) {
        case 0: return r & 0xff;
        case 1: return 0 - (r & 0xff);
        case 2: return u64{1} << (r & 63);
        case 3: return (u64{1} << (r & 63)) - 1;
        case 4: return r & 1 ? 0x8000'0000'8000'8080 : 0x7fff'ffff'7fff'7f7f;
        case 5: return r & 1 ? 0 : ~u64{0};
        default: return r;
    }
}

u64 interesting_float(Random& random) {
    constexpr std::array<u64, 10> doubles{0,
                                          0x8000'0000'0000'0000,
                                          0x3ff0'0000'0000'0000,
                                          0x7ff0'0000'0000'0000,
                                          0xfff0'0000'0000'0000,
                                          0x7ff8'0000'0000'0001,
                                          0x7ff0'0000'0000'0001,
                                          1,
                                          0x7fef'ffff'ffff'ffff,
                                          0x41e0'0000'0000'0000};
    constexpr std::array<u32, 10> singles{0,           0x8000'0000, 0x3f80'0000, 0x7f80'0000,
                                          0xff80'0000, 0x7fc0'0001, 0x7f80'0001, 1,
                                          0x7f7f'ffff, 0x4f00'0000};
    const u64 r = random.next();
    switch (random.below(5)) {
        case 0: return doubles[r % doubles.size()];
        case 1: return u64{singles[r % singles.size()]} << 32 | singles[r / 16 % singles.size()];
        case 2: return 0x3fe0'0000'0000'0000 + (r >> 8);  // doubles of moderate size
        case 3: return ((r & 0x03ff'ffff'03ff'ffff) + 0x3e80'0000'3e80'0000);  // singles
        default: return r;
    }
}

u32 random_mxcsr(Random& random) {
    const u64 r = random.next();
    u32 value = 0x1f80 | static_cast<u32>(r & 0x6000);
    if (random.one_in(4)) value |= static_cast<u32>(r & 0x8040);      // FTZ, DAZ
    if (random.one_in(4)) value |= static_cast<u32>(r >> 32 & 0x3f);  // sticky flags
    if (random.one_in(6)) value &= ~static_cast<u32>(r >> 40 << 7 & 0x1f80);
    return value;
}

/// Where an operand lies: often anywhere, sometimes across the pages or past an end.
u64 operand_place(Random& random) {
    const u64 middle = scratch + scratch_size / 2;
    u64 at = scratch + 0x400 + random.below(scratch_size - 0x800);
    if (random.one_in(6)) at = middle - random.below(16);
    if (random.one_in(24)) at = scratch + scratch_size - random.below(24);
    if (random.one_in(48)) at = scratch - random.below(24);
    return random.one_in(2) ? at & ~u64{15} : at;
}

// Making a case.

class Maker {
public:
    Maker(const Row& row, Random& random) : row_{row}, random_{random} {}
    bool make(Case& k);

private:
    void put_bytes();
    unsigned put_modrm(unsigned n);
    void put_values();
    void lead_branch();
    void lead_string();
    void lead_counts();
    bool lead_memory();
    bool accesses_are_safe() const;
    void put_operand();

    [[nodiscard]] u64& gpr(ZydisRegister r) {
        return k_.before.gpr[static_cast<size_t>(ZydisRegisterGetId(r))];
    }
    [[nodiscard]] const ZydisDecodedOperand* memory() const;
    [[nodiscard]] u64 address(const ZydisDecodedOperandMem& m) const;
    [[nodiscard]] u64 value_of(ZydisRegister r) const;
    [[nodiscard]] bool is(ZydisInstructionCategory category) const {
        return d_.instruction.meta.category == category;
    }
    [[nodiscard]] bool repeats() const {
        return (d_.instruction.attributes &
                (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) != 0 ||
               (is(ZYDIS_CATEGORY_STRINGOP) && encoding_.prefix >= 0xf2);
    }

    const Row& row_;
    Random& random_;
    Encoding encoding_{};
    Case k_{};
    Decoded d_{};
    u64 place_ = 0;
};

unsigned Maker::put_modrm(unsigned n) {
    const auto r = random_.next();
    const auto reg = encoding_.free_reg ? static_cast<u8>(r & 7) : encoding_.reg;
    if (!encoding_.is_memory) {
        const bool fixed = !encoding_.free_reg && encoding_.rm != 0;
        const auto rm = fixed ? encoding_.rm : static_cast<u8>(r >> 8 & 7);
        k_.bytes[n++] = static_cast<u8>(0xc0 | reg << 3 | rm);
        return n;
    }
    const auto mod = static_cast<u8>((r >> 16) % 3);
    const auto rm = static_cast<u8>(r >> 24 & 7);
    k_.bytes[n++] = static_cast<u8>(mod << 6 | reg << 3 | rm);
    const u8 sib = static_cast<u8>(r >> 32);
    if (rm == 4) k_.bytes[n++] = sib;
    const bool no_base = mod == 0 && (rm == 5 || (rm == 4 && (sib & 7) == 5));
    const unsigned disp = mod == 1 ? 1 : (mod == 2 || no_base ? 4 : 0);
    // Big displacements reach the scratch area by themselves or with a base's help.
    const u64 value = no_base ? place_ : random_.next() >> (random_.one_in(2) ? 20 : 0);
    std::memcpy(k_.bytes.data() + n, &value, disp);
    return n + disp;
}

void Maker::put_bytes() {
    k_.bytes.fill(0);
    unsigned n = 0;
    const u64 r = random_.next();
    const bool branch = row_.mnemonic == ZYDIS_MNEMONIC_CALL || row_.mnemonic == ZYDIS_MNEMONIC_JMP;
    if ((r & 15) == 0) k_.bytes[n++] = 0x67;
    if ((r >> 4 & 31) == 0 && !branch) k_.bytes[n++] = 0x3e;
    if ((r >> 9 & 15) == 0 && encoding_.is_memory) k_.bytes[n++] = 0xf0;
    const auto rex = (r >> 16 & 3) == 0 ? u8{0} : static_cast<u8>(0x40 | (r >> 20 & 7));
    n += put_head(encoding_, rex, k_.bytes.data() + n);
    if (encoding_.has_modrm) n = put_modrm(n);
    const u64 immediate = interesting(random_);
    std::memcpy(k_.bytes.data() + n, &immediate, std::min<size_t>(8, k_.bytes.size() - n));
}

void Maker::put_values() {
    for (u64& value : k_.before.gpr) value = interesting(random_);
    k_.before.rflags = 0x202 | (random_.next() & status_flags);
    if (random_.one_in(6)) k_.before.rflags |= direction_flag;
    for (Xmm& x : k_.before.xmm) {
        const std::array<u64, 2> halves{interesting_float(random_), interesting_float(random_)};
        std::memcpy(x.data(), halves.data(), sizeof x);
    }
    k_.before.mxcsr = random_mxcsr(random_);
    for (size_t at = 0; at < k_.operand.size(); at += 8) {
        const u64 value = random_.one_in(2) ? interesting(random_) : interesting_float(random_);
        std::memcpy(k_.operand.data() + at, &value, 8);
    }
}

const ZydisDecodedOperand* Maker::memory() const {
    for (unsigned n = 0; n < d_.instruction.operand_count_visible; ++n)
        if (d_.operand[n].type == ZYDIS_OPERAND_TYPE_MEMORY &&
            d_.operand[n].mem.type != ZYDIS_MEMOP_TYPE_AGEN)
            return &d_.operand[n];
    return nullptr;
}

/// Direct branches: to the pads. Indirect ones find the far pad's address in the register.
void Maker::lead_branch() {
    if (d_.instruction.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE) return;
    if (d_.instruction.raw.imm[0].is_relative) {
        const auto& imm = d_.instruction.raw.imm[0];
        const bool is_short = imm.size == 8;
        const u64 target = is_short ? k_.before.rip + near_distance : far_target;
        const u64 distance = target - k_.before.rip - k_.length;
        std::memcpy(k_.bytes.data() + imm.offset, &distance, imm.size / 8);
        decode(k_.bytes.data(), k_.bytes.size(), d_);
    } else if (d_.operand[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
               d_.instruction.operand_count_visible != 0) {
        gpr(d_.operand[0].reg.value) = far_target;
    }
}

void Maker::lead_string() {
    if (row_.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU) k_.before.gpr[7] = place_;
    if (!is(ZYDIS_CATEGORY_STRINGOP)) return;
    const bool narrow = d_.instruction.address_width == 32;
    const u64 garbage = narrow ? random_.next() << 32 : 0;
    k_.before.gpr[6] = place_ | garbage;
    k_.before.gpr[7] =
        (random_.one_in(2) ? operand_place(random_) : place_ + random_.below(40) - 20) | garbage;
    if (repeats()) k_.before.gpr[1] = random_.below(40) | garbage;
}

/// Counts and dividends that are not mostly out of range; bit offsets near the operand.
void Maker::lead_counts() {
    const ZydisMnemonic m = row_.mnemonic;
    if ((m == ZYDIS_MNEMONIC_DIV || m == ZYDIS_MNEMONIC_IDIV) && !random_.one_in(4)) {
        u64& high = k_.before.gpr[2];
        high = m == ZYDIS_MNEMONIC_IDIV && random_.one_in(2) ? ~u64{0} : random_.below(16);
        k_.before.gpr[0] &= ~u64{0xff00};
    }
    const bool bit_test = m == ZYDIS_MNEMONIC_BT || m == ZYDIS_MNEMONIC_BTC ||
                          m == ZYDIS_MNEMONIC_BTR || m == ZYDIS_MNEMONIC_BTS;
    if (bit_test && memory() != nullptr && d_.operand[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
        gpr(d_.operand[1].reg.value) = random_.below(4096) - 2048;
    if (is(ZYDIS_CATEGORY_PUSH) || is(ZYDIS_CATEGORY_POP) || is(ZYDIS_CATEGORY_CALL) ||
        is(ZYDIS_CATEGORY_RET))
        k_.before.gpr[4] = place_;
    if (m == ZYDIS_MNEMONIC_LEAVE) k_.before.gpr[5] = place_;
    const bool compares = m == ZYDIS_MNEMONIC_CMPXCHG8B || m == ZYDIS_MNEMONIC_CMPXCHG16B ||
                          m == ZYDIS_MNEMONIC_CMPXCHG;
    if (compares && random_.one_in(2)) {
        const size_t half = m == ZYDIS_MNEMONIC_CMPXCHG16B ? 8 : 4;
        std::memcpy(&k_.before.gpr[0], k_.operand.data(), m == ZYDIS_MNEMONIC_CMPXCHG ? 8 : half);
        if (m != ZYDIS_MNEMONIC_CMPXCHG)
            std::memcpy(&k_.before.gpr[2], k_.operand.data() + half, half);
    }
}

u64 Maker::value_of(ZydisRegister r) const {
    if (r == ZYDIS_REGISTER_NONE) return 0;
    if (r == ZYDIS_REGISTER_RIP || r == ZYDIS_REGISTER_EIP) return k_.before.rip + k_.length;
    return k_.before.gpr[static_cast<size_t>(ZydisRegisterGetId(r))];
}

u64 Maker::address(const ZydisDecodedOperandMem& m) const {
    const u64 a = value_of(m.base) + value_of(m.index) * (m.scale == 0 ? 1u : m.scale) +
                  static_cast<u64>(m.disp.has_displacement ? m.disp.value : 0);
    return d_.instruction.address_width == 32 ? static_cast<u32>(a) : a;
}

/// Chooses base, index or displacement such that the operand lies at place_.
bool Maker::lead_memory() {
    const ZydisDecodedOperand* operand = memory();
    if (operand == nullptr) return true;
    const ZydisDecodedOperandMem& m = operand->mem;
    const bool narrow = d_.instruction.address_width == 32;
    const bool relative = m.base == ZYDIS_REGISTER_RIP || m.base == ZYDIS_REGISTER_EIP;
    if (relative || (m.base == ZYDIS_REGISTER_NONE && m.index == ZYDIS_REGISTER_NONE)) {
        const u64 value = relative ? place_ - k_.before.rip - k_.length : place_;
        std::memcpy(k_.bytes.data() + d_.instruction.raw.disp.offset, &value,
                    d_.instruction.raw.disp.size / 8);
        return decode(k_.bytes.data(), k_.bytes.size(), d_);
    }
    const ZydisRegister which = m.base != ZYDIS_REGISTER_NONE ? m.base : m.index;
    u64& reg = gpr(which);
    const u64 now = address(m);
    const u64 scale = which == m.base ? (m.base == m.index ? m.scale + 1u : 1u) : m.scale;
    reg += (place_ - now) / scale;
    if (narrow) reg = (reg & 0xffff'ffff) | random_.next() << 32;
    return true;
}

bool is_near(u64 at, u64 size) {
    if (at >> 47 != 0 && at >> 47 != 0x1ffff) return true;  // not canonical: faults anywhere
    return at >= scratch - around && at + size <= scratch + scratch_size + around;
}

/// Nothing but the scratch area and what lies unmapped around it may be touched.
bool Maker::accesses_are_safe() const {
    for (unsigned n = 0; n < d_.instruction.operand_count; ++n) {
        const ZydisDecodedOperand& o = d_.operand[n];
        if (o.type != ZYDIS_OPERAND_TYPE_MEMORY || o.mem.type == ZYDIS_MEMOP_TYPE_AGEN) continue;
        if (is(ZYDIS_CATEGORY_NOP) || is(ZYDIS_CATEGORY_WIDENOP)) continue;
        if (!is_near(address(o.mem) - 0x400, 0x800)) return false;
    }
    return true;
}

/// Branches find the far pad's address wherever they look for a target.
void Maker::put_operand() {
    constexpr u64 last = scratch + scratch_size - operand_room;
    k_.operand_at = std::clamp(place_, scratch, last);
    if (d_.instruction.meta.branch_type == ZYDIS_BRANCH_TYPE_NONE) return;
    for (size_t at = 0; at < operand_room; at += 8)
        std::memcpy(k_.operand.data() + at, &far_target, 8);
    if (place_ > last) k_.operand_at = std::min(place_ + 8 - operand_room, last);
}

bool Maker::make(Case& k) {
    encoding_ = row_.encodings[random_.below(row_.encodings.size())];
    k_ = Case{};
    place_ = operand_place(random_);
    put_bytes();
    if (!decode(k_.bytes.data(), k_.bytes.size(), d_) || !is_usable(d_)) return false;
    if (d_.instruction.mnemonic != row_.mnemonic) return false;
    k_.length = d_.instruction.length;
    k_.row = static_cast<u16>(row_.mnemonic);
    k_.before.rip = usual_place;
    if (random_.one_in(8)) k_.before.rip = code + 0x1000 - 1 - random_.below(k_.length);
    put_values();
    lead_string();
    lead_counts();
    lead_branch();
    if (!lead_memory()) return false;
    const ZydisDecodedOperand* operand = memory();
    // Sometimes an address that is not canonical, where a base register can hold one.
    if (random_.one_in(64) && operand != nullptr && operand->mem.base != ZYDIS_REGISTER_NONE &&
        operand->mem.base != ZYDIS_REGISTER_RIP && d_.instruction.address_width == 64)
        gpr(operand->mem.base) ^= not_canonical;
    if (d_.instruction.mnemonic != row_.mnemonic || d_.instruction.length != k_.length)
        return false;
    if (!accesses_are_safe()) return false;
    const bool branch = d_.instruction.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
    if (branch && memory() != nullptr && address(memory()->mem) != place_) return false;
    put_operand();
    k = k_;
    return true;
}

}  // namespace

u64 Random::next() {
    state_ += 0x9e37'79b9'7f4a'7c15;
    u64 z = state_;
    z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9;
    z = (z ^ z >> 27) * 0x94d0'49bb'1331'11eb;
    return z ^ z >> 31;
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

bool decode(const u8* bytes, size_t count, Decoded& d) {
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder(), bytes, std::min<size_t>(count, 15),
                                             &d.instruction, d.operand.data())))
        return false;
    // Zydis 4.0 makes R13D of an absent base under 67H and REX.B.
    const auto& raw = d.instruction.raw;
    if (raw.sib.offset == 0 || raw.modrm.mod != 0 || raw.sib.base != 5) return true;
    for (ZydisDecodedOperand& o : d.operand) {
        if (o.type != ZYDIS_OPERAND_TYPE_MEMORY || o.mem.base != ZYDIS_REGISTER_R13D) continue;
        o.mem.base = ZYDIS_REGISTER_NONE;
        o.mem.disp.has_displacement = 1;
        o.mem.disp.value = raw.disp.value;
    }
    return true;
}

std::vector<Row> find_rows() {
    Rows found;
    for (const u8 prefix : prefixes)
        for (const bool wide : {false, true})
            for (u8 map = 0; map < 4; ++map)
                for (unsigned opcode = 0; opcode < 256; ++opcode)
                    for (const bool is_memory : {false, true}) {
                        if (map == 0 && is_prefix_byte(opcode)) continue;
                        Encoding e{};
                        e.prefix = prefix;
                        e.wide = wide;
                        e.map = map;
                        e.opcode = static_cast<u8>(opcode);
                        e.is_memory = is_memory;
                        add_encodings(e, found);
                    }
    Encoding jecxz{};  // JRCXZ with an address-size prefix
    jecxz.prefix = 0x67;
    jecxz.opcode = 0xe3;
    add_encodings(jecxz, found);
    std::vector<Row> rows;
    for (auto& [mnemonic, encodings] : found) rows.push_back({mnemonic, std::move(encodings)});
    return rows;
}

Case generate(const Row& row, Random& random) {
    Case k;
    Maker maker{row, random};
    while (!maker.make(k)) {
    }
    return k;
}

}  // namespace postern::silicon

// SPDX-License-Identifier: Apache-2.0
// General registers only: arithmetic, bits, moves, branches, stack, strings. Undefined flags are
// those of SDM 2A and 2B, "Flags Affected" of each instruction.
#include <cstring>

#include "silicon/group.h"

namespace postern::silicon {
namespace {

constexpr u64 cf = 1, pf = 4, af = 0x10, zf = 0x40, sf = 0x80, of = 0x800;
constexpr u64 all = cf | pf | af | zf | sf | of;

bool takes(const Decoded& d) {
    if (d.names(ZYDIS_REGCLASS_XMM) || d.names(ZYDIS_REGCLASS_YMM) || d.names(ZYDIS_REGCLASS_MMX) ||
        d.names(ZYDIS_REGCLASS_X87))
        return false;
    switch (d.instruction.meta.isa_ext) {
        case ZYDIS_ISA_EXT_X87:
        case ZYDIS_ISA_EXT_MMX:
        case ZYDIS_ISA_EXT_AVX:
        case ZYDIS_ISA_EXT_AVX2:
        case ZYDIS_ISA_EXT_AVX2GATHER:
        case ZYDIS_ISA_EXT_XSAVE: return false;
        default:
            return d.instruction.mnemonic != ZYDIS_MNEMONIC_LDMXCSR &&
                   d.instruction.mnemonic != ZYDIS_MNEMONIC_STMXCSR;
    }
}

// Values.

bool repeats(const Draft& draft) {
    return (draft.d.instruction.attributes &
            (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE)) != 0 ||
           draft.encoding.prefix >= 0xf2;
}

void lead_string(Draft& draft, Random& random) {
    const bool narrow = draft.d.instruction.address_width == 32;
    const u64 garbage = narrow ? random.next() << 32 : 0;
    const auto near = [&](u64 room) { return draft.place + random.below(2 * room) - room; };
    auto& gpr = draft.k.before.gpr;
    gpr[6] = (draft.place - draft.segment_base()) | garbage;
    gpr[7] = near(random.one_in(2) ? 0x600 : 20) | garbage;
    if (repeats(draft)) gpr[1] = random.below(40) | garbage;
}

/// Dividends that are not mostly out of range.
void lead_division(Draft& draft, Random& random) {
    if (random.one_in(4)) return;
    auto& gpr = draft.k.before.gpr;
    const bool is_signed = draft.mnemonic() == ZYDIS_MNEMONIC_IDIV;
    gpr[2] = is_signed && random.one_in(2) ? ~u64{0} : random.below(16);
    gpr[0] &= ~u64{0xff00};
}

/// Half of them equal.
void lead_compare(Draft& draft, Random& random) {
    if (random.one_in(2)) return;
    auto& before = draft.k.before;
    const u8* operand = draft.k.operand.data();
    if (draft.mnemonic() == ZYDIS_MNEMONIC_CMPXCHG) {
        std::memcpy(before.gpr.data(), operand, 8);
        return;
    }
    const size_t half = draft.mnemonic() == ZYDIS_MNEMONIC_CMPXCHG16B ? 8 : 4;
    std::memcpy(&before.gpr[0], operand, half);
    std::memcpy(&before.gpr[2], operand + half, half);
}

/// Mostly little local storage, and a frame pointer with frames below it.
void lead_enter(Draft& draft, Random& random) {
    draft.k.before.gpr[4] = draft.place;
    draft.k.before.gpr[5] = draft.place + random.below(0x400) - 0x200;
    const u64 bytes = random.one_in(8) ? random.next() : random.below(0x200);
    std::memcpy(draft.k.bytes.data() + draft.d.instruction.raw.imm[0].offset, &bytes, 2);
    decode(draft.k.bytes.data(), draft.k.bytes.size(), draft.d);
}

void lead_xlat(Draft& draft, Random& random) {
    auto& gpr = draft.k.before.gpr;
    gpr[3] = draft.place - draft.segment_base() - (gpr[0] & 0xff);
    if (draft.d.instruction.address_width == 32) gpr[3] = (gpr[3] & ~u32{0}) | random.next() << 32;
}

void lead(Draft& draft, Random& random) {
    auto& gpr = draft.k.before.gpr;
    if (draft.is(ZYDIS_CATEGORY_STRINGOP)) lead_string(draft, random);
    if (draft.is(ZYDIS_CATEGORY_PUSH) || draft.is(ZYDIS_CATEGORY_POP) ||
        draft.is(ZYDIS_CATEGORY_CALL) || draft.is(ZYDIS_CATEGORY_RET))
        gpr[4] = draft.place;
    switch (draft.mnemonic()) {
        case ZYDIS_MNEMONIC_DIV:
        case ZYDIS_MNEMONIC_IDIV: return lead_division(draft, random);
        case ZYDIS_MNEMONIC_BT:
        case ZYDIS_MNEMONIC_BTC:
        case ZYDIS_MNEMONIC_BTR:
        case ZYDIS_MNEMONIC_BTS:
            if (draft.memory() != nullptr && draft.d.operand[1].type == ZYDIS_OPERAND_TYPE_REGISTER)
                draft.gpr(draft.d.operand[1].reg.value) = random.below(4096) - 2048;
            return;
        case ZYDIS_MNEMONIC_LEAVE: gpr[5] = draft.place; return;
        case ZYDIS_MNEMONIC_ENTER: return lead_enter(draft, random);
        case ZYDIS_MNEMONIC_XLAT: return lead_xlat(draft, random);
        case ZYDIS_MNEMONIC_CMPXCHG:
        case ZYDIS_MNEMONIC_CMPXCHG8B:
        case ZYDIS_MNEMONIC_CMPXCHG16B: return lead_compare(draft, random);
        default: return;
    }
}

// What the manual leaves open.

/// The masked count of a shift or rotate: CL or an immediate, the last operand.
unsigned count_of(const Case& k, const Decoded& d) {
    const ZydisDecodedOperand& o = d.operand[d.instruction.operand_count_visible - 1u];
    const u64 raw = o.type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? o.imm.value.u : k.before.gpr[1];
    return static_cast<unsigned>(raw) & (d.operand[0].size == 64 ? 63 : 31);
}

u16 destination(const Decoded& d) {
    const ZydisDecodedOperand& o = d.operand[0];
    if (o.type != ZYDIS_OPERAND_TYPE_REGISTER) return 0;
    return static_cast<u16>(1u << static_cast<unsigned>(ZydisRegisterGetId(o.reg.value)));
}

Open of_shift(const Case& k, const Decoded& d, bool loses_carry) {
    const unsigned count = count_of(k, d);
    if (count == 0) return {};
    Open open{.flags = af};
    if (count != 1) open.flags |= of;
    if (loses_carry && count >= d.operand[0].size) open.flags |= cf;
    return open;
}

Open of_double_shift(const Case& k, const Decoded& d) {
    const unsigned count = count_of(k, d);
    if (count == 0) return {};
    if (count > d.operand[0].size)
        return {.flags = all,
                .gpr = destination(d),
                .memory = d.operand[0].type == ZYDIS_OPERAND_TYPE_MEMORY};
    return {.flags = af | (count != 1 ? of : 0)};
}

Open open(const Case& k, const Decoded& d) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_AND:
        case ZYDIS_MNEMONIC_OR:
        case ZYDIS_MNEMONIC_XOR:
        case ZYDIS_MNEMONIC_TEST: return {.flags = af};
        case ZYDIS_MNEMONIC_ANDN:
        case ZYDIS_MNEMONIC_BLSI:
        case ZYDIS_MNEMONIC_BLSMSK:
        case ZYDIS_MNEMONIC_BLSR:
        case ZYDIS_MNEMONIC_BZHI: return {.flags = af | pf};
        case ZYDIS_MNEMONIC_BEXTR: return {.flags = sf | af | pf};
        case ZYDIS_MNEMONIC_SHL:
        case ZYDIS_MNEMONIC_SHR: return of_shift(k, d, true);
        case ZYDIS_MNEMONIC_SAR: return of_shift(k, d, false);
        case ZYDIS_MNEMONIC_ROL:
        case ZYDIS_MNEMONIC_ROR:
        case ZYDIS_MNEMONIC_RCL:
        case ZYDIS_MNEMONIC_RCR: return {.flags = count_of(k, d) > 1 ? of : 0};
        case ZYDIS_MNEMONIC_SHLD:
        case ZYDIS_MNEMONIC_SHRD: return of_double_shift(k, d);
        case ZYDIS_MNEMONIC_MUL:
        case ZYDIS_MNEMONIC_IMUL: return {.flags = sf | zf | af | pf};
        case ZYDIS_MNEMONIC_DIV:
        case ZYDIS_MNEMONIC_IDIV: return {.flags = all};
        case ZYDIS_MNEMONIC_BSF:
        case ZYDIS_MNEMONIC_BSR: return {.flags = cf | of | sf | af | pf};
        case ZYDIS_MNEMONIC_TZCNT:
        case ZYDIS_MNEMONIC_LZCNT: return {.flags = of | sf | af | pf};
        case ZYDIS_MNEMONIC_BT:
        case ZYDIS_MNEMONIC_BTC:
        case ZYDIS_MNEMONIC_BTR:
        case ZYDIS_MNEMONIC_BTS: return {.flags = of | sf | af | pf};
        case ZYDIS_MNEMONIC_BSWAP:
            return d.operand[0].size == 16 ? Open{.gpr = destination(d)} : Open{};
        default: return {};
    }
}

// Vendors.

bool has_prefix(const Decoded& d, u8 low, u8 high) {
    for (unsigned n = 0; n < d.instruction.raw.prefix_count; ++n)
        if (d.instruction.raw.prefixes[n].value >= low &&
            d.instruction.raw.prefixes[n].value <= high)
            return true;
    return false;
}

bool is_prefixed_loop(const Case&, const Decoded& d, const Outcome&) {
    const ZydisMnemonic m = d.instruction.mnemonic;
    return (m == ZYDIS_MNEMONIC_LOOPE || m == ZYDIS_MNEMONIC_LOOPNE) && has_prefix(d, 0xf2, 0xf3);
}
bool is_empty_repeat(const Case& k, const Decoded& d, const Outcome&) {
    return d.instruction.meta.category == ZYDIS_CATEGORY_STRINGOP && has_prefix(d, 0xf2, 0xf3) &&
           d.instruction.address_width == 32 && static_cast<u32>(k.before.gpr[1]) == 0;
}
bool is_faulting_comparison(const Case&, const Decoded& d, const Outcome& host) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_CMPSB:
        case ZYDIS_MNEMONIC_CMPSW:
        case ZYDIS_MNEMONIC_CMPSD:
        case ZYDIS_MNEMONIC_CMPSQ: return faults(host);
        case ZYDIS_MNEMONIC_SCASB:
        case ZYDIS_MNEMONIC_SCASW:
        case ZYDIS_MNEMONIC_SCASD:
        case ZYDIS_MNEMONIC_SCASQ: return faults(host) && has_prefix(d, 0xf2, 0xf3);
        default: return false;
    }
}
bool is_narrow_repeat_that_faults(const Case&, const Decoded& d, const Outcome& host) {
    return d.instruction.meta.category == ZYDIS_CATEGORY_STRINGOP && has_prefix(d, 0xf2, 0xf3) &&
           d.instruction.address_width == 32 && faults(host);
}
bool is_narrow_movsxd(const Case&, const Decoded& d, const Outcome& host) {
    constexpr int page_fault = 14;
    return d.instruction.mnemonic == ZYDIS_MNEMONIC_MOVSXD && d.operand[0].size == 16 &&
           host.vector == page_fault;
}

constexpr std::array differences{
    VendorRow{Vendor::amd, is_empty_repeat, "REP with ECX = 0 leaves RCX's upper half alone"},
    VendorRow{Vendor::amd, is_narrow_repeat_that_faults,
              "upper halves are left alone by a fault of the first iteration"},
    VendorRow{Vendor::amd, is_faulting_comparison,
              "CMPS reads [RSI] first, and a fault keeps the flags of earlier iterations"},
    VendorRow{Vendor::amd, is_narrow_movsxd, "MOVSXD to 16 bits reads 32 bits of memory"},
    VendorRow{Vendor::amd, is_prefixed_loop, "F2H and F3H choose LOOPcc's condition"},
};

const Group group{
    .name = "integer", .takes = takes, .lead = lead, .open = open, .vendor = differences};
const Registered registered{group};

}  // namespace
}  // namespace postern::silicon

// SPDX-License-Identifier: Apache-2.0
// Undefined results by instruction, from SDM 2A and 2B, "Flags Affected" of each.
#include "silicon/undefined.h"

#include <cpuid.h>

#include <cstring>

namespace postern::silicon {
namespace {

constexpr u64 cf = 1, pf = 4, af = 0x10, zf = 0x40, sf = 0x80, of = 0x800;
constexpr u64 all = cf | pf | af | zf | sf | of;

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

}  // namespace

Open left_open(const Case& k, const Decoded& d) {
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_AND:
        case ZYDIS_MNEMONIC_OR:
        case ZYDIS_MNEMONIC_XOR:
        case ZYDIS_MNEMONIC_TEST: return {.flags = af};
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

Vendor host_vendor() {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    __get_cpuid(0, &eax, &ebx, &ecx, &edx);
    const std::array<unsigned, 3> words{ebx, edx, ecx};
    if (std::memcmp(words.data(), "GenuineIntel", 12) == 0) return Vendor::intel;
    if (std::memcmp(words.data(), "AuthenticAMD", 12) == 0) return Vendor::amd;
    return Vendor::other;
}

namespace {

bool has_prefix(const Decoded& d, u8 low, u8 high) {
    for (unsigned n = 0; n < d.instruction.raw.prefix_count; ++n)
        if (d.instruction.raw.prefixes[n].value >= low &&
            d.instruction.raw.prefixes[n].value <= high)
            return true;
    return false;
}

bool is_sha(const Case&, const Decoded& d, const Outcome&) {
    return d.instruction.meta.isa_set == ZYDIS_ISA_SET_SHA &&
           d.operand[1].type == ZYDIS_OPERAND_TYPE_MEMORY;
}
bool is_prefixed_loop(const Case&, const Decoded& d, const Outcome&) {
    const ZydisMnemonic m = d.instruction.mnemonic;
    return (m == ZYDIS_MNEMONIC_LOOPE || m == ZYDIS_MNEMONIC_LOOPNE) && has_prefix(d, 0xf2, 0xf3);
}
bool is_empty_repeat(const Case& k, const Decoded& d, const Outcome&) {
    return d.instruction.meta.category == ZYDIS_CATEGORY_STRINGOP && has_prefix(d, 0xf2, 0xf3) &&
           d.instruction.address_width == 32 && static_cast<u32>(k.before.gpr[1]) == 0;
}
bool loads_mxcsr_mm(const Case&, const Decoded& d, const Outcome& host) {
    constexpr u32 misaligned_mask = 1u << 17;
    return d.instruction.mnemonic == ZYDIS_MNEMONIC_LDMXCSR &&
           (host.after.mxcsr & misaligned_mask) != 0;
}

bool is_misaligned_in_stack(const Case&, const Decoded& d, const Outcome& host) {
    constexpr int general_protection = 13;
    const ZydisDecodedOperand& last = d.operand[d.instruction.operand_count_visible == 0 ? 0 : 1];
    const ZydisDecodedOperand& o =
        d.operand[0].type == ZYDIS_OPERAND_TYPE_MEMORY ? d.operand[0] : last;
    return host.vector == general_protection && o.type == ZYDIS_OPERAND_TYPE_MEMORY &&
           o.size == 128 && o.mem.segment == ZYDIS_REGISTER_SS;
}
bool is_masked_store(const Case&, const Decoded& d, const Outcome& host) {
    constexpr int page_fault = 14;
    return d.instruction.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU && host.vector == page_fault;
}

bool is_narrow_movsxd(const Case&, const Decoded& d, const Outcome& host) {
    constexpr int page_fault = 14;
    return d.instruction.mnemonic == ZYDIS_MNEMONIC_MOVSXD && d.operand[0].size == 16 &&
           host.vector == page_fault;
}

struct DifferenceRow {
    Vendor vendor;
    bool (*applies)(const Case&, const Decoded&, const Outcome& host);
    const char* why;
};
constexpr std::array differences{
    DifferenceRow{Vendor::amd, is_sha, "SHA takes misaligned operands; Intel: #GP(0)"},
    DifferenceRow{Vendor::amd, is_empty_repeat, "REP with ECX = 0 leaves RCX's upper half alone"},
    DifferenceRow{Vendor::amd, loads_mxcsr_mm, "MXCSR has bit 17 (MM); Intel: #GP(0)"},
    DifferenceRow{Vendor::amd, is_misaligned_in_stack,
                  "#GP for the alignment goes before #SS for the address"},
    DifferenceRow{Vendor::amd, is_masked_store, "CR2 is the operand's address, masked or not"},
    DifferenceRow{Vendor::amd, is_narrow_movsxd, "MOVSXD to 16 bits reads 32 bits of memory"},
    DifferenceRow{Vendor::amd, is_prefixed_loop, "F2H and F3H choose LOOPcc's condition"},
};

}  // namespace

const char* vendor_difference(Vendor vendor, const Case& k, const Decoded& d, const Outcome& host) {
    for (const DifferenceRow& row : differences)
        if (row.vendor == vendor && row.applies(k, d, host)) return row.why;
    return nullptr;
}

}  // namespace postern::silicon

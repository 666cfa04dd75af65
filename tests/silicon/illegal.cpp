// SPDX-License-Identifier: Apache-2.0
// Bytes that are no instruction.
#include "silicon/illegal.h"

#include <algorithm>
#include <cstring>

#include "silicon/difference.h"
#include "silicon/generator.h"

namespace postern::silicon {
namespace {

constexpr unsigned longest = 15;
constexpr u8 int3 = 0xcc;  // behind the bytes: says that the host took them for an instruction
constexpr std::array<u8, 11> prefixes{0xf0, 0x66, 0x67, 0xf2, 0xf3, 0x26,
                                      0x2e, 0x36, 0x3e, 0x64, 0x65};

enum class Kind : u8 { prefixed, too_long, any };

void insert_front(Case& k, u8 byte) {
    std::memmove(k.bytes.data() + 1, k.bytes.data(), k.bytes.size() - 1);
    k.bytes[0] = byte;
    if (k.length < k.bytes.size()) ++k.length;
}

/// LOCK where it may not be, or another prefix that a VEX or SSE form does not take.
void put_prefixed(Case& k, Random& random) {
    // Of an illegal one that is too long, too, the host sees the length first: not compared.
    while (k.length < longest) {
        insert_front(k, prefixes[random.below(2) * random.below(prefixes.size())]);
        if (!random.one_in(4)) return;
    }
}

/// Prefixes that mean nothing, or repeat, until 15 bytes are not enough.
void put_too_long(Case& k, Random& random) {
    const u8 prefix = std::array<u8, 4>{0x26, 0x2e, 0x36, 0x3e}[random.below(4)];
    while (k.length <= longest) insert_front(k, prefix);
}

/// An opcode of any map with any ModRM; EVEX stays out, and VEX has fields that mean something.
void put_any(Case& k, Random& random) {
    unsigned n = 0;
    const u64 r = random.next();
    if ((r & 3) == 0) k.bytes[n++] = prefixes[r >> 8 & 1 ? 0 : r >> 2 & 3];
    const u64 map = r >> 10 & 7;
    if (map >= 5) {
        k.bytes[n++] = 0xc4;
        k.bytes[n++] = static_cast<u8>(0xe0 | (1 + (r >> 16) % 3));
        k.bytes[n++] = static_cast<u8>(random.one_in(2) ? (r >> 24 | 0x78) : r >> 24);
    } else {
        if ((r >> 13 & 3) == 0) k.bytes[n++] = static_cast<u8>(0x40 | (r >> 32 & 15));
        if (map != 0) k.bytes[n++] = 0x0f;
        if (map == 3) k.bytes[n++] = 0x38;
        if (map == 4) k.bytes[n++] = 0x3a;
    }
    const u64 rest = random.next();
    std::memcpy(k.bytes.data() + n, &rest, 8);
    n += 8;
    k.length = std::min<unsigned>(n, longest);
}

bool is_illegal(const Case& k, Kind kind) {
    Decoded d;
    const ZyanStatus status = decode_status(k.bytes.data(), longest, d);
    if (kind == Kind::too_long)
        return status == ZYDIS_STATUS_NO_MORE_DATA || status == ZYDIS_STATUS_INSTRUCTION_TOO_LONG;
    return status == ZYDIS_STATUS_DECODING_ERROR || status == ZYDIS_STATUS_ILLEGAL_LOCK ||
           status == ZYDIS_STATUS_ILLEGAL_LEGACY_PFX || status == ZYDIS_STATUS_ILLEGAL_REX ||
           status == ZYDIS_STATUS_BAD_REGISTER || status == ZYDIS_STATUS_INVALID_MAP;
}

}  // namespace

Case generate_illegal(std::span<const Row> rows, Random& random) {
    for (;;) {
        Case k = generate(rows[random.below(rows.size())], random);
        const auto kind = static_cast<Kind>(random.below(3));
        std::fill(k.bytes.begin() + k.length, k.bytes.end(), int3);
        switch (kind) {
            case Kind::prefixed: put_prefixed(k, random); break;
            case Kind::too_long: put_too_long(k, random); break;
            case Kind::any: put_any(k, random); break;
        }
        if (!is_illegal(k, kind)) continue;
        k.row = ZYDIS_MNEMONIC_INVALID;
        k.before.rip = usual_place;
        return k;
    }
}

namespace {

/// What follows LOCK and 0F; else a NOP.
u8 locked_opcode(const Case& k) {
    constexpr u8 nop = 0x90;
    const auto end = k.bytes.begin() + k.length;
    const auto lock = std::find(k.bytes.begin(), end, 0xf0);
    const auto escape = std::find(lock, end, 0x0f);
    return end - escape > 2 ? escape[1] : nop;
}

/// LOCK MOV to or from CR0 is CR8 there.
bool is_mov_cr8(const Case& k, const Outcome&) {
    const u8 opcode = locked_opcode(k);
    return opcode == 0x20 || opcode == 0x22;
}
/// LOCK with SLDT, STR, LLDT, LTR, VERR, VERW.
bool is_locked_selector(const Case& k, const Outcome& host) {
    constexpr int invalid_opcode = 6;
    return locked_opcode(k) == 0 && host.vector != invalid_opcode;
}

/// VPERMQ and VPERMPD with VEX.W clear.
bool is_narrow_permutation(const Case& k, const Outcome&) {
    return k.bytes[0] == 0xc4 && (k.bytes[1] & 0x1f) == 3 && (k.bytes[2] & 0x87) == 5 &&
           k.bytes[3] <= 1;
}

/// VMCALL with a prefix that it does not take.
bool is_prefixed_vmcall(const Case& k, const Outcome&) {
    constexpr std::array<u8, 3> vmcall{0x0f, 0x01, 0xc1};
    return !std::ranges::search(k.bytes, vmcall).empty();
}

struct LegalityRow {
    Vendor vendor;
    bool (*applies)(const Case& k, const Outcome& host);
    const char* why;
};
constexpr std::array legality_rows{
    LegalityRow{Vendor::intel, is_prefixed_vmcall,
                "VMCALL exits whatever its prefix, and the host's hypervisor answers; manual: #UD"},
    LegalityRow{Vendor::amd, is_mov_cr8, "LOCK MOV CR0 means CR8; Intel: #UD"},
    LegalityRow{Vendor::amd, is_locked_selector,
                "LOCK of 0F 00: a fault of the operand goes before #UD"},
    LegalityRow{Vendor::amd, is_narrow_permutation, "VPERMQ ignores VEX.W; Intel: #UD"},
};

}  // namespace

const char* legality_difference(const Case& k, const Outcome& host) {
    for (const LegalityRow& row : legality_rows)
        if (row.vendor == host_vendor() && row.applies(k, host)) return row.why;
    return nullptr;
}

}  // namespace postern::silicon

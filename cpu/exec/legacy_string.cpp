// SPDX-License-Identifier: Apache-2.0
// String instructions, XLAT and MONITOR outside 64-bit mode: SI, DI and CX or ESI, EDI and ECX by
// the address's size, the source through its segment, the destination through ES.
#include "cpu/exec/legacy.h"
#include "cpu/exec/operand.h"
#include "cpu/exec/segment_check.h"
#include "cpu/exec/system.h"
#include "cpu/flags.h"
#include "cpu/mode.h"

namespace postern::cpu {
namespace {

Result<Gva> source(Cpu& c, const Insn& i) {
    return segment_address(c, static_cast<SegmentIndex>(i.src), c.gpr[rsi] & address_size_mask(i),
                           size_of(i), Access::read);
}
Result<Gva> destination(Cpu& c, const Insn& i, Access access) {
    return segment_address(c, es, c.gpr[rdi] & address_size_mask(i), size_of(i), access);
}

void advance(Cpu& c, const Insn& i, u8 which) {
    const u64 size = size_of(i);
    put_sized(c, which, i.scale, c.gpr[which] + (c.flags.has(Rflag::df) ? 0 - size : size));
}

void set_compare_flags(Cpu& c, unsigned size, u64 a, u64 b) {
    switch (size) {
        case 1:
            return set_sub_flags<u8>(c, static_cast<u8>(a), static_cast<u8>(b),
                                     static_cast<u8>(a - b));
        case 2:
            return set_sub_flags<u16>(c, static_cast<u16>(a), static_cast<u16>(b),
                                      static_cast<u16>(a - b));
        default:
            return set_sub_flags<u32>(c, static_cast<u32>(a), static_cast<u32>(b),
                                      static_cast<u32>(a - b));
    }
}

Result<> movs(Cpu& c, const Insn& i) {
    const Gva from = TRY(source(c, i));
    const u64 value = TRY(load(c, from, size_of(i)));
    const Gva to = TRY(destination(c, i, Access::write));
    TRY(store(c, to, size_of(i), value));
    advance(c, i, rsi);
    advance(c, i, rdi);
    return Done{};
}
Result<> stos(Cpu& c, const Insn& i) {
    const Gva to = TRY(destination(c, i, Access::write));
    TRY(store(c, to, size_of(i), get_sized(c, rax, size_of(i))));
    advance(c, i, rdi);
    return Done{};
}
Result<> lods(Cpu& c, const Insn& i) {
    const Gva from = TRY(source(c, i));
    put_sized(c, rax, size_of(i), TRY(load(c, from, size_of(i))));
    advance(c, i, rsi);
    return Done{};
}
Result<> scas(Cpu& c, const Insn& i) {
    const Gva at = TRY(destination(c, i, Access::read));
    const u64 b = TRY(load(c, at, size_of(i)));
    set_compare_flags(c, size_of(i), get_sized(c, rax, size_of(i)), b);
    advance(c, i, rdi);
    return Done{};
}
Result<> cmps(Cpu& c, const Insn& i) {
    const Gva first = TRY(destination(c, i, Access::read));
    const u64 b = TRY(load(c, first, size_of(i)));
    const Gva second = TRY(source(c, i));
    const u64 a = TRY(load(c, second, size_of(i)));
    set_compare_flags(c, size_of(i), a, b);
    advance(c, i, rsi);
    advance(c, i, rdi);
    return Done{};
}

using Once = Result<> (*)(Cpu&, const Insn&);

/// As in 64-bit mode each iteration retires by itself: see string.cpp.
template <Once once, bool compares>
Step repeated(Cpu& c, const Insn* i) {
    c.rip = address_of(c, i);
    c.budget += i->remaining;  // the last of its block: 1
    const u64 mask = address_size_mask(*i);
    const KeptFlags before = keep_flags(c);
    bool first = true;
    while ((c.gpr[rcx] & mask) != 0) {
        if (c.budget <= 0 || c.recheck) {
            c.event.repeating = !first;
            if (compares) restore_flags(c, before);
            return Step::stop;
        }
        if (!once(c, *i)) {
            if (compares) restore_flags(c, before);
            note_exit_length(c, *i);
            return Step::fault;
        }
        put_sized(c, rcx, i->scale, c.gpr[rcx] - 1);
        c.budget -= 1;
        first = false;
        if (compares && zf(c) != ((i->form & form_repne) == 0)) break;
    }
    if (first) c.budget -= 1;  // no iteration: still one instruction
    c.rip = static_cast<u32>(c.rip + i->length);
    return c.recheck ? Step::stop : Step::lookup;
}

template <Once once, bool compares>
Handler pick(bool repeat) {
    return repeat ? Handler{repeated<once, compares>} : Handler{inside_block<once>};
}

struct StringRow {
    std::array<ZydisMnemonic, 3> mnemonic;  // of 1, 2 and 4 bytes
    Handler (*pick)(bool repeat);
};

constexpr std::array rows{
    StringRow{{ZYDIS_MNEMONIC_MOVSB, ZYDIS_MNEMONIC_MOVSW, ZYDIS_MNEMONIC_MOVSD},
              pick<movs, false>},
    StringRow{{ZYDIS_MNEMONIC_STOSB, ZYDIS_MNEMONIC_STOSW, ZYDIS_MNEMONIC_STOSD},
              pick<stos, false>},
    StringRow{{ZYDIS_MNEMONIC_LODSB, ZYDIS_MNEMONIC_LODSW, ZYDIS_MNEMONIC_LODSD},
              pick<lods, false>},
    StringRow{{ZYDIS_MNEMONIC_SCASB, ZYDIS_MNEMONIC_SCASW, ZYDIS_MNEMONIC_SCASD}, pick<scas, true>},
    StringRow{{ZYDIS_MNEMONIC_CMPSB, ZYDIS_MNEMONIC_CMPSW, ZYDIS_MNEMONIC_CMPSD}, pick<cmps, true>},
};

void set_size(Insn& i, unsigned bytes) {
    i.form = static_cast<u8>((i.form & ~form_size_mask) | bytes);
}

/// The segment of what SI or BX addresses: the only memory operand that is not through ES, or that
/// may be.
SegmentIndex source_segment(const Decoded& d) {
    for (unsigned n = 0; n < d.instruction.operand_count; ++n) {
        if (!d.is_memory(n)) continue;
        const ZydisDecodedOperandMem& m = d.operand[n].mem;
        if (m.base != ZYDIS_REGISTER_DI && m.base != ZYDIS_REGISTER_EDI)
            return segment_of_operand(m.segment);
    }
    return ds;
}

/// SDM 2D, "XLAT/XLATB".
Result<> xlat(Cpu& c, const Insn& i) {
    const u64 offset = (c.gpr[rbx] + get<u8>(c, rax)) & address_size_mask(i);
    const Gva at =
        TRY(segment_address(c, static_cast<SegmentIndex>(i.src), offset, 1, Access::read));
    put<u8>(c, rax, static_cast<u8>(TRY(load(c, at, 1))));
    return Done{};
}

}  // namespace

Handler build_legacy_string(const Decoded& d, Insn& i) {
    set_address_size(d, i);
    i.src = source_segment(d);
    const bool repeat = (i.form & (form_rep | form_repne)) != 0;
    for (const StringRow& row : rows)
        for (unsigned n = 0; n < row.mnemonic.size(); ++n) {
            if (row.mnemonic[n] != d.instruction.mnemonic) continue;
            set_size(i, 1u << n);
            return row.pick(repeat);
        }
    return nullptr;
}

Handler build_legacy_port_string(const Decoded& d, Insn& i) {
    set_address_size(d, i);
    i.src = source_segment(d);
    switch (d.instruction.mnemonic) {
        case ZYDIS_MNEMONIC_INSB: set_size(i, 1); return ends_block<exec_ins>;
        case ZYDIS_MNEMONIC_INSW: set_size(i, 2); return ends_block<exec_ins>;
        case ZYDIS_MNEMONIC_INSD: set_size(i, 4); return ends_block<exec_ins>;
        case ZYDIS_MNEMONIC_OUTSB: set_size(i, 1); return ends_block<exec_outs>;
        case ZYDIS_MNEMONIC_OUTSW: set_size(i, 2); return ends_block<exec_outs>;
        default: set_size(i, 4); return ends_block<exec_outs>;
    }
}

Handler build_legacy_monitor(const Decoded& d, Insn& i) {
    set_address_size(d, i);
    i.src = source_segment(d);
    return ends_block<exec_monitor>;
}

Handler build_legacy_xlat(const Decoded& d, Insn& i) {
    set_address_size(d, i);
    i.src = source_segment(d);
    return inside_block<xlat>;
}

}  // namespace postern::cpu

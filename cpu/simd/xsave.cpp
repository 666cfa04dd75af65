// SPDX-License-Identifier: Apache-2.0
// Every check and every access that can fail comes before the first register or byte that changes.
// Areas are aligned to 64 bytes, so they move by eight bytes.
#include "cpu/simd/xsave.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

#include "base/bits.h"
#include "cpu/event/controls.h"
#include "cpu/event/event.h"
#include "cpu/exec/address.h"
#include "cpu/mmu/access.h"
#include "cpu/model.h"
#include "cpu/simd/fxstate.h"
#include "cpu/simd/host_unit.h"
#include "cpu/simd/xsave_layout.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu {
namespace {

constexpr u64 compacted_bit = u64{1} << 63;

// Offsets in the header, and of its fields from the area's start.
constexpr unsigned xcomp_bv_in_header = 8;
constexpr unsigned xstate_bv_offset = xsave_legacy_size;
constexpr unsigned xcomp_bv_offset = xsave_legacy_size + xcomp_bv_in_header;

// Beyond the legacy region there are AVX and PKRU; no model has more.
constexpr size_t extended_size = 256 + 8;
using Extended = std::array<u8, extended_size>;

u64 word_at(const u8* bytes, size_t offset) {
    u64 value = 0;
    std::memcpy(&value, bytes + offset, sizeof value);
    return value;
}

Result<> store_words(Cpu& c, Gva at, std::span<const u8> bytes) {
    for (size_t n = 0; n < bytes.size(); n += 8) TRY(store(c, at + n, 8, word_at(bytes.data(), n)));
    return Done{};
}
Result<> load_words(Cpu& c, Gva at, std::span<u8> bytes) {
    for (size_t n = 0; n < bytes.size(); n += 8) {
        const u64 value = TRY(load(c, at + n, 8));
        std::memcpy(bytes.data() + n, &value, 8);
    }
    return Done{};
}

Result<> check_xsave(Cpu& c, const Insn& i) {
    if (!c.cr4.has(Cr4::osxsave)) return invalid_opcode(c);
    if (c.cr0.has(Cr0::ts)) return raise(c, Vector::device_not_available);
    if (!is_aligned(linear_address(c, i).raw(), u64{64})) return general_protection(c);
    return Done{};
}

/// XSAVES and XRSTORS. IA32_XSS has no bits here, so that the XSS-exiting bitmap never matters.
/// SDM 3C, "Changes to Instruction Behavior in VMX Non-Root Operation".
Result<> check_supervisor_xsave(Cpu& c, const Insn& i) {
    if (!c.cr4.has(Cr4::osxsave)) return invalid_opcode(c);
    if (vmx::in_guest(c) && !wants(c, SecondaryControl::enable_xsaves_xrstors))
        return invalid_opcode(c);
    if (c.cpl != 0) return general_protection(c);
    return check_xsave(c, i);
}

/// The requested-feature bitmap. `enabled` is XCR0, with IA32_XSS for XSAVES and XRSTORS.
Xcr0Word requested(const Cpu& c, u64 enabled) {
    const u64 mask = c.gpr[rdx] << 32 | static_cast<u32>(c.gpr[rax]);
    return Xcr0Word::from_raw(enabled & mask);
}

void save_avx(const Cpu& c, u8* to) {
    for (size_t n = 0; n < vectors_in_reach(c); ++n)
        std::memcpy(to + 16 * n, c.vector.zmm[n].bytes.data() + 16, 16);
}
void load_avx(Cpu& c, const u8* from) {
    for (size_t n = 0; n < vectors_in_reach(c); ++n)
        std::memcpy(c.vector.zmm[n].bytes.data() + 16, from + 16 * n, 16);
}

void save_component(const Cpu& c, Xcr0 component, u8* to) {
    if (component == Xcr0::avx) {
        save_avx(c, to);
    } else {
        const u64 pkru = c.pkru;
        std::memcpy(to, &pkru, sizeof pkru);
    }
}
void load_component(Cpu& c, Xcr0 component, const u8* from) {
    if (component == Xcr0::avx)
        load_avx(c, from);
    else
        set_pkru(c, static_cast<u32>(word_at(from, 0)));
}

/// f(component, its index in an Extended) for those of `which`; stops at the first failure.
template <class F>
Result<> for_each_extended(Xcr0Word which, F f) {
    size_t index = 0;
    for (const XsaveComponent& component : xsave_components) {
        if (!which.has(component.bit)) continue;
        TRY(f(component, index));
        index += component.size;
    }
    return Done{};
}

Result<> probe_area(Cpu& c, Gva at, Xcr0Word which, const XsaveLayout& layout) {
    TRY(probe_write(c, at, xsave_minimum_size));
    return for_each_extended(which, [&](const XsaveComponent& component, size_t) {
        return probe_write(c, at + layout.offset_of(component), component.size);
    });
}

/// The parts that `which` names, and nothing else. The compacted form keeps MXCSR with SSE, the
/// standard form with SSE or AVX.
Result<> store_legacy(Cpu& c, Gva at, Xcr0Word which, const XsaveLayout& layout) {
    std::array<u8, xsave_legacy_size> legacy{};
    save_legacy_region(c, legacy.data());
    const auto part = [&](unsigned from, unsigned end) {
        return store_words(c, at + from, std::span{legacy}.subspan(from, end - from));
    };
    const bool mxcsr =
        layout.is_compacted() ? which.has(Xcr0::sse) : which.has_any({Xcr0::sse, Xcr0::avx});
    if (which.has(Xcr0::x87)) {
        TRY(part(0, legacy_mxcsr));
        TRY(part(legacy_st, legacy_xmm));
    }
    if (mxcsr) TRY(part(legacy_mxcsr, legacy_st));
    if (which.has(Xcr0::sse)) TRY(part(legacy_xmm, legacy_end_in_reach(c)));
    return Done{};
}

/// Which components are in their initial configuration is not tracked: all count as in use
/// (docs/model-defined.md).
Result<> save_area(Cpu& c, Gva at, Xcr0Word which, const XsaveLayout& layout) {
    TRY(probe_area(c, at, which, layout));
    const u64 old = TRY(load(c, at + xstate_bv_offset, 8));

    // All of it is known to be writable.
    TRY(store_legacy(c, at, which, layout));
    Extended extended{};
    TRY(for_each_extended(which, [&](const XsaveComponent& component, size_t index) {
        save_component(c, component.bit, extended.data() + index);
        const size_t size =
            component.bit == Xcr0::avx ? 16 * vectors_in_reach(c) : size_t{component.size};
        return store_words(c, at + layout.offset_of(component),
                           std::span{extended}.subspan(index, size));
    }));
    const u64 kept = layout.is_compacted() ? 0 : old & ~which.to_raw();
    TRY(store(c, at + xstate_bv_offset, 8, kept | which.to_raw()));
    if (!layout.is_compacted()) return Done{};
    return store(c, at + xcomp_bv_offset, 8, which.to_raw() | compacted_bit);
}

/// What XRSTOR and XRSTORS find.
struct Header {
    std::array<u8, xsave_header_size> bytes;

    [[nodiscard]] Xcr0Word present() const { return Xcr0Word::from_raw(word_at(bytes.data(), 0)); }
    [[nodiscard]] u64 format() const { return word_at(bytes.data(), xcomp_bv_in_header); }
    [[nodiscard]] bool is_compacted() const { return (format() & compacted_bit) != 0; }
    [[nodiscard]] Xcr0Word named() const { return Xcr0Word::from_raw(format() & ~compacted_bit); }
    [[nodiscard]] bool are_zero(unsigned from, unsigned end) const {
        return std::all_of(bytes.begin() + from, bytes.begin() + end, [](u8 b) { return b == 0; });
    }
    [[nodiscard]] XsaveLayout layout() const {
        return is_compacted() ? XsaveLayout::compacted(named()) : XsaveLayout::standard();
    }
};

/// SDM 1, "Standard Form of XRSTOR".
bool is_legal_standard(const Header& header, Xcr0Word enabled) {
    return enabled.has_all(header.present()) && header.are_zero(8, 24);
}
/// SDM 1, "Compacted Form of XRSTOR" and "Operation of XRSTORS".
bool is_legal_compacted(const Header& header, Xcr0Word enabled) {
    return enabled.has_all(header.named()) && header.named().has_all(header.present()) &&
           header.are_zero(16, xsave_header_size);
}

/// XRSTOR loads MXCSR from a standard area whatever XSTATE_BV says, from a compacted one as part
/// of SSE.
bool takes_mxcsr(Xcr0Word which, const Header& header) {
    return header.is_compacted() ? which.has(Xcr0::sse) && header.present().has(Xcr0::sse)
                                 : which.has_any({Xcr0::sse, Xcr0::avx});
}

Result<> load_area(Cpu& c, Gva at, Xcr0Word which, const Header& header) {
    const Xcr0Word present = header.present();
    const Xcr0Word loaded = which & present;
    const XsaveLayout layout = header.layout();
    std::array<u8, xsave_legacy_size> legacy;
    TRY(load_words(c, at, std::span{legacy}.first<legacy_end>()));
    Extended extended;
    TRY(for_each_extended(loaded, [&](const XsaveComponent& component, size_t index) {
        return load_words(c, at + layout.offset_of(component),
                          std::span{extended}.subspan(index, component.size));
    }));
    const bool mxcsr = takes_mxcsr(which, header);
    const auto new_mxcsr = static_cast<u32>(word_at(legacy.data(), legacy_mxcsr));
    if (mxcsr && (new_mxcsr & mxcsr_reserved) != 0) return general_protection(c);

    // From here nothing can fault.
    init_extended_state(c, which.without(present).to_raw());
    if (loaded.has(Xcr0::x87)) load_x87(c, legacy.data());
    if (loaded.has(Xcr0::sse)) load_xmm(c, legacy.data());
    if (mxcsr) set_guest_mxcsr(c, new_mxcsr);
    return for_each_extended(loaded, [&](const XsaveComponent& component, size_t index) {
        load_component(c, component.bit, extended.data() + index);
        return Result<>{Done{}};
    });
}

}  // namespace

void set_pkru(Cpu& c, u32 value) {
    if (c.pkru == value) return;
    c.pkru = value;
    select_space(c);
}

void init_extended_state(Cpu& c, u64 features) {
    const auto which = Xcr0Word::from_raw(features);
    if (which.has(Xcr0::x87)) init_x87(c);
    if (which.has(Xcr0::sse)) {
        constexpr std::array<u8, xsave_legacy_size> zeros{};
        load_xmm(c, zeros.data());
        set_guest_mxcsr(c, mxcsr_reset);
    }
    constexpr Extended zeros{};
    if (which.has(Xcr0::avx)) load_avx(c, zeros.data());
    if (which.has(Xcr0::pkru)) set_pkru(c, 0);
}

/// Standard form. SDM 2D, "XSAVE".
Result<> exec_xsave(Cpu& c, const Insn& i) {
    TRY(check_xsave(c, i));
    return save_area(c, linear_address(c, i), requested(c, c.xcr0), XsaveLayout::standard());
}

/// With nothing tracked, neither optimisation ever applies. SDM 2D, "XSAVEOPT".
Result<> exec_xsaveopt(Cpu& c, const Insn& i) { return exec_xsave(c, i); }

/// SDM 2D, "XSAVEC".
Result<> exec_xsavec(Cpu& c, const Insn& i) {
    TRY(check_xsave(c, i));
    const Xcr0Word which = requested(c, c.xcr0);
    return save_area(c, linear_address(c, i), which, XsaveLayout::compacted(which));
}

/// SDM 2D, "XSAVES".
Result<> exec_xsaves(Cpu& c, const Insn& i) {
    TRY(check_supervisor_xsave(c, i));
    const Xcr0Word which = requested(c, c.xcr0 | c.msr.xss);
    return save_area(c, linear_address(c, i), which, XsaveLayout::compacted(which));
}

/// SDM 2D, "XRSTOR".
Result<> exec_xrstor(Cpu& c, const Insn& i) {
    TRY(check_xsave(c, i));
    const Gva at = linear_address(c, i);
    const auto enabled = Xcr0Word::from_raw(c.xcr0);
    Header header;
    TRY(load_words(c, at + xsave_legacy_size, header.bytes));
    const bool has_compacted = has_feature(*c.system->model, Feature::xsavec);
    const bool legal = header.is_compacted() ? has_compacted && is_legal_compacted(header, enabled)
                                             : is_legal_standard(header, enabled);
    if (!legal) return general_protection(c);
    return load_area(c, at, requested(c, c.xcr0), header);
}

/// SDM 2D, "XRSTORS".
Result<> exec_xrstors(Cpu& c, const Insn& i) {
    TRY(check_supervisor_xsave(c, i));
    const Gva at = linear_address(c, i);
    const u64 enabled = c.xcr0 | c.msr.xss;
    Header header;
    TRY(load_words(c, at + xsave_legacy_size, header.bytes));
    if (!header.is_compacted() || !is_legal_compacted(header, Xcr0Word::from_raw(enabled)))
        return general_protection(c);
    return load_area(c, at, requested(c, enabled), header);
}

/// SDM 2B, "RDPKRU".
Result<> exec_rdpkru(Cpu& c, const Insn&) {
    if (!c.cr4.has(Cr4::pke)) return invalid_opcode(c);
    if (static_cast<u32>(c.gpr[rcx]) != 0) return general_protection(c);
    c.gpr[rax] = c.pkru;
    c.gpr[rdx] = 0;
    return Done{};
}

/// SDM 2D, "WRPKRU".
Result<> exec_wrpkru(Cpu& c, const Insn&) {
    if (!c.cr4.has(Cr4::pke)) return invalid_opcode(c);
    if (static_cast<u32>(c.gpr[rcx]) != 0 || static_cast<u32>(c.gpr[rdx]) != 0)
        return general_protection(c);
    set_pkru(c, static_cast<u32>(c.gpr[rax]));
    return Done{};
}

}  // namespace postern::cpu

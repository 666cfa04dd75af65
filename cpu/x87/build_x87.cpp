// SPDX-License-Identifier: Apache-2.0
// x87 instructions in blocks. They name no register that would have to be renamed, so a thunk is
// the guest's own opcode and ModR/M, with the memory operand at [rdx].
#include <array>
#include <mutex>

#include "cpu/event/event.h"
#include "cpu/exec/fast.h"
#include "cpu/flags.h"
#include "cpu/simd/emitter.h"
#include "cpu/simd/operand_buffer.h"
#include "cpu/simd/thunk.h"
#include "cpu/x87/build.h"
#include "cpu/x87/software.h"
#include "cpu/x87/unit.h"

namespace postern::cpu {
namespace {

/// A memory operand: its size, and whether its address must be a multiple of 16.
template <unsigned count, bool is_checked = false>
struct Operand {
    std::array<u8, count> bytes;
    static constexpr unsigned size = count;
    static constexpr bool aligned = is_checked;
};

// Slow forms. Only these can leave or meet an unmasked exception.

template <class T>
Step from_memory_slow(Cpu& c, const Insn* i) {
    if (!prepare_x87(c)) return fault_at(c, i);
    const Gva at = linear_address(c, *i);
    if (T::aligned && is_misaligned(at.raw())) return misaligned(c, i);
    alignas(16) std::array<u8, 16> buffer{};
    c.budget += i->remaining;
    const Result<> loaded = load_operand(c, at, buffer.data(), T::size);
    c.budget -= i->remaining;
    if (!loaded) return fault_at(c, i);
    if (const Step step = run_apart(c, i, buffer.data()); step != Step::next) return step;
    NEXT(c, i);
}

/// An unmasked exception other than an inexact result keeps a store from being made. None was
/// pending before, so what is pending now is the instruction's own. SDM 1, "x87 FPU Exception
/// Conditions".
bool is_store_suppressed(const Cpu& c) {
    constexpr u16 pre_store = x87_exceptions & ~x87_pe;
    return (guest_fsw(c) & ~c.vector.x87.fcw & pre_store) != 0;
}

/// What can fail of the store.
template <class T>
bool is_writable(Cpu& c, const Insn* i, Gva at) {
    c.budget += i->remaining;
    const Result<> writable = probe_write(c, at, T::size);
    c.budget -= i->remaining;
    return writable && check_alignment(c, at, checked_alignment(T::size));
}

template <class T>
Step store_result(Cpu& c, const Insn* i, Gva at, const u8* bytes, u64 epoch) {
    c.budget += i->remaining;
    const Result<> stored = store_operand(c, at, bytes, T::size);
    c.budget -= i->remaining;
    if (!stored) return fault_at(c, i);
    NEXT_AFTER_STORE(c, i, epoch);
}

/// An operand that is not stored is not looked at either, so the thunk goes first; if the store
/// then fails, the unit is as it was.
template <class T>
Step to_memory_unmasked(Cpu& c, const Insn* i) {
    const u64 epoch = c.code_epoch;
    const X87State before = guest_x87(c);
    alignas(16) std::array<u8, 16> buffer{};
    if (const Step step = run_apart(c, i, buffer.data()); step != Step::next) return step;
    if (is_store_suppressed(c)) NEXT(c, i);
    const Gva at = linear_address(c, *i);
    if (is_writable<T>(c, i, at)) return store_result<T>(c, i, at, buffer.data(), epoch);
    set_guest_x87(c, before);
    return fault_at(c, i);
}

/// The thunk may pop the stack, so all that can fail comes before it.
template <class T>
Step to_memory_slow(Cpu& c, const Insn* i) {
    const u64 epoch = c.code_epoch;
    if (!prepare_x87(c)) return fault_at(c, i);
    if (c.x87_unit == X87Unit::unmasked) return to_memory_unmasked<T>(c, i);
    const Gva at = linear_address(c, *i);
    if (!is_writable<T>(c, i, at)) return fault_at(c, i);
    alignas(16) std::array<u8, 16> buffer{};
    if (const Step step = run_apart(c, i, buffer.data()); step != Step::next) return step;
    return store_result<T>(c, i, at, buffer.data(), epoch);
}

template <class T, Access access, Handler slow>
Step with_memory(Cpu& c, const Insn* i) {
    constexpr auto tag = access == Access::write ? &TlbEntry::write : &TlbEntry::read;
    if (c.x87_unit != X87Unit::masked) [[unlikely]]
        TAIL slow(c, i);
    const u64 at = fast_linear(c, i);
    if (T::aligned && is_misaligned(at)) [[unlikely]]
        TAIL misaligned(c, i);
    u8* p = hit<T, tag>(c, at);
    if (p == nullptr) [[unlikely]]
        TAIL miss<slow, access, sizeof(T)>(c, i);
    return thunk_of(i)(c, i, p);  // of another type than the handlers, still a jump
}

template <class T>
Handler pick(const Insn& i, bool is_store) {
    if (is_store) {
        return fast_or_slow(i, with_memory<T, Access::write, to_memory_slow<T>>, to_memory_slow<T>);
    }
    return fast_or_slow(i, with_memory<T, Access::read, from_memory_slow<T>>, from_memory_slow<T>);
}

// Flags. FCMOVcc finds them in dl.

Step conditional_move(Cpu& c, const Insn* i) {
    if (!prepare_x87(c)) [[unlikely]]
        return fault_at(c, i);
    return thunk_of(i)(c, i, reinterpret_cast<void*>(materialise(c)));
}

Step partial_remainder(Cpu& c, const Insn* i) {
    if (!prepare_x87(c)) return fault_at(c, i);
    if (make_partial_remainder(c)) NEXT(c, i);
    TAIL unit_not_ready(c, i);
}

enum class Flags : u8 { untouched, read, written };

Flags flags_of(ZydisMnemonic mnemonic) {
    switch (mnemonic) {
        case ZYDIS_MNEMONIC_FCMOVB:
        case ZYDIS_MNEMONIC_FCMOVBE:
        case ZYDIS_MNEMONIC_FCMOVE:
        case ZYDIS_MNEMONIC_FCMOVNB:
        case ZYDIS_MNEMONIC_FCMOVNBE:
        case ZYDIS_MNEMONIC_FCMOVNE:
        case ZYDIS_MNEMONIC_FCMOVNU:
        case ZYDIS_MNEMONIC_FCMOVU: return Flags::read;
        case ZYDIS_MNEMONIC_FCOMI:
        case ZYDIS_MNEMONIC_FCOMIP:
        case ZYDIS_MNEMONIC_FUCOMI:
        case ZYDIS_MNEMONIC_FUCOMIP: return Flags::written;
        default: return Flags::untouched;
    }
}

void emit_instruction(Emitter& e, std::array<u8, 2> bytes, Flags flags) {
    if (flags == Flags::read) {
        e.add(ZYDIS_MNEMONIC_MOV, {reg(ZYDIS_REGISTER_AH), reg(ZYDIS_REGISTER_DL)});
        e.add(ZYDIS_MNEMONIC_SAHF, {});
    }
    // Comparisons set three flags; the others become zero. SDM 1, table "EFLAGS Cross-Reference".
    if (flags == Flags::written)
        e.add(ZYDIS_MNEMONIC_XOR, {reg(ZYDIS_REGISTER_EAX), reg(ZYDIS_REGISTER_EAX)});
    e.add_bytes(bytes);
    if (flags == Flags::written)
        emit_flags_end(e);
    else
        emit_end(e);
}

/// All x87 thunks ever made, by opcode and ModR/M.
class X87Thunks {
public:
    Thunk find(const Decoded& d, bool guarded) {
        const std::array<u8, 2> bytes = for_thunk(d);
        const std::lock_guard lock{mutex_};
        Thunk& thunk = thunks_[(bytes[0] & 7u) << 8 | bytes[1]];
        if (thunk.code == nullptr) {
            Emitter e;
            emit_instruction(e, bytes, flags_of(d.instruction.mnemonic));
            thunk = place_thunk(e, guarded);
        }
        return thunk;
    }

private:
    /// A memory operand at [rdx]: mod 0, r/m 2.
    static std::array<u8, 2> for_thunk(const Decoded& d) {
        const auto& modrm = d.instruction.raw.modrm;
        const unsigned low = modrm.mod == 3 ? 0xc0u | modrm.rm : 2u;
        return {d.instruction.opcode, static_cast<u8>(low | unsigned{modrm.reg} << 3)};
    }

    std::mutex mutex_;
    std::array<Thunk, 2048> thunks_;
};

}  // namespace

Handler pick_unit_memory(const Insn& i, unsigned size, bool is_aligned, bool is_store) {
    switch (size) {
        case 2: return pick<Operand<2>>(i, is_store);
        case 4: return pick<Operand<4>>(i, is_store);
        case 8: return pick<Operand<8>>(i, is_store);
        case 10: return pick<Operand<10>>(i, is_store);
        case 16: return is_aligned ? pick<Operand<16, true>>(i, is_store) : nullptr;
        default: return nullptr;
    }
}

Handler build_x87(const Decoded& d, Insn& i, BlockCache&) {
    static X87Thunks thunks;
    const Flags flags = flags_of(d.instruction.mnemonic);
    const bool has_memory = d.instruction.raw.modrm.mod != 3;
    const Thunk thunk = thunks.find(d, !has_memory && flags != Flags::read);
    if (thunk.code == nullptr) return nullptr;
    i.aux = thunk.code;
    if (flags == Flags::read) return conditional_move;
    if (!has_memory) return reinterpret_cast<Handler>(const_cast<void*>(thunk.entry));
    for (unsigned n = 0; n < d.instruction.operand_count_visible; ++n) {
        if (!d.is_memory(n)) continue;
        const bool is_store = (d.operand[n].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
        return pick_unit_memory(i, d.size(n), false, is_store);
    }
    return nullptr;
}

Handler build_x87_remainder(const Decoded& d, Insn& i, BlockCache& cache) {
    return build_x87(d, i, cache) != nullptr ? partial_remainder : nullptr;
}

bool uses_x87(const Decoded& d) {
    return d.instruction.meta.isa_ext == ZYDIS_ISA_EXT_X87 || uses_mmx(d);
}

}  // namespace postern::cpu

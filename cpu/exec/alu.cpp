// SPDX-License-Identifier: Apache-2.0
// Two-operand and one-operand integer arithmetic and logic, shifts and rotates: hot handlers for
// every size and operand form.
#include "cpu/exec/alu_ops.h"
#include "cpu/exec/build.h"
#include "cpu/exec/fast.h"

namespace postern::cpu {
namespace {

template <class Op, class T>
Step reg_reg(Cpu& c, const Insn* i) {
    const T r = Op::template apply<T>(c, get<T>(c, i->dst), get<T>(c, i->src));
    if constexpr (Op::writes) put<T>(c, i->dst, r);
    NEXT(c, i);
}

template <class Op, class T>
Step reg_imm(Cpu& c, const Insn* i) {
    const T r = Op::template apply<T>(c, get<T>(c, i->dst), static_cast<T>(i->imm));
    if constexpr (Op::writes) put<T>(c, i->dst, r);
    NEXT(c, i);
}

template <class Op, class T>
Step reg_mem_slow(Cpu& c, const Insn* i) {
    const Result<u64> b = slow_load<T>(c, i, linear_address(c, *i));
    if (!b) return fault_at(c, i);
    const T r = Op::template apply<T>(c, get<T>(c, i->dst), static_cast<T>(b.value()));
    if constexpr (Op::writes) put<T>(c, i->dst, r);
    NEXT(c, i);
}

template <class Op, class T>
Step reg_mem(Cpu& c, const Insn* i) {
    const u8* p = hit<T, &TlbEntry::read>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<reg_mem_slow<Op, T>, Access::read, sizeof(T)>(c, i);
    const T r = Op::template apply<T>(c, get<T>(c, i->dst), read_host<T>(p));
    if constexpr (Op::writes) put<T>(c, i->dst, r);
    NEXT(c, i);
}

/// The second operand of a memory-destination form.
enum class From : u8 { reg, imm };

template <class T, From from>
T second(const Cpu& c, const Insn* i) {
    if constexpr (from == From::reg)
        return get<T>(c, i->src);
    else
        return static_cast<T>(i->imm);
}

// The store comes before the flags: one that faults must leave RFLAGS as it was. Lazy flags are
// three words, put back on the slow form's failure; the fast form's store cannot fail.
struct SavedFlags {
    u64 result, carries;
    u32 adjust;
    explicit SavedFlags(const Cpu& c) : result{c.result}, carries{c.carries}, adjust{c.adjust} {}
    void restore(Cpu& c) const {
        c.result = result;
        c.carries = carries;
        c.adjust = adjust;
    }
};

template <class Op, class T, From from>
Step mem_any_slow(Cpu& c, const Insn* i) {
    const u64 epoch = c.code_epoch;
    const Gva at = linear_address(c, *i);
    const Result<u64> a = Op::writes ? slow_load_for_store<T>(c, i, at) : slow_load<T>(c, i, at);
    if (!a) return fault_at(c, i);
    const SavedFlags before{c};
    const T r = Op::template apply<T>(c, static_cast<T>(a.value()), second<T, from>(c, i));
    if constexpr (Op::writes) {
        if (!slow_store<T>(c, i, at, r)) {
            before.restore(c);
            return fault_at(c, i);
        }
    }
    NEXT_AFTER_STORE(c, i, epoch);
}

template <class Op, class T, From from>
Step mem_any(Cpu& c, const Insn* i) {
    constexpr Access access = Op::writes ? Access::write : Access::read;
    constexpr auto tag = Op::writes ? &TlbEntry::write : &TlbEntry::read;
    u8* p = hit<T, tag>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<mem_any_slow<Op, T, from>, access, sizeof(T)>(c, i);
    const T r = Op::template apply<T>(c, read_host<T>(p), second<T, from>(c, i));
    if constexpr (Op::writes) write_host<T>(p, r);
    NEXT(c, i);
}

template <class Op, class T>
Step unary_reg(Cpu& c, const Insn* i) {
    put<T>(c, i->dst, Op::template apply<T>(c, get<T>(c, i->dst)));
    NEXT(c, i);
}

template <class Op, class T>
Step unary_mem_slow(Cpu& c, const Insn* i) {
    const u64 epoch = c.code_epoch;
    const Gva at = linear_address(c, *i);
    const Result<u64> a = slow_load_for_store<T>(c, i, at);
    if (!a) return fault_at(c, i);
    const SavedFlags before{c};
    if (!slow_store<T>(c, i, at, Op::template apply<T>(c, static_cast<T>(a.value())))) {
        before.restore(c);
        return fault_at(c, i);
    }
    NEXT_AFTER_STORE(c, i, epoch);
}

template <class Op, class T>
Step unary_mem(Cpu& c, const Insn* i) {
    u8* p = hit<T, &TlbEntry::write>(c, fast_linear(c, i));
    if (p == nullptr) [[unlikely]]
        TAIL miss<unary_mem_slow<Op, T>, Access::write, sizeof(T)>(c, i);
    write_host<T>(p, Op::template apply<T>(c, read_host<T>(p)));
    NEXT(c, i);
}

// Shifts: the count is an immediate (masked at decode; zero never reaches a handler) or CL.

template <class T>
constexpr unsigned count_mask = sizeof(T) == 8 ? 63 : 31;

template <class Op, class T>
Step shift_reg_imm(Cpu& c, const Insn* i) {
    put<T>(c, i->dst, Op::template apply<T>(c, get<T>(c, i->dst), static_cast<unsigned>(i->imm)));
    NEXT(c, i);
}

template <class Op, class T>
Step shift_reg_cl(Cpu& c, const Insn* i) {
    const unsigned count = static_cast<unsigned>(c.gpr[rcx]) & count_mask<T>;
    const T a = get<T>(c, i->dst);
    put<T>(c, i->dst, count == 0 ? a : Op::template apply<T>(c, a, count));
    NEXT(c, i);
}

template <class Op, class T>
Step shift_mem(Cpu& c, const Insn* i) {
    const u64 epoch = c.code_epoch;
    const bool by_cl = i->src == rcx;
    const unsigned count =
        static_cast<unsigned>(by_cl ? c.gpr[rcx] : static_cast<u64>(i->imm)) & count_mask<T>;
    const Gva at = linear_address(c, *i);
    const Result<u64> a = slow_load_for_store<T>(c, i, at);
    if (!a) return fault_at(c, i);
    const SavedFlags before{c};
    const T value = static_cast<T>(a.value());
    const T r = count == 0 ? value : Op::template apply<T>(c, value, count);
    if (!slow_store<T>(c, i, at, r)) {
        before.restore(c);
        return fault_at(c, i);
    }
    NEXT_AFTER_STORE(c, i, epoch);
}

/// A shift by a count that masks to zero: a 32-bit destination is still zero-extended.
template <class T>
Step shift_by_zero(Cpu& c, const Insn* i) {
    put<T>(c, i->dst, get<T>(c, i->dst));
    NEXT(c, i);
}

}  // namespace

template <class Op>
Handler build_binary(const Decoded& d, Insn& i, BlockCache&) {
    const unsigned size = d.size(0);
    if (d.is_register(0)) i.dst = register_row(d.operand[0].reg.value);
    if (d.is_register(1)) i.src = register_row(d.operand[1].reg.value);
    if (d.is_immediate(1)) i.imm = d.operand[1].imm.value.s;

    return by_size(size, [&](auto t) -> Handler {
        using T = decltype(t);
        if (d.is_register(0)) {
            if (d.is_register(1)) return reg_reg<Op, T>;
            if (d.is_immediate(1)) return reg_imm<Op, T>;
            return fast_or_slow(i, reg_mem<Op, T>, reg_mem_slow<Op, T>);
        }
        if (d.is_register(1))
            return fast_or_slow(i, mem_any<Op, T, From::reg>, mem_any_slow<Op, T, From::reg>);
        return fast_or_slow(i, mem_any<Op, T, From::imm>, mem_any_slow<Op, T, From::imm>);
    });
}

template <class Op>
Handler build_unary(const Decoded& d, Insn& i, BlockCache&) {
    if (d.is_register(0)) i.dst = register_row(d.operand[0].reg.value);
    return by_size(d.size(0), [&](auto t) -> Handler {
        using T = decltype(t);
        if (d.is_register(0)) return unary_reg<Op, T>;
        return fast_or_slow(i, unary_mem<Op, T>, unary_mem_slow<Op, T>);
    });
}

template <class Op>
Handler build_shift(const Decoded& d, Insn& i, BlockCache&) {
    if (d.is_register(0)) i.dst = register_row(d.operand[0].reg.value);
    const bool by_cl = d.is_register(1);
    i.src = by_cl ? u8{rcx} : row_zero;
    return by_size(d.size(0), [&](auto t) -> Handler {
        using T = decltype(t);
        if (!by_cl) i.imm = static_cast<i64>(d.operand[1].imm.value.u & count_mask<T>);
        if (!d.is_register(0)) return shift_mem<Op, T>;
        if (by_cl) return shift_reg_cl<Op, T>;
        return i.imm == 0 ? Handler{shift_by_zero<T>} : Handler{shift_reg_imm<Op, T>};
    });
}

template Handler build_binary<Add>(const Decoded&, Insn&, BlockCache&);
template Handler build_binary<Adc>(const Decoded&, Insn&, BlockCache&);
template Handler build_binary<Adcx>(const Decoded&, Insn&, BlockCache&);
template Handler build_binary<Adox>(const Decoded&, Insn&, BlockCache&);
template Handler build_binary<Sub>(const Decoded&, Insn&, BlockCache&);
template Handler build_binary<Sbb>(const Decoded&, Insn&, BlockCache&);
template Handler build_binary<Cmp>(const Decoded&, Insn&, BlockCache&);
template Handler build_binary<And>(const Decoded&, Insn&, BlockCache&);
template Handler build_binary<Or>(const Decoded&, Insn&, BlockCache&);
template Handler build_binary<Xor>(const Decoded&, Insn&, BlockCache&);
template Handler build_binary<Test>(const Decoded&, Insn&, BlockCache&);
template Handler build_unary<Inc>(const Decoded&, Insn&, BlockCache&);
template Handler build_unary<Dec>(const Decoded&, Insn&, BlockCache&);
template Handler build_unary<Neg>(const Decoded&, Insn&, BlockCache&);
template Handler build_unary<Not>(const Decoded&, Insn&, BlockCache&);
template Handler build_shift<Shl>(const Decoded&, Insn&, BlockCache&);
template Handler build_shift<Shr>(const Decoded&, Insn&, BlockCache&);
template Handler build_shift<Sar>(const Decoded&, Insn&, BlockCache&);
template Handler build_shift<Rol>(const Decoded&, Insn&, BlockCache&);
template Handler build_shift<Ror>(const Decoded&, Insn&, BlockCache&);
template Handler build_shift<Rcl>(const Decoded&, Insn&, BlockCache&);
template Handler build_shift<Rcr>(const Decoded&, Insn&, BlockCache&);

}  // namespace postern::cpu

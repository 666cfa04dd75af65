// SPDX-License-Identifier: Apache-2.0
// PUSH, POP, ENTER, LEAVE in 64-bit mode: 8 bytes, or 2 with an operand-size prefix.
#include "cpu/decode/instruction_table.h"
#include "cpu/event/event.h"
#include "cpu/exec/build.h"
#include "cpu/exec/operand.h"
#include "cpu/exec/system.h"

namespace postern::cpu {

namespace {

/// #GP(0) for an address that is not canonical: the last access of 8 bytes or less at `at`.
bool is_address_fault(const Cpu& c, u64 at) {
    const Pending& p = c.pending;
    return p.kind == PendingKind::exception && p.vector == Vector::general_protection &&
           p.error_code == 0 && !(is_canonical(c, at) && is_canonical(c, at + 7));
}

}  // namespace

Failed blame_stack(Cpu& c, u64 at) {
    if (is_address_fault(c, at)) return raise(c, Vector::stack_fault, 0);
    return Failed{};
}

void blame_stack_operand(Cpu& c, const Insn& i, u64 at) {
    const bool in_stack = i.segment == row_zero && (i.base == rsp || i.base == rbp);
    if (in_stack) (void)blame_stack(c, at);
}

void blame_stack_operand(Cpu& c, const Insn& i) {
    blame_stack_operand(c, i, linear_address(c, i).raw());
}

void note_exit_length(Cpu& c, const Insn& i) {
    Pending& p = c.pending;
    if (p.kind != PendingKind::vm_exit) return;
    if (p.reason == BasicReason::apic_access || p.reason == BasicReason::ept_misconfiguration)
        p.instruction_length = i.length;
}

namespace {

Step push_reg_slow(Cpu& c, const Insn* i) {
    const u64 epoch = c.code_epoch;
    const u64 at = c.gpr[rsp] - 8;
    if (!slow_store<u64>(c, i, Gva{at}, c.gpr[i->src])) return fault_at(c, i);
    c.gpr[rsp] = at;
    NEXT_AFTER_STORE(c, i, epoch);
}
// Base RSP, displacement -8: miss() computes the same address.
Step push_reg(Cpu& c, const Insn* i) {
    const u64 at = c.gpr[rsp] - 8;
    u8* p = hit<u64, &TlbEntry::write>(c, at);
    if (p == nullptr) [[unlikely]]
        TAIL miss<push_reg_slow, Access::write, 8>(c, i);
    write_host<u64>(p, c.gpr[i->src]);
    c.gpr[rsp] = at;
    NEXT(c, i);
}

Step pop_reg_slow(Cpu& c, const Insn* i) {
    const Result<u64> value = slow_load<u64>(c, i, Gva{c.gpr[rsp]});
    if (!value) return fault_at(c, i);
    c.gpr[rsp] += 8;
    c.gpr[i->dst] = value.value();  // POP RSP: the value read wins
    NEXT(c, i);
}
Step pop_reg(Cpu& c, const Insn* i) {
    const u8* p = hit<u64, &TlbEntry::read>(c, c.gpr[rsp]);
    if (p == nullptr) [[unlikely]]
        TAIL miss<pop_reg_slow, Access::read, 8>(c, i);
    const u64 value = read_host<u64>(p);
    c.gpr[rsp] += 8;
    c.gpr[i->dst] = value;
    NEXT(c, i);
}

Result<> push_value(Cpu& c, unsigned size, u64 value) {
    const u64 at = c.gpr[rsp] - size;
    if (!store(c, Gva{at}, size, value)) return blame_stack(c, at);
    c.gpr[rsp] = at;
    return Done{};
}
Result<> push_imm(Cpu& c, const Insn& i) {
    return push_value(c, size_of(i), static_cast<u64>(i.imm));
}
Step push_imm_fast(Cpu& c, const Insn* i) {
    const u64 at = c.gpr[rsp] - 8;
    u8* p = hit<u64, &TlbEntry::write>(c, at);
    if (p == nullptr) [[unlikely]]
        TAIL miss<inside_block<push_imm>, Access::write, 8>(c, i);
    write_host<u64>(p, static_cast<u64>(i->imm));
    c.gpr[rsp] = at;
    NEXT(c, i);
}
Result<> push_any(Cpu& c, const Insn& i) {
    return push_value(c, size_of(i), TRY(read_operand(c, i, i.src)));
}
/// The address of a memory destination uses RSP as it is after the pop. SDM 2B, "POP".
Result<> pop_any(Cpu& c, const Insn& i) {
    const u64 before = c.gpr[rsp];
    const Result<u64> loaded = load(c, Gva{before}, size_of(i));
    if (!loaded) return blame_stack(c, before);
    const u64 value = loaded.value();
    c.gpr[rsp] = before + size_of(i);
    if (!has_memory(i)) {
        put_sized(c, i.dst, size_of(i), value);
        return Done{};
    }
    if (!store(c, linear_address(c, i), size_of(i), value)) {
        blame_stack_operand(c, i);
        c.gpr[rsp] = before;
        return Failed{};
    }
    return Done{};
}

/// Pushes below `top`, which is not yet RSP.
Result<> push_below(Cpu& c, u64& top, unsigned size, u64 value) {
    top -= size;
    if (!store(c, Gva{top}, size, value)) return blame_stack(c, top);
    return Done{};
}

/// The frame pointers of the enclosing procedures, then this one's. SDM 2A, "ENTER".
Result<> push_display(Cpu& c, u64& top, unsigned size, unsigned level, u64 frame) {
    u64 outer = c.gpr[rbp];
    for (unsigned n = 1; n < level; ++n) {
        outer -= size;
        const Result<u64> pointer = load(c, Gva{outer}, size);
        if (!pointer) return blame_stack(c, outer);
        TRY(push_below(c, top, size, pointer.value()));
    }
    return push_below(c, top, size, frame);
}

/// Bytes of local storage in imm's low half, the nesting level above. It faults as a write at the
/// final RSP would. SDM 2A, "ENTER".
Result<> enter(Cpu& c, const Insn& i) {
    const unsigned size = size_of(i);
    const auto level = static_cast<unsigned>(i.imm >> 16);
    u64 top = c.gpr[rsp];
    TRY(push_below(c, top, size, c.gpr[rbp]));
    const u64 frame = top;
    if (level != 0) TRY(push_display(c, top, size, level, frame));
    top -= static_cast<u64>(i.imm & 0xffff);
    if (!probe_write(c, Gva{top}, size)) return blame_stack(c, top);
    put_sized(c, rbp, size, frame);
    c.gpr[rsp] = top;
    return Done{};
}

Result<> leave(Cpu& c, const Insn& i) {
    const u64 frame = c.gpr[rbp];
    const Result<u64> value = load(c, Gva{frame}, size_of(i));
    if (!value) return blame_stack(c, frame);
    c.gpr[rsp] = frame + size_of(i);
    put_sized(c, rbp, size_of(i), value.value());
    return Done{};
}
Step leave_fast(Cpu& c, const Insn* i) {
    const u64 frame = c.gpr[rbp];
    const u8* p = hit<u64, &TlbEntry::read>(c, frame);
    if (p == nullptr) [[unlikely]]
        TAIL miss<inside_block<leave>, Access::read, 8>(c, i);
    c.gpr[rbp] = read_host<u64>(p);
    c.gpr[rsp] = frame + 8;
    NEXT(c, i);
}

unsigned set_stack_size(const Decoded& d, Insn& i) {
    take_stack_size(d, i);
    return size_of(i);
}

void address_stack(Insn& i, u8 base, i32 disp) {
    i.base = base;
    i.index = row_zero;
    i.scale = 0;
    i.segment = row_zero;
    i.disp = disp;
}

}  // namespace

Handler build_push(const Decoded& d, Insn& i, BlockCache&) {
    const unsigned size = set_stack_size(d, i);
    if (d.is_immediate(0)) {
        i.imm = d.operand[0].imm.value.s;
        if (size != 8) return inside_block<push_imm>;
        address_stack(i, rsp, -8);
        return push_imm_fast;
    }
    if (!d.is_register(0)) return inside_block<push_any>;
    if (d.operand[0].reg.value == ZYDIS_REGISTER_FS) return ends_block<exec_push_fs>;
    if (d.operand[0].reg.value == ZYDIS_REGISTER_GS) return ends_block<exec_push_gs>;
    i.src = register_row(d.operand[0].reg.value);
    if (size != 8) return inside_block<push_any>;
    address_stack(i, rsp, -8);
    return push_reg;
}

Handler build_pop(const Decoded& d, Insn& i, BlockCache&) {
    const unsigned size = set_stack_size(d, i);
    if (!d.is_register(0)) return inside_block<pop_any>;
    const bool segment = ZydisRegisterGetClass(d.operand[0].reg.value) == ZYDIS_REGCLASS_SEGMENT;
    if (segment && (d.mode & mode_enclave) != 0) return undefined_instruction;
    if (d.operand[0].reg.value == ZYDIS_REGISTER_FS) return ends_block<exec_pop_fs>;
    if (d.operand[0].reg.value == ZYDIS_REGISTER_GS) return ends_block<exec_pop_gs>;
    i.dst = register_row(d.operand[0].reg.value);
    if (size != 8) return inside_block<pop_any>;
    address_stack(i, rsp, 0);
    return pop_reg;
}

Handler build_enter(const Decoded& d, Insn& i, BlockCache&) {
    set_stack_size(d, i);
    constexpr u64 most_levels = 31;
    i.imm = static_cast<i64>((d.operand[0].imm.value.u & 0xffff) |
                             (d.operand[1].imm.value.u & most_levels) << 16);
    return inside_block<enter>;
}

Handler build_leave(const Decoded& d, Insn& i, BlockCache&) {
    if (set_stack_size(d, i) != 8) return inside_block<leave>;
    address_stack(i, rbp, 0);
    return leave_fast;
}

}  // namespace postern::cpu

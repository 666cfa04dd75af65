// SPDX-License-Identifier: Apache-2.0
// RDMSR, WRMSR, and the short ways to the FS and GS bases.
#include "cpu/exec/system/common.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/msr.h"
#include "cpu/vmx/virtual_apic.h"

namespace postern::cpu {

/// SDM 2B, "RDMSR".
Result<> exec_rdmsr(Cpu& c, const Insn&) {
    TRY(require_supervisor(c));
    const u32 number = static_cast<u32>(c.gpr[rcx]);
    if (vmx::in_guest(c) && vmx::exits_on_rdmsr(c, number))
        return vmx::raise_exit(c, BasicReason::rdmsr);
    const u64 value = vmx::virtualizes_rdmsr(c, number) ? vmx::read_virtual_msr(c, number)
                                                        : TRY(read_msr(c, number));
    c.gpr[rax] = static_cast<u32>(value);
    c.gpr[rdx] = value >> 32;
    return Done{};
}

/// SDM 2D, "WRMSR".
Result<> exec_wrmsr(Cpu& c, const Insn&) {
    TRY(require_supervisor(c));
    const u32 number = static_cast<u32>(c.gpr[rcx]);
    if (vmx::in_guest(c) && vmx::exits_on_wrmsr(c, number))
        return vmx::raise_exit(c, BasicReason::wrmsr);
    const u64 value = c.gpr[rdx] << 32 | static_cast<u32>(c.gpr[rax]);
    if (vmx::virtualizes_wrmsr(c, number)) return vmx::write_virtual_msr(c, number, value);
    return write_msr(c, number, value);
}

namespace {

Result<> require_fsgsbase(Cpu& c) {
    if (!c.cr4.has(Cr4::fsgsbase)) return invalid_opcode(c);
    return Done{};
}

Result<> read_base(Cpu& c, const Insn& i, SegmentIndex index) {
    TRY(require_fsgsbase(c));
    put_register(c, i.dst, operand_size(i), c.segment[index].base);
    return Done{};
}

Result<> write_base(Cpu& c, const Insn& i, SegmentIndex index) {
    TRY(require_fsgsbase(c));
    const u64 value = operand_size(i) == 4 ? static_cast<u32>(c.gpr[i.src]) : c.gpr[i.src];
    if (!is_canonical(c, value)) return general_protection(c);
    set_segment_base(c, index, value);
    return Done{};
}

}  // namespace

/// SDM 2B, "RDFSBASE/RDGSBASE"; SDM 2D, "WRFSBASE/WRGSBASE".
Result<> exec_rdfsbase(Cpu& c, const Insn& i) { return read_base(c, i, fs); }
Result<> exec_rdgsbase(Cpu& c, const Insn& i) { return read_base(c, i, gs); }
Result<> exec_wrfsbase(Cpu& c, const Insn& i) { return write_base(c, i, fs); }
Result<> exec_wrgsbase(Cpu& c, const Insn& i) { return write_base(c, i, gs); }

/// SDM 2B, "SWAPGS".
Result<> exec_swapgs(Cpu& c, const Insn&) {
    TRY(require_supervisor(c));
    const u64 base = c.segment[gs].base;
    set_segment_base(c, gs, c.msr.kernel_gs_base);
    c.msr.kernel_gs_base = base;
    return Done{};
}

}  // namespace postern::cpu

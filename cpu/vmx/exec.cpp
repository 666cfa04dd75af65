// SPDX-License-Identifier: Apache-2.0
// The VMX instructions up to the point where VMX root operation carries them out
// (cpu/vmx/root.h). In VMX non-root operation the VM exit comes before the privilege check, after
// the #UD conditions.
#include "cpu/vmx/exec.h"

#include <array>

#include "arch/vmx/instruction_information.h"
#include "base/table.h"
#include "cpu/event/event.h"
#include "cpu/exec/system/common.h"
#include "cpu/vmx/root.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu::vmx {
namespace {

/// What of the operands a VM exit reports.
enum class Report : u8 { nothing, memory, memory_and_register, vmread_vmwrite };

struct VmxInstruction {
    BasicReason reason;
    Report report;
};

constexpr std::array instructions{
    VmxInstruction{BasicReason::vmclear, Report::memory},
    VmxInstruction{BasicReason::vmlaunch, Report::nothing},
    VmxInstruction{BasicReason::vmptrld, Report::memory},
    VmxInstruction{BasicReason::vmptrst, Report::memory},
    VmxInstruction{BasicReason::vmread, Report::vmread_vmwrite},
    VmxInstruction{BasicReason::vmresume, Report::nothing},
    VmxInstruction{BasicReason::vmwrite, Report::vmread_vmwrite},
    VmxInstruction{BasicReason::vmxoff, Report::nothing},
    VmxInstruction{BasicReason::vmxon, Report::memory},
    VmxInstruction{BasicReason::invept, Report::memory_and_register},
    VmxInstruction{BasicReason::invvpid, Report::memory_and_register},
};
static_assert(is_strictly_sorted(instructions, [](const VmxInstruction& row) {
    return static_cast<unsigned>(row.reason);
}));

const VmxInstruction* find(const Insn& i) {
    for (const VmxInstruction& row : instructions)
        if (static_cast<i64>(row.reason) == i.imm) return &row;
    return nullptr;
}

/// Protected mode, not virtual-8086, not compatibility mode.
bool is_legal_mode(const Cpu& c) {
    return c.cr0.has(Cr0::pe) && !c.flags.has(Rflag::vm) &&
           (!c.efer.has(Efer::lma) || c.segment[cs].is_long());
}

/// VMXON makes VMX operation, so that CR4.VMXE is all it asks for.
bool is_possible(const Cpu& c, const VmxInstruction& what) {
    return what.reason == BasicReason::vmxon ? c.cr4.has(Cr4::vmxe) : c.vmx.on;
}

/// All but VMREAD and VMWRITE take their operand, if they have one, from memory only.
bool is_legal_operand(const VmxInstruction& what, const Insn& i) {
    return is_memory(i) || what.report == Report::nothing || what.report == Report::vmread_vmwrite;
}

u32 information(const VmxInstruction& what, const Insn& i) {
    const bool reads = what.reason == BasicReason::vmread;
    const auto operand = static_cast<Gpr>(reads ? i.dst : i.src);
    const auto encoding = static_cast<Gpr>(reads ? i.src : i.dst);
    const auto in_memory = memory_information(i);
    switch (what.report) {
        case Report::nothing: return 0;
        case Report::memory: return in_memory.to_raw();
        case Report::memory_and_register:
            return in_memory.with_register2(static_cast<Gpr>(i.dst)).to_raw();
        case Report::vmread_vmwrite:
            return (is_memory(i) ? in_memory : MemoryOperandInformation::of_register(operand))
                .with_register2(encoding)
                .to_raw();
    }
    return 0;
}

u64 qualification(const Cpu& c, const VmxInstruction& what, const Insn& i) {
    const bool has_memory = what.report != Report::nothing && is_memory(i);
    return has_memory ? displacement(c, i) : 0;
}

}  // namespace

/// SDM 3C, "VMCALL": the VM exit comes before every mode check.
Result<> exec_vmcall(Cpu& c, const Insn& i) {
    if (!c.vmx.on) return invalid_opcode(c);
    if (in_guest(c)) return raise_exit(c, BasicReason::vmcall);
    if (!is_legal_mode(c)) return invalid_opcode(c);
    if (c.cpl > 0) return general_protection(c);
    return exec_in_root(c, BasicReason::vmcall, i);
}

/// SDM 3C, "VMX Instruction Reference", Operation of each: the same beginning. VMFUNC has no
/// row: VM functions are not implemented, so that it is always #UD. In an enclave the manual
/// says nothing of them, so that its VM exit goes before the check of CPL there, too.
Result<> exec_vmx_instruction(Cpu& c, const Insn& i) {
    if (c.enclave.active && c.system->choices.vmx_instruction_in_enclave_is_ud)
        return invalid_opcode(c);
    const VmxInstruction* what = find(i);
    if (what == nullptr || !is_legal_mode(c) || !is_legal_operand(*what, i) ||
        !is_possible(c, *what))
        return invalid_opcode(c);
    if (in_guest(c))
        return raise_exit(c, what->reason, qualification(c, *what, i), information(*what, i));
    if (c.cpl > 0) return general_protection(c);
    return exec_in_root(c, what->reason, i);
}

}  // namespace postern::cpu::vmx

// SPDX-License-Identifier: Apache-2.0
// The VMX instructions of an L1, carried out as the processor would have: operands from the exit's
// instruction information, the checks in the manual's order, VMsucceed and VMfail. SDM 3C, "VMX
// Instruction Reference".
#pragma once

#include "arch/vmx/instruction_error.h"
#include "arch/vmx/instruction_information.h"
#include "base/result.h"
#include "hv/emulate/operand_memory.h"
#include "hv/exit/exit.h"
#include "hv/nested/nested.h"

namespace postern::hv {

/// How an instruction ended that did not fault. SDM 3C, "Conventions" of "VMX Instruction
/// Reference": VMfail without an error, or without a current VMCS, is VMfailInvalid.
struct VmxStatus {
    bool ok = true;
    VmInstructionError error = VmInstructionError::none;
};

class VmxInstruction {
public:
    /// The exit is a VMX instruction's, outside enclaves, of a guest that is not L2.
    VmxInstruction(Vcpu& vcpu, const Capture& exit);

    [[nodiscard]] Next run();

private:
    /// INVEPT's and INVVPID's.
    struct Descriptor {
        u64 low = 0, high = 0;
    };
    struct Row {
        BasicReason reason;
        Result<VmxStatus> (VmxInstruction::*carry_out)();
    };

    [[nodiscard]] Result<VmxStatus> carry_out(BasicReason which);
    [[nodiscard]] Result<VmxStatus> vmcall();
    [[nodiscard]] Result<VmxStatus> vmclear();
    [[nodiscard]] Result<VmxStatus> vmptrld();
    [[nodiscard]] Result<VmxStatus> vmptrst();
    [[nodiscard]] Result<VmxStatus> read_field();
    [[nodiscard]] Result<VmxStatus> write_field();
    [[nodiscard]] Result<VmxStatus> vmxoff();
    [[nodiscard]] Result<VmxStatus> vmxon();
    [[nodiscard]] Result<VmxStatus> invept();
    [[nodiscard]] Result<VmxStatus> invvpid();
    /// VMLAUNCH and VMRESUME.
    [[nodiscard]] Next enter(bool launch);

    [[nodiscard]] Next finish(VmxStatus status);
    [[nodiscard]] Next stumble();
    [[nodiscard]] Next take_fault(const Event& event, u64 cr2 = 0);

    [[nodiscard]] bool is_defined(BasicReason which);
    [[nodiscard]] bool may_enter_vmx_operation();
    [[nodiscard]] bool is_linear(u64 address);

    // Operands.
    [[nodiscard]] unsigned operand_bytes() const;
    [[nodiscard]] u64 register_operand(Gpr gpr);
    [[nodiscard]] Result<> check_operand_format();
    [[nodiscard]] u64 offset();
    [[nodiscard]] Result<> locate(Operand& operand, u64 displacement, unsigned size,
                                  GuestAccess access);
    [[nodiscard]] Result<u64> load(unsigned size);
    [[nodiscard]] Result<> store(unsigned size, u64 value);
    [[nodiscard]] Result<> load_descriptor(Descriptor& descriptor);
    /// The row of a field that L1 has, or -1.
    [[nodiscard]] int find_field(u64 encoding) const;

    // Regions in L1's memory. Outside its RAM they read as all ones, and keep nothing.
    [[nodiscard]] bool is_region_address(u64 address);
    [[nodiscard]] bool has_our_revision(u64 region);
    void load_region(u64 region);
    void write_back();
    void clear_launch_state(u64 region);
    void write_region(u64 region, size_t at, const void* bytes, size_t size);

    Vcpu& vcpu_;
    const Capture& exit_;
    NormalExit view_;
    Nested& nested_;
    Nested::State& state_;
    OperandMemory memory_;
    MemoryOperandInformation information_;
};

}  // namespace postern::hv

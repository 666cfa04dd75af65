// SPDX-License-Identifier: Apache-2.0
// Typed views of the VM-exit instruction-information field. All of it is 0 after an exit from
// an enclave. SDM 3C, "Information for VM Exits Due to Instruction Execution".
#pragma once

#include "arch/regs/gpr.h"
#include "arch/regs/segment.h"
#include "arch/vmx/raw_view.h"

namespace postern {

enum class AddressSize : u8 { bits16 = 0, bits32 = 1, bits64 = 2 };

/// INS and OUTS. SDM 3C, table "Format of the VM-Exit Instruction-Information Field as Used for
/// INS and OUTS".
class StringIoInformation : public RawView<StringIoInformation, u32> {
public:
    [[nodiscard]] constexpr AddressSize address_size() const {
        return static_cast<AddressSize>(field<9, 7>());
    }
    /// OUTS only.
    [[nodiscard]] constexpr SegmentIndex segment() const {
        return static_cast<SegmentIndex>(field<17, 15>());
    }
    static constexpr StringIoInformation of(AddressSize size, SegmentIndex segment) {
        return from_raw(u32{static_cast<u8>(size)} << 7 | u32{segment} << 15);
    }
};

/// What a memory operand is made of; the displacement is in the exit qualification.
struct MemoryOperandParts {
    AddressSize address_size;
    SegmentIndex segment;
    u8 scaling;  // log2
    bool has_index;
    Gpr index;
    bool has_base;
    Gpr base;
};

/// The format shared by the instructions with a memory operand: INVEPT, INVPCID, INVVPID,
/// VMCLEAR, VMPTRLD, VMPTRST, VMXON, XRSTORS, XSAVES, VMREAD, VMWRITE, LGDT, LIDT, SGDT, SIDT,
/// LLDT, LTR, SLDT, STR. Bits that an instruction does not use are undefined for it.
class MemoryOperandInformation : public RawView<MemoryOperandInformation, u32> {
public:
    [[nodiscard]] constexpr MemoryOperandParts parts() const {
        return {static_cast<AddressSize>(field<9, 7>()), static_cast<SegmentIndex>(field<17, 15>()),
                static_cast<u8>(field<1, 0>()),          !flag<22>(),
                static_cast<Gpr>(field<21, 18>()),       !flag<27>(),
                static_cast<Gpr>(field<26, 23>())};
    }
    /// The operand is a register (VMREAD, VMWRITE, LLDT, LTR, SLDT, STR).
    [[nodiscard]] constexpr bool is_register() const { return flag<10>(); }
    /// That register.
    [[nodiscard]] constexpr Gpr register1() const { return static_cast<Gpr>(field<6, 3>()); }
    /// The other operand: INVEPT, INVPCID, INVVPID, VMREAD, VMWRITE.
    [[nodiscard]] constexpr Gpr register2() const { return static_cast<Gpr>(field<31, 28>()); }
    /// LGDT, LIDT, SGDT, SIDT: the operand size is 32 bits; always so in 64-bit mode.
    [[nodiscard]] constexpr bool operand_is_32_bit() const { return flag<11>(); }
    /// SGDT 0, SIDT 1, LGDT 2, LIDT 3; or SLDT 0, STR 1, LLDT 2, LTR 3.
    [[nodiscard]] constexpr unsigned table_instruction() const { return field<29, 28>(); }

    static constexpr MemoryOperandInformation of_memory(const MemoryOperandParts& parts) {
        return from_raw(u32{parts.scaling} | u32{static_cast<u8>(parts.address_size)} << 7 |
                        u32{parts.segment} << 15 | u32{parts.index} << 18 |
                        u32{!parts.has_index} << 22 | u32{parts.base} << 23 |
                        u32{!parts.has_base} << 27);
    }
    static constexpr MemoryOperandInformation of_register(Gpr operand) {
        return from_raw(u32{operand} << 3 | 1u << 10);
    }
    [[nodiscard]] constexpr MemoryOperandInformation with_register2(Gpr operand) const {
        return with_field<31, 28>(operand);
    }
    [[nodiscard]] constexpr MemoryOperandInformation with_table_instruction(unsigned n) const {
        return with_field<29, 28>(n);
    }
    [[nodiscard]] constexpr MemoryOperandInformation with_operand_32_bit(bool on = true) const {
        return with_flag<11>(on);
    }
};

/// RDRAND, RDSEED, UMWAIT, TPAUSE: the register operand and its size.
class RegisterOperandInformation : public RawView<RegisterOperandInformation, u32> {
public:
    [[nodiscard]] constexpr Gpr gpr() const { return static_cast<Gpr>(field<6, 3>()); }
    /// In bytes. Undefined for UMWAIT and TPAUSE.
    [[nodiscard]] constexpr unsigned size() const { return 2u << field<12, 11>(); }

    /// `size` is 2, 4 or 8.
    static constexpr RegisterOperandInformation of(Gpr gpr, unsigned size) {
        return from_raw(u32{gpr} << 3 | size >> 2 << 11);
    }
};

}  // namespace postern

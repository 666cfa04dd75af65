// SPDX-License-Identifier: Apache-2.0
// The processor's registers as GDB numbers and names them: one table, from which the target
// description, the g packet and single registers are made. GDB manual, "i386 Features".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cpu/cpu.h"

namespace postern::platform {

struct DebugRegister {
    enum class Kind : u8 {
        gpr,
        rip,
        eflags,
        selector,
        st,
        x87_control,  // index: in GDB's order, fctrl to fop
        xmm,
        mxcsr,
        base,  // FS, GS; index: SegmentIndex
        kernel_gs_base,
        ymm_high,
        control,  // index: the number of the control register
        efer,
    };

    Kind kind;
    u8 index;
    u16 bits;
    std::string name;
    std::string_view type;
    std::string_view group;
    std::string_view feature;
};

/// In GDB's order: a register's place is its number.
const std::vector<DebugRegister>& debug_registers();

/// Little-endian, bits / 8 bytes.
std::string register_bytes(const cpu::Cpu& c, const DebugRegister& r);

/// False: this register cannot be set from outside (selectors, CR0, CR3, CR4, CR8, EFER), or the
/// value is none that it can hold.
bool set_register(cpu::Cpu& c, const DebugRegister& r, std::string_view bytes);

}  // namespace postern::platform

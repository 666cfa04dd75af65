// SPDX-License-Identifier: Apache-2.0
// Writing thunks: code under construction, the encoder's operands by name, and the ways out of a
// thunk. A thunk finds the Cpu in rdi and the Insn in rsi, and keeps both to its end.
#pragma once

#include <Zydis/Zydis.h>

#include <array>
#include <initializer_list>
#include <span>

#include "base/types.h"

namespace postern::cpu {

ZydisEncoderOperand reg(ZydisRegister r);
ZydisEncoderOperand memory(u16 size, ZydisRegister base, i64 displacement = 0,
                           ZydisRegister index = ZYDIS_REGISTER_NONE, u8 scale = 0);
ZydisEncoderOperand immediate(u64 value);

/// Code under construction.
class Emitter {
public:
    void add(ZydisMnemonic mnemonic, std::initializer_list<ZydisEncoderOperand> operands);
    void add(const ZydisEncoderRequest& request);
    void add_bytes(std::span<const u8> bytes);
    [[nodiscard]] bool ok() const { return ok_; }
    [[nodiscard]] std::span<const u8> bytes() const { return {bytes_.data(), size_}; }

private:
    std::array<u8, 256> bytes_;
    size_t size_ = 0;
    bool ok_ = true;
};

/// NEXT, as in cpu/insn.h.
void emit_end(Emitter& e);
/// Likewise, after the status flags have been taken over from the host's.
void emit_flags_end(Emitter& e);
/// A jump to a handler.
void emit_jump(Emitter& e, const void* handler);

/// Code behind a test whether the guest's x87 state is in the host's unit with every exception
/// masked (Cpu::x87_unit); if not, it goes to unit_not_ready(). Returns where the code itself
/// begins, relative to the start. SDM 1, "x87 FPU Exception Synchronization".
size_t emit_guarded(Emitter& e, std::span<const u8> code);

}  // namespace postern::cpu

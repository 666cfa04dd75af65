// SPDX-License-Identifier: Apache-2.0
// The guest's instruction for a thunk's registers, encoded by Zydis from what Zydis decoded, so
// that there is no list of opcodes; questions about what was decoded; finished thunks.
#pragma once

#include <mutex>
#include <span>
#include <string>
#include <unordered_map>

#include "cpu/decode/decoded.h"
#include "cpu/simd/emitter.h"
#include "cpu/simd/thunk.h"

namespace postern::cpu {

ZydisRegisterClass class_of_operand(const ZydisDecodedOperand& o);
bool is_gpr(const ZydisDecodedOperand& o);
bool is_read(const ZydisDecodedOperand& o);
bool is_written(const ZydisDecodedOperand& o);
std::span<const ZydisDecodedOperand> visible(const Decoded& d);
std::span<const ZydisDecodedOperand> hidden(const Decoded& d);

/// The 64-bit register that `r` is part of.
ZydisRegister full_register(ZydisRegister r);

/// How instructions of one encoding become thunks.
struct Recipe {
    ZydisMnemonic mnemonic;  // what the thunk runs
    /// Operand `n`'s register, of the same class; none: there is no place for it.
    ZydisRegister (*stand_in)(const ZydisDecodedOperand& o, unsigned n);
    /// Everything up to the taking of status flags and the way on to the next Insn.
    void (*body)(Emitter& e, const Decoded& d, const ZydisEncoderRequest& request);
};

/// Thunks by the bytes of the re-encoded instruction, whose memory operand is [r10].
class ThunkCache {
public:
    Thunk find(const Decoded& d, const Recipe& recipe, bool guarded);

private:
    std::mutex mutex_;
    std::unordered_map<std::string, Thunk> thunks_;
};

}  // namespace postern::cpu

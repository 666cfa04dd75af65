// SPDX-License-Identifier: Apache-2.0
// Memory for code made at run time: one memory file mapped twice, once to write and once to run,
// so that nothing is ever both. What is added stays for the life of the process.
#pragma once

#include <span>

#include "base/types.h"

namespace postern::cpu {

class CodeArena {
public:
    /// The process's one.
    static CodeArena& instance();

    CodeArena(const CodeArena&) = delete;
    CodeArena& operator=(const CodeArena&) = delete;

    /// Where `code` can be run; it must not depend on its address. Null: full, or the host
    /// refused the mappings.
    const void* add(std::span<const u8> code);

    /// Safe in a signal handler.
    static bool contains(u64 address);

private:
    CodeArena();

    u8* writable_ = nullptr;
    u8* runnable_ = nullptr;
    size_t used_ = 0;
};

}  // namespace postern::cpu

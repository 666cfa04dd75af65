// SPDX-License-Identifier: Apache-2.0
// What a processor was doing, in lines for a person: registers, system registers, the last
// branches, code, stack. Nothing here changes the machine.
#pragma once

#include <string>
#include <vector>

#include "cpu/cpu.h"
#include "cpu/debugger.h"
#include "platform/debug/symbols.h"

namespace postern::platform {

/// "running", "halted", ...
std::string activity_words(const cpu::Cpu& c);

/// `symbols` may be null everywhere.
std::vector<std::string> register_lines(const cpu::Cpu& c, const Symbols* symbols = nullptr);
std::vector<std::string> system_lines(const cpu::Cpu& c);
/// Oldest first; empty if none is recorded.
std::vector<std::string> branch_lines(const cpu::Debugger& debugger, unsigned processor,
                                      const Symbols* symbols);
/// The bytes at RIP, then the instructions from there.
std::vector<std::string> code_lines(const cpu::Cpu& c, const Symbols* symbols);
std::vector<std::string> stack_lines(const cpu::Cpu& c, const Symbols* symbols);

/// All of it: for a triple fault, or something that is not implemented.
std::vector<std::string> machine_report(const cpu::System& system, unsigned processor,
                                        const Symbols* symbols);

}  // namespace postern::platform

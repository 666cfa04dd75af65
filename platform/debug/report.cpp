// SPDX-License-Identifier: Apache-2.0
// Each part of the report by itself.
#include "platform/debug/report.h"

#include <algorithm>

#include <fmt/format.h>

#include "cpu/flags.h"
#include "cpu/mode.h"
#include "platform/debug/disassembly.h"
#include "platform/debug/memory.h"

namespace postern::platform {

namespace {

using cpu::Cpu;
using Lines = std::vector<std::string>;

constexpr unsigned code_instructions = 8;
constexpr unsigned stack_words = 16;

/// "ffffffff81000000 <start_kernel+0x10>".
std::string place(u64 address, const Symbols* symbols) {
    const std::string name = symbols != nullptr ? symbols->words(address) : std::string{};
    return name.empty() ? fmt::format("{:016x}", address)
                        : fmt::format("{:016x} <{}>", address, name);
}

std::string segment_line(const char* name, const Segment& s) {
    return fmt::format("{:<4} {:04x}  base {:016x}  limit {:08x}  rights {:05x}{}", name,
                       s.selector, s.base, s.limit, s.access_rights,
                       s.unusable() ? "  unusable" : "");
}

void append(Lines& to, Lines&& from) { std::ranges::move(from, std::back_inserter(to)); }

}  // namespace

std::string activity_words(const Cpu& c) {
    switch (c.event.activity) {
        case ActivityState::active: return "running";
        case ActivityState::hlt: return "halted";
        case ActivityState::shutdown: return "shut down";
        case ActivityState::wait_for_sipi: return "waits for SIPI";
    }
    return "?";
}

Lines register_lines(const Cpu& c, const Symbols* symbols) {
    Lines lines;
    for (unsigned row = 0; row < gpr_count; row += 4) {
        std::string line;
        for (unsigned n = row; n < row + 4; ++n)
            line += fmt::format("{}{:<3} {:016x}", n == row ? "" : "  ", gpr_names[n], c.gpr[n]);
        lines.push_back(line);
    }
    lines.push_back(cpu::in_64_bit_mode(c)
                        ? fmt::format("rip {}", place(c.rip, symbols))
                        : fmt::format("eip {:08x}  at {}", static_cast<u32>(c.rip),
                                      place(cpu::code_linear(c), symbols)));
    lines.push_back(
        fmt::format("rflags {:08x}  cpl {}  {}", cpu::rflags(c), c.cpl, activity_words(c)));
    return lines;
}

Lines system_lines(const Cpu& c) {
    constexpr std::array names{"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    Lines lines;
    for (unsigned n = 0; n < segment_count; ++n)
        lines.push_back(segment_line(names[n], c.segment[n]));
    lines.push_back(fmt::format("gdt  base {:016x}  limit {:04x}", c.gdtr.base, c.gdtr.limit));
    lines.push_back(fmt::format("idt  base {:016x}  limit {:04x}", c.idtr.base, c.idtr.limit));
    lines.push_back(fmt::format("cr0 {:016x}  cr2 {:016x}  cr3 {:016x}  cr4 {:016x}",
                                c.cr0.to_raw(), c.cr2, c.cr3, c.cr4.to_raw()));
    lines.push_back(fmt::format("efer {:016x}  xcr0 {:x}  kernel_gs_base {:016x}", c.efer.to_raw(),
                                c.xcr0, c.msr.kernel_gs_base));
    lines.push_back(fmt::format("dr0 {:x}  dr1 {:x}  dr2 {:x}  dr3 {:x}  dr6 {:x}  dr7 {:x}",
                                c.dr[0], c.dr[1], c.dr[2], c.dr[3], c.dr6, c.dr7));
    if (c.enclave.active) lines.emplace_back("in enclave mode");
    return lines;
}

Lines branch_lines(const cpu::Debugger& debugger, unsigned processor, const Symbols* symbols) {
    const cpu::BranchRing& ring = debugger.branches[processor];
    Lines lines;
    const u64 kept = std::min<u64>(ring.count, cpu::BranchRing::size);
    for (u64 n = ring.count - kept; n < ring.count; ++n) {
        const cpu::BranchRecord& b = ring.record[n % cpu::BranchRing::size];
        lines.push_back(fmt::format("{:>14}  {} -> {}{}", b.time, place(b.from, symbols),
                                    place(b.to, symbols), b.event ? "  (event)" : ""));
    }
    return lines;
}

Lines code_lines(const Cpu& c, const Symbols* symbols) {
    Lines lines;
    u64 at = cpu::code_linear(c);
    for (unsigned n = 0; n < code_instructions; ++n) {
        lines.push_back(instruction_line(c, at, symbols));
        const unsigned length = disassemble(c, at).length;
        at += length;
        if (u8 byte = 0; peek(c, at, {&byte, 1}) == 0) break;
    }
    return lines;
}

Lines stack_lines(const Cpu& c, const Symbols* symbols) {
    Lines lines;
    const bool wide = cpu::in_64_bit_mode(c);
    const size_t size = wide ? 8 : 4;
    for (unsigned n = 0; n < stack_words; ++n) {
        u64 word = 0;
        const u64 offset = cpu::stack_pointer(c) + size * n;
        const u64 at = wide ? offset : static_cast<u32>(c.segment[ss].base + offset);
        if (peek(c, at, {reinterpret_cast<u8*>(&word), size}) != size) break;
        lines.push_back(fmt::format("{:016x}: {}", at, place(word, symbols)));
    }
    return lines;
}

Lines machine_report(const cpu::System& system, unsigned processor, const Symbols* symbols) {
    const Cpu& c = *system.processors[processor];
    Lines lines{fmt::format("processor {} at time {}:", processor, cpu::now(c))};
    append(lines, register_lines(c, symbols));
    append(lines, system_lines(c));
    if (system.debugger != nullptr && system.debugger->records_branches) {
        lines.emplace_back("last branches:");
        append(lines, branch_lines(*system.debugger, processor, symbols));
    }
    lines.emplace_back("code:");
    append(lines, code_lines(c, symbols));
    lines.emplace_back("stack:");
    append(lines, stack_lines(c, symbols));
    return lines;
}

}  // namespace postern::platform

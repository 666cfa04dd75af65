// SPDX-License-Identifier: Apache-2.0
// Comparison and report.
#include "silicon/difference.h"

#include <cpuid.h>

#include <cstdio>
#include <cstring>

namespace postern::silicon {
namespace {

constexpr u64 compared_flags = 0xcd5;  // the six status flags and DF
constexpr int no_fault = -1, page_fault = 14;

}  // namespace

std::string disassembly(const Decoded& d, u64 rip) {
    ZydisFormatter formatter;
    ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
    std::array<char, 128> text{};
    ZydisFormatterFormatInstruction(&formatter, &d.instruction, d.operand.data(),
                                    d.instruction.operand_count_visible, text.data(), text.size(),
                                    rip, nullptr);
    return text.data();
}

void Difference::number(const char* what, u64 before, u64 native, u64 ours) {
    if (native == ours) return;
    std::array<char, 160> line{};
    std::snprintf(line.data(), line.size(), "  %-6s before %016llx  host %016llx  ours %016llx\n",
                  what, static_cast<unsigned long long>(before),
                  static_cast<unsigned long long>(native), static_cast<unsigned long long>(ours));
    text_ += line.data();
}

void Difference::bytes(const char* what, size_t index, const u8* native, const u8* ours,
                       size_t count) {
    if (std::memcmp(native, ours, count) == 0) return;
    std::array<char, 32> head{};
    std::snprintf(head.data(), head.size(), "  %s%zx host", what, index);
    text_ += head.data();
    for (const u8* side : {native, ours}) {
        for (size_t n = 0; n < count; ++n) {
            std::array<char, 4> hex{};
            std::snprintf(hex.data(), hex.size(), " %02x", side[n]);
            text_ += hex.data();
        }
        text_ += side == native ? "  ours" : "\n";
    }
}

void Difference::compare_fault(const Outcome& native, const Outcome& ours) {
    number("fault", 0, static_cast<u64>(i64{native.vector}), static_cast<u64>(i64{ours.vector}));
    if (native.vector == no_fault || native.vector != ours.vector) return;
    // A bit string may reach memory of the child process far from the scratch area: there the
    // host finds a page that is present (P) where ours has none.
    const bool far =
        native.vector == page_fault && native.cr2 / 0x1000'0000 != scratch / 0x1000'0000;
    const u32 compared = far ? ~1u : ~0u;
    number("error", 0, native.error_code & compared, ours.error_code & compared);
    if (native.vector == page_fault) number("cr2", 0, native.cr2, ours.cr2);
}

void Difference::compare_x87(const X87& before, const X87& native, const X87& ours,
                             const Open& open) {
    number("fcw", before.fcw, native.fcw, ours.fcw);
    const auto compared = static_cast<u16>(~open.fsw);
    number("fsw", before.fsw & compared, native.fsw & compared, ours.fsw & compared);
    number("ftw", before.tag, native.tag, ours.tag);
    for (unsigned n = 0; n < 8; ++n)
        if ((open.st >> n & 1) == 0) bytes("st", n, native.st[n].data(), ours.st[n].data(), 10);
}

Difference::Difference(const Case& k, const Outcome& native, const Outcome& ours,
                       const Open& open) {
    compare_fault(native, ours);
    const Registers& a = native.after;
    const Registers& b = ours.after;
    number("rip", k.before.rip, a.rip, b.rip);
    const u64 flags = compared_flags & ~(native.vector == no_fault ? open.flags : 0);
    number("flags", k.before.rflags & flags, a.rflags & flags, b.rflags & flags);
    number("mxcsr", k.before.mxcsr, a.mxcsr, b.mxcsr);
    constexpr std::array names{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                               "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    for (unsigned n = 0; n < 16; ++n)
        if ((open.gpr >> n & 1) == 0) number(names[n], k.before.gpr[n], a.gpr[n], b.gpr[n]);
    for (unsigned n = 0; n < 16; ++n)
        if ((open.ymm >> n & 1) == 0) bytes("ymm", n, a.ymm[n].data(), b.ymm[n].data(), 32);
    compare_x87(k.before.x87, a.x87, b.x87, open);
    if (open.memory || native.memory == ours.memory) return;
    for (size_t at = 0; at < scratch_size; at += 16)
        bytes("+", at, native.memory.data() + at, ours.memory.data() + at, 16);
}

Open left_open(const Case& k, const Decoded& d) {
    const Group* group = group_of(d);
    return group == nullptr || group->open == nullptr ? Open{} : group->open(k, d);
}

Vendor host_vendor() {
    static const Vendor vendor = [] {
        unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
        __get_cpuid(0, &eax, &ebx, &ecx, &edx);
        const std::array<unsigned, 3> words{ebx, edx, ecx};
        if (std::memcmp(words.data(), "GenuineIntel", 12) == 0) return Vendor::intel;
        if (std::memcmp(words.data(), "AuthenticAMD", 12) == 0) return Vendor::amd;
        return Vendor::other;
    }();
    return vendor;
}

const char* vendor_difference(const Case& k, const Decoded& d, const Outcome& host) {
    const Group* group = group_of(d);
    if (group == nullptr) return nullptr;
    for (const VendorRow& row : group->vendor)
        if ((row.vendor == Vendor::any || row.vendor == host_vendor()) && row.applies(k, d, host))
            return row.why;
    return nullptr;
}

}  // namespace postern::silicon

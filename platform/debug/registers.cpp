// SPDX-License-Identifier: Apache-2.0
// The table, and each kind's way to the processor.
#include "platform/debug/registers.h"

#include <cstring>

#include "arch/paging.h"
#include "cpu/flags.h"
#include "cpu/mode.h"
#include "cpu/simd/host_unit.h"

namespace postern::platform {

namespace {

using cpu::Cpu;
using Kind = DebugRegister::Kind;

constexpr std::string_view core = "org.gnu.gdb.i386.core";
constexpr std::string_view sse = "org.gnu.gdb.i386.sse";
constexpr std::string_view segments = "org.gnu.gdb.i386.segments";
constexpr std::string_view avx = "org.gnu.gdb.i386.avx";
constexpr std::string_view system_registers = "org.postern.system";

constexpr u16 quarter = 128;

class Table {
public:
    Table() {
        add_core();
        add_vectors();
        for (const SegmentIndex s : {fs, gs})
            add({Kind::base, s, 64, s == fs ? "fs_base" : "gs_base", "int64", {}, segments});
        for (u8 n = 0; n < 16; ++n)
            add({Kind::ymm_high, n, quarter, "ymm" + std::to_string(n) + "h", "uint128", {}, avx});
        add_system();
    }
    std::vector<DebugRegister> rows;

private:
    void add(DebugRegister row) { rows.push_back(std::move(row)); }

    void add_core() {
        constexpr std::array order{rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp,
                                   r8,  r9,  r10, r11, r12, r13, r14, r15};
        for (const Gpr r : order)
            add({Kind::gpr,
                 r,
                 64,
                 std::string{name_of(r)},
                 r == rbp || r == rsp ? "data_ptr" : "int64",
                 {},
                 core});
        add({Kind::rip, 0, 64, "rip", "code_ptr", {}, core});
        add({Kind::eflags, 0, 32, "eflags", "postern_eflags", {}, core});
        constexpr std::array<std::pair<SegmentIndex, const char*>, 6> selectors{
            {{cs, "cs"}, {ss, "ss"}, {ds, "ds"}, {es, "es"}, {fs, "fs"}, {gs, "gs"}}};
        for (const auto& [index, name] : selectors)
            add({Kind::selector, index, 32, name, "int32", {}, core});
        for (u8 n = 0; n < 8; ++n)
            add({Kind::st, n, 80, "st" + std::to_string(n), "i387_ext", {}, core});
        constexpr std::array controls{"fctrl", "fstat", "ftag",  "fiseg",
                                      "fioff", "foseg", "fooff", "fop"};
        for (u8 n = 0; n < controls.size(); ++n)
            add({Kind::x87_control, n, 32, controls[n], "int", "float", core});
    }
    void add_vectors() {
        for (u8 n = 0; n < 16; ++n)
            add({Kind::xmm, n, quarter, "xmm" + std::to_string(n), "vec128", {}, sse});
        add({Kind::mxcsr, 0, 32, "mxcsr", "postern_mxcsr", "vector", sse});
    }
    void add_system() {
        add({Kind::kernel_gs_base, 0, 64, "k_gs_base", "int64", "system", system_registers});
        add({Kind::control, 0, 64, "cr0", "postern_cr0", "system", system_registers});
        add({Kind::control, 2, 64, "cr2", "int64", "system", system_registers});
        add({Kind::control, 3, 64, "cr3", "int64", "system", system_registers});
        add({Kind::control, 4, 64, "cr4", "postern_cr4", "system", system_registers});
        add({Kind::control, 8, 64, "cr8", "int64", "system", system_registers});
        add({Kind::efer, 0, 64, "efer", "postern_efer", "system", system_registers});
    }
};

std::string little_endian(u64 value, size_t size) {
    std::string bytes(size, '\0');
    std::memcpy(bytes.data(), &value, size < 8 ? size : 8);
    return bytes;
}

u64 number_of(std::string_view bytes) {
    u64 value = 0;
    std::memcpy(&value, bytes.data(), bytes.size() < 8 ? bytes.size() : 8);
    return value;
}

std::string raw(const void* from, size_t size) { return {static_cast<const char*>(from), size}; }

/// Two bits for each physical register, of which `tag` keeps one. SDM 1, "x87 FPU Tag Word".
u16 full_tag(const cpu::X87State& x) {
    enum : unsigned { valid, zero, special, empty };
    u16 tags = 0;
    for (unsigned physical = 0; physical < 8; ++physical) {
        const auto& st = x.st[(physical - (x.fsw >> 11 & 7u)) & 7];
        u64 significand = 0;
        u16 exponent = 0;
        std::memcpy(&significand, st.data(), 8);
        std::memcpy(&exponent, &st[8], 2);
        exponent &= 0x7fff;
        unsigned tag = valid;
        if ((x.tag >> physical & 1) == 0)
            tag = empty;
        else if (exponent == 0 && significand == 0)
            tag = zero;
        else if (exponent == 0 || exponent == 0x7fff || !bit<63>(significand))
            tag = special;
        tags = static_cast<u16>(tags | tag << (2 * physical));
    }
    return tags;
}

/// FIP, FDP, FOP and their selectors are not kept.
u64 x87_control(const Cpu& c, u8 index) {
    const cpu::X87State& x = c.vector.x87;
    switch (index) {
        case 0: return x.fcw;
        case 1: return x.fsw;
        case 2: return full_tag(x);
        default: return 0;
    }
}

bool set_x87_control(Cpu& c, u8 index, u64 value) {
    cpu::X87State& x = c.vector.x87;
    switch (index) {
        case 0: x.fcw = static_cast<u16>(value); return true;
        case 1: x.fsw = static_cast<u16>(value); return true;
        case 2:
            x.tag = 0;
            for (unsigned n = 0; n < 8; ++n)
                if ((value >> (2 * n) & 3) != 3) x.tag = static_cast<u8>(x.tag | 1u << n);
            return true;
        default: return value == 0;
    }
}

u64 control(const Cpu& c, u8 index) {
    switch (index) {
        case 0: return c.cr0.to_raw();
        case 2: return c.cr2;
        case 3: return c.cr3;
        case 4: return c.cr4.to_raw();
        default: return c.interrupts != nullptr ? c.interrupts->task_priority() : 0;
    }
}

void set_base(Cpu& c, u8 index, u64 value) {
    c.segment[index].base = value;
    c.gpr[index == fs ? cpu::row_fs_base : cpu::row_gs_base] = value;
}

/// Bits of RFLAGS that change what the run loop does first are left to the software: RF, VM.
bool set_eflags(Cpu& c, u64 value) {
    constexpr Rflags fixed{Rflag::rf, Rflag::vm};
    const u64 old = cpu::rflags(c);
    if ((value & ~(rflags_defined_mask | rflags_fixed_one)) != 0) return false;
    if (((value ^ old) & fixed.to_raw()) != 0) return false;
    cpu::set_rflags(c, value);
    return true;
}

/// The client's RIP is a linear address, as its breakpoints are.
void set_rip(Cpu& c, u64 linear) {
    c.rip = cpu::in_64_bit_mode(c) ? linear : static_cast<u32>(linear - c.segment[cs].base);
    c.code_page = cpu::no_code_page;
}

}  // namespace

const std::vector<DebugRegister>& debug_registers() {
    static const Table table;
    return table.rows;
}

std::string register_bytes(const Cpu& c, const DebugRegister& r) {
    const size_t size = r.bits / 8u;
    const auto number = [size](u64 value) { return little_endian(value, size); };
    switch (r.kind) {
        case Kind::gpr: return number(c.gpr[r.index]);
        case Kind::rip: return number(cpu::code_linear(c));
        case Kind::eflags: return number(cpu::rflags(c));
        case Kind::selector: return number(c.segment[r.index].selector);
        case Kind::st: return raw(c.vector.x87.st[r.index].data(), size);
        case Kind::x87_control: return number(x87_control(c, r.index));
        case Kind::xmm: return raw(c.vector.zmm[r.index].bytes.data(), size);
        case Kind::ymm_high: return raw(&c.vector.zmm[r.index].bytes[size], size);
        case Kind::mxcsr: return number(c.vector.mxcsr);
        case Kind::base: return number(c.segment[r.index].base);
        case Kind::kernel_gs_base: return number(c.msr.kernel_gs_base);
        case Kind::control: return number(control(c, r.index));
        case Kind::efer: return number(c.efer.to_raw());
    }
    return {};
}

bool set_register(Cpu& c, const DebugRegister& r, std::string_view bytes) {
    if (bytes.size() != r.bits / 8u) return false;
    const u64 value = number_of(bytes);
    switch (r.kind) {
        case Kind::gpr: c.gpr[r.index] = value; return true;
        case Kind::rip: set_rip(c, value); return true;
        case Kind::eflags: return set_eflags(c, value);
        case Kind::st:
            std::memcpy(c.vector.x87.st[r.index].data(), bytes.data(), bytes.size());
            return true;
        case Kind::x87_control: return set_x87_control(c, r.index, value);
        case Kind::xmm:
            std::memcpy(c.vector.zmm[r.index].bytes.data(), bytes.data(), bytes.size());
            return true;
        case Kind::ymm_high:
            std::memcpy(&c.vector.zmm[r.index].bytes[bytes.size()], bytes.data(), bytes.size());
            return true;
        case Kind::mxcsr:
            if ((value & cpu::mxcsr_reserved) != 0) return false;
            c.vector.mxcsr = static_cast<u32>(value);
            return true;
        case Kind::base:
            if (!is_canonical(value)) return false;
            set_base(c, r.index, value);
            return true;
        case Kind::kernel_gs_base:
            if (!is_canonical(value)) return false;
            c.msr.kernel_gs_base = value;
            return true;
        case Kind::control:
            if (r.index != 2) return register_bytes(c, r) == bytes;
            c.cr2 = value;
            return true;
        case Kind::selector:
        case Kind::efer: return register_bytes(c, r) == bytes;
    }
    return false;
}

}  // namespace postern::platform

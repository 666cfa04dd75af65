// SPDX-License-Identifier: Apache-2.0
// Privileged instructions, one function each.
#pragma once

#include "base/types.h"

namespace postern::guests {

struct CpuidResult {
    u32 eax, ebx, ecx, edx;
};

inline CpuidResult cpuid(u32 leaf, u32 subleaf) {
    CpuidResult result;
    asm volatile("cpuid"
                 : "=a"(result.eax), "=b"(result.ebx), "=c"(result.ecx), "=d"(result.edx)
                 : "a"(leaf), "c"(subleaf));
    return result;
}

inline u64 rdmsr(u32 number) {
    u32 low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return u64{high} << 32 | low;
}

inline void wrmsr(u32 number, u64 value) {
    asm volatile("wrmsr"
                 :
                 : "c"(number), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32))
                 : "memory");
}

inline u64 rdtsc() {
    u32 low, high;
    asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return u64{high} << 32 | low;
}

inline void out_byte(u16 port, u8 value) { asm volatile("out dx, al" : : "a"(value), "d"(port)); }
inline void out_dword(u16 port, u32 value) {
    asm volatile("out dx, eax" : : "a"(value), "d"(port));
}
inline u8 in_byte(u16 port) {
    u8 value;
    asm volatile("in al, dx" : "=a"(value) : "d"(port));
    return value;
}

inline u64 read_cr0() {
    u64 value;
    asm volatile("mov %0, cr0" : "=r"(value));
    return value;
}
inline void write_cr0(u64 value) { asm volatile("mov cr0, %0" : : "r"(value) : "memory"); }
inline u64 read_cr2() {
    u64 value;
    asm volatile("mov %0, cr2" : "=r"(value));
    return value;
}
inline u64 read_cr4() {
    u64 value;
    asm volatile("mov %0, cr4" : "=r"(value));
    return value;
}
inline void write_cr4(u64 value) { asm volatile("mov cr4, %0" : : "r"(value) : "memory"); }
inline void reload_cr3() {
    u64 value;
    asm volatile("mov %0, cr3\n mov cr3, %0" : "=r"(value) : : "memory");
}

struct [[gnu::packed]] TableRegister {
    u16 limit;
    u64 base;
};

inline void lgdt(const TableRegister& table) { asm volatile("lgdt %0" : : "m"(table)); }
inline void lidt(const TableRegister& table) { asm volatile("lidt %0" : : "m"(table)); }
inline void ltr(u16 selector) { asm volatile("ltr %0" : : "r"(selector)); }

}  // namespace postern::guests

// SPDX-License-Identifier: Apache-2.0
// A kernel for hosted guests that are tested or fuzzed: it builds an enclave and then runs slot
// after slot of its owner's code. A fault ends a slot: the kernel puts the machine in order, or
// does not, and the next slot starts with registers, flags and privilege of its own.
#pragma once

#include <array>
#include <vector>

#include "arch/regs/gpr.h"
#include "base/address.h"
#include "base/types.h"
#include "platform/layout.h"
#include "support/kernel_image.h"

namespace postern::test::hosted {

/// Fixed addresses; the kernel's code in image.cpp has them as numbers.
namespace at {
inline constexpr u64 kernel = KernelImage::base;
inline constexpr u64 gdt = KernelImage::gdt, gdt_pointer = KernelImage::gdt_pointer;
inline constexpr u64 idt = KernelImage::idt, idt_pointer = KernelImage::idt_pointer;
inline constexpr u64 tss = KernelImage::tss;
inline constexpr u64 fault_stack = 0x10'5000, stack_top = 0x10'6000;
inline constexpr u64 next_slot = 0x10'6f00, faults_left = 0x10'6f08, repairs = 0x10'6f10;
inline constexpr u64 lists = 0x10'7000;   // count and records: WRMSRs, then ENCLSs
inline constexpr u64 tables = 0x10'8000;  // 7 pages
inline constexpr u64 banks = 0x11'0000;   // 256 bytes for each slot: its registers and frame
inline constexpr u64 operands = 0x12'0000;
inline constexpr u64 kernel_end = 0x14'0000;
inline constexpr u64 code = 0x20'0000, aep = 0x20'2000;  // from here on everybody's
inline constexpr u64 data = 0x30'0000, stack = 0x38'0000;
inline constexpr u64 memory = 8 * platform::mib;
inline constexpr u64 epc = platform::high_ram_base;
inline constexpr u64 elrange = 0x4000'0000, window = 0x4001'0000;
inline constexpr u64 nowhere = 0xfe10'0000;  // beside the doorbell, for everybody
}  // namespace at

inline constexpr u64 slot_size = 64;
inline constexpr u64 slots_most = 48;
inline constexpr u64 epc_pages = 32;
inline constexpr u64 enclave_pages = 6;  // of the ELRANGE's 16
inline constexpr u64 elrange_size = 16 * page_size;

inline constexpr u64 operand_at(u64 n) { return at::operands + n * page_size; }
inline constexpr u64 window_of(u64 page) { return at::window + page * page_size; }

/// Code of at most slot_size bytes, and what the registers hold when it starts. gpr[rsp] included.
struct Slot {
    std::vector<u8> code{};
    bool kernel = false;  // at CPL 0
    std::array<u64, gpr_count> gpr{};
    u64 rflags = 2;
};

struct Program {
    std::vector<Slot> slots;         // 1 to slots_most
    std::vector<u8> enclave_code{};  // at its entry point; at most a page
    u64 faults = 60;                 // so many, and the guest ends
    bool repairs = true;             // by the kernel, after each fault
    /// The n-th leaf that builds the enclave gets an RBX with these bits flipped.
    u64 spoilt_leaf = 0, spoilt_bits = 0;
    u64 more_attributes = 0;  // that ECREATE asks for, and SIGSTRUCT does not
};

/// An ELF file for host::Guest, whose layout is layout().
std::vector<u8> make_kernel(const Program& program);

inline platform::Layout layout() { return platform::layout_of(at::memory, epc_pages * page_size); }

}  // namespace postern::test::hosted

// SPDX-License-Identifier: Apache-2.0
// What the guest's three programs (kernel, ring-3 runtime, enclave) agree on: ports, addresses,
// int 80H, the signal frame, the enclave's functions.
#pragma once

#include "base/types.h"

namespace postern::guests {

inline constexpr u16 serial_port = 0x3f8;
inline constexpr u16 exit_port = 0xf4;
inline constexpr u16 mark_port = 0xf5;

// Values for the mark port, with the row's number; any other value is the number of the page
// that the hypervisor is asked to take back.
inline constexpr u32 mark_row_starts = 0xf000'0000;
inline constexpr u32 mark_row_ends = 0xf100'0000;

/// What is written to the exit port; the machine's status is (code << 1) | 1.
enum class ExitCode : u32 {
    ok = 0,
    row_failed = 1,
    no_sgx = 2,
    kernel_failed = 3,
    bad_command_line = 4,
    livelock = 5,
};

inline constexpr u64 doorbell_physical = 0xfe00'0000;

// The runtime's linear addresses. The first page of its data is shared with the kernel.
inline constexpr u64 runtime_base = 0x4000'0000'0000;
inline constexpr u64 runtime_code_size = 0x4000;
inline constexpr u64 runtime_data_size = 0xc000;
inline constexpr u64 untrusted_page_address = runtime_base + 0x1000'0000;
inline constexpr u64 doorbell_address = runtime_base + 0x2000'0000;

/// int 80H: RAX is one of these, RDI and RSI its arguments.
enum class Call : u64 {
    write,                // RDI: text, RSI: length
    exit,                 // RDI: an ExitCode
    begin_row,            // RDI: the row's number
    end_row,              // RDI: the row's number
    set_signal_handler,   // RDI: where a fault of ring 3 continues, RSI: its stack
    return_from_signal,   // continues at Shared::signal
    set_aep,              // RDI: the AEP at which a #UD is expected
    report_ud,            // RDI: the row's number
    take_back_data_page,  // asks the hypervisor for the EPC page of the enclave's data
};

/// The registers of an interrupted program, in the order in which the kernel's entry pushes them.
struct Registers {
    u64 r15, r14, r13, r12, r11, r10, r9, r8;
    u64 rbp, rdi, rsi, rdx, rcx, rbx, rax;
    u64 vector, error_code;
    u64 rip, cs, rflags, rsp, ss;
};

struct Shared {
    u64 rows;  // bit n: run row n
    u64 selftest;
    u64 data_page;       // guest-physical
    u64 untrusted_page;  // guest-physical
    u64 kernel_address;  // a supervisor page, for the self-test
    Registers signal;
    u64 cr2;
};

inline Shared& shared() { return *reinterpret_cast<Shared*>(runtime_base + runtime_code_size); }

/// What EENTER asks for (RDI), with the address of an EnclaveCall in RSI.
enum class EnclaveFunction : u64 { hash_data, hash_untrusted, touch_doorbell, handle_signal };

/// What the enclave answers (RDI after EEXIT). handle_signal answers the number of the access
/// that it refused, from 1, or nothing_to_refuse.
enum class EnclaveStatus : u64 { ok = 0, bad_argument = 0x100, bad_state, nothing_to_refuse };

struct EnclaveCall {
    u64 address;  // of what is to be hashed or touched, outside the enclave
    u8 digest[32];
    u64 refused;
};

inline constexpr u32 enclave_store_value = 0xe000'0000;  // plus the offset stored to
inline constexpr u32 outside_store_0 = 0x1111'0000;
inline constexpr u32 outside_store_40 = 0x2222'0040;

}  // namespace postern::guests

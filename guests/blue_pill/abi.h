// SPDX-License-Identifier: Apache-2.0
// What blue_pill's ring-3 program and its hypervisor (L1) say to each other: VMCALL with a function
// in RAX and an address of the program's in RDI. L1 uses the same page tables.
#pragma once

#include "base/types.h"

namespace postern::guests {

/// What L1 does to its guest, from L1Call::begin to L1Call::end.
enum class Provoke : u64 {
    nothing,
    withdraw,         // value: a linear address; its page has no permission in L1's EPT
    make_read_only,   // the same; only writes are refused
    withdraw_device,  // the same; an enclave's access becomes one #UD
    emulate_device,   // the same; what is no enclave's is carried out by L1
    withdraw_stack,   // of #DE (Trouble::stack_taken_back)
    block_nmis,       // as withdraw, of a guest whose NMIs are blocked
    host_takes_page,  // value: a linear address; L1's own host is asked to take the page
    timer,            // the VMX-preemption timer; value: its count
    interrupt,        // the local APIC's timer; value: its count. Injected at once
    late_interrupt,   // the same, injected when the window opens
    nmi,              // the PIT's, by the I/O APIC; value: its count. An exit
    nmi_to_guest,     // the same, but no exit: L1 leaves NMIs to its guest
    exception,        // value: its vector, which exits, and is injected again
    primary_control,  // value: a bit of the primary controls, dropped at its first exit
    secondary_control,
    entry_state,  // value: the interruptibility state of the entry that follows
};

enum class L1Call : u64 {
    begin,  // RDI: an L1Order. Forgets all exits
    end,    // RDI: an ExitTable, to be filled; nothing is provoked any more
};

struct L1Order {
    Provoke provoke;
    u64 value;
};

/// The fields of an exit as VMREAD gives them. Of an entry that failed only the reason and the
/// qualification mean something; the others are 0 then.
struct SeenExit {
    u64 reason, interruptibility, rip;
    u64 length, information, interruption, error_code, vectoring, vectoring_error_code;
    u64 qualification, linear, physical;
    u64 rax, rbx, rcx;

    [[nodiscard]] u64 basic() const { return reason & 0xffff; }
    [[nodiscard]] bool from_enclave() const { return (reason >> 27 & 1) != 0; }
    [[nodiscard]] bool entry_failed() const { return (reason >> 31 & 1) != 0; }
};

inline constexpr u64 exits_listed = 8;

struct ExitTable {
    u64 count;
    SeenExit exits[exits_listed];
};

}  // namespace postern::guests

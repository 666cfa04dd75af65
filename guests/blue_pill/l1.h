// SPDX-License-Identifier: Apache-2.0
// L1: the hypervisor below this kernel, in the same image, and what it does at each exit.
#pragma once

#include "base/types.h"
#include "guests/blue_pill/vmx.h"

namespace postern::guests {

/// The guest's registers that no VMCS holds, as exit_to_l1 pushes them.
struct L2Registers {
    u64 r15, r14, r13, r12, r11, r10, r9, r8;
    u64 rbp, rdi, rsi, rdx, rcx, rbx, rax;
};

/// Enters VMX operation; the caller goes on in VMX non-root operation, with all it has.
/// `encls_exits`: ECREATE and EINIT exit once each.
void become_guest(bool encls_exits);

/// VMWRITE; the machine ends if it fails.
void vmwrite(Field field, u64 value);

/// What the capability MSR allows of the controls `wanted`, and what must be 1 with them; the
/// machine ends if one is not there.
u32 allowed(u32 msr, u32 wanted, const char* what);

}  // namespace postern::guests

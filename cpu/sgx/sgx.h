// SPDX-License-Identifier: Apache-2.0
// SGX as the rest of the processor sees it: the two instructions, the asynchronous exit, and the
// access check that ends every address translation.
#pragma once

#include "base/address.h"
#include "base/result.h"
#include "cpu/cpu.h"
#include "cpu/mmu/access.h"

namespace postern::cpu::sgx {

/// ENCLS and ENCLU, from decode-time checks to leaf. SDM 3D, "ENCLS", "ENCLU", Operation.
/// On success Cpu::next_rip is where execution goes on.
Result<> encls(Cpu& c);
Result<> enclu(Cpu& c);

/// Why the enclave is being left: decides SSA.EXITINFO and the synthetic FCW, FSW, MXCSR.
struct ExitCause {
    bool is_exception = false;  // else an interrupt, or a VM exit without an exception
    Vector vector{};
    u32 error_code = 0;
    u64 address = 0;  // #PF: the full faulting linear address
    /// RF of the image saved in the SSA: 1 for faults, else as it was.
    bool fault_like = false;
    /// The VM exit of an access (EPT violation and its like) and nothing else.
    bool access_exit = false;
};

/// Asynchronous enclave exit: saves to the SSA, loads synthetic state (RIP = AEP, RAX = 3, ...),
/// leaves enclave mode, flushes translations. Cannot fault. SDM 3D, "Asynchronous Enclave Exit".
/// Cpu::rip must be the interrupted instruction (or the next one, for traps and interrupts).
/// CR2 is not touched: whoever delivers the #PF writes it, without its low 12 bits; a #PF that
/// exits leaves it as it was. An MTF exit is made pending if the control asks for it; a VM exit
/// that is made first drops it.
void asynchronous_exit(Cpu& c, const ExitCause& cause);

/// What an access means once paging and EPT have translated it.
enum class Verdict : u8 {
    ordinary,      // not EPC: RAM or a device
    enclave_page,  // the enclave's own page; `bytes` is where it lies
    abort_page,    // EPC seen from outside: reads all ones, writes dropped
    page_fault,    // #PF with the SGX bit
};
struct AccessCheck {
    Verdict verdict;
    u8* page;      // host address of the EPC page's first byte, for enclave_page
    bool r, w, x;  // what EPCM lets the enclave do, for the TLB
};
AccessCheck check_access(const Cpu& c, Gva linear, Hpa physical, Access access);

/// Instruction fetch outside ELRANGE is #GP(0) before any translation.
inline bool fetch_forbidden(const Cpu& c, u64 linear) {
    return c.enclave.active && !c.enclave.covers(linear);
}

}  // namespace postern::cpu::sgx

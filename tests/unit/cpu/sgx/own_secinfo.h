// SPDX-License-Identifier: Apache-2.0
// The SECINFO that an enclave hands to EACCEPT, EMODPE and EACCEPTCOPY, and every way in which it
// can be wrong whichever of them reads it.
#pragma once

#include "unit/cpu/sgx/sgx2_machine.h"

namespace postern::cpu::sgx {

inline constexpr u64 own_secinfo_linear = 0x4000'4040;
inline constexpr Fault secinfo_fault = pf(own_secinfo_linear, sgx_fault(false, true));

/// `flags` are those of a SECINFO that the leaf takes.
template <u64 flags>
inline constexpr Breach secinfo_breaches[] = {
    {"SecinfoNotAlignedTo64",
     [](Sgx2Machine& m) {
         m.epc.at<std::array<u64, 8>>(data_page * page_size + 0x60) = {flags};
         m.c.gpr[rbx] = own_secinfo_linear + 0x20;
     },
     gp0},
    {"SecinfoOutsideElrange",
     [](Sgx2Machine& m) {
         m.put_secinfo(flags);
         m.c.gpr[rbx] = secinfo_at;
     },
     gp0},
    {"SecinfoNotMapped", [](Sgx2Machine& m) { m.c.gpr[rbx] = 0x4000'f040; }, pf(0x4000'f040, 4)},
    {"SecinfoNotInTheEpc",
     [](Sgx2Machine& m) {
         m.put_secinfo(flags);
         m.map(0x4000'4000, secinfo_at & ~u64{0xfff}, pte_p | pte_w | pte_u);
     },
     secinfo_fault},
    {"SecinfoPageNotValid", [](Sgx2Machine& m) { m.entry(data_page).valid = false; },
     secinfo_fault},
    {"SecinfoPageNotReadable",
     [](Sgx2Machine& m) { m.entry(data_page).r = m.entry(data_page).w = false; }, secinfo_fault},
    {"SecinfoPagePending", [](Sgx2Machine& m) { m.entry(data_page).pending = true; },
     secinfo_fault},
    {"SecinfoPageModified", [](Sgx2Machine& m) { m.entry(data_page).modified = true; },
     secinfo_fault},
    {"SecinfoPageBlocked", [](Sgx2Machine& m) { m.entry(data_page).blocked = true; },
     secinfo_fault},
    {"SecinfoPageATcs", [](Sgx2Machine& m) { m.entry(data_page).page_type = PageType::tcs; },
     secinfo_fault},
    {"SecinfoPageOfAnotherEnclave", [](Sgx2Machine& m) { m.entry(data_page).enclave_secs = 9; },
     secinfo_fault},
    {"SecinfoPageAtAnotherAddress",
     [](Sgx2Machine& m) { m.entry(data_page).enclave_address = 0x4000'6000; }, secinfo_fault},
    {"Flag6Reserved", [](Sgx2Machine& m) { m.put_own_secinfo(flags | 0x40); }, gp0},
    {"Flag7Reserved", [](Sgx2Machine& m) { m.put_own_secinfo(flags | 0x80); }, gp0},
    {"Flag16Reserved", [](Sgx2Machine& m) { m.put_own_secinfo(flags | 0x1'0000); }, gp0},
    {"LastByteReserved", [](Sgx2Machine& m) { m.put_own_secinfo(flags).reserved_8[55] = 1; }, gp0},
};

}  // namespace postern::cpu::sgx

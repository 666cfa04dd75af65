// SPDX-License-Identifier: Apache-2.0
// Everything that software outside an enclave can look at after a VM exit, as one row of words
// with names, and what may be complained about it.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "arch/vmx/vmcs_field.h"
#include "host/guest.h"
#include "tests/sweep/saved_frame.h"

namespace postern::sweep {

/// Where which words lie.
namespace word {
inline constexpr size_t vmcs = 0;                    // a field each
inline constexpr size_t general = vmcs_field_count;  // the vCPU's, RSP unused
inline constexpr size_t processor = general + 16;    // the parked processor's own
inline constexpr size_t cr2 = processor + 16;
inline constexpr size_t debug = cr2 + 1;                // DR0 to DR3, DR6, DR7
inline constexpr size_t vector = debug + 6;             // 32 registers of 8 words
inline constexpr size_t x87 = vector + size_t{32} * 8;  // 8 registers of 2 words
inline constexpr size_t fcw = x87 + size_t{8} * 2;
inline constexpr size_t fsw = fcw + 1;
inline constexpr size_t tag = fsw + 1;
inline constexpr size_t mxcsr = tag + 1;
inline constexpr size_t count = mxcsr + 1;
}  // namespace word

using Outside = std::array<u64, word::count>;

Outside look_outside(host::Guest& guest);
std::string name_of_word(size_t index);
inline u64 field(const Outside& seen, VmcsField wanted) { return seen[vmcs_index(wanted)]; }

using Complaints = std::vector<std::string>;

/// SDM 3D, table "GPR, x87 Synthetic States on Asynchronous Enclave Exit", for an enclave with
/// x87 and SSE state that was interrupted by anything but #MF or #XM.
Complaints check_synthetic(const Outside& seen, const SavedFrame& saved, u64 aep, u64 tcs);

/// Against the first exit of the same thread: no word may differ but those that say why the exit
/// happened, RFLAGS and the timer.
Complaints check_unchanged(const Outside& seen, const Outside& first);

/// No word equals one of the enclave's registers at the same moment. Legal coincidences: values
/// below 2^16, all ones, what the outside knew when it entered (`known`), a page's address, the
/// reasons that the plans bring about, and words that hold what they held at the first exit.
Complaints check_leaks(const Outside& seen, const SavedFrame& saved, const Outside& first,
                       const std::vector<u64>& known);

/// A secret put into the enclave's registers: every word of it has `secret_tag` in either half.
inline constexpr u64 secret_tag = 0xdec2'e7a5;
constexpr u64 secret_word(unsigned number) { return secret_tag << 32 | (0x9000'0000 + number); }
Complaints check_secret(const Outside& seen);

}  // namespace postern::sweep

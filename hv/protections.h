// SPDX-License-Identifier: Apache-2.0
// The protections that make an exit from an enclave safe, and a guest's SGX its own. Each can be
// left out, so that a test or a lesson sees what it is good for. Leaving one out only leaves out
// its check: no code exists that produces the harm.
#pragma once

#include <array>
#include <string_view>

#include "base/flag_word.h"

namespace postern::hv {

enum class Protection : u8 {
    capture,        // number and flags of the exit reason are kept apart
    guard,          // an enclave's exit has a type of its own
    skip_check,     // RIP is not set after an enclave's exit
    bp_type,        // an event's type travels with it, never made from the vector
    retry,          // a control that a legal instruction must not exit for is dropped
    delivery,       // the delivery of an event is told from an enclave's instruction
    mov_ss_shadow,  // blocking by MOV SS is not set beside enclave interruption
    sgx_policy,     // ECREATE is refused what the guest may not have
    epc_scrub,      // a reset takes every enclave out of the guest's EPC
    pass_on,        // a hypervisor in the guest sees what says that its guest's enclave exited
};
using Protections = FlagWord<Protection, u32>;

/// As `--without` spells them, in the order of the enumeration.
inline constexpr std::array<std::string_view, 10> protection_names{
    "capture",  "guard",         "skip-check", "bp-type",   "retry",
    "delivery", "mov-ss-shadow", "sgx-policy", "epc-scrub", "pass-on"};

inline constexpr Protections all_protections =
    Protections::from_raw((1u << protection_names.size()) - 1);

}  // namespace postern::hv

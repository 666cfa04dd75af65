// SPDX-License-Identifier: Apache-2.0
// What an SGX leaf that reports through RAX reports.
#pragma once

#include "base/types.h"

namespace postern {

/// SDM 3D, "Error or Information Codes for Intel SGX Instructions".
enum class SgxError : u32 {
    success = 0,
    invalid_sig_struct = 1,
    invalid_attribute = 2,
    blkstate = 3,
    invalid_measurement = 4,
    notblockable = 5,
    pg_invld = 6,
    epc_page_conflict = 7,
    invalid_signature = 8,
    mac_compare_fail = 9,
    page_not_blocked = 10,
    not_tracked = 11,
    va_slot_occupied = 12,
    child_present = 13,
    enclave_act = 14,
    entryepoch_locked = 15,
    invalid_einittoken = 16,
    prev_trk_incmpl = 17,
    pg_is_secs = 18,
    page_attributes_mismatch = 19,
    page_not_modifiable = 20,
    page_not_debuggable = 21,
    invalid_counter = 25,
    pg_nonepc = 26,
    track_not_required = 27,
    invalid_reportmacstruct = 28,  // not verified against the manual
    insufficient_entropy = 29,
    epc_not_ready = 30,
    no_update = 31,
    invalid_cpusvn = 32,
    invalid_isvsvn = 64,
    unmasked_event = 128,
    invalid_keyname = 256,
};

}  // namespace postern

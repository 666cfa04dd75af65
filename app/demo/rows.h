// SPDX-License-Identifier: Apache-2.0
// The rows by name, and what their files share with no one else.
#pragma once

#include "app/demo/row.h"

namespace postern::app {

extern const Row timer_row;
extern const Row first_touch_row;
extern const Row doorbell_row;

constexpr hv::Protections without(hv::Protection protection) {
    return hv::all_protections.with(protection, false);
}

/// The guest was stopped at its first exit from the enclave: with bit 27 left in, the number is
/// in no table.
void expect_unknown_reason(const Observation& seen, u32 raw_reason, Account& account);

}  // namespace postern::app

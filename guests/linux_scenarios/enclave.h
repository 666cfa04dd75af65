// SPDX-License-Identifier: Apache-2.0
// The probe enclave of every_exit, built by Linux's driver.
#pragma once

namespace postern::guests {

/// Builds it where it is linked for; its second thread is the opt-in one.
void build_probe();

/// From now on the enclave itself may not write its data page, though the page table allows it.
void protect_data_page();

}  // namespace postern::guests

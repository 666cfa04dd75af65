// SPDX-License-Identifier: Apache-2.0
// The ACPI tables of our PC, as bytes at their place: RSDP, XSDT, FADT, FACS, MADT, SRAT, DSDT.
#pragma once

#include <vector>

#include "platform/layout.h"

namespace postern::platform {

struct AcpiTables {
    u64 base;  // where the bytes belong; also the RSDP's address
    std::vector<u8> bytes;
};

/// Tables for `processors` processors with IDs 0, 1, ..., to be put at `base` (16-byte aligned).
AcpiTables acpi_tables(const Layout& layout, unsigned processors, u64 base);

/// The differentiated system description table alone.
std::vector<u8> acpi_dsdt();

}  // namespace postern::platform

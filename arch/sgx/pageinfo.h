// SPDX-License-Identifier: Apache-2.0
// PAGEINFO and RDINFO, the operands of leaves that handle a page.
#pragma once

#include "arch/sgx/secinfo.h"
#include "base/types.h"

namespace postern {

/// SDM 3D, "Page Information (PAGEINFO)". All linear addresses.
struct alignas(32) Pageinfo {
    u64 linaddr;
    u64 srcpge;
    u64 secinfo;  // or PCMD
    u64 secs;
};
static_assert(sizeof(Pageinfo) == 32 && alignof(Pageinfo) == 32);
static_assert(offsetof(Pageinfo, linaddr) == 0);
static_assert(offsetof(Pageinfo, srcpge) == 8);
static_assert(offsetof(Pageinfo, secinfo) == 16);
static_assert(offsetof(Pageinfo, secs) == 24);

/// SDM 3D, "Page Status and Information (RDINFO)". Offsets not verified against the manual.
struct alignas(32) Rdinfo {
    u64 status;
    SecinfoFlags flags;
    u64 enclavecontext;
    u64 reserved_24;
};
static_assert(sizeof(Rdinfo) == 32 && alignof(Rdinfo) == 32);
static_assert(offsetof(Rdinfo, status) == 0);
static_assert(offsetof(Rdinfo, flags) == 8);
static_assert(offsetof(Rdinfo, enclavecontext) == 16);

}  // namespace postern

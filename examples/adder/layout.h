// SPDX-License-Identifier: Apache-2.0
// What the enclave consists of, page by page. The signer measures this, the loader builds it: one
// table, so that they cannot differ.
#pragma once

#include <stdint.h>

#define PAGE 4096
#define ENCLAVE_SIZE (8 * PAGE)  // a power of two; what has no page faults

// SECINFO.FLAGS
#define SECINFO_R 0x1
#define SECINFO_W 0x2
#define SECINFO_X 0x4
#define SECINFO_TCS 0x100
#define SECINFO_REG 0x200

static const uint64_t page_flags[] = {
    SECINFO_TCS,                          // where a thread enters
    SECINFO_REG | SECINFO_R | SECINFO_W,  // the SSA frame: its registers while it is interrupted
    SECINFO_REG | SECINFO_R | SECINFO_X,  // code and constants
    SECINFO_REG | SECINFO_R | SECINFO_W,  // data
    SECINFO_REG | SECINFO_R | SECINFO_W,  // stack
};
#define PAGES (sizeof page_flags / sizeof page_flags[0])

#define SSA_FRAME_PAGES 1
#define ATTRIBUTES 0x4  // MODE64BIT, and not DEBUG
#define XFRM 0x3        // x87 and SSE

// What the loader gives the enclave, in ordinary memory.
struct request {
    uint64_t a, b;
    uint64_t sum;
    uint64_t calls;  // how often the enclave was called: it remembers
    uint8_t report[432];
};

#define REPORT_MRENCLAVE 64  // offsets in a REPORT
#define REPORT_DATA 320

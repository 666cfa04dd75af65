// SPDX-License-Identifier: Apache-2.0
// Operands of ENCLU leaves inside the enclave: what a fault of one looks like, breakpoints on them,
// and code that one overwrites.
#include <gtest/gtest.h>

#include <cstring>

#include "arch/sgx/report.h"
#include "cpu/decode/block_cache.h"
#include "cpu/mmu/access.h"
#include "cpu/run.h"
#include "unit/cpu/event/inside.h"

namespace postern::cpu {
namespace {

constexpr u64 target_at = sgx::elrange + sgx::data_offset + 0x200;
constexpr u64 data_at_inside = sgx::elrange + sgx::data_offset + 0x480;
constexpr u64 output_page = sgx::ssa_page + 1;
constexpr u64 output_at = sgx::elrange + sgx::ssa_offset + page_size + 0x400;

/// At an EREPORT.
struct AtEreport : Inside {
    explicit AtEreport(bool opt_in = false) : Inside{opt_in} {
        enclave_code({0x0f, 0x01, 0xd7, 0x90, 0x90});
        c.gpr[rax] = 0;
        c.gpr[rbx] = target_at;
        c.gpr[rcx] = data_at_inside;
        c.gpr[rdx] = output_at;
    }
    Report& report() { return epc.at<Report>(output_page * page_size + 0x400); }
};

TEST(EnclaveOperand, AFaultIsAnAexAndEresumeRepeatsTheLeaf) {
    AtEreport m;
    m.report() = {};
    m.entry(output_page).w = false;
    run(m.c, now(m.c) + 1);
    EXPECT_FALSE(m.c.enclave.active);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x28), sgx::aep);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x30), 0x8007u);
    EXPECT_EQ(m.c.cr2, sgx::elrange + sgx::ssa_offset + page_size);
    EXPECT_EQ(m.gprsgx().rip, inside_rip);
    EXPECT_EQ(m.gprsgx().rax, 0u);
    EXPECT_EQ(m.gprsgx().rdx, output_at);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0x8000'030eu);
    EXPECT_EQ(m.exinfo().maddr, output_at);
    EXPECT_EQ(m.report().mac, decltype(Report::mac){});

    m.entry(output_page).w = true;
    m.as_user();
    ASSERT_TRUE(m.eresume().ok());
    m.c.rip = m.c.next_rip;
    run(m.c, now(m.c) + 1);
    EXPECT_TRUE(m.c.enclave.active);
    EXPECT_EQ(m.c.rip, inside_rip + 3);
    EXPECT_NE(m.report().mac, decltype(Report::mac){});
}

TEST(EnclaveOperand, AGeneralProtectionFaultIsAnAexToo) {
    AtEreport m;
    m.c.gpr[rbx] = target_at + 1;
    run(m.c, now(m.c) + 1);
    EXPECT_FALSE(m.c.enclave.active);
    EXPECT_EQ(m.gprsgx().rip, inside_rip);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0x8000'030du);
    EXPECT_EQ(m.exinfo().maddr, 0u);
}

TEST(EnclaveOperand, DataBreakpointsSeeItAfterAnOptInEntryOnly) {
    constexpr u64 enable = 0x401, on_write = 1u << 16, on_access = 3u << 16;
    struct Watch {
        u64 address;
        u64 dr7;
        bool hit;
    };
    constexpr Watch watches[] = {
        {target_at + 0x1f8, enable | on_access, true},  // all 512 bytes of TARGETINFO
        {target_at, enable | on_write, false},
        {data_at_inside + 0x3f, enable | on_access, true},  // 64 bytes of REPORTDATA
        {data_at_inside + 0x40, enable | on_access, false},
        {output_at + 0x1af, enable | on_write, true},  // 432 bytes of REPORT
        {output_at + 0x1b0, enable | on_write, false},
    };
    for (const bool opt_in : {false, true}) {
        for (const Watch& watch : watches) {
            AtEreport m{opt_in};
            m.c.dr[0] = watch.address;
            m.c.dr7 = watch.dr7;
            ASSERT_TRUE(sgx::enclu(m.c).ok());
            EXPECT_EQ(m.c.event.watch_hits, opt_in && watch.hit ? 1u : 0u) << watch.address;
        }
    }
}

TEST(EnclaveOperand, DropsCodeThatItOverwrites) {
    AtEreport m;
    m.entry(sgx::code_page).w = true;
    const u8* const code = m.epc.page(sgx::code_page);
    run(m.c, now(m.c) + 1);
    ASSERT_TRUE(m.c.blocks->has_code_in(code + 0x10, 3));
    m.c.gpr[rdx] = sgx::elrange + sgx::code_offset;
    ASSERT_TRUE(sgx::enclu(m.c).ok());
    EXPECT_FALSE(m.c.blocks->has_code_in(code + 0x10, 3));
}

}  // namespace
}  // namespace postern::cpu

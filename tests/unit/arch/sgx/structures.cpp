// SPDX-License-Identifier: Apache-2.0
// Every field of the SGX structures: offset and size copied by hand from the manual's tables,
// and no byte between two fields without a name.
#include <gtest/gtest.h>

#include <type_traits>
#include <vector>

#include "arch/sgx/einittoken.h"
#include "arch/sgx/epcm.h"
#include "arch/sgx/keyrequest.h"
#include "arch/sgx/pageinfo.h"
#include "arch/sgx/report.h"
#include "arch/sgx/secinfo.h"
#include "arch/sgx/secs.h"
#include "arch/sgx/sigstruct.h"
#include "arch/sgx/ssa.h"
#include "arch/sgx/targetinfo.h"
#include "arch/sgx/tcs.h"

namespace postern {
namespace {

struct Field {
    const char* name;
    size_t offset, size;                    // of the struct
    size_t expected_offset, expected_size;  // of the manual
};
#define FIELD(Struct, name, expected_offset, expected_size) \
    {#name, offsetof(Struct, name), sizeof(Struct::name), expected_offset, expected_size}

void expect_gapless(const std::vector<Field>& fields, size_t total) {
    size_t next = 0;
    for (const Field& field : fields) {
        EXPECT_EQ(field.offset, field.expected_offset) << field.name;
        EXPECT_EQ(field.size, field.expected_size) << field.name;
        EXPECT_EQ(field.expected_offset, next) << field.name;
        next = field.expected_offset + field.expected_size;
    }
    EXPECT_EQ(next, total);
}

TEST(SgxStructure, Secs) {
    expect_gapless(
        {FIELD(Secs, size, 0, 8), FIELD(Secs, baseaddr, 8, 8), FIELD(Secs, ssaframesize, 16, 4),
         FIELD(Secs, miscselect, 20, 4), FIELD(Secs, cet_leg_bitmap_offset, 24, 8),
         FIELD(Secs, cet_attributes, 32, 1), FIELD(Secs, reserved_33, 33, 15),
         FIELD(Secs, attributes, 48, 16), FIELD(Secs, mrenclave, 64, 32),
         FIELD(Secs, reserved_96, 96, 32), FIELD(Secs, mrsigner, 128, 32),
         FIELD(Secs, reserved_160, 160, 32), FIELD(Secs, configid, 192, 64),
         FIELD(Secs, isvprodid, 256, 2), FIELD(Secs, isvsvn, 258, 2),
         FIELD(Secs, configsvn, 260, 2), FIELD(Secs, reserved_262, 262, 3834)},
        4096);
}

TEST(SgxStructure, Tcs) {
    expect_gapless(
        {FIELD(Tcs, state, 0, 8), FIELD(Tcs, flags, 8, 8), FIELD(Tcs, ossa, 16, 8),
         FIELD(Tcs, cssa, 24, 4), FIELD(Tcs, nssa, 28, 4), FIELD(Tcs, oentry, 32, 8),
         FIELD(Tcs, aep, 40, 8), FIELD(Tcs, ofsbase, 48, 8), FIELD(Tcs, ogsbase, 56, 8),
         FIELD(Tcs, fslimit, 64, 4), FIELD(Tcs, gslimit, 68, 4), FIELD(Tcs, ocetssa, 72, 8),
         FIELD(Tcs, prevssp, 80, 8), FIELD(Tcs, reserved_88, 88, 4008)},
        4096);
}

TEST(SgxStructure, PageinfoSecinfoPcmdRdinfo) {
    expect_gapless({FIELD(Pageinfo, linaddr, 0, 8), FIELD(Pageinfo, srcpge, 8, 8),
                    FIELD(Pageinfo, secinfo, 16, 8), FIELD(Pageinfo, secs, 24, 8)},
                   32);
    expect_gapless({FIELD(Secinfo, flags, 0, 8), FIELD(Secinfo, reserved_8, 8, 56)}, 64);
    expect_gapless({FIELD(Pcmd, secinfo, 0, 64), FIELD(Pcmd, enclaveid, 64, 8),
                    FIELD(Pcmd, reserved_72, 72, 40), FIELD(Pcmd, mac, 112, 16)},
                   128);
    expect_gapless({FIELD(Rdinfo, status, 0, 8), FIELD(Rdinfo, flags, 8, 8),
                    FIELD(Rdinfo, enclavecontext, 16, 8), FIELD(Rdinfo, reserved_24, 24, 8)},
                   32);
}

TEST(SgxStructure, Sigstruct) {
    expect_gapless({FIELD(Sigstruct, header, 0, 16),
                    FIELD(Sigstruct, vendor, 16, 4),
                    FIELD(Sigstruct, date, 20, 4),
                    FIELD(Sigstruct, header2, 24, 16),
                    FIELD(Sigstruct, swdefined, 40, 4),
                    FIELD(Sigstruct, reserved_44, 44, 84),
                    FIELD(Sigstruct, modulus, 128, 384),
                    FIELD(Sigstruct, exponent, 512, 4),
                    FIELD(Sigstruct, signature, 516, 384),
                    FIELD(Sigstruct, miscselect, 900, 4),
                    FIELD(Sigstruct, miscmask, 904, 4),
                    FIELD(Sigstruct, cet_attributes, 908, 1),
                    FIELD(Sigstruct, cet_attributes_mask, 909, 1),
                    FIELD(Sigstruct, reserved_910, 910, 2),
                    FIELD(Sigstruct, isvfamilyid, 912, 16),
                    FIELD(Sigstruct, attributes, 928, 16),
                    FIELD(Sigstruct, attributemask, 944, 16),
                    FIELD(Sigstruct, enclavehash, 960, 32),
                    FIELD(Sigstruct, reserved_992, 992, 16),
                    FIELD(Sigstruct, isvextprodid, 1008, 16),
                    FIELD(Sigstruct, isvprodid, 1024, 2),
                    FIELD(Sigstruct, isvsvn, 1026, 2),
                    FIELD(Sigstruct, reserved_1028, 1028, 12),
                    FIELD(Sigstruct, q1, 1040, 384),
                    FIELD(Sigstruct, q2, 1424, 384)},
                   1808);
}

TEST(SgxStructure, SigstructHeadersAreTheManualsByteStreams) {
    EXPECT_EQ(sigstruct_header,
              (std::array<u8, 16>{0x06, 0x00, 0x00, 0x00, 0xe1, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01,
                                  0x00, 0x00, 0x00, 0x00, 0x00}));
    EXPECT_EQ(sigstruct_header2,
              (std::array<u8, 16>{0x01, 0x01, 0x00, 0x00, 0x60, 0x00, 0x00, 0x00, 0x60, 0x00, 0x00,
                                  0x00, 0x01, 0x00, 0x00, 0x00}));
    EXPECT_EQ(sigstruct_signed[0].size + sigstruct_signed[1].size, 256u);
}

TEST(SgxStructure, Einittoken) {
    expect_gapless(
        {FIELD(Einittoken, valid, 0, 4), FIELD(Einittoken, reserved_4, 4, 44),
         FIELD(Einittoken, attributes, 48, 16), FIELD(Einittoken, mrenclave, 64, 32),
         FIELD(Einittoken, reserved_96, 96, 32), FIELD(Einittoken, mrsigner, 128, 32),
         FIELD(Einittoken, reserved_160, 160, 32), FIELD(Einittoken, cpusvnle, 192, 16),
         FIELD(Einittoken, isvprodidle, 208, 2), FIELD(Einittoken, isvsvnle, 210, 2),
         FIELD(Einittoken, reserved_212, 212, 24), FIELD(Einittoken, maskedmiscselectle, 236, 4),
         FIELD(Einittoken, maskedattributesle, 240, 16), FIELD(Einittoken, keyid, 256, 32),
         FIELD(Einittoken, mac, 288, 16)},
        304);
}

TEST(SgxStructure, Report) {
    expect_gapless({FIELD(Report, cpusvn, 0, 16), FIELD(Report, miscselect, 16, 4),
                    FIELD(Report, cet_attributes, 20, 1), FIELD(Report, reserved_21, 21, 11),
                    FIELD(Report, isvextprodid, 32, 16), FIELD(Report, attributes, 48, 16),
                    FIELD(Report, mrenclave, 64, 32), FIELD(Report, reserved_96, 96, 32),
                    FIELD(Report, mrsigner, 128, 32), FIELD(Report, reserved_160, 160, 32),
                    FIELD(Report, configid, 192, 64), FIELD(Report, isvprodid, 256, 2),
                    FIELD(Report, isvsvn, 258, 2), FIELD(Report, configsvn, 260, 2),
                    FIELD(Report, reserved_262, 262, 42), FIELD(Report, isvfamilyid, 304, 16),
                    FIELD(Report, reportdata, 320, 64), FIELD(Report, keyid, 384, 32),
                    FIELD(Report, mac, 416, 16)},
                   432);
}

TEST(SgxStructure, TargetinfoAndKeyrequest) {
    expect_gapless({FIELD(Targetinfo, measurement, 0, 32), FIELD(Targetinfo, attributes, 32, 16),
                    FIELD(Targetinfo, cet_attributes, 48, 1), FIELD(Targetinfo, reserved_49, 49, 1),
                    FIELD(Targetinfo, configsvn, 50, 2), FIELD(Targetinfo, miscselect, 52, 4),
                    FIELD(Targetinfo, reserved_56, 56, 8), FIELD(Targetinfo, configid, 64, 64),
                    FIELD(Targetinfo, reserved_128, 128, 384)},
                   512);
    expect_gapless({FIELD(Keyrequest, keyname, 0, 2), FIELD(Keyrequest, keypolicy, 2, 2),
                    FIELD(Keyrequest, isvsvn, 4, 2), FIELD(Keyrequest, cet_attributes_mask, 6, 1),
                    FIELD(Keyrequest, reserved_7, 7, 1), FIELD(Keyrequest, cpusvn, 8, 16),
                    FIELD(Keyrequest, attributemask, 24, 16), FIELD(Keyrequest, keyid, 40, 32),
                    FIELD(Keyrequest, miscmask, 72, 4), FIELD(Keyrequest, configsvn, 76, 2),
                    FIELD(Keyrequest, reserved_78, 78, 434)},
                   512);
}

TEST(SgxStructure, Gprsgx) {
    expect_gapless({FIELD(Gprsgx, rax, 0, 8),         FIELD(Gprsgx, rcx, 8, 8),
                    FIELD(Gprsgx, rdx, 16, 8),        FIELD(Gprsgx, rbx, 24, 8),
                    FIELD(Gprsgx, rsp, 32, 8),        FIELD(Gprsgx, rbp, 40, 8),
                    FIELD(Gprsgx, rsi, 48, 8),        FIELD(Gprsgx, rdi, 56, 8),
                    FIELD(Gprsgx, r8, 64, 8),         FIELD(Gprsgx, r9, 72, 8),
                    FIELD(Gprsgx, r10, 80, 8),        FIELD(Gprsgx, r11, 88, 8),
                    FIELD(Gprsgx, r12, 96, 8),        FIELD(Gprsgx, r13, 104, 8),
                    FIELD(Gprsgx, r14, 112, 8),       FIELD(Gprsgx, r15, 120, 8),
                    FIELD(Gprsgx, rflags, 128, 8),    FIELD(Gprsgx, rip, 136, 8),
                    FIELD(Gprsgx, ursp, 144, 8),      FIELD(Gprsgx, urbp, 152, 8),
                    FIELD(Gprsgx, exitinfo, 160, 4),  FIELD(Gprsgx, reserved_164, 164, 3),
                    FIELD(Gprsgx, aexnotify, 167, 1), FIELD(Gprsgx, fsbase, 168, 8),
                    FIELD(Gprsgx, gsbase, 176, 8)},
                   184);
    expect_gapless(
        {FIELD(Exinfo, maddr, 0, 8), FIELD(Exinfo, errcd, 8, 4), FIELD(Exinfo, reserved_12, 12, 4)},
        16);
}
#undef FIELD

// They are copied to and from guest memory byte by byte.
static_assert(std::is_trivially_copyable_v<Secs> && std::is_standard_layout_v<Secs>);
static_assert(std::is_trivially_copyable_v<Tcs> && std::is_standard_layout_v<Tcs>);
static_assert(std::is_trivially_copyable_v<Sigstruct> && std::is_standard_layout_v<Sigstruct>);
static_assert(std::is_trivially_copyable_v<Gprsgx> && std::is_standard_layout_v<Gprsgx>);
static_assert(std::is_trivially_copyable_v<Pcmd> && std::is_standard_layout_v<Pcmd>);
static_assert(std::is_trivially_copyable_v<EpcmEntry> && std::is_standard_layout_v<EpcmEntry>);
static_assert(alignof(Pageinfo) == 32 && alignof(Secinfo) == 64 && alignof(Pcmd) == 128);

}  // namespace
}  // namespace postern

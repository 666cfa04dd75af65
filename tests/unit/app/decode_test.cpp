// SPDX-License-Identifier: Apache-2.0
// The lines of `postern decode`, written out by hand.
#include "app/decode.h"

#include <gtest/gtest.h>

#include "base/bits.h"

namespace postern::app {
namespace {

using Lines = std::vector<std::string>;

TEST(Decode, AnEnclavesEptMisconfiguration) {
    EXPECT_EQ(*decode_command("exit-reason", "0x08000031"),
              (Lines{"exit-reason 0x08000031: VM-exit reason (VMCS field 4402H)",
                     "  bits 15:0  basic exit reason = 49 (0x31): ept_misconfiguration",
                     "  bit 27     incident to enclave mode: RIP is the AEP, and the enclave's "
                     "state is out of reach"}));
}

TEST(Decode, AFailedEntryAndANumberThatIsNone) {
    EXPECT_EQ((*decode_command("exit-reason", "0x80000021"))[1],
              "  bits 15:0  basic exit reason = 33 (0x21): entry_failure_guest_state");
    EXPECT_EQ((*decode_command("exit-reason", "0x80000021"))[2], "  bit 31     VM-entry failure");
    EXPECT_EQ((*decode_command("exit-reason", "86"))[1],
              "  bits 15:0  basic exit reason = 86 (0x56): no such exit reason");
}

TEST(Decode, InterruptibilityNamesEnclaveInterruption) {
    EXPECT_EQ(*decode_command("interruptibility", "0x10"),
              (Lines{"interruptibility 0x00000010: guest interruptibility state (VMCS field 4824H)",
                     "  bit 4      enclave interruption: the exit came while the processor was in "
                     "an enclave"}));
    EXPECT_EQ((*decode_command("interruptibility", "0"))[1], "  no bit is set");
    EXPECT_EQ((*decode_command("interruptibility", "0x20"))[1],
              "  reserved bits that are set: 0x20");
}

TEST(Decode, AnInjectedUd) {
    EXPECT_EQ(*decode_command("intr-info", "0x80000306"),
              (Lines{"intr-info 0x80000306: interruption information, or IDT-vectoring information",
                     "  bits 7:0   vector = 6: #UD", "  bits 10:8  type = 3: hardware exception",
                     "  bit 31     valid"}));
}

TEST(Decode, EptQualificationOfAUserRead) {
    EXPECT_EQ(*decode_command("ept-qualification", "0x181"),
              (Lines{"ept-qualification 0x0000000000000181: exit qualification of an EPT violation",
                     "  bit 0      the access was a data read",
                     "  bit 7      the guest linear address is valid",
                     "  bit 8      it was the final translation (else a paging-structure entry)"}));
}

TEST(Decode, AByteWrittenToTheSerialPort) {
    EXPECT_EQ(
        *decode_command("io-qualification", "0x3f80000"),
        (Lines{"io-qualification 0x0000000003f80000: exit qualification of an I/O instruction",
               "  bits 2:0   size of access = 0: 1 byte", "  bits 31:16 port = 1016 (0x3f8)"}));
}

TEST(Decode, MovR9ToCr3) {
    EXPECT_EQ(*decode_command("cr-qualification", "0x903"),
              (Lines{std::string{"cr-qualification 0x0000000000000903: "} +
                         "exit qualification of a control-register access",
                     "  bits 3:0   control register = 3", "  bits 5:4   access type = 0: MOV to CR",
                     "  bits 11:8  general-purpose register = 9: r9",
                     "  bits 31:16 LMSW source data = 0"}));
}

TEST(Decode, ARegularReadablePage) {
    EXPECT_EQ(
        *decode_command("secinfo", "0x201"),
        (Lines{"secinfo 0x0000000000000201: SECINFO.FLAGS",
               "  bit 0      R: readable in the enclave", "  bits 15:8  page type = 2: PT_REG"}));
}

TEST(Decode, RegistersNameTheirBits) {
    EXPECT_EQ((*decode_command("cr0", "0x80000011"))[3], "  bit 31     PG: paging");
    EXPECT_EQ((*decode_command("cr4", "0x2020"))[2], "  bit 13     VMXE");
    EXPECT_EQ((*decode_command("rflags", "0x3202"))[3], "  bits 13:12 IOPL = 3");
    EXPECT_EQ((*decode_command("efer", "0x500"))[2], "  bit 10     LMA: IA-32e mode active");
    EXPECT_EQ((*decode_command("attributes", "0x5"))[2], "  bit 2      MODE64BIT");
}

TEST(Decode, WhatIsWrongIsSaid) {
    EXPECT_EQ(decode_command("nonsense", "1").error().what, "unknown field \"nonsense\"");
    EXPECT_EQ(decode_command("cr0", "x").error().what, "\"x\" is not a number");
    EXPECT_EQ(decode_command("exit-reason", "0x100000000").error().what,
              "0x100000000 has more than 32 bits");
}

TEST(Decode, NoFormatHasOverlappingFieldsOrFieldsBeyondItsWidth) {
    for (const Format& format : formats()) {
        u64 seen = 0;
        for (const BitField& field : format.fields) {
            const u64 mask = bit_mask(field.high, field.low);
            EXPECT_LT(field.high, format.width) << format.name;
            EXPECT_EQ(seen & mask, 0u) << format.name << " " << field.title;
            seen |= mask;
        }
    }
}

}  // namespace
}  // namespace postern::app

// SPDX-License-Identifier: Apache-2.0
// Looking at a processor: memory through every kind of paging, disassembly, the report.
#include "platform/debug/report.h"

#include <gtest/gtest.h>

#include "platform/debug/disassembly.h"
#include "platform/debug/memory.h"
#include "platform/debug/registers.h"
#include "unit/platform/debug/machine_target.h"

namespace postern::platform {
namespace {

using test::code_base;
using test::MachineTarget;

constexpr std::array<u8, 6> code{0x48, 0x89, 0xe5, 0x0f, 0x0b, 0xf4};  // mov rbp, rsp; ud2; hlt

class Looking : public testing::Test {
protected:
    MachineTarget target{code};
    cpu::Cpu& c = target.processor(0);

    template <class T>
    void put(u64 physical, T value) {
        std::memcpy(target.machine().ram() + physical, &value, sizeof value);
    }
};

TEST_F(Looking, FourLevelPagingIsFollowedToEverySizeOfPage) {
    put<u64>(test::tables_base + 0x1008, 0x4000'0083);                 // 1 GiB at 1 GiB
    put<u64>(test::tables_base + 0x2008, test::tables_base + 0x3003);  // a table at 2 MiB
    put<u64>(test::tables_base + 0x3010, 0x5003);
    EXPECT_EQ(physical_of(c, 0x12345), Hpa{0x12345});
    EXPECT_EQ(physical_of(c, 0x4012'3456), Hpa{0x4012'3456});
    EXPECT_EQ(physical_of(c, 0x20'2abc), Hpa{0x5abc});
    EXPECT_FALSE(physical_of(c, 0x20'3000).has_value());
    EXPECT_FALSE(physical_of(c, 0x8000'0000'0000).has_value());
}

TEST_F(Looking, WithoutPagingAddressesAreWhatTheyAre) {
    c.cr0 = Cr0Word{Cr0::pe};
    EXPECT_EQ(physical_of(c, 0x20'3000), Hpa{0x20'3000});
}

TEST_F(Looking, ThirtyTwoBitPagingHasFourMebibytePages) {
    c.efer = {};
    c.cr4 = Cr4Word{Cr4::pse};
    c.cr3 = 0x6000;
    put<u32>(0x6004, 0x0080'0083);  // 4 MiB at 4 MiB, from 8 MiB
    put<u32>(0x6000, 0x7003);
    put<u32>(0x7008, 0x9003);
    EXPECT_EQ(physical_of(c, 0x40'0123), Hpa{0x80'0123});
    EXPECT_EQ(physical_of(c, 0x2123), Hpa{0x9123});
    EXPECT_FALSE(physical_of(c, 0x3000).has_value());
}

TEST_F(Looking, PaePagingBeginsAtTheLoadedPointers) {
    c.efer = {};
    c.pdpte = {test::tables_base + 0x2001, 0, 0, 0};
    EXPECT_EQ(physical_of(c, 0x12345), Hpa{0x12345});
    EXPECT_FALSE(physical_of(c, 0x4000'0000).has_value());
}

TEST_F(Looking, EnclavePagesAreAllOnesAndDevicesAreNotTouched) {
    put<u64>(test::tables_base + 0x2008, target.machine().layout().epc_base | 0x83);
    put<u64>(test::tables_base + 0x2010, 0xfee0'0083);
    std::array<u8, 4> bytes{};
    EXPECT_EQ(peek(c, 0x20'0000, bytes), 4u);
    EXPECT_EQ(bytes[3], 0xff);
    EXPECT_FALSE(poke(c, 0x20'0000, bytes));
    EXPECT_EQ(peek(c, 0x40'0000, bytes), 0u);
}

TEST_F(Looking, CodeThatIsWrittenIsDecodedAnew) {
    EXPECT_EQ(target.step(0).stop, DebugStop::time);
    EXPECT_EQ(c.gpr[rbp], test::stack_top);
    c.rip = code_base;
    ASSERT_TRUE(poke(c, code_base, std::array<u8, 3>{0x48, 0x31, 0xed}));  // xor rbp, rbp
    target.step(0);
    EXPECT_EQ(c.gpr[rbp], 0u);
}

TEST_F(Looking, DisassemblyFollowsTheModeOfTheCodeSegment) {
    EXPECT_EQ(disassemble(c, code_base).text, "mov rbp, rsp");
    EXPECT_EQ(disassemble(c, code_base).bytes, "48 89 e5");
    c.segment[cs].access_rights = 0xc09b;  // 32 bits
    EXPECT_EQ(disassemble(c, code_base).text, "dec eax");
    c.segment[cs].access_rights = 0x809b;
    EXPECT_EQ(disassemble(c, code_base).text, "dec ax");
    EXPECT_EQ(disassemble(c, 0x30'0000).text, "(no memory)");
}

TEST_F(Looking, ReportHasRegistersSystemCodeAndStack) {
    put<u64>(test::stack_top, 0x1122'3344'5566'7788);
    std::string all;
    for (const std::string& line : machine_report(target.system(), 0, nullptr)) all += line + '\n';
    for (const char* const part :
         {"processor 0 at time 0", "rsp 0000000000030000", "rip 0000000000010000",
          "cr3 0000000000040000", "mov rbp, rsp", "ud2", "0000000000030000: 1122334455667788"})
        EXPECT_NE(all.find(part), std::string::npos) << part;
    EXPECT_EQ(all.find("last branches"), std::string::npos);
}

TEST_F(Looking, X87TagsAreMadeOfWhatTheRegistersHold) {
    const auto& all = debug_registers();
    const auto& ftag = *std::ranges::find(all, "ftag", &DebugRegister::name);
    c.vector.x87 = {};
    EXPECT_EQ(register_bytes(c, ftag), std::string("\xff\xff\0\0", 4));
    c.vector.x87.fsw = 6 << 11;                                    // TOP is 6
    c.vector.x87.tag = 0xc0;                                       // registers 6 and 7
    c.vector.x87.st[0] = {0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f};  // 1.0: register 6, valid
    c.vector.x87.st[1] = {};                                       // 0: register 7, zero
    EXPECT_EQ(register_bytes(c, ftag), std::string("\xff\x4f\0\0", 4));
}

}  // namespace
}  // namespace postern::platform

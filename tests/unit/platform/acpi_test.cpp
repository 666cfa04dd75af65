// SPDX-License-Identifier: Apache-2.0
// The ACPI tables as an operating system walks them, and AML's encodings. The bytes of the AML
// examples are those that the ACPI specification's grammar gives.
#include "platform/firmware/acpi.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "cpu/system.h"
#include "platform/boot/memory_map.h"
#include "platform/firmware/aml.h"

namespace postern::platform {
namespace {

using aml::Bytes;

class Acpi : public ::testing::Test {
protected:
    void make(const Layout& layout, unsigned processors) {
        tables = acpi_tables(layout, processors, firmware_base);
    }
    template <class T>
    T get(u64 address) {
        T value;
        std::memcpy(&value, &tables.bytes.at(address - tables.base), sizeof value);
        return value;
    }
    std::string text(u64 address, size_t size) {
        const auto* const at = reinterpret_cast<const char*>(&tables.bytes[address - tables.base]);
        return {at, size};
    }
    u8 sum(u64 address, u64 size) {
        u8 total = 0;
        for (u64 i = 0; i < size; ++i) total = static_cast<u8>(total + get<u8>(address + i));
        return total;
    }
    /// The address of a table that the XSDT lists, or 0.
    u64 find(const std::string& signature) {
        const u64 xsdt = get<u64>(tables.base + 24);
        for (u64 at = xsdt + 36; at < xsdt + get<u32>(xsdt + 4); at += 8)
            if (text(get<u64>(at), 4) == signature) return get<u64>(at);
        return 0;
    }
    /// Offsets of the entries of a type in a MADT (44) or SRAT (48), which begin at `first`.
    std::vector<u64> entries(u64 table, u64 first, u8 type) {
        std::vector<u64> found;
        for (u64 at = table + first; at < table + get<u32>(table + 4); at += get<u8>(at + 1))
            if (get<u8>(at) == type) found.push_back(at);
        return found;
    }

    AcpiTables tables;
};

TEST_F(Acpi, TheRootPointerHasBothChecksums) {
    make(layout_of(64 * mib, 0), 1);
    EXPECT_EQ(text(tables.base, 8), "RSD PTR ");
    EXPECT_EQ(get<u8>(tables.base + 15), 2);
    EXPECT_EQ(sum(tables.base, 20), 0);
    EXPECT_EQ(sum(tables.base, 36), 0);
}

TEST_F(Acpi, EveryTableHasItsLengthAndChecksum) {
    make(layout_of(5 * gib, 64 * mib), 3);
    const u64 fadt = find("FACP");
    for (const u64 table :
         {get<u64>(tables.base + 24), fadt, find("APIC"), find("SRAT"), u64{get<u32>(fadt + 40)}}) {
        ASSERT_NE(table, 0u);
        EXPECT_EQ(sum(table, get<u32>(table + 4)), 0) << text(table, 4);
        EXPECT_EQ(table % 16, 0u);
    }
}

TEST_F(Acpi, WithTheMostProcessorsTheyFitIntoTheFirmwareArea) {
    make(layout_of(64 * gib, 16 * gib), cpu::processors_most);
    EXPECT_LE(tables.bytes.size(), firmware_size);
}

TEST_F(Acpi, TheFixedDescriptionNamesTheRegisters) {
    make(layout_of(64 * mib, 0), 1);
    const u64 fadt = find("FACP");
    EXPECT_EQ(get<u32>(fadt + 4), 276u);
    EXPECT_EQ(get<u16>(fadt + 46), 9u);      // SCI
    EXPECT_EQ(get<u32>(fadt + 48), 0u);      // no SMI command
    EXPECT_EQ(get<u32>(fadt + 56), 0x600u);  // PM1a event
    EXPECT_EQ(get<u32>(fadt + 64), 0x604u);  // PM1a control
    EXPECT_EQ(get<u32>(fadt + 76), 0x608u);  // PM timer
    EXPECT_EQ(get<u8>(fadt + 88), 4);
    EXPECT_EQ(get<u8>(fadt + 89), 2);
    EXPECT_EQ(get<u8>(fadt + 91), 4);
    EXPECT_EQ(get<u8>(fadt + 108), 0x32);     // century
    EXPECT_EQ(get<u16>(fadt + 109), 0x15u);   // legacy devices, no VGA, no ASPM
    EXPECT_EQ(get<u32>(fadt + 112), 0x571u);  // not HW_REDUCED
    EXPECT_EQ(get<u64>(fadt + 120), 0xcf9u);  // reset register
    EXPECT_EQ(get<u8>(fadt + 128), 6);
    EXPECT_EQ(get<u64>(fadt + 140), get<u32>(fadt + 40));
    EXPECT_EQ(get<u64>(fadt + 152), 0x600u);
    EXPECT_EQ(get<u64>(fadt + 176), 0x604u);
    EXPECT_EQ(get<u64>(fadt + 212), 0x608u);
    const u64 facs = get<u32>(fadt + 36);
    EXPECT_EQ(text(facs, 4), "FACS");
    EXPECT_EQ(get<u32>(facs + 4), 64u);
    EXPECT_EQ(facs % 64, 0u);
}

TEST_F(Acpi, TheMadtListsProcessorsTheIoApicAndTheOverrides) {
    make(layout_of(64 * mib, 0), 3);
    const u64 madt = find("APIC");
    EXPECT_EQ(get<u32>(madt + 36), 0xfee0'0000u);
    EXPECT_EQ(get<u32>(madt + 40), 1u);
    const auto apics = entries(madt, 44, 0);
    ASSERT_EQ(apics.size(), 3u);
    EXPECT_EQ(get<u8>(apics[2] + 3), 2);
    EXPECT_EQ(get<u32>(apics[2] + 4), 1u);
    ASSERT_EQ(entries(madt, 44, 1).size(), 1u);
    EXPECT_EQ(get<u32>(entries(madt, 44, 1)[0] + 4), 0xfec0'0000u);
    const auto overrides = entries(madt, 44, 2);
    ASSERT_EQ(overrides.size(), 2u);
    EXPECT_EQ(get<u8>(overrides[0] + 3), 0);
    EXPECT_EQ(get<u32>(overrides[0] + 4), 2u);
    EXPECT_EQ(get<u8>(overrides[1] + 3), 9);
    EXPECT_EQ(get<u32>(overrides[1] + 4), 9u);
    EXPECT_EQ(get<u16>(overrides[1] + 8), 0xdu);
    ASSERT_EQ(entries(madt, 44, 4).size(), 1u);
    EXPECT_EQ(get<u8>(entries(madt, 44, 4)[0] + 5), 1);
}

TEST_F(Acpi, IdsFrom255OnAreX2apicEntries) {
    make(layout_of(64 * mib, 0), 300);
    const u64 madt = find("APIC");
    EXPECT_EQ(entries(madt, 44, 0).size(), 255u);
    const auto apics = entries(madt, 44, 9);
    ASSERT_EQ(apics.size(), 45u);
    EXPECT_EQ(get<u32>(apics[0] + 4), 255u);
    EXPECT_EQ(entries(madt, 44, 10).size(), 1u);
    EXPECT_EQ(entries(find("SRAT"), 48, 2).size(), 45u);
}

TEST_F(Acpi, TheSratCoversRamAndEpc) {
    make(layout_of(5 * gib, 64 * mib), 2);
    const u64 srat = find("SRAT");
    EXPECT_EQ(entries(srat, 48, 0).size(), 2u);
    const auto ranges = entries(srat, 48, 1);
    ASSERT_EQ(ranges.size(), 3u);
    EXPECT_EQ(get<u64>(ranges[0] + 16), 3 * gib);
    EXPECT_EQ(get<u64>(ranges[1] + 8), 4 * gib);
    EXPECT_EQ(get<u64>(ranges[1] + 16), 2 * gib);
    EXPECT_EQ(get<u64>(ranges[2] + 8), 6 * gib);
    EXPECT_EQ(get<u64>(ranges[2] + 16), 64 * mib);
}

TEST_F(Acpi, TheDsdtBeginsWithS5) {
    const Bytes dsdt = acpi_dsdt();
    const Bytes s5{0x08, '\\', '_', 'S', '5', '_', 0x12, 0x08, 4, 0x0a, 5, 0x0a, 5, 0, 0};
    ASSERT_GT(dsdt.size(), 36 + s5.size());
    EXPECT_TRUE(std::equal(s5.begin(), s5.end(), dsdt.begin() + 36));
}

TEST(Aml, IntegersTakeTheShortestForm) {
    EXPECT_EQ(aml::integer(0).bytes, Bytes{0x00});
    EXPECT_EQ(aml::integer(1).bytes, Bytes{0x01});
    EXPECT_EQ(aml::integer(2).bytes, (Bytes{0x0a, 2}));
    EXPECT_EQ(aml::integer(0x100).bytes, (Bytes{0x0b, 0, 1}));
    EXPECT_EQ(aml::integer(0x1'0000).bytes, (Bytes{0x0c, 0, 0, 1, 0}));
    EXPECT_EQ(aml::integer(u64{1} << 32).bytes, (Bytes{0x0e, 0, 0, 0, 0, 1, 0, 0, 0}));
}

TEST(Aml, EisaIdsAreCompressed) {
    EXPECT_EQ(aml::eisa_id("PNP0A03").bytes, (Bytes{0x0c, 0x41, 0xd0, 0x0a, 0x03}));
    EXPECT_EQ(aml::eisa_id("PNP0501").bytes, (Bytes{0x0c, 0x41, 0xd0, 0x05, 0x01}));
}

TEST(Aml, PathsAreSegmentsOfFour) {
    EXPECT_EQ(aml::name("A", aml::integer(0)).bytes, (Bytes{8, 'A', '_', '_', '_', 0}));
    EXPECT_EQ(aml::name("\\_SB.PCI0", aml::integer(0)).bytes,
              (Bytes{8, '\\', 0x2e, '_', 'S', 'B', '_', 'P', 'C', 'I', '0', 0}));
    EXPECT_EQ(aml::name("A.B.C", aml::integer(0)).bytes,
              (Bytes{8, 0x2f, 3, 'A', '_', '_', '_', 'B', '_', '_', '_', 'C', '_', '_', '_', 0}));
}

TEST(Aml, LengthsCountThemselves) {
    const auto packed = [](size_t elements) {
        return aml::package(std::vector<aml::Object>(elements, aml::integer(0))).bytes;
    };
    EXPECT_EQ(packed(61)[1], 63);  // one byte: itself, the count, 61 elements
    const Bytes two = packed(62);
    EXPECT_EQ(two[1], 0x41);  // 65: two bytes, the count, 62 elements
    EXPECT_EQ(two[2], 0x04);
    EXPECT_EQ(two.size(), 66u);
}

TEST(Aml, ResourcesEndWithATag) {
    const Bytes bytes = aml::resources({aml::io_ports(0x3f8, 8), aml::isa_interrupt(4)}).bytes;
    EXPECT_EQ(bytes, (Bytes{0x11, 0x10, 0x0a, 13, 0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8, 0x22, 0x10, 0,
                            0x79, 0}));
}

TEST(Aml, AStringEndsWithZero) { EXPECT_EQ(aml::text("ab").bytes, (Bytes{0x0d, 'a', 'b', 0})); }

}  // namespace
}  // namespace postern::platform

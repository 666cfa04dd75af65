// SPDX-License-Identifier: Apache-2.0
// The tables, field by field. ACPI specification 6.3, "ACPI Software Programming Model".
#include "platform/firmware/acpi.h"

#include <algorithm>
#include <span>
#include <string_view>

#include "base/bits.h"
#include "platform/device/acpi_pm.h"
#include "platform/device/interrupt_router.h"
#include "platform/device/ioapic.h"
#include "platform/device/pci.h"
#include "platform/device/ports.h"
#include "platform/device/rtc.h"
#include "platform/device/serial.h"
#include "platform/firmware/aml.h"

namespace postern::platform {

namespace {

using Bytes = std::vector<u8>;

u8 checksum(std::span<const u8> bytes) {
    u8 sum = 0;
    for (const u8 byte : bytes) sum = static_cast<u8>(sum + byte);
    return static_cast<u8>(0 - sum);
}

/// A table while it is being written, numbers little-endian.
class Table {
public:
    Table() = default;
    Table(std::string_view signature, u8 revision) {
        text(signature).put32(0).put8(revision).put8(0);  // length and checksum: finish()
        text("POSTRN").text("POSTERN ").put32(1).text("PSTN").put32(1);
    }
    Table& text(std::string_view value) {
        bytes_.insert(bytes_.end(), value.begin(), value.end());
        return *this;
    }
    Table& number(u64 value, unsigned size) {
        for (unsigned i = 0; i < size; ++i) bytes_.push_back(static_cast<u8>(value >> (8 * i)));
        return *this;
    }
    Table& put8(u8 value) { return number(value, 1); }
    Table& put16(u16 value) { return number(value, 2); }
    Table& put32(u32 value) { return number(value, 4); }
    Table& put64(u64 value) { return number(value, 8); }
    Table& zeros(size_t count) {
        bytes_.resize(bytes_.size() + count);
        return *this;
    }
    Table& append(const Bytes& more) {
        bytes_.insert(bytes_.end(), more.begin(), more.end());
        return *this;
    }
    [[nodiscard]] const Bytes& bytes() const { return bytes_; }
    [[nodiscard]] Bytes finish() {
        const size_t length = bytes_.size();
        for (unsigned i = 0; i < 4; ++i) bytes_[4 + i] = static_cast<u8>(length >> (8 * i));
        bytes_[9] = checksum(bytes_);
        return bytes_;
    }

private:
    Bytes bytes_;
};

/// Generic address structure of an I/O register; `access`: 1 byte, 2 word, 3 dword.
void put_io_register(Table& table, u16 port, u8 bits, u8 access) {
    constexpr u8 io_space = 1;
    table.put8(io_space).put8(bits).put8(0).put8(access).put64(port);
}

void put_no_register(Table& table) { table.zeros(12); }

constexpr u16 event_port = AcpiPm::base + AcpiPm::event_offset;
constexpr u16 control_port = AcpiPm::base + AcpiPm::control_offset;
constexpr u16 timer_port = AcpiPm::base + AcpiPm::timer_offset;

/// Legacy devices, no 8042, no VGA, no PCIe ASPM.
constexpr u16 boot_architecture = 1 << 0 | 1 << 2 | 1 << 4;

/// WBINVD works; neither button, nor the RTC's wake-up, is fixed hardware; 32-bit timer; reset
/// register.
constexpr u32 fixed_features = 1 << 0 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 10;

Bytes fadt(u64 facs, u64 dsdt) {
    constexpr u8 enterprise_server = 4;
    constexpr u16 no_such_state = 0xfff;  // C2, C3
    constexpr u8 reset_value = 6;
    Table t{"FACP", 6};
    t.put32(static_cast<u32>(facs)).put32(static_cast<u32>(dsdt));
    t.put8(0).put8(enterprise_server).put16(AcpiPm::line);
    t.put32(0).zeros(4);  // no SMI command: always in ACPI mode
    t.put32(event_port).put32(0).put32(control_port).put32(0).put32(0).put32(timer_port);
    t.put32(0).put32(0);                                                // no GPE blocks
    t.put8(4).put8(2).put8(0).put8(4).put8(0).put8(0).put8(0).put8(0);  // lengths of them all
    t.put16(no_such_state).put16(no_such_state).zeros(6);
    t.put8(0).put8(0).put8(Rtc::century_index);  // RTC: no day or month of the alarm
    t.put16(boot_architecture).put8(0).put32(fixed_features);
    put_io_register(t, ResetPort::port, 8, 1);
    t.put8(reset_value).put16(0).put8(3);  // ARM's flags, minor revision
    t.put64(0).put64(dsdt);
    put_io_register(t, event_port, 32, 2);
    put_no_register(t);
    put_io_register(t, control_port, 16, 2);
    put_no_register(t);
    put_no_register(t);
    put_io_register(t, timer_port, 32, 3);
    t.zeros(4 * 12);  // GPE0, GPE1, sleep control and status: none
    t.put64(0);       // no hypervisor
    return t.finish();
}

constexpr unsigned xapic_ids = 255;

void put_source_override(Table& table, u8 source, u32 pin, u16 flags) {
    table.put8(2).put8(10).put8(0).put8(source).put32(pin).put16(flags);
}

Bytes madt(unsigned processors) {
    constexpr u32 has_8259s = 1;
    constexpr u16 as_the_bus = 0;
    constexpr u16 high_level = 0xd;
    constexpr u8 every_processor = 0xff;
    Table t{"APIC", 5};
    t.put32(static_cast<u32>(local_apic_base)).put32(has_8259s);
    for (u32 n = 0; n < processors; ++n) {
        if (n < xapic_ids)
            t.put8(0).put8(8).put8(static_cast<u8>(n)).put8(static_cast<u8>(n)).put32(1);
        else
            t.put8(9).put8(16).put16(0).put32(n).put32(1).put32(n);
    }
    t.put8(1).put8(12).put8(0).put8(0).put32(static_cast<u32>(ioapic_base)).put32(0);
    put_source_override(t, 0, InterruptRouter::timer_pin, as_the_bus);
    put_source_override(t, AcpiPm::line, AcpiPm::line, high_level);
    t.put8(4).put8(6).put8(every_processor).put16(as_the_bus).put8(1);  // NMI on LINT1
    if (processors > xapic_ids)
        t.put8(0xa).put8(12).put16(as_the_bus).put32(~u32{0}).put8(1).zeros(3);
    return t.finish();
}

void put_memory(Table& table, u64 base, u64 size) {
    constexpr u32 enabled = 1;
    if (size == 0) return;
    table.put8(1).put8(40).put32(0).put16(0).put64(base).put64(size).put32(0).put32(enabled);
    table.put64(0);
}

/// One domain. EPC is in it too, so that software knows where it is near.
Bytes srat(const Layout& layout, unsigned processors) {
    Table t{"SRAT", 3};
    t.put32(1).put64(0);
    for (u32 n = 0; n < processors; ++n) {
        if (n < xapic_ids)
            t.put8(0).put8(16).put8(0).put8(static_cast<u8>(n)).put32(1).put8(0).zeros(7);
        else
            t.put8(2).put8(24).put16(0).put32(0).put32(n).put32(1).put32(0).put32(0);
    }
    put_memory(t, 0, layout.low_size);
    put_memory(t, high_ram_base, layout.high_size);
    put_memory(t, layout.epc_base, layout.epc_size);
    return t.finish();
}

Bytes facs() {
    constexpr u8 version = 2;
    return Table{}.text("FACS").put32(64).zeros(24).put8(version).zeros(31).bytes();
}

Bytes xsdt(std::span<const u64> tables) {
    Table t{"XSDT", 1};
    for (const u64 address : tables) t.put64(address);
    return t.finish();
}

Bytes rsdp(u64 xsdt_address) {
    constexpr size_t first_part = 20;
    Table t;
    t.text("RSD PTR ").put8(0).text("POSTRN").put8(2).put32(0);
    t.put32(36).put64(xsdt_address).zeros(4);
    Bytes bytes = t.bytes();
    bytes[8] = checksum(std::span{bytes}.first(first_part));
    bytes[32] = checksum(bytes);
    return bytes;
}

/// _PRT: interrupt pins of every slot, straight to the I/O APIC.
aml::Object interrupt_routes() {
    std::vector<aml::Object> routes;
    for (unsigned slot = 0; slot < PciHost::slots; ++slot)
        for (unsigned pin = 0; pin < 4; ++pin)
            routes.push_back(
                aml::package({aml::integer(slot << 16 | 0xffff), aml::integer(pin), aml::integer(0),
                              aml::integer(PciHost::line_of(slot, pin))}));
    return aml::package(routes);
}

aml::Term host_bridge() {
    constexpr auto memory_first = static_cast<u32>(PciHost::memory_window.first);
    constexpr auto memory_last = static_cast<u32>(memory_first + PciHost::memory_window.size - 1);
    constexpr u16 io_first = PciHost::io_window.first;
    constexpr auto io_last = static_cast<u16>(io_first + PciHost::io_window.count - 1);
    return aml::device(
        "PCI0", {aml::name("_HID", aml::eisa_id("PNP0A03")), aml::name("_UID", aml::integer(0)),
                 aml::name("_CRS", aml::resources({aml::bus_window(0, 0),
                                                   aml::io_ports(PciHost::address_port, 8),
                                                   aml::io_window(io_first, io_last),
                                                   aml::memory_window(memory_first, memory_last)})),
                 aml::name("_PRT", interrupt_routes())});
}

aml::Term serial_port() {
    return aml::device(
        "COM1", {aml::name("_HID", aml::eisa_id("PNP0501")), aml::name("_UID", aml::integer(1)),
                 aml::name("_CRS", aml::resources({aml::io_ports(Serial::com1, 8),
                                                   aml::isa_interrupt(Serial::com1_line)}))});
}

aml::Term clock() {
    return aml::device("RTC0",
                       {aml::name("_HID", aml::eisa_id("PNP0B00")),
                        aml::name("_CRS", aml::resources({aml::io_ports(Rtc::base, 2),
                                                          aml::isa_interrupt(Rtc::line)}))});
}

/// What SLP_TYP must be to power off.
aml::Term soft_off() {
    const aml::Object type = aml::integer(AcpiPm::sleep_type_s5);
    return aml::name("\\_S5", aml::package({type, type, aml::integer(0), aml::integer(0)}));
}

/// Puts tables one after the other, and says where.
class Area {
public:
    Area(u64 base, size_t reserved) : base_{base}, bytes_(reserved) {}
    u64 put(const Bytes& table, size_t alignment = 16) {
        const size_t offset = align_up(bytes_.size(), alignment);
        bytes_.resize(offset);
        bytes_.insert(bytes_.end(), table.begin(), table.end());
        return base_ + offset;
    }
    void put_first(const Bytes& table) { std::ranges::copy(table, bytes_.begin()); }
    [[nodiscard]] Bytes take() { return std::move(bytes_); }

private:
    u64 base_;
    Bytes bytes_;
};

}  // namespace

Bytes acpi_dsdt() {
    constexpr u8 integers_of_64_bits = 2;
    Table t{"DSDT", integers_of_64_bits};
    t.append(soft_off().bytes);
    t.append(aml::scope("\\_SB", {host_bridge(), serial_port(), clock()}).bytes);
    return t.finish();
}

AcpiTables acpi_tables(const Layout& layout, unsigned processors, u64 base) {
    Area area{base, 36};
    const u64 facs_address = area.put(facs(), 64);
    const u64 dsdt_address = area.put(acpi_dsdt());
    const u64 tables[] = {area.put(fadt(facs_address, dsdt_address)), area.put(madt(processors)),
                          area.put(srat(layout, processors))};
    const u64 xsdt_address = area.put(xsdt(tables));
    area.put_first(rsdp(xsdt_address));
    return {base, area.take()};
}

}  // namespace postern::platform

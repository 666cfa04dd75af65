// SPDX-License-Identifier: Apache-2.0
// Just enough of the ACPI Machine Language to describe our devices: functions that give its bytes.
// Objects (data) and terms (statements) are types of their own.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace postern::platform::aml {

using Bytes = std::vector<u8>;

/// A value: integer, string, package, buffer.
struct Object {
    Bytes bytes;
};

/// Something that stands in a scope: a name, a device, a scope.
struct Term {
    Bytes bytes;
};

/// A descriptor of a resource, ACPI "Resource Data Types for ACPI".
struct Resource {
    Bytes bytes;
};

Object integer(u64 value);
Object text(std::string_view value);
Object package(const std::vector<Object>& elements);
/// "PNP0501": compressed to an integer.
Object eisa_id(std::string_view id);
Object resources(std::initializer_list<Resource> list);

/// `path` as ASL writes it: "\\_SB.PCI0", "_CRS".
Term name(std::string_view path, const Object& value);
Term device(std::string_view path, const std::vector<Term>& body);
Term scope(std::string_view path, const std::vector<Term>& body);

/// Ports [first, first + count), decoded with 16 bits.
Resource io_ports(u16 first, u8 count);
/// An ISA interrupt: edge, active high, not shared.
Resource isa_interrupt(unsigned line);

// Windows that a bridge passes on (it is their producer).
Resource bus_window(u8 first, u8 last);
Resource io_window(u16 first, u16 last);
Resource memory_window(u32 first, u32 last);

}  // namespace postern::platform::aml

// SPDX-License-Identifier: Apache-2.0
// ACPI specification, "ACPI Machine Language (AML) Specification".
#include "platform/firmware/aml.h"

namespace postern::platform::aml {

namespace {

enum Opcode : u8 {
    zero_op = 0x00,
    one_op = 0x01,
    name_op = 0x08,
    byte_prefix = 0x0a,
    word_prefix = 0x0b,
    dword_prefix = 0x0c,
    string_prefix = 0x0d,
    qword_prefix = 0x0e,
    scope_op = 0x10,
    buffer_op = 0x11,
    package_op = 0x12,
    dual_name_prefix = 0x2e,
    multi_name_prefix = 0x2f,
    extended_prefix = 0x5b,
    device_op = 0x82,  // after the prefix
};

void append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }

void append_number(Bytes& to, u64 value, unsigned size) {
    for (unsigned i = 0; i < size; ++i) to.push_back(static_cast<u8>(value >> (8 * i)));
}

/// PkgLength counts itself, in one byte up to 63, else with 4 bits and 1 to 3 bytes.
Bytes with_length(const Bytes& body) {
    Bytes result;
    if (body.size() + 1 < 0x40) {
        result.push_back(static_cast<u8>(body.size() + 1));
    } else {
        unsigned extra = 1;
        while (body.size() + 1 + extra >= size_t{1} << (4 + 8 * extra)) ++extra;
        const size_t length = body.size() + 1 + extra;
        result.push_back(static_cast<u8>(extra << 6 | (length & 0xf)));
        append_number(result, length >> 4, extra);
    }
    append(result, body);
    return result;
}

/// Segments of four characters, filled up with underscores.
Bytes name_string(std::string_view path) {
    Bytes result;
    if (!path.empty() && path.front() == '\\') {
        result.push_back('\\');
        path.remove_prefix(1);
    }
    Bytes segments;
    while (!path.empty()) {
        const std::string_view segment = path.substr(0, path.find('.'));
        for (size_t i = 0; i < 4; ++i)
            segments.push_back(static_cast<u8>(i < segment.size() ? segment[i] : '_'));
        path.remove_prefix(segment.size() == path.size() ? path.size() : segment.size() + 1);
    }
    const size_t count = segments.size() / 4;
    if (count == 0) segments.push_back(0);
    if (count == 2) result.push_back(dual_name_prefix);
    if (count > 2) {
        result.push_back(multi_name_prefix);
        result.push_back(static_cast<u8>(count));
    }
    append(result, segments);
    return result;
}

Bytes block(std::string_view path, const std::vector<Term>& terms) {
    Bytes body = name_string(path);
    for (const Term& term : terms) append(body, term.bytes);
    return with_length(body);
}

enum AddressSpace : u8 { space_memory = 0, space_io = 1, space_bus = 2 };

/// An address space descriptor of a producer, whose range is fixed at both ends.
Resource window(u8 tag, AddressSpace space, u8 type_flags, u64 first, u64 last, unsigned width) {
    constexpr u8 fixed_ends = 0x0c;
    Bytes bytes{tag};
    append_number(bytes, 3 + 5 * u64{width}, 2);
    bytes.insert(bytes.end(), {space, fixed_ends, type_flags});
    for (const u64 value : {u64{0}, first, last, u64{0}, last - first + 1})
        append_number(bytes, value, width);
    return {bytes};
}

}  // namespace

Object integer(u64 value) {
    if (value <= 1) return {{value == 0 ? zero_op : one_op}};
    Bytes bytes;
    if (value <= 0xff) {
        bytes = {byte_prefix};
        append_number(bytes, value, 1);
    } else if (value <= 0xffff) {
        bytes = {word_prefix};
        append_number(bytes, value, 2);
    } else if (value <= 0xffff'ffff) {
        bytes = {dword_prefix};
        append_number(bytes, value, 4);
    } else {
        bytes = {qword_prefix};
        append_number(bytes, value, 8);
    }
    return {bytes};
}

Object text(std::string_view value) {
    Bytes bytes{string_prefix};
    bytes.insert(bytes.end(), value.begin(), value.end());
    bytes.push_back(0);
    return {bytes};
}

Object package(const std::vector<Object>& elements) {
    Bytes body{static_cast<u8>(elements.size())};
    for (const Object& element : elements) append(body, element.bytes);
    Bytes bytes{package_op};
    append(bytes, with_length(body));
    return {bytes};
}

/// Three letters of five bits each, four hexadecimal digits; the bytes the other way round.
Object eisa_id(std::string_view id) {
    const auto letter = [&](size_t i) { return (static_cast<u32>(id[i]) - 0x40) & 0x1f; };
    u32 value = letter(0) << 10 | letter(1) << 5 | letter(2);
    for (size_t i = 3; i < 7; ++i) {
        const auto digit = static_cast<u32>(id[i] <= '9' ? id[i] - '0' : id[i] - 'A' + 10);
        value = value << 4 | digit;
    }
    return integer(__builtin_bswap32(value));
}

Object resources(std::initializer_list<Resource> list) {
    Bytes data;
    for (const Resource& resource : list) append(data, resource.bytes);
    data.insert(data.end(), {0x79, 0});  // end tag; a checksum of 0 is always right
    Bytes body = integer(data.size()).bytes;
    append(body, data);
    Bytes bytes{buffer_op};
    append(bytes, with_length(body));
    return {bytes};
}

Term name(std::string_view path, const Object& value) {
    Bytes bytes{name_op};
    append(bytes, name_string(path));
    append(bytes, value.bytes);
    return {bytes};
}

Term device(std::string_view path, const std::vector<Term>& body) {
    Bytes bytes{extended_prefix, device_op};
    append(bytes, block(path, body));
    return {bytes};
}

Term scope(std::string_view path, const std::vector<Term>& body) {
    Bytes bytes{scope_op};
    append(bytes, block(path, body));
    return {bytes};
}

Resource io_ports(u16 first, u8 count) {
    Bytes bytes{0x47, 1};
    append_number(bytes, first, 2);
    append_number(bytes, first, 2);
    bytes.insert(bytes.end(), {1, count});
    return {bytes};
}

Resource isa_interrupt(unsigned line) {
    Bytes bytes{0x22};
    append_number(bytes, u64{1} << line, 2);
    return {bytes};
}

Resource bus_window(u8 first, u8 last) { return window(0x88, space_bus, 0, first, last, 2); }

Resource io_window(u16 first, u16 last) {
    constexpr u8 entire_range = 3;
    return window(0x88, space_io, entire_range, first, last, 2);
}

Resource memory_window(u32 first, u32 last) {
    constexpr u8 read_write = 1;
    return window(0x87, space_memory, read_write, first, last, 4);
}

}  // namespace postern::platform::aml

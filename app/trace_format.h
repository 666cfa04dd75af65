// SPDX-License-Identifier: Apache-2.0
// The bytes of a trace of VM exits, as docs/trace-format.md describes them. Everything is
// little-endian and of fixed size, but for the two texts of the header.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "hv/watch.h"
#include "platform/error.h"

namespace postern::app::trace {

static_assert(std::endian::native == std::endian::little, "records are written as they are");

inline constexpr std::array<char, 8> file_magic{'P', 'O', 'S', 'T', 'E', 'R', 'N', 'T'};
inline constexpr std::array<char, 4> block_magic{'B', 'L', 'O', 'K'};
inline constexpr u32 byte_order = 0x0102'0304;
inline constexpr u16 format_version = 1;
inline constexpr u32 model_most = 256;            // bytes
inline constexpr u32 command_line_most = 65'536;  // bytes
inline constexpr u32 block_records_most = 65'536;

struct FileHeader {
    std::array<char, 8> magic = file_magic;
    u32 order = byte_order;
    u16 version = format_version;
    u16 header_size = 48;
    u32 record_size = 152;
    u32 processors = 1;
    u64 ticks_per_second = 1'000'000'000;  // of ExitRecord::tsc
    u32 model_size = 0;                    // bytes of text behind this header
    u32 command_line_size = 0;             // bytes of text behind that
    u32 reserved = 0;
    u32 checksum = 0;  // CRC-32 of header and texts, this taken as 0
};

struct BlockHeader {
    std::array<char, 4> magic = block_magic;
    u32 count = 0;     // records
    u64 first = 0;     // number of the first one; 0: the first of the file
    u32 last = 0;      // 1: the trace ends with this block
    u32 checksum = 0;  // CRC-32 of the records
    u32 reserved = 0;
    u32 header_checksum = 0;  // CRC-32 of what is before it
};

enum class RecordKind : u32 { exit = 1, enclave = 2, reset = 3 };

/// What a record holds: an exit, or an enclave or a reset and zeros behind it.
struct Record {
    RecordKind kind = RecordKind::exit;
    u32 reserved = 0;
    union {
        hv::ExitRecord exit;
        hv::EnclaveIdentity enclave;
        hv::ResetRecord reset;
        std::array<u8, 144> bytes;
    };

    explicit Record(const hv::ExitRecord& e) : exit{e} {}
    explicit Record(const hv::EnclaveIdentity& e);
    explicit Record(const hv::ResetRecord& r);
    Record() : bytes{} {}
};

static_assert(sizeof(FileHeader) == 48 && offsetof(FileHeader, checksum) == 44);
static_assert(sizeof(BlockHeader) == 32 && offsetof(BlockHeader, header_checksum) == 28);
static_assert(sizeof(Record) == 152 && offsetof(Record, exit) == 8);
static_assert(sizeof(hv::ResetRecord) == 24 && offsetof(hv::ResetRecord, vcpu) == 16);
static_assert(sizeof(hv::EnclaveIdentity) == 72 && offsetof(hv::EnclaveIdentity, mrenclave) == 40);

/// What a trace says of itself.
struct About {
    std::string model;
    std::string command_line;
    u32 processors = 1;
    u64 ticks_per_second = 1'000'000'000;
};

u32 checksum_of(std::span<const u8> bytes);

/// The texts are cut to what a trace can hold.
std::vector<u8> encode_header(const About& about);
/// A header and its records.
std::vector<u8> encode_block(std::span<const Record> records, u64 first, bool last);

/// Nothing: `record` is one that a writer of this version may have written. Else what is wrong.
const char* fault_of(const Record& record);

}  // namespace postern::app::trace

// SPDX-License-Identifier: Apache-2.0
// Headers with their checksums, and what a record may hold.
#include "app/trace_format.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "hv/vm.h"

namespace postern::app::trace {

namespace {

template <class T>
void append(std::vector<u8>& bytes, const T& value) {
    const size_t at = bytes.size();
    bytes.resize(at + sizeof value);
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

const char* fault_of(const hv::ExitRecord& e) {
    constexpr auto kinds = static_cast<u8>(hv::exit_kind_count);
    if (static_cast<u8>(e.kind) >= kinds) return "an unknown kind of exit";
    if (static_cast<u8>(e.action) >= hv::action_count) return "an unknown action";
    if (e.cpl > 3) return "a CPL above 3";
    if (e.vcpu >= hv::Vm::vcpu_limit) return "a processor's number that is too high";
    if (e.anomalies >> hv::anomaly_count != 0) return "an unknown anomaly";
    return nullptr;
}

const char* fault_of(const hv::EnclaveIdentity& e) {
    return e.number == 0 || e.initialized > 1 ? "an enclave that cannot be" : nullptr;
}

const char* fault_of(const hv::ResetRecord& r) {
    const bool good =
        r.number != 0 && r.vcpu < hv::Vm::vcpu_limit && r.cause <= hv::ResetCause::triple_fault;
    return good ? nullptr : "a reset that cannot be";
}

}  // namespace

Record::Record(const hv::EnclaveIdentity& e) : kind{RecordKind::enclave}, bytes{} {
    std::memcpy(bytes.data(), &e, sizeof e);
}

Record::Record(const hv::ResetRecord& r) : kind{RecordKind::reset}, bytes{} {
    std::memcpy(bytes.data(), &r, sizeof r);
}

u32 checksum_of(std::span<const u8> bytes) {
    return static_cast<u32>(crc32_z(crc32_z(0, nullptr, 0), bytes.data(), bytes.size()));
}

std::vector<u8> encode_header(const About& about) {
    const std::string model = about.model.substr(0, model_most);
    const std::string command_line = about.command_line.substr(0, command_line_most);
    FileHeader header;
    header.processors = about.processors;
    header.ticks_per_second = about.ticks_per_second;
    header.model_size = static_cast<u32>(model.size());
    header.command_line_size = static_cast<u32>(command_line.size());
    std::vector<u8> bytes;
    append(bytes, header);
    bytes.insert(bytes.end(), model.begin(), model.end());
    bytes.insert(bytes.end(), command_line.begin(), command_line.end());
    header.checksum = checksum_of(bytes);
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes;
}

std::vector<u8> encode_block(std::span<const Record> records, u64 first, bool last) {
    const std::span<const u8> content{reinterpret_cast<const u8*>(records.data()),
                                      records.size_bytes()};
    BlockHeader header;
    header.count = static_cast<u32>(records.size());
    header.first = first;
    header.last = last ? 1 : 0;
    header.checksum = checksum_of(content);
    std::vector<u8> bytes;
    bytes.reserve(sizeof header + content.size());
    append(bytes, header);
    header.header_checksum =
        checksum_of(std::span{bytes}.first(offsetof(BlockHeader, header_checksum)));
    std::memcpy(bytes.data(), &header, sizeof header);
    bytes.insert(bytes.end(), content.begin(), content.end());
    return bytes;
}

const char* fault_of(const Record& record) {
    if (record.reserved != 0) return "a reserved field that is not 0";
    switch (record.kind) {
        case RecordKind::exit: return fault_of(record.exit);
        case RecordKind::enclave: return fault_of(record.enclave);
        case RecordKind::reset: return fault_of(record.reset);
    }
    return "a record of an unknown kind";
}

}  // namespace postern::app::trace

// SPDX-License-Identifier: Apache-2.0
// Checks, in the order of the bytes.
#include "app/trace_reader.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace postern::app {

using platform::error;
using platform::Expected;
using trace::BlockHeader;
using trace::FileHeader;
using trace::Record;

namespace {

constexpr const char* right_file = "a file that postern run --trace wrote";

template <class T>
std::span<const u8> bytes_of(const T& value) {
    return {reinterpret_cast<const u8*>(&value), sizeof value};
}

/// Null: a header of this version, but for its checksum.
const char* fault_of(const FileHeader& header) {
    if (header.magic != trace::file_magic) return "not a trace";
    if (header.order != trace::byte_order) return "a trace of another byte order";
    if (header.version != trace::format_version) return "a trace of another version";
    if (header.header_size != sizeof header || header.record_size != sizeof(Record) ||
        header.reserved != 0 || header.ticks_per_second == 0 ||
        header.model_size > trace::model_most ||
        header.command_line_size > trace::command_line_most)
        return "a damaged header";
    return nullptr;
}

}  // namespace

Expected<std::unique_ptr<TraceReader>> TraceReader::open(const std::string& path) {
    std::FILE* const file = std::fopen(path.c_str(), "rbe");
    if (file == nullptr)
        return error(std::string{"cannot read: "} + std::strerror(errno), path, right_file);
    std::unique_ptr<TraceReader> reader{new TraceReader{file, path}};
    if (auto read = reader->read_header(); !read) return std::unexpected{read.error()};
    return reader;
}

Expected<void> TraceReader::read_header() {
    FileHeader header;
    const size_t size = read(&header, sizeof header);
    if (size != sizeof header) return damaged("too short for a trace");
    if (const char* const fault = fault_of(header)) return damaged(fault);
    std::vector<u8> bytes(sizeof header + header.model_size + header.command_line_size);
    if (read(bytes.data() + sizeof header, bytes.size() - sizeof header) !=
        bytes.size() - sizeof header)
        return damaged("cut off in its header");
    const u32 checksum = header.checksum;
    header.checksum = 0;
    std::memcpy(bytes.data(), &header, sizeof header);
    if (trace::checksum_of(bytes) != checksum) return damaged("a damaged header");
    const auto* const model = reinterpret_cast<const char*>(bytes.data() + sizeof header);
    about_.model.assign(model, header.model_size);
    about_.command_line.assign(model + header.model_size, header.command_line_size);
    about_.processors = header.processors;
    about_.ticks_per_second = header.ticks_per_second;
    return {};
}

Expected<std::span<const Record>> TraceReader::next() {
    if (ended_) return std::span<const Record>{};
    const u64 start = position_;
    BlockHeader header;
    const size_t size = read(&header, sizeof header);
    if (size != sizeof header) return end_here(false, size);
    const auto checked = bytes_of(header).first(offsetof(BlockHeader, header_checksum));
    if (header.magic != trace::block_magic || header.reserved != 0 || header.last > 1 ||
        header.count > trace::block_records_most || (header.count == 0 && header.last == 0) ||
        trace::checksum_of(checked) != header.header_checksum)
        return damaged(fmt::format("a damaged block at byte {}", start));
    if (header.first != records_)
        return damaged(fmt::format("a block is missing before byte {}", start));
    block_.assign(header.count, Record{});
    const size_t wanted = header.count * sizeof(Record);
    if (read(block_.data(), wanted) != wanted) return end_here(false, position_ - start);
    const std::span<const u8> content{reinterpret_cast<const u8*>(block_.data()), wanted};
    if (trace::checksum_of(content) != header.checksum)
        return damaged(fmt::format("damaged records in the block at byte {}", start));
    for (const Record& record : block_)
        if (const char* const fault = trace::fault_of(record))
            return damaged(fmt::format("{} in the block at byte {}", fault, start));
    records_ += header.count;
    if (header.last != 0) {
        u8 more = 0;
        if (read(&more, 1) != 0) return damaged("something follows the last block");
        return end_here(true, 0);
    }
    return block_;
}

size_t TraceReader::read(void* to, size_t size) {
    const size_t got = size == 0 ? 0 : std::fread(to, 1, size, file_.get());
    position_ += got;
    return got;
}

/// With the records of the last block, if it is whole.
Expected<std::span<const Record>> TraceReader::end_here(bool complete, u64 cut_off) {
    ended_ = true;
    ending_ = {complete, cut_off};
    if (!complete) block_.clear();
    return block_;
}

std::unexpected<platform::Error> TraceReader::damaged(std::string what) const {
    return error(std::move(what), path_, right_file);
}

}  // namespace postern::app

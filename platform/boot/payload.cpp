// SPDX-License-Identifier: Apache-2.0
// One function per format, each from all of the input into one stretch of memory.
#include "platform/boot/payload.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/bits.h"
#include "platform/layout.h"

namespace postern::platform {

namespace {

enum class Ending : u8 { complete, too_large, broken };

struct Outcome {
    Ending ending;
    size_t size = 0;
};

using Unpack = Outcome (*)(std::span<const u8> in, std::span<u8> out);

/// More than the largest dictionary that the kernel's build has ever used, 128 MiB.
constexpr u64 xz_memory_most = 256 * mib;

Outcome run_lzma(lzma_stream& stream, std::span<const u8> in, std::span<u8> out) {
    stream.next_in = in.data();
    stream.avail_in = in.size();
    stream.next_out = out.data();
    stream.avail_out = out.size();
    const lzma_ret status = lzma_code(&stream, LZMA_RUN);
    const bool full = stream.avail_out == 0;
    const size_t written = out.size() - stream.avail_out;
    lzma_end(&stream);
    if (status == LZMA_STREAM_END) return {Ending::complete, written};
    return {full ? Ending::too_large : Ending::broken};
}

Outcome unpack_xz(std::span<const u8> in, std::span<u8> out) {
    lzma_stream stream = LZMA_STREAM_INIT;
    if (lzma_stream_decoder(&stream, xz_memory_most, 0) != LZMA_OK) return {Ending::broken};
    return run_lzma(stream, in, out);
}

Outcome unpack_lzma(std::span<const u8> in, std::span<u8> out) {
    lzma_stream stream = LZMA_STREAM_INIT;
    if (lzma_alone_decoder(&stream, xz_memory_most) != LZMA_OK) return {Ending::broken};
    return run_lzma(stream, in, out);
}

Outcome unpack_gzip(std::span<const u8> in, std::span<u8> out) {
    constexpr int gzip_window = 16 + MAX_WBITS;
    z_stream stream{};
    if (inflateInit2(&stream, gzip_window) != Z_OK) return {Ending::broken};
    stream.next_in = const_cast<u8*>(in.data());  // NOLINT: zlib's interface knows no const
    stream.avail_in = static_cast<uInt>(in.size());
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    const int status = inflate(&stream, Z_FINISH);
    const bool full = stream.avail_out == 0;
    const size_t written = stream.total_out;
    inflateEnd(&stream);
    if (status == Z_STREAM_END) return {Ending::complete, written};
    return {full ? Ending::too_large : Ending::broken};
}

Outcome unpack_zstd(std::span<const u8> in, std::span<u8> out) {
    const size_t frame = ZSTD_findFrameCompressedSize(in.data(), in.size());
    if (ZSTD_isError(frame) != 0) return {Ending::broken};
    const size_t written = ZSTD_decompress(out.data(), out.size(), in.data(), frame);
    if (ZSTD_getErrorCode(written) == ZSTD_error_dstSize_tooSmall) return {Ending::too_large};
    if (ZSTD_isError(written) != 0) return {Ending::broken};
    return {Ending::complete, written};
}

u32 word(std::span<const u8> bytes) {
    u32 value = 0;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
}

/// LZ4's legacy frame: a magic number, then blocks behind their packed sizes. It has no end mark
/// and no checksum; the unpacked size that the kernel's build appends serves as both.
Outcome unpack_lz4(std::span<const u8> in, std::span<u8> out) {
    constexpr size_t block_most = 8 * mib;
    const u32 announced = word(in.last(4));
    size_t written = 0;
    for (in = in.subspan(4); in.size() > 4;) {
        const u32 packed = word(in);
        in = in.subspan(4);
        if (packed == 0 || packed > in.size()) return {Ending::broken};
        const size_t room = std::min(block_most, out.size() - written);
        const int size = LZ4_decompress_safe(reinterpret_cast<const char*>(in.data()),
                                             reinterpret_cast<char*>(out.data() + written),
                                             static_cast<int>(packed), static_cast<int>(room));
        if (size < 0) return {announced > out.size() ? Ending::too_large : Ending::broken};
        written += static_cast<size_t>(size);
        in = in.subspan(packed);
    }
    if (in.size() != 4 || written != announced) return {Ending::broken};
    return {Ending::complete, written};
}

struct Format {
    const char* name;
    std::span<const u8> magic;
    Unpack unpack;  // null: not supported
};

constexpr u8 xz_magic[] = {0xfd, '7', 'z', 'X', 'Z', 0};
constexpr u8 lzma_magic[] = {0x5d, 0, 0};
constexpr u8 gzip_magic[] = {0x1f, 0x8b};
constexpr u8 zstd_magic[] = {0x28, 0xb5, 0x2f, 0xfd};
constexpr u8 lz4_magic[] = {0x02, 0x21, 0x4c, 0x18};
constexpr u8 bzip2_magic[] = {'B', 'Z', 'h'};
constexpr u8 lzo_magic[] = {0x89, 'L', 'Z', 'O', 0};

constexpr Format formats[] = {
    {"xz", xz_magic, unpack_xz},       {"gzip", gzip_magic, unpack_gzip},
    {"zstd", zstd_magic, unpack_zstd}, {"LZ4", lz4_magic, unpack_lz4},
    {"LZMA", lzma_magic, unpack_lzma}, {"bzip2", bzip2_magic, nullptr},
    {"LZO", lzo_magic, nullptr},
};

constexpr const char* right_payload = "one packed with xz, gzip, zstd, LZ4 or LZMA";

const Format* format_of(std::span<const u8> packed) {
    const auto* found = std::ranges::find_if(formats, [&](const Format& format) {
        return packed.size() > format.magic.size() &&
               std::ranges::equal(packed.first(format.magic.size()), format.magic);
    });
    return found == std::end(formats) ? nullptr : found;
}

}  // namespace

Expected<Unpacked> unpack(std::span<const u8> packed, u64 most, const std::string& name) {
    const Format* format = format_of(packed);
    if (format == nullptr)
        return error(fmt::format("a payload in an unknown format (it begins with {:02x})",
                                 fmt::join(packed.first(std::min<size_t>(packed.size(), 6)), " ")),
                     name, right_payload);
    if (format->unpack == nullptr)
        return error(fmt::format("a payload packed with {}: not implemented", format->name), name,
                     right_payload);
    auto memory = HostMemory::map(align_up(most, page_size));
    if (!memory) return std::unexpected{memory.error()};
    const Outcome outcome = format->unpack(packed, {memory->data(), most});
    switch (outcome.ending) {
        case Ending::complete: return Unpacked{std::move(*memory), outcome.size};
        case Ending::too_large:
            return error(fmt::format("its {} payload unpacks to more than the {:#x} bytes that its "
                                     "header announces",
                                     format->name, most),
                         name, "a kernel that fits into its init_size");
        case Ending::broken: break;
    }
    return error(fmt::format("its {} payload is cut short or damaged", format->name), name,
                 "the whole file, as the kernel's build wrote it");
}

bool is_gzip(std::span<const u8> file) {
    return file.size() >= sizeof gzip_magic &&
           std::ranges::equal(file.first(sizeof gzip_magic), gzip_magic);
}

Expected<Unpacked> unpack_gzip_file(std::span<const u8> file, u64 most, const std::string& name) {
    auto memory = HostMemory::map(align_up(most, page_size));
    if (!memory) return std::unexpected{memory.error()};
    const Outcome outcome = unpack_gzip(file, {memory->data(), most});
    switch (outcome.ending) {
        case Ending::complete: return Unpacked{std::move(*memory), outcome.size};
        case Ending::too_large:
            return error(fmt::format("it unpacks to more than the {} bytes of memory", most), name,
                         "a smaller kernel, or more --memory");
        case Ending::broken: break;
    }
    return error("its gzip stream is cut short or damaged", name,
                 "the whole file, as gzip wrote it");
}

}  // namespace postern::platform

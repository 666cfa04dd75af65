// SPDX-License-Identifier: Apache-2.0
// bzImages made by hand for tests, and payloads packed by the libraries' own compressors.
#pragma once

#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <cstring>
#include <vector>

#include "unit/platform/elf_image.h"

namespace postern::test {

using Bytes = std::vector<u8>;

inline void append_word(Bytes& bytes, u64 value) {
    for (unsigned n = 0; n < 4; ++n) bytes.push_back(static_cast<u8>(value >> 8 * n));
}

/// As the kernel's build does it: CRC32, the filter for x86 code, the unpacked size behind.
inline Bytes pack_xz(const Bytes& plain) {
    lzma_options_lzma options;
    lzma_lzma_preset(&options, 6);
    lzma_filter filters[] = {
        {LZMA_FILTER_X86, nullptr}, {LZMA_FILTER_LZMA2, &options}, {LZMA_VLI_UNKNOWN, nullptr}};
    Bytes packed(lzma_stream_buffer_bound(plain.size()));
    size_t size = 0;
    if (lzma_stream_buffer_encode(filters, LZMA_CHECK_CRC32, nullptr, plain.data(), plain.size(),
                                  packed.data(), &size, packed.size()) != LZMA_OK)
        return {};
    packed.resize(size);
    append_word(packed, plain.size());
    return packed;
}

inline Bytes pack_lzma(const Bytes& plain) {
    lzma_options_lzma options;
    lzma_lzma_preset(&options, 6);
    lzma_stream stream = LZMA_STREAM_INIT;
    if (lzma_alone_encoder(&stream, &options) != LZMA_OK) return {};
    Bytes packed(plain.size() * 2 + 1024);
    stream.next_in = plain.data();
    stream.avail_in = plain.size();
    stream.next_out = packed.data();
    stream.avail_out = packed.size();
    const lzma_ret status = lzma_code(&stream, LZMA_FINISH);
    packed.resize(packed.size() - stream.avail_out);
    lzma_end(&stream);
    if (status != LZMA_STREAM_END) return {};
    append_word(packed, plain.size());
    return packed;
}

inline Bytes pack_gzip(const Bytes& plain) {
    z_stream stream{};
    if (deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return {};
    Bytes packed(deflateBound(&stream, plain.size()));
    Bytes in = plain;
    stream.next_in = in.data();
    stream.avail_in = static_cast<uInt>(in.size());
    stream.next_out = packed.data();
    stream.avail_out = static_cast<uInt>(packed.size());
    const int status = deflate(&stream, Z_FINISH);
    packed.resize(stream.total_out);
    deflateEnd(&stream);
    return status == Z_STREAM_END ? packed : Bytes{};
}

inline Bytes pack_zstd(const Bytes& plain) {
    Bytes packed(ZSTD_compressBound(plain.size()));
    packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 19));
    append_word(packed, plain.size());
    return packed;
}

/// The legacy frame, in blocks of 8 MiB.
inline Bytes pack_lz4(const Bytes& plain) {
    constexpr size_t block = 8 << 20;
    Bytes packed;
    append_word(packed, 0x184c'2102);
    for (size_t at = 0; at < plain.size(); at += block) {
        const int size = static_cast<int>(std::min(block, plain.size() - at));
        Bytes one(static_cast<size_t>(LZ4_compressBound(size)));
        const int length = LZ4_compress_default(reinterpret_cast<const char*>(plain.data() + at),
                                                reinterpret_cast<char*>(one.data()), size,
                                                static_cast<int>(one.size()));
        append_word(packed, static_cast<u64>(length));
        packed.insert(packed.end(), one.begin(), one.begin() + length);
    }
    append_word(packed, plain.size());
    return packed;
}

/// A setup header like Debian's, 4 sectors of setup, code that only holds the payload.
class BzImageFile {
public:
    static constexpr u64 pref_address = 0x100'0000;
    static constexpr u64 init_size = 0x20'0000;
    static constexpr size_t setup_size = 5 * 512;
    static constexpr size_t payload_offset = 0x2cc;

    explicit BzImageFile(const Bytes& payload) : bytes(setup_size) {
        put(0x1ef, 0xff, 1);  // the sentinel: what a zero page must not take over
        put(0x1f1, 4, 1);
        put(0x1fe, 0xaa55, 2);
        put(0x200, 0x6aeb, 2);       // jump to the end of the header, 26CH
        put(0x202, 0x5372'6448, 4);  // "HdrS"
        put(0x206, 0x020f, 2);
        put(0x211, 0x03, 1);  // LOADED_HIGH, KASLR_FLAG
        put(0x214, 0x10'0000, 4);
        put(0x22c, 0x7fff'ffff, 4);
        put(0x230, 0x20'0000, 4);
        put(0x234, 1, 1);
        put(0x236, 0x7f, 2);
        put(0x238, 2047, 4);
        put(0x248, payload_offset, 4);
        put(0x24c, payload.size(), 4);
        put(0x258, pref_address, 8);
        put(0x260, init_size, 4);
        put(0x268, 0x5a5a'5a5a, 4);  // the header's last field
        bytes.resize(setup_size + payload_offset);
        bytes[setup_size + 0x200] = 0xf4;  // the 64-bit entry
        bytes.insert(bytes.end(), payload.begin(), payload.end());
        while ((bytes.size() - setup_size) % 16 != 0) bytes.push_back(0);
        put(0x1f4, (bytes.size() - setup_size) / 16, 4);
        const Bytes signature(100, 0x77);  // as a signed kernel has
        bytes.insert(bytes.end(), signature.begin(), signature.end());
    }

    void put(size_t at, u64 value, size_t size) {
        for (size_t i = 0; i < size; ++i) bytes[at + i] = static_cast<u8>(value >> (8 * i));
    }

    Bytes bytes;
};

/// The kernel inside: code at its preferred address, entered there.
inline ElfFile small_vmlinux() {
    ElfFile file;
    file.entry(BzImageFile::pref_address);
    file.add({1, 0x1000, BzImageFile::pref_address, 4, 0x2000});
    file.content(0x1000, "code");
    return file;
}

inline BzImageFile small_bzimage() { return BzImageFile{pack_xz(small_vmlinux().bytes)}; }

}  // namespace postern::test

// SPDX-License-Identifier: Apache-2.0
// An enclave of ours on Linux's /dev/sgx_enclave, by its raw ioctls. Nothing here ends the program:
// each step says how it went.
#pragma once

#include <asm/sgx.h>

#include "guests/enclave_layout.h"
#include "guests/sgx/call.h"

namespace sgx {

namespace layout = postern::guests::layout;

inline constexpr u64 page_size = layout::page;

/// The parts of SECINFO.FLAGS that are not a plan's. SDM 3D, "Security Information (SECINFO)".
inline constexpr u64 page_pending = 1 << 3, page_modified = 1 << 4, page_restricted = 1 << 5;
inline constexpr u64 page_type_trim = 4 << 8;

/// What a program carries of an enclave, and where it must lie; `base` 0: anywhere.
struct Files {
    const u8* image;
    u64 image_size;
    const u8* sigstruct;
    u64 base;
};

/// Each program has its own enclaves.
Files files_of(const layout::Plan& plan);

/// How a step went. `number` is what it says: an errno, a vector, a signal, a leaf's RAX.
struct Outcome {
    enum class Kind : u8 { ok, refused, exception, signal, answer, wrong } kind = Kind::ok;
    u64 number = 0;
    // refused: what the ioctl left in its structure, of those that have it
    u64 result = 0, count = 0;
    // exception: the error code and ENCLU's leaf; signal: its code
    u64 code = 0, leaf = 0;
    u64 address = 0;

    [[nodiscard]] bool fine() const { return kind == Kind::ok; }
    /// One line, without the address.
    void print(const char* step) const;
};

class Enclave {
public:
    explicit Enclave(const layout::Plan& plan) : plan_{plan} {}
    ~Enclave();
    Enclave(const Enclave&) = delete;
    Enclave& operator=(const Enclave&) = delete;

    // One after the other: what a program does before it can enter.
    [[nodiscard]] Outcome create();
    [[nodiscard]] Outcome add();
    [[nodiscard]] Outcome init();
    [[nodiscard]] Outcome map() const;
    /// All four, up to the first that fails.
    [[nodiscard]] Outcome build();
    void close();

    [[nodiscard]] u64 address(u64 offset) const { return base_ + offset; }
    [[nodiscard]] u64 tcs() const { return base_ + layout::tcs.offset; }

    [[nodiscard]] Outcome restrict_page(u64 offset, u64 permissions) const;
    [[nodiscard]] Outcome change_type(u64 offset, u64 type) const;
    [[nodiscard]] Outcome remove_page(u64 offset) const;

    /// By the kernel's vDSO, which turns exceptions into what `Outcome` says.
    [[nodiscard]] Outcome ask(Call& call) const;
    /// By an ENCLU of our own: exceptions are signals. An enclave is not entered again after one.
    [[nodiscard]] Outcome ask_by_hand(Call& call) const;

private:
    [[nodiscard]] bool reserve();
    [[nodiscard]] Outcome add_region(const layout::Region& region) const;

    const layout::Plan& plan_;
    int device_ = -1;
    u64 base_ = 0;
};

}  // namespace sgx

// SPDX-License-Identifier: Apache-2.0
// The enclave as an observer with a probe on the memory bus sees it: its EPC pages, and the frame
// in which an asynchronous exit saved its registers.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "arch/sgx/ssa.h"
#include "cpu/sgx/epc.h"

namespace postern::sweep {

/// One SSA frame, copied: GPRSGX, and the legacy part and header of its XSAVE area.
struct SavedFrame {
    Gprsgx gprsgx{};
    std::array<u8, 576> xsave{};

    /// In the order of the encoding: RAX, RCX, RDX, RBX, RSP, ...
    [[nodiscard]] std::array<u64, 16> general() const;
    [[nodiscard]] u64 xmm_half(unsigned number, unsigned half) const;
    friend bool operator==(const SavedFrame& a, const SavedFrame& b);
};

/// The enclave of one thread, found by the thread's linear address.
class EnclaveMemory {
public:
    static std::optional<EnclaveMemory> find(const cpu::Epc& epc, u64 tcs_linear);

    /// The EPC's byte behind a linear address of the enclave; null: no such page.
    [[nodiscard]] u8* at(u64 linear) const;
    /// The same, from the EPC's first byte. The page must exist.
    [[nodiscard]] u64 offset_of(u64 linear) const {
        return static_cast<u64>(at(linear) - epc_->bytes);
    }
    [[nodiscard]] const Tcs& tcs() const { return epc_->tcs(tcs_page_); }
    [[nodiscard]] u64 base() const { return epc_->secs(secs_page_).baseaddr; }
    [[nodiscard]] u64 size() const { return epc_->secs(secs_page_).size; }
    /// A frame is in use: the thread was interrupted and has not been resumed to its end.
    [[nodiscard]] bool interrupted() const { return tcs().cssa != 0; }
    /// The latest frame; only if interrupted().
    [[nodiscard]] SavedFrame frame() const;
    /// The same, to write to.
    [[nodiscard]] u8* frame_bytes() const;
    [[nodiscard]] Gprsgx& gprsgx() const;
    /// Where two bytes of code lie, one after the other; 0: nowhere.
    [[nodiscard]] u64 find_code(u8 first, u8 second) const;
    /// Offsets of all its pages from the EPC's first byte, the SECS's included.
    [[nodiscard]] std::vector<u64> page_offsets() const;

private:
    EnclaveMemory(const cpu::Epc& epc, u64 tcs_page, u64 secs_page)
        : epc_{&epc}, tcs_page_{tcs_page}, secs_page_{secs_page} {}

    const cpu::Epc* epc_;
    u64 tcs_page_;
    u64 secs_page_;
};

}  // namespace postern::sweep

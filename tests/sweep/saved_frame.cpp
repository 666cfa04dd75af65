// SPDX-License-Identifier: Apache-2.0
// Reading an enclave's pages by way of the EPCM.
#include "tests/sweep/saved_frame.h"

#include <cstring>

namespace postern::sweep {
namespace {

// SDM 1, "Legacy Region of an XSAVE Area".
constexpr size_t xmm_offset = 160;

}  // namespace

std::array<u64, 16> SavedFrame::general() const {
    std::array<u64, 16> values{};
    std::memcpy(values.data(), &gprsgx.rax, 4 * sizeof(u64));
    std::memcpy(values.data() + 4, &gprsgx.rsp, 12 * sizeof(u64));
    return values;
}

u64 SavedFrame::xmm_half(unsigned number, unsigned half) const {
    u64 value = 0;
    std::memcpy(&value, xsave.data() + xmm_offset + 16 * number + 8 * half, sizeof value);
    return value;
}

bool operator==(const SavedFrame& a, const SavedFrame& b) {
    return std::memcmp(&a.gprsgx, &b.gprsgx, sizeof a.gprsgx) == 0 && a.xsave == b.xsave;
}

std::optional<EnclaveMemory> EnclaveMemory::find(const cpu::Epc& epc, u64 tcs_linear) {
    for (u64 page = 0; page < epc.entries.size(); ++page) {
        const EpcmEntry& entry = epc.entries[page];
        if (entry.valid && entry.page_type == PageType::tcs && entry.enclave_address == tcs_linear)
            return EnclaveMemory{epc, page, entry.enclave_secs};
    }
    return std::nullopt;
}

u8* EnclaveMemory::at(u64 linear) const {
    const u64 first = linear & ~(page_size - 1);
    for (u64 page = 0; page < epc_->entries.size(); ++page) {
        const EpcmEntry& entry = epc_->entries[page];
        if (entry.valid && entry.page_type == PageType::reg && entry.enclave_secs == secs_page_ &&
            entry.enclave_address == first)
            return epc_->page(page) + (linear - first);
    }
    return nullptr;
}

u8* EnclaveMemory::frame_bytes() const {
    const u64 frame_size = u64{epc_->secs(secs_page_).ssaframesize} * page_size;
    return at(base() + tcs().ossa + (tcs().cssa - 1) * frame_size);
}

SavedFrame EnclaveMemory::frame() const {
    SavedFrame frame;
    std::memcpy(frame.xsave.data(), frame_bytes(), frame.xsave.size());
    frame.gprsgx = gprsgx();
    return frame;
}

Gprsgx& EnclaveMemory::gprsgx() const {
    const u64 frame_size = u64{epc_->secs(secs_page_).ssaframesize} * page_size;
    const u64 end = base() + tcs().ossa + tcs().cssa * frame_size;
    return *reinterpret_cast<Gprsgx*>(at(end - page_size) + page_size - gprsgx_size);
}

u64 EnclaveMemory::find_code(u8 first, u8 second) const {
    for (u64 page = 0; page < epc_->entries.size(); ++page) {
        const EpcmEntry& entry = epc_->entries[page];
        if (!entry.valid || entry.enclave_secs != secs_page_ || !entry.x) continue;
        const u8* const bytes = epc_->page(page);
        for (u64 i = 0; i + 1 < page_size; ++i)
            if (bytes[i] == first && bytes[i + 1] == second) return entry.enclave_address + i;
    }
    return 0;
}

std::vector<u64> EnclaveMemory::page_offsets() const {
    std::vector<u64> offsets{secs_page_ * page_size};
    for (u64 page = 0; page < epc_->entries.size(); ++page) {
        const EpcmEntry& entry = epc_->entries[page];
        const bool ours =
            entry.valid && entry.page_type != PageType::secs && entry.enclave_secs == secs_page_;
        if (ours) offsets.push_back(page * page_size);
    }
    return offsets;
}

}  // namespace postern::sweep

// SPDX-License-Identifier: Apache-2.0
// The doorbell: one page whose every register, offset 0 included, records what touches it. A
// device of our own, for showing that nothing touched it. It lies at a fixed address and, where it
// is asked for, in a PCI function's BAR.
#pragma once

#include <vector>

#include "platform/bus.h"
#include "platform/device/pci.h"
#include "platform/layout.h"

namespace postern::platform {

class Doorbell final : public Device {
public:
    struct Ring {
        u64 order;  // 0 is the first touch since the machine began
        u64 value;  // stored, or given to the load
        u32 offset;
        u32 size;
        bool write;
        friend bool operator==(const Ring&, const Ring&) = default;
    };
    /// Only so many are kept; all are counted.
    static constexpr size_t kept = 4096;
    /// What a load gives: this plus the offset, truncated to its size.
    static constexpr u64 load_value = 0xb311'0000;

    explicit Doorbell(u64 base = doorbell_base) : range_{base, page_size} {}
    [[nodiscard]] std::span<const MmioRange> mmio() const override { return {&range_, 1}; }
    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

    [[nodiscard]] const std::vector<Ring>& rings() const { return rings_; }
    [[nodiscard]] u64 count() const { return count_; }

private:
    void record(u64 offset, unsigned size, u64 value, bool write);

    MmioRange range_;
    std::vector<Ring> rings_;
    u64 count_ = 0;
};

/// The same as a PCI function, for programs that map its memory: what touches it rings `doorbell`.
class DoorbellFunction final : public PciFunction {
public:
    static constexpr u16 vendor = 0x1234;
    static constexpr u16 device = 0xbe11;

    explicit DoorbellFunction(Doorbell& doorbell);

    u64 bar_read(unsigned bar, u64 offset, unsigned size) override;
    void bar_write(unsigned bar, u64 offset, unsigned size, u64 value) override;

    /// Where software has put it.
    [[nodiscard]] u64 address() const;

private:
    Doorbell* doorbell_;
};

}  // namespace postern::platform

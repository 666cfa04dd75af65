// SPDX-License-Identifier: Apache-2.0
// What connects the local APICs of a machine: it finds whom a message is for. Also the page at
// which each processor sees its own local APIC.
#pragma once

#include <span>
#include <vector>

#include "arch/apic_message.h"
#include "platform/bus.h"
#include "platform/layout.h"

namespace postern::platform {

class LocalApic;

class ApicNetwork {
public:
    /// Hears of the end of level-triggered interrupts.
    class EndListener {
    public:
        virtual void end_of_interrupt(u8 vector) = 0;

    protected:
        ~EndListener() = default;
    };

    /// Takes every message in the place of local APICs: a hypervisor, whose guest has its own.
    class Receiver {
    public:
        virtual bool receive(const ApicMessage& message) = 0;

    protected:
        ~Receiver() = default;
    };

    ApicNetwork() = default;
    ApicNetwork(const ApicNetwork&) = delete;
    ApicNetwork& operator=(const ApicNetwork&) = delete;

    /// Local APICs join in the order of their processors; both must outlive the network's use.
    void join(LocalApic& apic) { apics_.push_back(&apic); }
    void listen(EndListener& listener) { listener_ = &listener; }
    void hand_over_to(Receiver& receiver) { receiver_ = &receiver; }

    /// True: somebody took it.
    bool deliver(const ApicMessage& message);
    void deliver_to_all_but(const LocalApic& sender, const ApicMessage& message);
    /// A device's write of `data` to `address`, in 0xfee00000 to 0xfeefffff.
    bool deliver_msi(u64 address, u32 data);
    void broadcast_end(u8 vector);

    [[nodiscard]] std::span<LocalApic* const> apics() const { return apics_; }

private:
    [[nodiscard]] LocalApic* least_busy(const ApicMessage& message) const;

    std::vector<LocalApic*> apics_;
    EndListener* listener_ = nullptr;
    Receiver* receiver_ = nullptr;
};

/// Every processor sees its own registers, at the same address unless it moves them. Whoever runs
/// the processors says whose turn it is, and asks for registers that were moved before the bus.
class ApicPage final : public Device {
public:
    void select(LocalApic& apic) { apic_ = &apic; }

    [[nodiscard]] std::span<const MmioRange> mmio() const override { return {&range, 1}; }
    u64 mmio_read(u64 offset, unsigned size) override;
    void mmio_write(u64 offset, unsigned size, u64 value) override;

    /// The registers, if the running processor has moved them to where `address` is.
    [[nodiscard]] LocalApic* moved_to(u64 address) const;

private:
    static constexpr MmioRange range{local_apic_base, page_size};
    LocalApic* apic_ = nullptr;
};

}  // namespace postern::platform

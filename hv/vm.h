// SPDX-License-Identifier: Apache-2.0
// One guest: its memory, its EPT, its devices, its policies, its virtual processors. A Vm is set up
// by its owner and then given to its Vcpus.
#pragma once

#include <array>

#include "arch/apic_message.h"
#include "hv/config.h"
#include "hv/enclave/enclaves.h"
#include "hv/memory/ept_map.h"
#include "hv/memory/memory_map.h"
#include "hv/memory/page_allocator.h"
#include "hv/port.h"
#include "hv/sgx/sgx.h"
#include "hv/watch.h"

namespace postern::hv {

class Vcpu;

class Vm {
public:
    Vm(Port& port, Devices& devices, Watcher& watcher, const Config& config)
        : port_{port}, devices_{devices}, watcher_{watcher}, config_{config},
          pages_{port, config.pool}, ept_{port, pages_}, enclaves_{watcher}, sgx_{port, config_} {
        sgx_.reset();
    }
    Vm(const Vm&) = delete;
    Vm& operator=(const Vm&) = delete;

    /// Vcpu::start does it too. False: the pool has no page, or there is memory where the local
    /// APICs are.
    [[nodiscard]] bool create();
    /// False: misaligned, overlapping, no room, or EPC that the machine does not have.
    [[nodiscard]] bool add_memory(const MemorySlot& slot) {
        return (slot.kind != SlotKind::epc || sgx_.backs(slot)) && map_.add(slot);
    }
    /// Ranges of up to `marked_pages_limit` pages are marked in EPT as the configuration says;
    /// larger ones exit by EPT violation. False as above, or the pool is exhausted.
    [[nodiscard]] bool add_mmio(const MmioRange& range);
    /// Takes back the EPT entry of a page, so that its next access exits. False: it had none.
    bool forget(Gpa page) { return ept_.forget(page); }

    /// What a snapshot saves, beside the memory with the EPT in it. The memory map and the policies
    /// are its owner's to build again. It is too large to be returned.
    struct State {
        PageAllocator::State pages;
        EptMap::State ept;
        EnclaveTable::State enclaves;
        u64 apic_access_page = 0;
        Sgx::State sgx;
    };
    static_assert(std::is_trivially_copyable_v<State> && std::is_standard_layout_v<State>);
    static_assert(std::has_unique_object_representations_v<State>);
    void save(State& to) const;
    /// Instead of create(), with the memory map of the guest that was saved. False: the state is
    /// not of a pool like this one, and nothing is changed.
    [[nodiscard]] bool restore(const State& from);

    [[nodiscard]] const Config& config() const { return config_; }
    /// For an owner who changes his mind while the guest runs: about protections, the enclave
    /// fault, hidden features, the timer's period, livelocks. The rest is looked at only once.
    [[nodiscard]] Config& policies() { return config_; }
    [[nodiscard]] const MemoryMap& memory() const { return map_; }
    [[nodiscard]] EptMap& ept() { return ept_; }
    [[nodiscard]] const EptMap& ept() const { return ept_; }
    [[nodiscard]] Sgx& sgx() { return sgx_; }
    [[nodiscard]] const Sgx& sgx() const { return sgx_; }
    /// At a reset, while no virtual processor is in the guest: IA32_FEATURE_CONTROL is as at the
    /// start, and the EPC is empty. What each processor has is its own to reset.
    EpcScrub reset();
    /// Takes every enclave out of the guest's EPC. If something is left, somebody's
    /// enclave may be.
    EpcScrub scrub_epc() {
        const EpcScrub scrub = sgx_.scrub(map_);
        if (scrub.left == 0) enclaves_.all_removed();
        return scrub;
    }
    [[nodiscard]] PageAllocator& pages() { return pages_; }
    [[nodiscard]] Devices& devices() { return devices_; }
    [[nodiscard]] Watcher& watcher() { return watcher_; }
    [[nodiscard]] EnclaveTable& enclaves() { return enclaves_; }
    [[nodiscard]] const EnclaveTable& enclaves() const { return enclaves_; }

    /// The host's address of guest memory; null if there is no RAM or ROM at `address`.
    [[nodiscard]] const u8* bytes_at(Gpa address) const;
    /// The same of RAM, to be written.
    [[nodiscard]] u8* ram_at(Gpa address) const;
    /// The same once more, where `size` bytes are about to change: the processor is told.
    [[nodiscard]] u8* ram_to_change(Gpa address, size_t size) const;

    static constexpr u64 marked_pages_limit = 256;
    static constexpr unsigned vcpu_limit = 64;

    /// Null: there is none with that number.
    [[nodiscard]] Vcpu* vcpu(unsigned number) const {
        return number < vcpu_limit ? vcpus_[number] : nullptr;
    }
    /// By the Vcpu itself.
    void join(Vcpu& vcpu, unsigned number) { vcpus_[number] = &vcpu; }

    /// From the I/O APIC or a device's MSI. True: somebody took it.
    bool deliver(const ApicMessage& message);
    void deliver_to_all_but(unsigned sender, const ApicMessage& message);
    /// The wire from the 8259s to LINT0 of the first processor.
    void set_external(bool level);

    [[nodiscard]] Hpa apic_access_page() const { return apic_access_page_; }
    /// By a Vcpu whose local APIC has changed its mode. False: the pool is exhausted.
    [[nodiscard]] bool agree_about_apic_page();

private:
    [[nodiscard]] Vcpu* least_busy(const ApicMessage& message) const;

    Port& port_;
    Devices& devices_;
    Watcher& watcher_;
    Config config_;
    MemoryMap map_;
    PageAllocator pages_;
    EptMap ept_;
    EnclaveTable enclaves_;
    Hpa apic_access_page_;
    Sgx sgx_;
    std::array<Vcpu*, vcpu_limit> vcpus_{};
};

}  // namespace postern::hv

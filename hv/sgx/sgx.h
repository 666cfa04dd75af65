// SPDX-License-Identifier: Apache-2.0
// SGX of one guest: what it has, its IA32_FEATURE_CONTROL, the last refusal, and the emptying of
// its EPC. What each virtual processor has of its own (the launch key's hash, the pages that
// operands are copied to) is in SgxVcpu.
#pragma once

#include <array>
#include <type_traits>

#include "base/address.h"
#include "hv/config.h"
#include "hv/port.h"
#include "hv/sgx/capability.h"
#include "hv/sgx/encls_bitmap.h"
#include "hv/sgx/policy.h"

namespace postern::hv {

class MemoryMap;
struct MemorySlot;

/// How the emptying of a guest's EPC went. Nothing is left unless `left` says so.
struct EpcScrub {
    u64 pages = 0;    // of the guest's EPC
    u64 left = 0;     // that could not be removed
    u64 in_use = 0;   // of these: a thread is inside the enclave (14)
    u64 parents = 0;  // of these: a SECS whose children are not all gone (13)
    u64 faults = 0;   // of these: EREMOVE itself faulted
    Gpa first_left;
};

class Sgx {
public:
    struct State {
        u64 feature_control = 0;
        /// Rises with whatever the ENCLS-exiting bitmap depends on.
        u64 generation = 1;
        SgxRefusal last_refusal;
    };
    static_assert(std::is_trivially_copyable_v<State> && std::is_standard_layout_v<State>);

    Sgx(Port& port, const Config& config) : port_{port}, config_{config} {}

    /// IA32_FEATURE_CONTROL as a BIOS leaves it: locked, with all there is of SGX and VMX. Looks at
    /// what the processor has.
    void reset();

    [[nodiscard]] const SgxCapability& capability() const { return capability_; }
    [[nodiscard]] CpuidResult cpuid_leaf(u32 subleaf) const {
        return sgx_leaf(capability(), config_.epc, subleaf);
    }
    [[nodiscard]] u64 encls_bitmap() const { return encls_bitmap_; }
    [[nodiscard]] u64 generation() const { return state_.generation; }

    [[nodiscard]] u64 feature_control() const { return state_.feature_control; }
    /// By the owner of the machine: any value.
    void set_feature_control(u64 value);
    /// By the guest. False: #GP(0).
    [[nodiscard]] bool write_feature_control(u64 value);
    /// May the guest read, or write, IA32_SGXLEPUBKEYHASH0-3?
    [[nodiscard]] bool has_launch_key() const { return capability().launch_control; }
    [[nodiscard]] bool may_set_launch_key() const;

    /// number 0: nothing was refused yet.
    [[nodiscard]] const SgxRefusal& last_refusal() const { return state_.last_refusal; }
    /// Gets its number here.
    void note_refusal(const SgxRefusal& refusal);

    /// All of the machine's EPC that `slot` leads to is there. SDM 3D, "Intel SGX Resource
    /// Enumeration Leaves".
    [[nodiscard]] bool backs(const MemorySlot& slot) const;

    /// Removes every page of the guest's EPC: children first, then the SECSs. No virtual processor
    /// of the guest may be in an enclave: one that was paused there keeps its enclave's pages. The
    /// caller's processor is between two entries.
    EpcScrub scrub(const MemoryMap& memory);

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state);

private:
    [[nodiscard]] SgxProcessor processor() const;
    [[nodiscard]] SgxCapability offered() const;
    /// The bits of IA32_FEATURE_CONTROL that the guest has.
    [[nodiscard]] FeatureControlWord defined_feature_control() const;
    [[nodiscard]] EnclsResult remove(Hpa page);
    void remove_all(const MemorySlot& slot, EpcScrub& result);

    Port& port_;
    const Config& config_;
    State state_;
    // Of the processor, and of that and the state: found once.
    SgxCapability capability_;
    u64 encls_bitmap_ = ~u64{0};
};

/// What a virtual processor has of SGX. Plain data.
struct SgxVcpu {
    /// Copies of the operands of a leaf that is run for the guest: a page each for what ECREATE or
    /// EINIT reads (SECS, SIGSTRUCT), and for what says so (PAGEINFO and SECINFO, EINITTOKEN).
    std::array<u64, 2> pages{};
    std::array<u64, 4> launch_key{};  // IA32_SGXLEPUBKEYHASH0-3
    u64 generation = 0;               // of Sgx, whose bitmap is in the VMCS
};
static_assert(std::is_trivially_copyable_v<SgxVcpu> && std::is_standard_layout_v<SgxVcpu>);

}  // namespace postern::hv

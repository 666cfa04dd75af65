// SPDX-License-Identifier: Apache-2.0
// L1's EPT for its guest, and the EPT the processor runs that guest with: each of its entries is
// L1's translation from L2's physical addresses to L1's, and ours from there on. It is filled by
// the EPT violations of L2 and, as a TLB, may hold what L1 has changed since its last INVEPT.
#pragma once

#include <array>
#include <type_traits>

#include "arch/vmx/ept.h"
#include "arch/vmx/exit_qualification.h"
#include "base/address.h"
#include "base/result.h"
#include "hv/port.h"

namespace postern::hv {

class Vm;

/// What an access of L2 to its physical memory asks of L1's EPT.
struct Ept12Access {
    bool read = false, write = false, execute = false;
};

/// L1's translation of an address of L2.
struct Ept12Result {
    enum class Outcome : u8 {
        found,
        violation,         // for L1
        misconfiguration,  // for L1
    };
    Outcome outcome = Outcome::found;
    Gpa address{};           // L1's; if found
    unsigned level = 1;      // of the page that L1 maps: 1, 2, 3
    EptFlags permissions{};  // of all levels together; what bits 5:3 of the qualification say
    MemoryType type = MemoryType::wb;

    [[nodiscard]] constexpr bool found() const { return outcome == Outcome::found; }
};

/// Walks L1's EPT in L1's memory, and sets its accessed and dirty flags if `eptp` asks for that and
/// the access is allowed. A table that lies outside L1's RAM reads as all ones. SDM 3C, "EPT
/// Translation Mechanism", "Accessed and Dirty Flags for EPT".
[[nodiscard]] Ept12Result walk_ept12(const Vm& vm, Eptp eptp, Gpa l2, Ept12Access access,
                                     const EptRules& rules);

class ShadowEpt {
public:
    /// EPTs of L1 that are kept; the one used longest ago makes room.
    static constexpr size_t context_limit = 4;

    /// What a snapshot saves; the tables are saved with the memory they lie in.
    struct Context {
        u64 eptp12 = 0;  // 0: free
        u64 root = 0;
        u64 last_used = 0;
    };
    struct State {
        std::array<Context, context_limit> contexts{};
        u64 uses = 0;
        u64 pages = 0;       // taken from the pool
        u64 generation = 0;  // of Vm's own EPT, when all this was last right
    };
    static_assert(std::is_trivially_copyable_v<State> && std::is_standard_layout_v<State>);

    ShadowEpt(Port& port, Vm& vm) : port_{port}, vm_{vm} {}
    ShadowEpt(const ShadowEpt&) = delete;
    ShadowEpt& operator=(const ShadowEpt&) = delete;

    /// The EPT pointer that the processor runs L2 with while L1's VMCS has `eptp12`, which is
    /// valid. Fails if the pool is exhausted even without the other contexts.
    [[nodiscard]] Result<u64> use(u64 eptp12);

    enum class Answer : u8 {
        mapped,            // L2 runs on
        violation,         // for L1
        misconfiguration,  // for L1
        device,            // L1's address is none of its memory, or a write to ROM: ours to answer
        out_of_pages,
    };
    struct Handled {
        Answer answer = Answer::mapped;
        Gpa address{};           // L1's; unless it is for L1
        EptFlags permissions{};  // L1's, for the qualification of a violation
    };
    /// An EPT violation or misconfiguration of the processor at `l2` under use()'s pointer.
    [[nodiscard]] Handled handle(u64 eptp12, Gpa l2, Ept12Access access, const EptRules& rules);

    /// INVEPT by L1. SDM 3C, "INVEPT".
    void forget(u64 eptp12);
    void forget_all();

    [[nodiscard]] const State& state() const { return state_; }
    void restore(const State& state) { state_ = state; }

private:
    Port& port_;
    Vm& vm_;
    State state_;
};

}  // namespace postern::hv

// SPDX-License-Identifier: Apache-2.0
// L1's EPT for its guest, and the EPT the processor runs that guest with: each of its entries is
// L1's translation from L2's physical addresses to L1's, and ours from there on. It is filled by
// the EPT violations of L2 and, as a TLB, may hold what L1 has changed since its last INVEPT.
#pragma once

#include <array>
#include <type_traits>

#include "arch/vmx/ept.h"
#include "base/address.h"
#include "base/result.h"
#include "hv/memory/memory_map.h"
#include "hv/nested/ept12_walk.h"
#include "hv/port.h"

namespace postern::hv {

class Vm;

class ShadowEpt {
public:
    /// EPTs of L1 that are kept; the one used longest ago makes room.
    static constexpr size_t context_limit = 4;
    /// In place of an EPTP of an L1 that runs its guest without EPT: L2's addresses are L1's.
    static constexpr u64 identity = 1;
    /// Of the pool's pages, for one virtual processor: enough for 2 GiB of 4-KByte pages.
    static constexpr u64 page_limit = 1024;

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
    static_assert(std::has_unique_object_representations_v<State>);

    ShadowEpt(Port& port, Vm& vm) : port_{port}, vm_{vm} {}
    ShadowEpt(const ShadowEpt&) = delete;
    ShadowEpt& operator=(const ShadowEpt&) = delete;

    /// The EPT pointer that the processor runs L2 with while L1's VMCS has `eptp12`, which is
    /// valid. It stays the same until another use(); asked again before every entry, it is known
    /// that nothing of our own EPT has changed. Fails if the pool is exhausted even without the
    /// other contexts.
    [[nodiscard]] Result<u64> use(u64 eptp12);

    enum class Answer : u8 {
        mapped,            // L2 runs on; if L1's entry changed meanwhile, to come back
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

    /// INVEPT by L1; of `eptp12` only the address of the table counts. SDM 3C, "INVEPT".
    void forget(u64 eptp12);
    void forget_all();

    [[nodiscard]] const State& state() const { return state_; }
    /// After the Vm's own restore. False: the tables cannot be those of this Vm's pool, and nothing
    /// is changed.
    [[nodiscard]] bool restore(const State& state);

private:
    [[nodiscard]] Context* find(u64 eptp12);
    [[nodiscard]] Context* oldest_but(const Context* kept);
    [[nodiscard]] Result<Context*> find_or_begin(u64 eptp12);
    [[nodiscard]] u64 pointer_of(const Context& context) const;
    void notice_our_own_changes();

    [[nodiscard]] bool map(Context& context, Gpa l2, const Ept12Result& l1, const MemorySlot& slot);
    [[nodiscard]] unsigned level_for(const Context& context, Gpa l2, const Ept12Result& l1,
                                     const MemorySlot& slot) const;
    [[nodiscard]] Result<u64*> place_for(const Context& context, Gpa l2, unsigned level);
    [[nodiscard]] Result<u64*> find_or_build(const Context& context, Gpa l2, unsigned last);
    void replace(const Context& context, u64& entry, u64 value);

    [[nodiscard]] Result<Hpa> take_page();
    void give_back(u64 page);
    [[nodiscard]] u64* table(u64 page) const;
    template <unsigned level>
    void give_back_tables(u64* entries);
    /// Takes back all translations; the pointer remains.
    void empty(const Context& context);
    /// Takes back all there is.
    void drop(Context& context);
    /// False: there is none.
    [[nodiscard]] bool drop_oldest_but(const Context* kept);
    [[nodiscard]] bool can_be_ours(const State& state) const;

    Port& port_;
    Vm& vm_;
    State state_;
};

}  // namespace postern::hv

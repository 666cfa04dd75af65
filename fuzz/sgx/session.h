// SPDX-License-Identifier: Apache-2.0
// For fuzz_sgx_leaves: what one input does, a step after the other, and what each step may change.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>

#include "arch/sgx/keyrequest.h"
#include "fuzz/sgx/world.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx::fuzz {

inline constexpr unsigned steps_most = 250;
inline constexpr u64 eviction_places = 16;

// The shape of every enclave: offsets in ELRANGE.
inline constexpr std::array<u64, 2> tcs_offsets{0x0000, 0x1000};
constexpr u64 ssa_offset_of(u64 thread) { return 0x2000 + thread * 0x2000; }  // two frames
inline constexpr u64 data_at = 0x6000, code_at = 0x7000, free_at = 0x8000;

inline constexpr u64 reg = 0x200, tcs = 0x100, trim = 0x400;
inline constexpr u64 r = 1, w = 2, x = 4, pending = 8, modified = 16, pr = 32;

/// How often each leaf was tried and did what it is for; printed at the end, because a fuzzer all
/// of whose leaves fail finds nothing.
class Tally {
public:
    Tally() = default;
    ~Tally() {
        for (const auto& [name, row] : rows_)
            std::printf("%-12s %9llu tried %9llu done\n", name.c_str(), row[0], row[1]);
    }
    Tally(const Tally&) = delete;
    Tally& operator=(const Tally&) = delete;
    void count(std::string_view name, bool done) {
        auto& row = rows_[std::string{name}];
        ++row[0];
        row[1] += done ? 1 : 0;
    }

private:
    std::map<std::string, std::array<unsigned long long, 2>> rows_;
};
inline Tally tally;

/// A page that EWB wrote out.
struct Evicted {
    bool used = false;
    bool loaded = false;  // tried again, it is a replay
    u64 va_page = 0, va_slot = 0;
    EpcmEntry entry{};
    std::array<u8, page_size> plain{};
};

class Session {
public:
    explicit Session(World& world, std::span<const u8> input)
        : w_{world}, random_{input}, epc_{world.epc}, watch_{world.epc} {
        set_conflicts();
        build(0);
        for (unsigned n = 0; n < 3; ++n) add_version_array();
    }

    void step();

private:
    struct Operands {
        u64 rbx = 0, rcx = 0, rdx = 0;
    };

    // The instructions, judged.
    bool encls(EnclsLeaf leaf, Operands o);
    bool enclu(Cpu& c, EncluLeaf leaf, Operands o);
    bool run(Cpu& c, Result<> (*instruction)(Cpu&), u32 leaf, const Operands& o);
    void allow_encls(EnclsLeaf leaf, const Operands& o, const EpcmEntry& target);
    void allow_enclu(const Cpu& c, EncluLeaf leaf, const Operands& o, const Enclave& before);
    void allow_hidden(u64 secs) {
        watch_.allow_bytes(secs, secs_hidden_offset, sizeof(SecsHidden));
    }
    void allow_linear(u64 linear, u64 size);
    void judge(const char* step);

    // The operating system's steps.
    void build(u64 place);
    void create(u64 place);
    void add(u64 secs, u64 page, u64 linear, u64 flags);
    void initialise(u64 secs);
    void add_version_array();
    void evict(u64 page);
    void reload(Evicted& evicted);
    void augment();
    void change_type_or_rights();
    void lone_leaf();
    void edit_tables();

    // Threads.
    void enter(Cpu& c);
    void interrupt(Cpu& c);
    void interrupt_all();
    void inside(Cpu& c);
    void accept(Cpu& c);
    void ask_for_keys(Cpu& c);
    void ask_for_notice(const Cpu& c);
    void own_access(Cpu& c);
    void foreign_access(Cpu& c);

    // Choosing.
    Cpu& any_processor() { return w_.processor(random_.below(processors)); }
    /// If there is one at once: others are left where they are.
    Cpu& processor_outside() {
        const u64 first = random_.below(processors);
        for (u64 n = 0; n < processors; ++n) {
            Cpu& c = w_.processor((first + n) % processors);
            if (!c.enclave.active) return c;
        }
        return w_.processor(first);
    }
    template <class Wanted>
    u64 page_with(Wanted wanted);
    u64 free_page();
    u64 page_of_type(PageType type);
    u64 own_page(const Enclave& e, u64 linear);
    u64 linear_of(u64 page);
    void spoil(Operands& o);
    void set_conflicts();
    u64 free_slot(u64 va);
    void write_secinfo(u64 flags) {
        w_.ram<Secinfo>(at::secinfo) = {};
        w_.ram<Secinfo>(at::secinfo).flags = SecinfoFlags::from_raw(flags);
    }
    void write_secinfo_inside(const Enclave& e, u64 flags);

    World& w_;
    Random random_;
    Epc& epc_;
    EpcWatch watch_;
    bool spoilt_ = false;  // the last leaf's operands
    std::array<Evicted, eviction_places> evicted_{};
};

template <class Wanted>
u64 Session::page_with(Wanted wanted) {
    const u64 first = random_.below(pages);
    for (u64 n = 0; n < pages; ++n)
        if (wanted(epc_.entries[(first + n) % pages])) return (first + n) % pages;
    return first;
}

}  // namespace postern::cpu::sgx::fuzz

// SPDX-License-Identifier: Apache-2.0
// For fuzz_sgx_leaves: three processors that share RAM, an EPC and one set of page tables, and an
// operating system's view of them: three places for enclaves, a window that shows every EPC page.
#pragma once

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "arch/msr.h"
#include "cpu/decode/block_cache.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/model.h"
#include "cpu/sgx/epc.h"
#include "cpu/sgx/sgx.h"
#include "fuzz/input.h"
#include "support/epc_invariants.h"

namespace postern::cpu::sgx::fuzz {

inline constexpr unsigned processors = 3;
inline constexpr u64 pages = 40;
inline constexpr u64 places = 3;  // enclaves' ELRANGEs, one after the other
inline constexpr u64 range_size = 0x1'0000;

namespace at {
constexpr u64 ram = 2 << 20;
constexpr u64 epc = 0x1'4000'0000;
constexpr u64 pml4 = 0x1000, pdpt = 0x2000, low_pd = 0x3000, pd = 0x4000;
constexpr u64 range_table = 0x5000, window_table = 0x6000;
constexpr u64 pageinfo = 0x1'0000, secinfo = 0x1'0040, source = 0x1'1000;
constexpr u64 sigstruct = 0x1'2000, token = 0x1'3000;
constexpr u64 evicted = 0x8'0000;  // 8 KiB for each: the page, then its PCMD
constexpr u64 aep = 0x9000, outside_code = 0x8000;
constexpr u64 ranges = 0x4000'0000, window = 0x4020'0000, unmapped = 0x5000'0000;
}  // namespace at

constexpr u64 range_of(u64 place) { return at::ranges + place * range_size; }
constexpr u64 window_of(u64 page) { return at::window + page * page_size; }
constexpr u64 present = 1, writable = 2, user = 4, large = 0x80;

[[noreturn]] inline void broken(const char* during, const char* rule, u64 value) {
    std::fprintf(stderr, "broken by %s: %s (%#llx)\n", during, rule,
                 static_cast<unsigned long long>(value));
    std::abort();
}

using postern::fuzz::Random;

class World {
    struct alignas(page_size) Page {
        std::array<u8, page_size> byte;
    };
    std::vector<Page> ram_ = std::vector<Page>(at::ram / page_size);
    std::vector<Page> epc_memory_ = std::vector<Page>(pages);
    std::vector<std::unique_ptr<Cpu>> owned_;
    std::vector<std::unique_ptr<BlockCache>> blocks_;
    std::array<const Cpu*, processors> seen_{};
    Model model_ = default_model();

public:
    Epc epc{at::epc, static_cast<u8*>(static_cast<void*>(epc_memory_.data())), pages* page_size};
    System system;

    World() {
        system.memory = {bytes(), at::ram, 0, at::epc, pages * page_size};
        for (const Feature f :
             {Feature::xsave, Feature::avx, Feature::sgx1, Feature::sgx2, Feature::sgx_edeccssa})
            model_.features.set(f);
        system.model = &model_;
        system.epc = &epc;
        system.processor_count = processors;
        for (unsigned n = 0; n < processors; ++n) {
            owned_.push_back(std::make_unique<Cpu>());
            blocks_.push_back(std::make_unique<BlockCache>());
            seen_[n] = system.processors[n] = owned_[n].get();
        }
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    Cpu& processor(u64 n) { return *owned_[n]; }
    [[nodiscard]] EpcSubject subject() const { return {epc, seen_}; }

    template <class T>
    T& ram(u64 address) {
        return *reinterpret_cast<T*>(bytes() + address);
    }

    /// An empty EPC, the window mapped, all processors in the kernel.
    void start(const std::array<u64, 4>& signer) {
        std::memset(bytes(), 0, at::ram);
        std::memset(epc.bytes, 0, epc.size);
        std::ranges::fill(epc.entries, EpcmEntry{});
        epc.next_enclave_id = 1;
        epc.conflicts = {};
        write_tables();
        for (unsigned n = 0; n < processors; ++n) start(*owned_[n], n, signer);
    }

    void map(u64 linear, u64 entry) { table_entry(linear) = entry; }
    /// Where the page tables lead: an EPC page, or none.
    [[nodiscard]] bool resolve(u64 linear, u64& page) {
        if (linear < at::ranges || linear >= at::window + 0x20'0000) return false;
        const u64 entry = table_entry(linear);
        const u64 physical = entry & 0xf'ffff'ffff'f000;
        page = (physical - at::epc) / page_size;
        return (entry & present) != 0 && physical - at::epc < epc.size;
    }

    void as_kernel(Cpu& c) { set_cpl(c, 0); }
    void as_user(Cpu& c) { set_cpl(c, 3); }

private:
    u8* bytes() { return static_cast<u8*>(static_cast<void*>(ram_.data())); }

    u64& table_entry(u64 linear) {
        const u64 table = linear < at::window ? at::range_table : at::window_table;
        return ram<u64>(table + 8 * (linear >> 12 & 511));
    }

    void write_tables() {
        constexpr u64 all = present | writable | user;
        ram<u64>(at::pml4) = at::pdpt | all;
        ram<u64>(at::pdpt) = at::low_pd | all;
        ram<u64>(at::pdpt + 8) = at::pd | all;
        ram<u64>(at::low_pd) = large | all;
        ram<u64>(at::pd) = at::range_table | all;
        ram<u64>(at::pd + 8) = at::window_table | all;
        for (u64 n = 0; n < pages; ++n) map(window_of(n), (at::epc + n * page_size) | all);
    }

    void start(Cpu& c, unsigned number, const std::array<u64, 4>& signer) {
        std::memset(static_cast<void*>(&c), 0, offsetof(Cpu, tlb));
        c.number = number;
        c.system = &system;
        c.blocks = blocks_[number].get();
        c.code_epoch = 1;
        reset_tlbs(c);
        c.cr0 = {Cr0::pe, Cr0::mp, Cr0::et, Cr0::ne, Cr0::wp, Cr0::pg};
        c.cr4 = {Cr4::pae, Cr4::osfxsr, Cr4::osxmmexcpt, Cr4::osxsave, Cr4::fsgsbase};
        c.efer = {Efer::sce, Efer::lme, Efer::lma, Efer::nxe};
        c.cr3 = at::pml4;
        c.xcr0 = 7;
        c.vector.mxcsr = 0x1f80;
        c.vector.x87.fcw = 0x37f;
        c.vmx.current = no_vmcs;
        c.vmx.preemption_deadline = ~u64{0};
        c.msr.feature_control = FeatureControlWord{FeatureControl::lock, FeatureControl::sgx_lc,
                                                   FeatureControl::sgx_enable}
                                    .to_raw();
        c.msr.sgx_le_pubkey_hash = signer;
        as_kernel(c);
        flush_translations(c);
    }

    static Segment flat(u16 selector, u32 access_rights) {
        return {selector, 0, access_rights, 0xffff'ffff, 0, 0};
    }

    static void set_cpl(Cpu& c, u32 cpl) {
        c.cpl = cpl;
        c.segment[cs] = flat(cpl == 3 ? 0x33 : 0x10, cpl == 3 ? 0xa0fb : 0xa09b);
        c.segment[ss] = c.segment[ds] = flat(cpl == 3 ? 0x2b : 0x18, cpl == 3 ? 0xc0f3 : 0xc093);
        select_tlb(c);
    }
};

}  // namespace postern::cpu::sgx::fuzz

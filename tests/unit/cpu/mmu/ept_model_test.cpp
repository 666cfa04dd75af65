// SPDX-License-Identifier: Apache-2.0
// Random tables, walked by the processor and by a model that has nothing in common with it: the
// steps of SDM 3C, "Prioritization of EPT Misconfigurations and EPT Violations", one after the
// other, with the bits as the manual numbers them. Compared are what came of the access and every
// byte of memory.
#include <cstring>
#include <ostream>
#include <random>
#include <vector>

#include "unit/cpu/mmu/ept_machine.h"

namespace postern::cpu {
namespace {

constexpr bool bit(u64 value, unsigned n) { return (value >> n & 1) != 0; }
constexpr u64 frame_of(u64 value) { return value & 0x000f'ffff'ffff'f000; }

struct Outcome {
    enum What : u8 { fine, page_fault, violation, misconfigured, log_full } what = fine;
    u64 address = 0;  // physical, or guest-physical
    u64 detail = 0;   // qualification or error code
    friend bool operator==(const Outcome&, const Outcome&) = default;
    friend std::ostream& operator<<(std::ostream& out, const Outcome& o) {
        constexpr const char* names[]{"fine", "page fault", "violation", "misconfigured", "full"};
        return out << names[o.what] << std::hex << " at " << o.address << ", " << o.detail;
    }
};

/// A processor of 46 physical-address bits that can do nothing but translate.
struct ModelProcessor {
    std::vector<u8> memory;
    u64 cr3 = 0, eptp = 0, log = 0, log_index = 0;
    bool paging = true, user = false, logs = false;

    u64 read(u64 at) const {
        u64 value = 0;
        std::memcpy(&value, memory.data() + at, 8);
        return value;
    }
    void write(u64 at, u64 value) { std::memcpy(memory.data() + at, &value, 8); }

    static bool is_misconfigured(u64 entry, int level, bool leaf) {
        if (!bit(entry, 0) && bit(entry, 1)) return true;
        for (unsigned n = 46; n < 52; ++n)
            if (bit(entry, n)) return true;
        if (leaf) {
            const u64 type = entry >> 3 & 7;
            if (type == 2 || type == 3 || type == 7) return true;
            const unsigned first = level == 1 ? 12 : level == 2 ? 21 : 30;
            for (unsigned n = 12; n < first; ++n)
                if (bit(entry, n)) return true;
            return false;
        }
        for (unsigned n = 3; n <= 6; ++n)
            if (bit(entry, n)) return true;
        return level == 4 && bit(entry, 7);
    }

    /// `reads`, `writes`, `fetches`: what is asked. `also`: qualification bits 7 and up.
    bool walk_ept(u64 physical, bool reads, bool writes, bool fetches, u64 also, Outcome& o) {
        u64 table = frame_of(eptp);
        u64 used[5] = {};
        u64 and_of_all = 7;
        int level = 4;
        u64 entry = 0;
        bool leaf = false;
        while (!leaf) {
            used[level] = table + 8 * (physical >> (12 + 9 * (level - 1)) & 511);
            entry = read(used[level]);
            const u64 permissions = entry & 7;
            const u64 asked = u64{reads} | u64{writes} << 1 | u64{fetches} << 2;
            if (permissions == 0) {
                o = {Outcome::violation, physical, asked | also};
                return false;
            }
            leaf = level == 1 || (level < 4 && bit(entry, 7));
            if (is_misconfigured(entry, level, leaf)) {
                o = {Outcome::misconfigured, physical, 0};
                return false;
            }
            and_of_all &= permissions;
            if (leaf) {
                if ((reads && !bit(and_of_all, 0)) || (writes && !bit(and_of_all, 1)) ||
                    (fetches && !bit(and_of_all, 2))) {
                    o = {Outcome::violation, physical, asked | and_of_all << 3 | also};
                    return false;
                }
            } else {
                table = frame_of(entry);
                --level;
            }
        }
        if (bit(eptp, 6) && !set_ept_flags(used, level, writes, physical, o)) return false;
        const u64 size = u64{1} << (12 + 9 * (level - 1));
        o = {Outcome::fine, (frame_of(entry) & ~(size - 1)) + physical % size, 0};
        return true;
    }

    bool set_ept_flags(const u64* used, int leaf, bool writes, u64 physical, Outcome& o) {
        bool some = writes && !bit(read(used[leaf]), 9);
        for (int level = 4; level >= leaf; --level) some = some || !bit(read(used[level]), 8);
        if (!some) return true;
        if (logs && log_index > 511) {
            o = {Outcome::log_full, physical, 0};
            return false;
        }
        for (int level = 4; level >= leaf; --level) write(used[level], read(used[level]) | 0x100);
        if (!writes || bit(read(used[leaf]), 9)) return true;
        write(used[leaf], read(used[leaf]) | 0x200);
        if (logs) {
            write(log + 8 * log_index, physical & ~u64{0xfff});
            log_index = (log_index - 1) & 0xffff;
        }
        return true;
    }

    /// An entry of the guest's tables is read; `marks`: a flag in it is set.
    bool find_entry(u64 physical, bool marks, Outcome& o) {
        return walk_ept(physical, true, bit(eptp, 6) || marks, false, 0x80, o);
    }

    static bool is_reserved(u64 entry, int level) {
        for (unsigned n = 46; n < 52; ++n)
            if (bit(entry, n)) return true;
        if (level == 4) return bit(entry, 7);
        if (level == 1 || !bit(entry, 7)) return false;
        for (unsigned n = 13; n < (level == 2 ? 21u : 30u); ++n)
            if (bit(entry, n)) return true;
        return false;
    }

    Outcome translate(u64 linear, Access access) {
        const bool writes = access == Access::write, fetches = access == Access::execute;
        Outcome o;
        u64 at[5] = {};
        u64 entry = 0, physical = linear;
        bool all_user = true, all_writable = true, some_disabled = false;
        const u64 common = u64{writes} << 1 | u64{user} << 2 | u64{fetches} << 4;
        if (paging) {
            u64 table = frame_of(cr3);
            int level = 4;
            for (;; --level) {
                at[level] = table + 8 * (linear >> (12 + 9 * (level - 1)) & 511);
                if (!find_entry(at[level], false, o)) return o;
                entry = read(o.address);
                if (!bit(entry, 0)) return {Outcome::page_fault, linear, common};
                if (is_reserved(entry, level)) return {Outcome::page_fault, linear, common | 9};
                all_user = all_user && bit(entry, 2);
                all_writable = all_writable && bit(entry, 1);
                some_disabled = some_disabled || bit(entry, 63);
                if (level == 1 || (level < 4 && bit(entry, 7))) break;
                table = frame_of(entry);
            }
            if ((user && !all_user) || (writes && !all_writable) || (fetches && some_disabled))
                return {Outcome::page_fault, linear, common | 1};
            for (int l = 4; l >= level; --l) {
                const u64 flags = l == level && writes ? 0x60 : 0x20;
                // It was translated a moment ago, and no entry that leads to it has changed.
                Outcome before;
                if (!peek(at[l], before)) return before;
                if ((read(before.address) & flags) == flags) continue;
                if (!find_entry(at[l], true, o)) return o;
                write(o.address, read(o.address) | flags);
            }
            const u64 size = u64{1} << (12 + 9 * (level - 1));
            physical = (frame_of(entry) & ~(size - 1)) + linear % size;
        }
        const u64 advanced =
            u64{all_user} << 9 | u64{all_writable} << 10 | u64{some_disabled} << 11;
        walk_ept(physical, access == Access::read, writes, fetches, 0x180 | advanced, o);
        return o;
    }

    /// Where an entry lies, without any effect.
    bool peek(u64 physical, Outcome& o) {
        const u64 saved = eptp;
        eptp &= ~u64{0x40};
        const bool found = walk_ept(physical, true, false, false, 0x80, o);
        eptp = saved;
        return found;
    }
};

struct EptModel : EptMachine {
    std::mt19937_64 random{2026};
    ModelProcessor model;
    std::vector<u64> guest_entries, ept_entries;  // where they are

    u64 below(u64 n) { return random() % n; }
    bool one_in(u64 n) { return below(n) == 0; }

    EptModel() {
        for (unsigned level = 1; level <= 4; ++level)
            for (const u64 at : {page, other_page, guest_at::data})
                guest_entries.push_back(
                    static_cast<u64>(reinterpret_cast<u8*>(&m.entry(at, level)) - m.ram()));
        for (const u64 upper : {pml4, pdpt, pd}) ept_entries.push_back(upper);
        for (const u64 at : {page, other_page, guest_at::data}) ept_entries.push_back(leaf(at));
        for (const u64 at : guest_entries) ept_entries.push_back(leaf(at));
        model.cr3 = c.cr3;
        model.log = log;
        model.memory.assign(m.ram(), m.ram() + GuestCode::ram_size);
    }
    static u64 leaf(u64 physical) { return pt + 8 * (physical >> 12); }

    void change(u64 at, u64 mask) {
        m.at<u64>(at) ^= mask;
        model.write(at, model.read(at) ^ mask);
    }
    /// Of an entry: most of the time one bit that means something; the address stays.
    u64 some_bits(bool ept) {
        constexpr u64 of_ept = 0x3ff, of_guest = 0xe7 | u64{1} << 63;
        const u64 candidates = !one_in(12) ? (ept ? of_ept : of_guest) : bit_mask(63, 46) | 0xfff;
        for (;;) {
            const u64 one = u64{1} << below(64);
            if ((one & candidates) != 0) return one;
        }
    }
    /// The first 2 MBytes in one page, or the first GByte: the entries are identities.
    u64 as_large_page(bool ept, u64& at) {
        const u64 upper[]{ept ? pd : guest_entries[3], ept ? pdpt : guest_entries[6]};
        at = upper[below(2)];
        return model.read(at) ^ (ept ? 0xb7 : 0xe7);
    }
    /// Changes a few entries, to be changed back afterwards.
    std::vector<std::pair<u64, u64>> mutate() {
        std::vector<std::pair<u64, u64>> changes;
        for (u64 n = below(4); n > 0; --n) {
            const bool ept = one_in(2) || !model.paging;
            const auto& entries = ept ? ept_entries : guest_entries;
            u64 at = entries[below(entries.size())];
            const u64 mask = one_in(5) ? as_large_page(ept, at) : some_bits(ept);
            changes.emplace_back(at, mask);
            change(changes.back().first, changes.back().second);
        }
        return changes;
    }
    /// Accessed and dirty flags go away, so that setting them is seen again.
    void forget_flags() {
        for (const u64 at : ept_entries) change(at, model.read(at) & 0x300);
        for (const u64 at : guest_entries) change(at, model.read(at) & 0x60);
    }

    void choose_state() {
        const bool user = one_in(2), with_flags = one_in(2), logs = one_in(2);
        model.user = user;
        m.set_cpl(user ? 3 : 0);
        model.paging = !one_in(8);
        c.cr0.set(Cr0::pg, model.paging);
        c.efer.set(Efer::lma, model.paging);
        const u64 index = one_in(3) ? 0xffff : below(3);
        log_from(index);
        model.log_index = index;
        model.logs = logs;
        c.vmx.vmcs.set<VmcsField::secondary_processor_based_controls>(u64{logs} << 17 | 2);
        model.eptp = with_flags ? eptp_with_ad : eptp_plain;
        use(model.eptp);
    }
    Outcome translated(u64 linear, Access access) {
        c.pending = {};
        const Result<Hpa> at = translate(c, Gva{linear}, access);
        if (at.ok()) return {Outcome::fine, at.value().raw(), 0};
        const Pending& p = c.pending;
        if (p.kind == PendingKind::exception) return {Outcome::page_fault, p.address, p.error_code};
        const auto what = p.reason == BasicReason::ept_violation          ? Outcome::violation
                          : p.reason == BasicReason::ept_misconfiguration ? Outcome::misconfigured
                                                                          : Outcome::log_full;
        EXPECT_EQ(p.guest_linear, linear);
        return {what, p.guest_physical, p.qualification};
    }
    bool same_memory(u64 from, u64 size) {
        return std::memcmp(m.ram() + from, model.memory.data() + from, size) == 0;
    }
};

TEST_F(EptModel, TheProcessorAndTheModelDoTheSame) {
    std::array<unsigned, 5> seen{};
    for (unsigned round = 0; round < 40'000; ++round) {
        choose_state();
        if (one_in(3)) forget_flags();
        const auto changes = mutate();
        const u64 pages[]{page, other_page, guest_at::data};
        const u64 linear = pages[below(3)] + below(4096);
        const auto access = static_cast<Access>(below(3));
        const Outcome expected = model.translate(linear, access);
        ++seen[expected.what];
        ASSERT_EQ(translated(linear, access), expected) << "round " << round;
        ASSERT_TRUE(same_memory(pml4, 0x3000)) << "EPT's upper tables, round " << round;
        ASSERT_TRUE(same_memory(pt, 0x2000)) << "EPT's leaves, round " << round;
        ASSERT_TRUE(same_memory(log, 0x1000)) << "the log, round " << round;
        ASSERT_TRUE(same_memory(guest_at::page_tables, 0x1'0000)) << "round " << round;
        ASSERT_EQ(log_index(), model.log_index) << "round " << round;
        for (auto undone = changes.rbegin(); undone != changes.rend(); ++undone)
            change(undone->first, undone->second);
    }
    EXPECT_TRUE(same_memory(0, GuestCode::ram_size));
    for (const unsigned count : seen) EXPECT_GT(count, 500u);
}

}  // namespace
}  // namespace postern::cpu

// SPDX-License-Identifier: Apache-2.0
// L1's EPT and ours in one: what L2's processor finds in the shadow, what L1 finds in its own
// tables, and where the pages of the shadow come from and go to.
#include "hv/nested/shadow_ept.h"

#include <algorithm>
#include <functional>
#include <random>
#include <set>
#include <utility>

#include "hv/memory/guest_walk.h"
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

using Answer = ShadowEpt::Answer;
using Outcome = Ept12Result::Outcome;

constexpr u64 mib = 1u << 20;
constexpr u64 r = 1, w = 2, x = 4, rwx = 7, large = 0x80, accessed = 0x100, dirty = 0x200;
constexpr u64 wb = 0x30;
constexpr u64 address_bits = 0x000f'ffff'ffff'f000;
constexpr u64 pages_2m = u64{1} << 16;
constexpr u64 flags_capability = u64{1} << 21;
constexpr u64 flags_on = u64{1} << 6;

constexpr Ept12Access reads{.read = true};
constexpr Ept12Access writes{.write = true};
constexpr Ept12Access fetches{.execute = true};

// L1's memory. The large slot is of whole 2-MByte pages on both sides, the odd one of none.
constexpr u64 ram_bytes = 4 * mib;
constexpr u64 ram_host = 2 * mib;
constexpr u64 odd = 0x4000'0000;
constexpr u64 odd_host = 0x10'1000;
constexpr u64 odd_bytes = 0x4'0000;
constexpr u64 rom = 0xffff'0000;
constexpr u64 rom_host = 0x1f'0000;
constexpr u64 epc = 0x1000'0000;
constexpr u64 epc_bytes = mib;

/// Who is told what, and how: of each INVEPT how many pages the pool had, and what an L1's other
/// processor does the moment before an entry is changed.
struct Processor : FakeProcessor {
    void invept(u64 pointer) override {
        ++invepts;
        invalidated.push_back({pointer, left ? left() : 0});
    }
    void about_to_write(Hpa address, size_t size) override {
        told.emplace_back(address.raw(), size);
        if (before_write) std::exchange(before_write, nullptr)();
    }

    struct Invalidated {
        u64 pointer;
        u32 left;
    };
    std::vector<Invalidated> invalidated;
    std::vector<std::pair<u64, size_t>> told;
    std::function<void()> before_write;
    std::function<u32()> left;
};

Config with_pool(u32 pages) {
    Config config = default_config();
    config.pool = {Hpa{6 * mib}, pages};
    config.epc = {Gpa{epc}, epc_bytes};
    return config;
}

/// A processor, an L1 without anything but memory, and the shadow under test.
struct Rig {
    explicit Rig(u32 pool = 128)
        : vm{processor, devices, watcher, with_pool(pool)}, shadow{processor, vm} {
        processor.msrs[0x48c] = pages_2m | flags_capability;
        EXPECT_TRUE(vm.add_memory({Gpa{0}, ram_bytes, SlotKind::ram, Hpa{ram_host}}));
        EXPECT_TRUE(vm.add_memory({Gpa{odd}, odd_bytes, SlotKind::ram, Hpa{odd_host}}));
        EXPECT_TRUE(vm.add_memory({Gpa{rom}, 0x1'0000, SlotKind::rom, Hpa{rom_host}}));
        EXPECT_TRUE(vm.add_memory({Gpa{epc}, epc_bytes, SlotKind::epc, Hpa{host::fake::epc_host}}));
        EXPECT_TRUE(vm.create());
        processor.left = [this] { return vm.pages().left(); };
    }

    [[nodiscard]] u64 host64(u64 at) const {
        u64 value = 0;
        for (unsigned i = 0; i < 8; ++i) value |= u64{processor.ram.at(at + i)} << 8 * i;
        return value;
    }
    void set_host64(u64 at, u64 value) {
        for (unsigned i = 0; i < 8; ++i) processor.ram.at(at + i) = static_cast<u8>(value >> 8 * i);
    }
    [[nodiscard]] u64 l1_64(u64 at) const { return host64(ram_host + at); }
    void set_l1_64(u64 at, u64 value) { set_host64(ram_host + at, value); }

    /// Where the walk of an EPT ends: by hand, from the pointer.
    struct Leaf {
        u64 at = 0;
        u64 entry = 0;
        unsigned level = 0;
    };
    [[nodiscard]] Leaf shadow_leaf(u64 pointer, u64 l2) const {
        u64 table = pointer & address_bits;
        for (unsigned level = 4;; --level) {
            const u64 at = table + 8 * (l2 >> (12 + 9 * (level - 1)) & 511);
            const u64 entry = host64(at);
            if (level == 1 || (entry & rwx) == 0 || (entry & large) != 0) return {at, entry, level};
            EXPECT_EQ(entry & 0xff, rwx);
            table = entry & address_bits;
        }
    }
    [[nodiscard]] u64 pointer(u64 eptp12) {
        const Result<u64> used = shadow.use(eptp12);
        EXPECT_TRUE(used.ok());
        return used.value();
    }
    [[nodiscard]] u64 entry(u64 eptp12, u64 l2) {
        return shadow_leaf(pointer(eptp12), l2).entry & ~(accessed | dirty);
    }
    ShadowEpt::Handled handle(u64 eptp12, u64 l2, Ept12Access access) {
        return shadow.handle(eptp12, Gpa{l2}, access, rules);
    }
    [[nodiscard]] Answer answer(u64 eptp12, u64 l2, Ept12Access access) {
        return handle(eptp12, l2, access).answer;
    }

    Processor processor;
    FakeDevices devices;
    FakeWatcher watcher;
    Vm vm;
    ShadowEpt shadow;
    EptRules rules{.max_physical_bits = 46};
};

/// An EPT of L1's, in its RAM from `base` on; tables allow everything unless changed.
struct L1Ept {
    explicit L1Ept(Rig& machine, u64 base = 0x10'0000, u64 flags = 0)
        : rig{machine}, eptp{base | 0x1e | flags}, next{base + 0x1000} {}

    /// The address of the entry of `level` for `l2`, with tables above it.
    u64 at(u64 l2, unsigned last) {
        u64 table = eptp & address_bits;
        for (unsigned level = 4;; --level) {
            const u64 here = table + 8 * (l2 >> (12 + 9 * (level - 1)) & 511);
            if (level == last) return here;
            if ((rig.l1_64(here) & rwx) == 0) {
                rig.set_l1_64(here, next | rwx);
                next += 0x1000;
            }
            table = rig.l1_64(here) & address_bits;
        }
    }
    void map(u64 l2, u64 l1, u64 bits = rwx | wb, unsigned level = 1) {
        rig.set_l1_64(at(l2, level), l1 | bits | (level > 1 ? large : 0));
    }
    [[nodiscard]] u64 get(u64 l2, unsigned level) { return rig.l1_64(at(l2, level)); }
    Ept12Result walk(u64 l2, Ept12Access access) {
        return walk_ept12(rig.vm, Eptp::from_raw(eptp), Gpa{l2}, access, rig.rules);
    }

    Rig& rig;
    u64 eptp;
    u64 next;
};

constexpr u64 l2_page = 0x12'3456'7000;

TEST(Ept12Walk, FindsPagesOfThreeSizes) {
    Rig rig;
    L1Ept l1{rig};
    l1.map(l2_page, 0x5000);
    const Ept12Result small = l1.walk(l2_page + 0x123, reads);
    EXPECT_EQ(small.outcome, Outcome::found);
    EXPECT_EQ(small.address, Gpa{0x5123});
    EXPECT_EQ(small.level, 1u);
    EXPECT_EQ(small.type, MemoryType::wb);
    l1.map(0x20'0000, 0x60'0000, rwx, 2);
    const Ept12Result middle = l1.walk(0x32'1abc, writes);
    EXPECT_EQ(middle.address, Gpa{0x72'1abc});
    EXPECT_EQ(middle.level, 2u);
    EXPECT_EQ(middle.type, MemoryType::uc);
    l1.map(0x80'0000'0000, 0xc000'0000, rwx | wb | 0x40, 3);
    const Ept12Result big = l1.walk(0x80'3fff'ffff, fetches);
    EXPECT_EQ(big.address, Gpa{0xffff'ffff});
    EXPECT_EQ(big.level, 3u);
    EXPECT_TRUE(big.ignore_pat);
    EXPECT_FALSE(middle.ignore_pat);
}

TEST(Ept12Walk, PermissionsAreTheAndOfAllLevels) {
    for (const unsigned level : {1u, 2u, 3u, 4u}) {
        Rig rig;
        L1Ept l1{rig};
        l1.map(l2_page, 0x5000);
        const u64 whole = l1.get(l2_page, level);
        const auto allowed = [&](u64 bits) {
            rig.set_l1_64(l1.at(l2_page, level), (whole & ~rwx) | bits);
            return std::array{l1.walk(l2_page, reads).found(), l1.walk(l2_page, writes).found(),
                              l1.walk(l2_page, fetches).found()};
        };
        EXPECT_EQ(allowed(r), (std::array{true, false, false})) << level;
        EXPECT_EQ(allowed(r | w), (std::array{true, true, false})) << level;
        EXPECT_EQ(allowed(r | x), (std::array{true, false, true})) << level;
        EXPECT_EQ(allowed(x), (std::array{false, false, true})) << level;
        const Ept12Result refused = l1.walk(l2_page, {.read = true, .execute = true});
        EXPECT_EQ(refused.outcome, Outcome::violation);
        EXPECT_EQ(refused.permissions.to_raw(), x);
    }
    Rig rig;
    L1Ept l1{rig};
    l1.map(l2_page, 0x5000, wb);
    EXPECT_EQ(l1.walk(l2_page, reads).outcome, Outcome::violation);
    EXPECT_EQ(l1.walk(l2_page, reads).permissions.to_raw(), 0u);
    EXPECT_EQ(l1.walk(u64{1} << 48 | l2_page, reads).outcome, Outcome::violation) << "too wide";
}

TEST(Ept12Walk, MisconfigurationsAreFoundOnEveryLevel) {
    Rig rig;
    L1Ept l1{rig};
    l1.map(l2_page, 0x5000);
    for (const unsigned level : {1u, 2u, 3u, 4u}) {
        const u64 at = l1.at(l2_page, level);
        const u64 whole = rig.l1_64(at);
        for (const u64 wrong : {(whole & ~rwx) | w, (whole & ~rwx) | w | x, whole | u64{1} << 46,
                                (whole & ~u64{0x38}) | 0x10}) {
            rig.set_l1_64(at, wrong);
            EXPECT_EQ(l1.walk(l2_page, reads).outcome, Outcome::misconfiguration)
                << level << std::hex << ' ' << wrong;
        }
        rig.set_l1_64(at, (whole & ~rwx) | x);
        rig.rules.execute_only_supported = false;
        EXPECT_EQ(l1.walk(l2_page, fetches).outcome, Outcome::misconfiguration);
        rig.rules.execute_only_supported = true;
        rig.set_l1_64(at, u64{1} << 46);
        EXPECT_EQ(l1.walk(l2_page, reads).outcome, Outcome::violation) << "it is not present";
        rig.set_l1_64(at, whole);
    }
}

TEST(Ept12Walk, ATableOutsideTheRamReadsAsAllOnes) {
    for (const u64 elsewhere : {rom, epc, doorbell.raw(), nowhere.raw()}) {
        Rig rig;
        L1Ept l1{rig};
        l1.map(l2_page, 0x5000);
        rig.set_l1_64(l1.at(l2_page, 3), elsewhere | rwx);
        EXPECT_EQ(l1.walk(l2_page, reads).outcome, Outcome::misconfiguration);
        EXPECT_EQ(rig.answer(l1.eptp, l2_page, reads), Answer::misconfiguration);
        const auto root = Eptp::from_raw(elsewhere | 0x1e);
        EXPECT_EQ(walk_ept12(rig.vm, root, Gpa{0}, reads, rig.rules).outcome,
                  Outcome::misconfiguration);
        EXPECT_TRUE(rig.devices.touches.empty());
    }
}

TEST(Ept12Walk, SetsFlagsOfAnAllowedAccessIfThePointerAsksForThem) {
    Rig rig;
    L1Ept l1{rig, 0x10'0000, flags_on};
    l1.map(l2_page, 0x5000, r | x | wb);
    const auto flags = [&](unsigned level) { return l1.get(l2_page, level) & (accessed | dirty); };
    EXPECT_EQ(l1.walk(l2_page, writes).outcome, Outcome::violation);
    for (unsigned level = 1; level <= 4; ++level) EXPECT_EQ(flags(level), 0u);
    EXPECT_TRUE(rig.processor.told.empty());
    EXPECT_TRUE(l1.walk(l2_page, reads).tracks_writes);
    for (unsigned level = 1; level <= 4; ++level) EXPECT_EQ(flags(level), accessed);
    l1.map(l2_page, 0x5000);
    EXPECT_FALSE(l1.walk(l2_page, writes).tracks_writes);
    for (unsigned level = 2; level <= 4; ++level) EXPECT_EQ(flags(level), accessed);
    EXPECT_EQ(flags(1), accessed | dirty);

    Rig other;
    L1Ept without{other};
    without.map(l2_page, 0x5000);
    EXPECT_FALSE(without.walk(l2_page, writes).tracks_writes);
    for (unsigned level = 1; level <= 4; ++level)
        EXPECT_EQ(without.get(l2_page, level) & (accessed | dirty), 0u);
    EXPECT_TRUE(other.processor.told.empty());
}

TEST(Ept12Walk, TheProcessorIsToldOfEachEntryThatChanges) {
    Rig rig;
    L1Ept l1{rig, 0x10'0000, flags_on};
    l1.map(l2_page, 0x5000);
    EXPECT_TRUE(l1.walk(l2_page, writes).found());
    std::vector<std::pair<u64, size_t>> expected;
    for (unsigned level = 4; level > 0; --level)
        expected.emplace_back(ram_host + l1.at(l2_page, level), 8);
    EXPECT_EQ(rig.processor.told, expected);
    EXPECT_TRUE(l1.walk(l2_page, writes).found());
    EXPECT_EQ(rig.processor.told, expected) << "nothing is left to change";
}

TEST(Ept12Walk, AnEntryThatSomebodyChangesMeanwhileIsLeftAsItIs) {
    Rig rig;
    L1Ept l1{rig, 0x10'0000, flags_on};
    l1.map(l2_page, 0x5000);
    for (const unsigned level : {4u, 3u, 2u})
        rig.set_l1_64(l1.at(l2_page, level), l1.get(l2_page, level) | accessed);
    rig.processor.before_write = [&] { l1.map(l2_page, 0x9000, r | wb); };
    EXPECT_EQ(l1.walk(l2_page, writes).outcome, Outcome::changed);
    EXPECT_EQ(l1.get(l2_page, 1), 0x9000 | r | wb);
    // L2 goes on and comes back: then it is what the entry says now.
    l1.map(l2_page, 0x5000);
    rig.processor.before_write = [&] { l1.map(l2_page, 0x9000, r | wb); };
    EXPECT_EQ(rig.answer(l1.eptp, l2_page, writes), Answer::mapped);
    EXPECT_EQ(rig.entry(l1.eptp, l2_page), 0u);
    EXPECT_EQ(rig.answer(l1.eptp, l2_page, writes), Answer::violation);
}

TEST(Ept12Walk, AnEntryThatChangesUnderAWalkOfL2sTablesMakesItStartAgain) {
    Rig rig;
    L1Ept l1{rig, 0x10'0000, flags_on};
    for (u64 level = 0; level < 5; ++level) {
        l1.map(0x30'0000 + 0x1000 * level, 0x20'0000 + 0x1000 * level);
        if (level > 0)
            rig.set_l1_64(0x20'0000 + 0x1000 * level, (0x30'0000 + 0x1000 * level - 0x1000) | 7);
    }
    const SecondLevel second{Eptp::from_raw(l1.eptp), rig.rules};
    const PagingRegisters registers{.cr0 = {Cr0::pe, Cr0::pg},
                                    .cr3 = 0x30'4000,
                                    .cr4 = {Cr4::pae},
                                    .efer = {Efer::lme, Efer::lma},
                                    .physical_bits = 46,
                                    .second_level = &second};
    const u64 top = l1.get(0x30'4000, 4);
    rig.processor.before_write = [&] { rig.set_l1_64(l1.at(0x30'4000, 4), top | u64{1} << 62); };
    EXPECT_EQ(walk(rig.vm, registers, {}).outcome, WalkResult::Outcome::changed);
    EXPECT_EQ(l1.get(0x30'4000, 4), top | u64{1} << 62);
    rig.processor.told.clear();
    EXPECT_EQ(walk(rig.vm, registers, {}).address, Gpa{0x20'0000});
    const std::pair<u64, size_t> entry_of_l2{ram_host + 0x20'4000, 8};
    EXPECT_EQ(std::ranges::count(rig.processor.told, entry_of_l2), 1);
}

TEST(ShadowEpt, MapsRamRomAndEpcWithThePermissionsOfBoth) {
    Rig rig;
    L1Ept l1{rig};
    const auto mapped = [&](u64 page, u64 bits, Ept12Access access) {
        l1.map(l2_page, page, bits);
        rig.shadow.forget_all();
        const ShadowEpt::Handled handled = rig.handle(l1.eptp, l2_page + 0x10, access);
        EXPECT_EQ(handled.answer, Answer::mapped);
        EXPECT_EQ(handled.address, Gpa{page + 0x10});
        EXPECT_EQ(handled.permissions.to_raw(), bits & rwx);
        EXPECT_EQ(rig.shadow_leaf(rig.pointer(l1.eptp), l2_page).level, 1u);
        return rig.entry(l1.eptp, l2_page);
    };
    EXPECT_EQ(mapped(0x5000, rwx | wb, reads), ram_host + 0x5000 + 0x37);
    EXPECT_EQ(mapped(0x5000, r | wb, reads), ram_host + 0x5000 + 0x31);
    EXPECT_EQ(mapped(0x5000, r | x | wb, fetches), ram_host + 0x5000 + 0x35);
    EXPECT_EQ(mapped(0x5000, x | wb, fetches), ram_host + 0x5000 + 0x34);
    EXPECT_EQ(mapped(odd + 0x3000, rwx | wb, writes), odd_host + 0x3000 + 0x37);
    EXPECT_EQ(mapped(rom + 0x2000, rwx | wb, fetches), rom_host + 0x2000 + 0x35) << "no write";
    EXPECT_EQ(mapped(epc + 0x4000, rwx | wb, writes), host::fake::epc_host + 0x4000 + 0x37);
}

TEST(ShadowEpt, TheMemoryTypeIsL1s) {
    Rig rig;
    L1Ept l1{rig};
    u64 page = l2_page;
    for (const u64 type :
         {u64{0}, u64{1} << 3, u64{4} << 3, u64{5} << 3, u64{6} << 3, u64{6} << 3 | 0x40}) {
        l1.map(page, 0x5000, rwx | type);
        EXPECT_EQ(rig.answer(l1.eptp, page, reads), Answer::mapped);
        EXPECT_EQ(rig.entry(l1.eptp, page), ram_host + 0x5000 + rwx + type);
        page += page_size;
    }
}

TEST(ShadowEpt, RefusalsOfL1AreForL1WithItsPermissions) {
    Rig rig;
    L1Ept l1{rig};
    l1.map(l2_page, 0x5000, r | wb);
    const ShadowEpt::Handled refused = rig.handle(l1.eptp, l2_page, writes);
    EXPECT_EQ(refused.answer, Answer::violation);
    EXPECT_EQ(refused.permissions.to_raw(), r);
    EXPECT_EQ(rig.answer(l1.eptp, l2_page + page_size, reads), Answer::violation);
    l1.map(l2_page, 0x5000, w | x | wb);
    EXPECT_EQ(rig.answer(l1.eptp, l2_page, writes), Answer::misconfiguration);
    EXPECT_EQ(rig.entry(l1.eptp, l2_page), 0u) << "nothing is mapped";
}

TEST(ShadowEpt, WhatIsNoMemoryOfL1sIsADevice) {
    Rig rig;
    L1Ept l1{rig};
    for (const auto& [page, access] : {std::pair{nowhere.raw(), reads},
                                       {doorbell.raw(), writes},
                                       {u64{0xfee0'0000}, writes},
                                       {rom, writes}}) {
        l1.map(l2_page, page);
        const ShadowEpt::Handled handled = rig.handle(l1.eptp, l2_page + 0xabc, access);
        EXPECT_EQ(handled.answer, Answer::device) << std::hex << page;
        EXPECT_EQ(handled.address, Gpa{page + 0xabc});
        EXPECT_EQ(handled.permissions.to_raw(), rwx);
        EXPECT_EQ(rig.entry(l1.eptp, l2_page), 0u);
    }
    EXPECT_TRUE(rig.devices.touches.empty()) << "answering it is the caller's";
}

/// L2 as its processor runs it: what the shadow does not allow exits, what it allows does not.
/// False: L1 is to decide.
bool l2_does(Rig& rig, u64 eptp12, u64 l2, Ept12Access access) {
    const u64 wanted = (access.read ? r : 0) | (access.write ? w : 0) | (access.execute ? x : 0);
    for (unsigned exits = 0; exits < 3; ++exits) {
        if ((rig.entry(eptp12, l2) & wanted) == wanted) return true;
        if (rig.answer(eptp12, l2, access) != Answer::mapped) return false;
    }
    ADD_FAILURE() << "the same exit again and again";
    return false;
}

TEST(ShadowEpt, WithFlagsOnThePageIsWritableOnceL1KnowsItIsDirty) {
    Rig rig;
    L1Ept l1{rig, 0x10'0000, flags_on};
    l1.map(l2_page, 0x5000);
    EXPECT_TRUE(l2_does(rig, l1.eptp, l2_page, reads));
    EXPECT_EQ(rig.entry(l1.eptp, l2_page), ram_host + 0x5000 + 0x35);
    EXPECT_EQ(l1.get(l2_page, 1) & dirty, 0u);
    const size_t invepts = rig.processor.invepts;
    EXPECT_TRUE(l2_does(rig, l1.eptp, l2_page, writes));
    EXPECT_EQ(rig.processor.invepts, invepts + 1) << "an entry was replaced";
    EXPECT_EQ(rig.entry(l1.eptp, l2_page), ram_host + 0x5000 + 0x37);
    EXPECT_EQ(l1.get(l2_page, 1) & dirty, dirty);

    // Large pages likewise.
    l1.map(0x20'0000, 0x20'0000, rwx | wb, 2);
    EXPECT_TRUE(l2_does(rig, l1.eptp, 0x20'1000, reads));
    EXPECT_EQ(rig.entry(l1.eptp, 0x20'1000), ram_host + 0x20'0000 + 0xb5);
    EXPECT_TRUE(l2_does(rig, l1.eptp, 0x20'1000, writes));
    EXPECT_EQ(rig.entry(l1.eptp, 0x20'1000), ram_host + 0x20'0000 + 0xb7);
    EXPECT_EQ(l1.get(0x20'0000, 2) & dirty, dirty);
}

TEST(ShadowEpt, WithoutTheDirtyFlagsWriteProtectionTheFirstWriteIsLost) {
    Rig rig;
    L1Ept l1{rig, 0x10'0000, flags_on};
    l1.map(l2_page, 0x5000);
    EXPECT_TRUE(l2_does(rig, l1.eptp, l2_page, reads));
    const Rig::Leaf leaf = rig.shadow_leaf(rig.pointer(l1.eptp), l2_page);
    rig.set_host64(leaf.at, leaf.entry | w);
    EXPECT_TRUE(l2_does(rig, l1.eptp, l2_page, writes));
    EXPECT_EQ(l1.get(l2_page, 1) & dirty, 0u) << "the page was written, and L1 does not learn it";
}

TEST(ShadowEpt, TheProcessorHasFlagsOnIfL1AndTheProcessorHave) {
    Rig rig;
    L1Ept l1{rig, 0x10'0000, flags_on};
    EXPECT_EQ(rig.pointer(l1.eptp) & 0xfff, 0x5eu);
    EXPECT_EQ(rig.pointer(l1.eptp & ~flags_on) & 0xfff, 0x1eu);
    rig.processor.msrs[0x48c] = pages_2m;
    EXPECT_EQ(rig.pointer(l1.eptp) & 0xfff, 0x1eu);
}

TEST(ShadowEpt, TheProcessorsOwnFlagsAreNoDifference) {
    Rig rig;
    L1Ept l1{rig};
    l1.map(l2_page, 0x5000);
    EXPECT_TRUE(l2_does(rig, l1.eptp, l2_page, writes));
    const Rig::Leaf leaf = rig.shadow_leaf(rig.pointer(l1.eptp), l2_page);
    rig.set_host64(leaf.at, leaf.entry | accessed | dirty);
    const size_t invepts = rig.processor.invepts;
    EXPECT_EQ(rig.answer(l1.eptp, l2_page, writes), Answer::mapped);
    EXPECT_EQ(rig.processor.invepts, invepts);
}

TEST(ShadowEpt, LargePagesNeedOneOfEach) {
    struct Case {
        u64 l1;
        unsigned l1_level;
        u64 capabilities;
        unsigned expected;
        u64 host;
    };
    for (const Case& c : {
             Case{0x20'0000, 2, pages_2m, 2, ram_host + 0x20'0000},
             Case{0x20'0000, 2, 0, 1, ram_host + 0x20'3000},
             Case{0x20'3000, 1, pages_2m, 1, ram_host + 0x20'3000},
             Case{odd, 2, pages_2m, 1, odd_host + 0x3000},
             Case{epc, 2, pages_2m, 1, host::fake::epc_host + 0x3000},
             Case{0, 3, pages_2m | u64{1} << 17, 2, ram_host},
         }) {
        Rig rig;
        rig.processor.msrs[0x48c] = c.capabilities;
        rig.vm.ept().restore(rig.vm.ept().state());  // it reads them
        L1Ept l1{rig};
        l1.map(c.l1_level == 1 ? 0x8000'3000 : 0x8000'0000, c.l1, rwx | wb, c.l1_level);
        EXPECT_EQ(rig.answer(l1.eptp, 0x8000'3000, reads), Answer::mapped);
        const Rig::Leaf leaf = rig.shadow_leaf(rig.pointer(l1.eptp), 0x8000'3000);
        EXPECT_EQ(leaf.level, c.expected) << std::hex << c.l1;
        EXPECT_EQ(leaf.entry & address_bits, c.host) << std::hex << c.l1;
    }
}

TEST(ShadowEpt, AStaleEntryIsMappedAnew) {
    Rig rig;
    L1Ept l1{rig};
    l1.map(l2_page, 0x5000, r | wb);
    EXPECT_EQ(rig.answer(l1.eptp, l2_page, reads), Answer::mapped);
    EXPECT_EQ(rig.processor.invepts, 0u) << "there was nothing to forget";
    l1.map(l2_page, 0x5000);
    EXPECT_EQ(rig.answer(l1.eptp, l2_page, writes), Answer::mapped);
    EXPECT_EQ(rig.entry(l1.eptp, l2_page), ram_host + 0x5000 + 0x37);
    ASSERT_EQ(rig.processor.invepts, 1u);
    EXPECT_EQ(rig.processor.invalidated.back().pointer, rig.pointer(l1.eptp));
}

TEST(ShadowEpt, AStaleLargePageGivesWayToSmallOnesAndBack) {
    Rig rig;
    L1Ept l1{rig};
    l1.map(0, 0x20'0000, r | wb, 2);
    EXPECT_EQ(rig.answer(l1.eptp, 0x3000, reads), Answer::mapped);
    rig.set_l1_64(l1.at(0, 2), 0);
    l1.map(0x3000, 0x7000);
    EXPECT_EQ(rig.answer(l1.eptp, 0x3000, writes), Answer::mapped);
    EXPECT_EQ(rig.entry(l1.eptp, 0x3000), ram_host + 0x7000 + 0x37);
    EXPECT_EQ(rig.entry(l1.eptp, 0x4000), 0u);
    EXPECT_GE(rig.processor.invepts, 1u);
    // Where a table stands already, a large page of L1's comes in small ones.
    rig.set_l1_64(l1.at(0, 2), 0x20'0000 | rwx | wb | large);
    EXPECT_EQ(rig.answer(l1.eptp, 0x4000, writes), Answer::mapped);
    EXPECT_EQ(rig.entry(l1.eptp, 0x4000), ram_host + 0x20'4000 + 0x37);
    EXPECT_EQ(rig.entry(l1.eptp, 0x3000), ram_host + 0x7000 + 0x37) << "as a TLB would have it";
    rig.shadow.forget(l1.eptp);
    EXPECT_EQ(rig.answer(l1.eptp, 0x4000, writes), Answer::mapped);
    EXPECT_EQ(rig.entry(l1.eptp, 0x3000), ram_host + 0x20'0000 + 0xb7);
}

TEST(ShadowEpt, EachPointerOfL1sHasAShadowOfItsOwn) {
    Rig rig;
    L1Ept l1{rig};
    l1.map(l2_page, 0x5000);
    const u64 first = rig.pointer(l1.eptp);
    EXPECT_EQ(rig.answer(l1.eptp, l2_page, reads), Answer::mapped);
    const u64 second = rig.pointer(l1.eptp | flags_on);
    EXPECT_NE(first & address_bits, second & address_bits) << "all bits of it count";
    EXPECT_EQ(rig.entry(l1.eptp | flags_on, l2_page), 0u);
    EXPECT_EQ(rig.pointer(l1.eptp), first);
    EXPECT_NE(rig.entry(l1.eptp, l2_page), 0u);
    EXPECT_FALSE(rig.shadow.use(0).ok()) << "no EPT pointer";
}

TEST(ShadowEpt, TheContextUsedLongestAgoMakesRoom) {
    Rig rig;
    L1Ept l1{rig};
    l1.map(l2_page, 0x5000);
    const auto eptp = [&](u64 n) { return l1.eptp + n * 0x10'0000; };
    const u64 first = rig.pointer(eptp(0));
    EXPECT_EQ(rig.answer(eptp(0), l2_page, reads), Answer::mapped);
    for (u64 n = 1; n < 4; ++n) static_cast<void>(rig.pointer(eptp(n)));
    EXPECT_EQ(rig.pointer(eptp(0)), first) << "used again";
    const u64 victim = rig.pointer(eptp(1));
    static_cast<void>(rig.pointer(eptp(2)));
    static_cast<void>(rig.pointer(eptp(3)));
    static_cast<void>(rig.pointer(eptp(0)));
    const u32 left = rig.vm.pages().left();
    rig.processor.invalidated.clear();
    static_cast<void>(rig.pointer(eptp(9)));
    ASSERT_EQ(rig.processor.invalidated.size(), 1u);
    EXPECT_EQ(rig.processor.invalidated[0].pointer, victim);
    EXPECT_EQ(rig.processor.invalidated[0].left, left) << "before a page is given back";
    EXPECT_EQ(rig.vm.pages().left(), left);
    EXPECT_NE(rig.entry(eptp(0), l2_page), 0u);
}

TEST(ShadowEpt, InveptOfOneContextForgetsAllPointersWithItsTable) {
    Rig rig;
    L1Ept l1{rig};
    L1Ept other{rig, 0x20'0000};
    l1.map(l2_page, 0x5000);
    other.map(l2_page, 0x6000);
    const u32 before = rig.vm.pages().left();
    const u64 pointer = rig.pointer(l1.eptp);
    for (const u64 eptp : {l1.eptp, l1.eptp | flags_on, other.eptp})
        EXPECT_EQ(rig.answer(eptp, l2_page, reads), Answer::mapped);
    rig.shadow.forget(l1.eptp);
    EXPECT_EQ(rig.entry(l1.eptp, l2_page), 0u);
    EXPECT_EQ(rig.entry(l1.eptp | flags_on, l2_page), 0u);
    EXPECT_NE(rig.entry(other.eptp, l2_page), 0u);
    EXPECT_EQ(rig.pointer(l1.eptp), pointer) << "and its VMCS may keep it";
    EXPECT_EQ(rig.vm.pages().left(), before - 3 - 3) << "three roots, one shadow's tables";
    rig.shadow.forget_all();
    EXPECT_EQ(rig.entry(other.eptp, l2_page), 0u);
    EXPECT_EQ(rig.vm.pages().left(), before - 3);
    EXPECT_EQ(rig.shadow.state().pages, 3u);
}

TEST(ShadowEpt, AnExhaustedPoolTakesFromOtherContextsThenFromItself) {
    // The EPT's root, the APIC page, two shadows of four pages, and one page.
    Rig rig{2 + 4 + 4 + 1};
    L1Ept l1{rig};
    L1Ept other{rig, 0x20'0000};
    for (u64 n = 0; n < 4; ++n) l1.map(n << 39, 0x5000);
    other.map(l2_page, 0x6000);
    EXPECT_EQ(rig.answer(other.eptp, l2_page, reads), Answer::mapped);
    EXPECT_EQ(rig.answer(l1.eptp, 0, reads), Answer::mapped);
    EXPECT_EQ(rig.vm.pages().left(), 1u);
    const u64 pointer = rig.pointer(l1.eptp);
    EXPECT_EQ(rig.answer(l1.eptp, u64{1} << 39, reads), Answer::mapped);
    EXPECT_EQ(rig.entry(l1.eptp, 0), ram_host + 0x5000 + 0x37) << "its own is still there";
    EXPECT_EQ(rig.shadow.state().pages, 7u) << "the other is gone";
    EXPECT_EQ(rig.answer(l1.eptp, u64{2} << 39, reads), Answer::mapped);
    EXPECT_EQ(rig.entry(l1.eptp, u64{2} << 39), ram_host + 0x5000 + 0x37);
    EXPECT_EQ(rig.entry(l1.eptp, 0), 0u) << "nothing but its own was left to take";
    EXPECT_EQ(rig.pointer(l1.eptp), pointer);
    // A new context takes what the old one has.
    while (rig.vm.pages().left() > 0) ASSERT_TRUE(rig.vm.pages().take().ok());
    EXPECT_TRUE(rig.shadow.use(other.eptp).ok());
    EXPECT_EQ(rig.answer(other.eptp, l2_page, reads), Answer::mapped);
}

TEST(ShadowEpt, APoolThatIsTooSmallFailsAndLosesNothing) {
    Rig rig{2 + 3};
    L1Ept l1{rig};
    l1.map(l2_page, 0x5000);
    EXPECT_EQ(rig.answer(l1.eptp, l2_page, reads), Answer::out_of_pages) << "four are needed";
    rig.shadow.forget_all();
    EXPECT_EQ(rig.vm.pages().left(), 2u) << "the root";
    EXPECT_EQ(rig.shadow.state().pages, 1u);
    Rig none{2};
    EXPECT_FALSE(none.shadow.use(l1.eptp).ok());
    EXPECT_EQ(none.answer(l1.eptp, 0, reads), Answer::violation) << "L1's own answer comes first";
}

TEST(ShadowEpt, APageLimitHoldsForEachProcessor) {
    Rig rig{512};
    ASSERT_GT(ShadowEpt::page_limit, 512u) << "the fake's pool is smaller: the limit is met below";
    ShadowEpt::State state;
    state.pages = ShadowEpt::page_limit - 4;
    ASSERT_TRUE(rig.shadow.restore(state));
    L1Ept l1{rig};
    l1.map(0, 0x5000);
    l1.map(u64{1} << 39, 0x6000);
    EXPECT_EQ(rig.answer(l1.eptp, 0, reads), Answer::mapped);
    EXPECT_EQ(rig.shadow.state().pages, ShadowEpt::page_limit);
    const u32 left = rig.vm.pages().left();
    EXPECT_EQ(rig.answer(l1.eptp, u64{1} << 39, reads), Answer::mapped);
    EXPECT_EQ(rig.vm.pages().left(), left);
    EXPECT_EQ(rig.entry(l1.eptp, 0), 0u) << "its tables went, and it starts again";
    EXPECT_NE(rig.entry(l1.eptp, u64{1} << 39), 0u);
}

TEST(ShadowEpt, AChangeOfOurOwnEptDropsEveryShadow) {
    Rig rig;
    L1Ept l1{rig};
    l1.map(l2_page, 0x5000);
    L1Ept other{rig, 0x20'0000};
    other.map(l2_page, 0x6000);
    const auto fill = [&] {
        for (const u64 eptp : {l1.eptp, other.eptp})
            EXPECT_EQ(rig.answer(eptp, l2_page, reads), Answer::mapped);
    };
    fill();
    const u64 pointer = rig.pointer(l1.eptp);
    const MemorySlot* const slot = rig.vm.memory().find(Gpa{0x5000});
    ASSERT_TRUE(rig.vm.ept().map(*slot, Gpa{0x5000}).ok());
    EXPECT_NE(rig.entry(l1.eptp, l2_page), 0u) << "nothing is taken back";
    EXPECT_TRUE(rig.vm.forget(Gpa{0x5000}));
    EXPECT_EQ(rig.entry(l1.eptp, l2_page), 0u);
    EXPECT_EQ(rig.entry(other.eptp, l2_page), 0u);
    EXPECT_EQ(rig.pointer(l1.eptp), pointer);
    fill();
    EXPECT_FALSE(rig.vm.forget(Gpa{0x7000}.page() + 8 * mib)) << "only a shadow may have it";
    EXPECT_EQ(rig.handle(l1.eptp, l2_page + page_size, reads).answer, Answer::violation);
    EXPECT_EQ(rig.shadow_leaf(pointer, l2_page).entry, 0u) << "handle() notices, too";
}

TEST(ShadowEpt, IsRestoredWithItsTables) {
    Rig rig;
    L1Ept l1{rig};
    l1.map(l2_page, 0x5000);
    EXPECT_EQ(rig.answer(l1.eptp, l2_page, reads), Answer::mapped);
    const u64 pointer = rig.pointer(l1.eptp);
    ShadowEpt other{rig.processor, rig.vm};
    ASSERT_TRUE(other.restore(rig.shadow.state()));
    EXPECT_EQ(other.use(l1.eptp).value(), pointer);
    EXPECT_NE(rig.shadow_leaf(pointer, l2_page).entry, 0u);
}

TEST(ShadowEpt, AStateThatCannotBeItsOwnIsRefused) {
    Rig rig;
    L1Ept l1{rig};
    const u64 root = rig.pointer(l1.eptp) & address_bits;
    static_cast<void>(rig.pointer(l1.eptp | flags_on));
    const ShadowEpt::State whole = rig.shadow.state();
    const auto refuses = [&](const std::function<void(ShadowEpt::State&)>& spoil) {
        ShadowEpt::State state = whole;
        spoil(state);
        ShadowEpt other{rig.processor, rig.vm};
        return !other.restore(state) && other.state().contexts[0].root == 0;
    };
    EXPECT_FALSE(refuses([](auto&) {}));
    EXPECT_TRUE(refuses([&](auto& s) { s.contexts[0].root = root + 8; }));
    EXPECT_TRUE(refuses([&](auto& s) { s.contexts[0].root = 0; }));
    EXPECT_TRUE(refuses([&](auto& s) { s.contexts[0].root = ram_host; }));
    EXPECT_TRUE(refuses([&](auto& s) { s.contexts[0].root = root + 10'000 * page_size; }));
    EXPECT_TRUE(refuses([&](auto& s) { s.contexts[1].root = root; }));
    EXPECT_TRUE(refuses([&](auto& s) { s.contexts[1].eptp12 = s.contexts[0].eptp12; }));
    EXPECT_TRUE(refuses([&](auto& s) { s.contexts[1].eptp12 = 0; }));
    EXPECT_TRUE(refuses([&](auto& s) { s.contexts[2].last_used = 1; }));
    EXPECT_TRUE(refuses([&](auto& s) { s.contexts[0].last_used = s.uses + 1; }));
    EXPECT_TRUE(refuses([&](auto& s) { s.pages = 1; }));
    EXPECT_TRUE(refuses([&](auto& s) { s.pages = ShadowEpt::page_limit + 1; }));
}

TEST(ShadowEpt, TablesThatASnapshotHasSpoiltAreNotFollowedOutOfThePool) {
    for (const u64 wild : {u64{0x7fff'ffff'f000}, u64{0}, ram_host, u64{8} * mib}) {
        Rig rig;
        L1Ept l1{rig};
        l1.map(l2_page, 0x5000);
        const u64 pointer = rig.pointer(l1.eptp);
        EXPECT_EQ(rig.answer(l1.eptp, l2_page, reads), Answer::mapped);
        rig.set_host64((pointer & address_bits) + 8 * (l2_page >> 39), wild | rwx);
        EXPECT_EQ(rig.answer(l1.eptp, l2_page, reads), Answer::mapped) << "started again";
        EXPECT_EQ(rig.entry(l1.eptp, l2_page), ram_host + 0x5000 + 0x37);
        for (u64 at = 0; at < page_size; at += 8) EXPECT_EQ(rig.l1_64(at), 0u) << "no table there";
        // And a root that is its own table, at every level.
        for (u64 n = 0; n < 512; ++n)
            rig.set_host64((pointer & address_bits) + 8 * n, (pointer & address_bits) | rwx);
        rig.shadow.forget_all();
        EXPECT_LE(rig.shadow.state().pages, ShadowEpt::page_limit);
        for (unsigned n = 0; n < 200; ++n) {
            const Result<Hpa> page = rig.vm.pages().take();
            if (page.ok()) {
                EXPECT_TRUE(rig.vm.pages().owns(page.value().raw())) << std::hex << wild;
            }
        }
    }
}

/// The same composition, straightforwardly: from the bits in L1's tables to what the shadow has to
/// hold, a page of 4 KBytes at a time.
struct Composition {
    u64 host = 0;
    u64 bits = 0;  // permissions and type, as in an entry
    u64 l1 = 0;
    u64 permissions = 0;
    std::vector<std::pair<u64, u64>> flags;  // what L1's entries have to hold afterwards
    Answer answer;

    Composition(const Rig& rig, u64 eptp12, u64 l2, u64 wanted)
        : answer{compose(rig, eptp12, l2, wanted)} {}

    Answer compose(const Rig& rig, u64 eptp12, u64 l2, u64 wanted) {
        u64 entry = 0;
        unsigned level = 5;
        u64 table = eptp12 & address_bits;
        permissions = rwx;
        do {
            --level;
            const u64 at = table + 8 * (l2 >> (12 + 9 * (level - 1)) & 511);
            if (at >= ram_bytes) return Answer::misconfiguration;
            entry = rig.l1_64(at);
            if (is_wrong(entry, level)) return Answer::misconfiguration;
            permissions &= entry;
            flags.emplace_back(at, entry);
            if ((entry & rwx) == 0) return Answer::violation;
            table = entry & address_bits;
        } while (level > 1 && (entry & large) == 0);
        if ((permissions & wanted) != wanted) return Answer::violation;
        const u64 inside = (u64{1} << (12 + 9 * (level - 1))) - 1;
        l1 = (entry & address_bits & ~inside) | (l2 & inside);
        if ((eptp12 & flags_on) != 0) {
            for (auto& [at, value] : flags) value |= accessed;
            if ((wanted & w) != 0) flags.back().second |= dirty;
        }
        bits = (entry & 0x78) | permissions;
        if ((eptp12 & flags_on) != 0 && (flags.back().second & dirty) == 0) bits &= ~w;
        if (!find_host() || (is_rom() && (wanted & w) != 0)) return Answer::device;
        if (is_rom()) bits &= ~w;
        return Answer::mapped;
    }
    [[nodiscard]] bool is_rom() const { return l1 >= rom && l1 - rom < 0x1'0000; }
    bool find_host() {
        if (l1 < ram_bytes)
            host = ram_host + l1;
        else if (l1 >= odd && l1 - odd < odd_bytes)
            host = odd_host + (l1 - odd);
        else if (l1 >= epc && l1 - epc < epc_bytes)
            host = host::fake::epc_host + (l1 - epc);
        else if (is_rom())
            host = rom_host + (l1 - rom);
        return host != 0;
    }
    static bool is_wrong(u64 entry, unsigned level) {
        if ((entry & rwx) == 0) return false;
        if ((entry & 3) == 2) return true;
        if ((entry >> 46 & 0x3f) != 0) return true;
        const bool page = level == 1 || (level < 4 && (entry & large) != 0);
        if (!page) return (entry & (level == 4 ? 0xf8 : 0x78)) != 0;
        if (level == 2 && (entry & 0x1f'f000) != 0) return true;
        if (level == 3 && (entry & 0x3fff'f000) != 0) return true;
        const u64 type = entry >> 3 & 7;
        return type == 2 || type == 3 || type == 7;
    }
};

/// L1's EPTs at random, over few addresses so that they collide, mostly well-formed.
class RandomEpt {
public:
    RandomEpt(Rig& rig, std::mt19937_64& random, u64 flags)
        : random_{random}, l1{rig, 0x10'0000, flags} {
        for (unsigned n = 0; n < 24; ++n) add(rig);
        for (const u64 table : tables_)
            if (one_in(16)) spoil(rig, table);
    }
    u64 address() {
        return pick({0, u64{1} << 39, u64{511} << 39}) + pick({0, 0x4000'0000}) +
               pick({0, 0x20'0000, 0x60'0000}) + page_size * (random_() % 3) +
               random_() % page_size;
    }
    u64 pick(const std::vector<u64>& of) { return of[random_() % of.size()]; }
    bool one_in(unsigned n) { return random_() % n == 0; }

private:
    void add(Rig& rig) {
        const u64 l2 = address();
        unsigned level = 1;
        if (one_in(3)) level = one_in(4) ? 3 : 2;
        for (unsigned above = 4; above > level; --above)
            if (above < 4 && (rig.l1_64(l1.at(l2, above)) & large) != 0) return;
        l1.map(l2, target(level), bits(), level);
        for (unsigned above = 4; above > level; --above) tables_.push_back(l1.at(l2, above));
    }
    u64 target(unsigned level) {
        if (one_in(20)) return 0x1000 * (random_() % 0x400);  // misaligned, if it is large
        if (level == 3) return pick({0, odd, 0xc000'0000});
        if (level == 2) return pick({0, 0x20'0000, odd, epc, 0xffe0'0000, nowhere.raw()});
        return pick({0x5000, 0x6000, 0x20'7000, odd + 0x3000, odd + odd_bytes, epc, rom + 0x1000,
                     rom, nowhere.raw(), doorbell.raw(), ram_bytes - 0x1000, ram_bytes});
    }
    u64 bits() {
        const u64 permissions = one_in(3) ? random_() & rwx : rwx;
        return permissions | (one_in(4) ? random_() & 0x78 : wb) |
               (one_in(4) ? random_() & (accessed | dirty) : 0);
    }
    void spoil(Rig& rig, u64 at) {
        const u64 entry = rig.l1_64(at);
        rig.set_l1_64(at, one_in(4)   ? entry | u64{8} << random_() % 4
                          : one_in(3) ? (rom | rwx)
                                      : (entry & ~rwx) | (random_() & rwx));
    }

    std::mt19937_64& random_;
    std::vector<u64> tables_;

public:
    L1Ept l1;
};

/// What `answers` counts says that the trials reach every end.
struct Trial {
    Trial(std::mt19937_64& random, std::array<size_t, 5>& answers, size_t& large_pages)
        : answers_{answers}, large_pages_{large_pages},
          ept_{rig_, random, random() % 2 != 0 ? flags_on : 0} {}

    void access() {
        const u64 l2 = ept_.address();
        const u64 wanted = ept_.pick({r, w, x, r | w});
        const Composition expected{rig_, ept_.l1.eptp, l2, wanted};
        const ShadowEpt::Handled handled = rig_.handle(
            ept_.l1.eptp, l2, {(wanted & r) != 0, (wanted & w) != 0, (wanted & x) != 0});
        ASSERT_EQ(handled.answer, expected.answer) << std::hex << l2;
        ++answers_.at(static_cast<size_t>(handled.answer));
        for (const auto& [at, value] : expected.flags) EXPECT_EQ(rig_.l1_64(at), value);
        if (handled.answer != Answer::misconfiguration) {
            EXPECT_EQ(handled.permissions.to_raw(), expected.permissions & rwx);
        }
        if (handled.answer == Answer::mapped || handled.answer == Answer::device) {
            EXPECT_EQ(handled.address.raw(), expected.l1);
        }
        if (handled.answer == Answer::mapped) mapped_.insert(l2 & ~u64{0xfff});
        compare(l2, handled.answer == Answer::mapped);
    }

private:
    /// The page just mapped is exactly what it should be, the older ones allow at most that.
    void compare(u64 l2, bool exactly) {
        const u64 pointer = rig_.pointer(ept_.l1.eptp);
        for (const u64 page : mapped_) {
            const Rig::Leaf leaf = rig_.shadow_leaf(pointer, page);
            if ((leaf.entry & rwx) == 0) continue;
            const Composition now{rig_, ept_.l1.eptp, page, 0};
            const u64 inside = (u64{1} << (12 + 9 * (leaf.level - 1))) - 1;
            EXPECT_EQ((leaf.entry & address_bits & ~inside) | (page & inside), now.host);
            EXPECT_EQ(leaf.entry & 0x78, now.bits & 0x78);
            EXPECT_EQ(leaf.entry & rwx & ~now.bits, 0u) << std::hex << page;
            large_pages_ += leaf.level == 2 ? 1 : 0;
        }
        if (!exactly) return;
        const Composition now{rig_, ept_.l1.eptp, l2, 0};
        EXPECT_EQ(rig_.entry(ept_.l1.eptp, l2) & rwx, now.bits & rwx) << std::hex << l2;
    }

    std::array<size_t, 5>& answers_;
    size_t& large_pages_;
    Rig rig_;
    RandomEpt ept_;
    std::set<u64> mapped_;
};

TEST(ShadowEpt, IsTheCompositionOfRandomEptsAndOurMemory) {
    constexpr u64 seed = 20'261'122;
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random{seed};
    std::array<size_t, 5> answers{};
    size_t large_pages = 0;
    for (unsigned trial = 0; trial < 300 && !HasFailure(); ++trial) {
        SCOPED_TRACE(testing::Message() << "trial " << trial);
        Trial one{random, answers, large_pages};
        for (unsigned n = 0; n < 60 && !HasFailure(); ++n) one.access();
    }
    for (const Answer reached :
         {Answer::mapped, Answer::violation, Answer::misconfiguration, Answer::device})
        EXPECT_GT(answers.at(static_cast<size_t>(reached)), 300u);
    EXPECT_EQ(answers.at(static_cast<size_t>(Answer::out_of_pages)), 0u);
    EXPECT_GT(large_pages, 300u);
}

}  // namespace
}  // namespace postern::hv::test

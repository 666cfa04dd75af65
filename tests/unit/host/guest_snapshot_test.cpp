// SPDX-License-Identifier: Apache-2.0
// Hypervisor and guest are saved together, and what is loaded goes on as if nothing had been.
#include <gtest/gtest.h>

#include "cpu/model.h"
#include "host/guest.h"
#include "unit/platform/elf_image.h"

namespace postern::host {
namespace {

class Recorded final : public hv::Watcher {
public:
    void exit(const hv::ExitRecord& record) override { exits.push_back(record); }
    void anomaly(hv::Anomaly, const hv::ExitRecord&) override {}
    void stopped(const hv::StopReport&) override {}

    std::vector<hv::ExitRecord> exits;
};

/// A guest of two processors with what it writes to.
struct Whole {
    explicit Whole(const std::vector<u8>& code, bool test_devices = false) {
        GuestConfig config;
        config.layout = platform::layout_of(16 * platform::mib, 2 * platform::mib);
        config.model = &cpu::default_model();
        config.processors = 2;
        config.test_devices = test_devices;
        config.kernel.name = "test";
        if (!code.empty()) config.kernel.file = file_of(code);
        auto made = Guest::create(std::move(config), {serial, debug, recorded, {}});
        EXPECT_TRUE(made.has_value());
        guest = std::move(*made);
    }
    static std::vector<u8> file_of(const std::vector<u8>& code) {
        test::ElfFile file;
        file.entry(0x10'0000);
        file.add({1, 0x1000, 0x10'0000, code.size(), 0x2000});
        for (size_t i = 0; i < code.size(); ++i) file.put(0x1000 + i, code[i], 1);
        return file.bytes;
    }
    std::string digest() { return state_digest(guest->subject()); }

    platform::StringSink serial, debug;
    Recorded recorded;
    std::unique_ptr<Guest> guest;
};

// mov edi, 0fe000000h; l: mov eax, [rdi]; in al, 40h; out 80h, al; inc ecx; jmp l
const std::vector<u8> busy{0xbf, 0,    0,    0,    0xfe, 0x8b, 0x07, 0xe4,
                           0x40, 0xe6, 0x80, 0xff, 0xc1, 0xeb, 0xf6};

TEST(GuestSnapshot, ALoadedGuestGoesOnAsTheSavedOne) {
    for (const u64 where : {1u, 1'000u, 1'001u, 4'567u}) {
        Whole saved{busy};
        EXPECT_FALSE(saved.guest->run_until(where));
        const platform::snapshot::Bytes bytes = snapshot_bytes(saved.guest->subject());
        saved.recorded.exits.clear();
        EXPECT_FALSE(saved.guest->run_until(9'000));

        Whole loaded{{}};
        ASSERT_TRUE(load_snapshot(loaded.guest->subject(), bytes, "memory").has_value());
        EXPECT_EQ(loaded.guest->now(), where);
        EXPECT_FALSE(loaded.guest->run_until(9'000));
        EXPECT_EQ(loaded.digest(), saved.digest()) << where;
        EXPECT_EQ(loaded.recorded.exits, saved.recorded.exits) << where;
        EXPECT_FALSE(saved.recorded.exits.empty());
    }
}

TEST(GuestSnapshot, TheHostsTimerIsSavedToo) {
    Whole saved{{0xeb, 0xfe}};  // jmp $
    EXPECT_FALSE(saved.guest->run_until(100));
    saved.guest->port().set_timer(5'000);
    const platform::snapshot::Bytes bytes = snapshot_bytes(saved.guest->subject());
    Whole loaded{{}};
    ASSERT_TRUE(load_snapshot(loaded.guest->subject(), bytes, "memory").has_value());
    EXPECT_FALSE(loaded.guest->run_until(10'000));
    ASSERT_FALSE(loaded.recorded.exits.empty());
    EXPECT_EQ(loaded.recorded.exits.back().tsc, 5'000u);
}

/// BAR 0 of the function in the first slot, and its command register: memory is decoded.
void move_doorbell(Guest& guest, u32 address) {
    const auto write = [&](u32 offset, u32 value) {
        guest.bus().out(0xcf8, 4, 1u << 31 | 1u << 11 | offset);
        guest.bus().out(0xcfc, 4, value);
    };
    write(0x10, address);
    write(4, 2);
}

TEST(GuestSnapshot, TheDoorbellIsWhereSoftwareHasPutIt) {
    constexpr u32 place = 0xd000'0000;
    Whole saved{busy, true};
    const u64 before = saved.guest->devices().doorbell_function->address();
    move_doorbell(*saved.guest, place);
    ASSERT_EQ(saved.guest->devices().doorbell_function->address(), place);
    ASSERT_NE(before, place);
    const platform::snapshot::Bytes bytes = snapshot_bytes(saved.guest->subject());
    Whole loaded{{}, true};
    ASSERT_TRUE(load_snapshot(loaded.guest->subject(), bytes, "memory").has_value());
    EXPECT_EQ(loaded.guest->devices().doorbell_function->address(), place);
    EXPECT_EQ(loaded.guest->bus().read(Hpa{place + 4}, 4), platform::Doorbell::load_value + 4);
    EXPECT_EQ(loaded.digest(), saved.digest());
    Whole without{{}};
    EXPECT_FALSE(load_snapshot(without.guest->subject(), bytes, "memory").has_value());
}

/// Exits that take no time, more of them than are free: in the midst of them is as good a place.
TEST(GuestSnapshot, HowManyExitsTookNoTimeIsSavedToo) {
    std::vector<u8> code;
    for (unsigned n = 0; n < 3000; ++n) code.insert(code.end(), {0xe6, 0x80});  // out 80h, al
    code.insert(code.end(), {0xeb, 0xfe});                                      // jmp $
    constexpr u64 where = 300, end = 5'000;
    Whole whole{code};
    EXPECT_FALSE(whole.guest->run_until(end));
    EXPECT_GE(whole.recorded.exits.size(), 3000u);
    EXPECT_GT(whole.recorded.exits.back().tsc, where);

    Whole saved{code};
    EXPECT_FALSE(saved.guest->run_until(where));
    const platform::snapshot::Bytes bytes = snapshot_bytes(saved.guest->subject());
    Whole loaded{{}};
    ASSERT_TRUE(load_snapshot(loaded.guest->subject(), bytes, "memory").has_value());
    EXPECT_FALSE(loaded.guest->run_until(end));
    EXPECT_EQ(loaded.digest(), whole.digest());
    EXPECT_EQ(loaded.recorded.exits.back(), whole.recorded.exits.back());
}

TEST(GuestSnapshot, OneOfAGuestWithAnotherNumberOfProcessorsIsRefused) {
    Whole saved{busy};
    const platform::snapshot::Bytes bytes = snapshot_bytes(saved.guest->subject());
    platform::StringSink serial, debug;
    Recorded recorded;
    GuestConfig config;
    config.layout = platform::layout_of(16 * platform::mib, 2 * platform::mib);
    config.model = &cpu::default_model();
    auto other = Guest::create(std::move(config), {serial, debug, recorded, {}});
    ASSERT_TRUE(other.has_value());
    const auto loaded = load_snapshot((*other)->subject(), bytes, "memory");
    ASSERT_FALSE(loaded.has_value());
    EXPECT_EQ(loaded.error().right, "--cpus 2");
}

}  // namespace
}  // namespace postern::host

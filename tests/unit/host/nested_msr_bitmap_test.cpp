// SPDX-License-Identifier: Apache-2.0
// The MSR bitmap that L2 runs with: what L1 or we want exits, and no local-APIC register of the
// processor's own is ever within reach.
#include <gtest/gtest.h>

#include "arch/vmx/msr_bitmap.h"
#include "cpu/model.h"
#include "host/guest.h"
#include "support/nested_kernel.h"

namespace postern::host {
namespace {

using F = VmcsField;
namespace nested = postern::test::nested;
namespace test = postern::test;
using nested::OpCode;

constexpr u32 task_priority = 0x808, syscall_target = 0xc000'0082;

class Quiet final : public hv::Watcher {
public:
    void exit(const hv::ExitRecord&) override {}
    void anomaly(hv::Anomaly, const hv::ExitRecord&) override {}
    void stopped(const hv::StopReport&) override {}
};

/// L1's bitmap is zero but for `poked`; L2 is about to read its task priority, and loops then.
struct InL2 {
    InL2(std::vector<nested::Op> poked, bool x2apic_in_page) {
        nested::Program program;
        program.l2.slots = {{.code = {0xb9, 0x08, 0x08, 0, 0, 0x0f, 0x32, 0xeb, 0xfe}}};
        program.script = std::move(poked);
        const auto add = [&](OpCode code, u64 a = 0, u64 b = 0) {
            program.script.push_back({code, a, b});
        };
        add(OpCode::vmclear, nested::vmcs_at(0));
        add(OpCode::vmptrld, nested::vmcs_at(0));
        add(OpCode::write_fields);
        add(OpCode::write_field, static_cast<u64>(F::guest_rip), test::hosted::at::code);
        const auto flip = [&](F field, u64 bits) {
            add(OpCode::flip_field, static_cast<u64>(field), bits);
        };
        if (x2apic_in_page) {
            flip(F::primary_processor_based_controls, 0x0020'0000);  // TPR shadow
            flip(F::secondary_processor_based_controls, 0x10);
        }
        add(OpCode::enter);
        GuestConfig config;
        config.layout = platform::layout_of(nested::at::memory, 2 * platform::mib);
        config.model = &cpu::default_model();
        config.nested = true;
        config.kernel.name = "l1";
        config.kernel.file = make_kernel(program);
        auto made = Guest::create(std::move(config), {nowhere, nowhere, watcher, [](u32) {}});
        EXPECT_TRUE(made.has_value());
        guest = std::move(*made);
        for (u64 time = 0; time < 20'000 && !guest->vcpu().nested().in_l2(); ++time)
            EXPECT_FALSE(guest->run_until(time).has_value());
        EXPECT_TRUE(guest->vcpu().nested().in_l2());
    }
    [[nodiscard]] bool exits(u32 msr, bool write) {
        const u8* const bitmap =
            guest->port().page(Hpa{guest->vcpu().nested().state().msr_bitmap02});
        const BitmapBit where = msr_bitmap_bit(msr, write);
        return (bitmap[where.byte] >> where.bit & 1) != 0;
    }

    platform::NullSink nowhere;
    Quiet watcher;
    std::unique_ptr<Guest> guest;
};

/// A byte of L1's bitmap with this one bit set.
nested::Op wish(u32 msr, bool write) {
    const BitmapBit where = msr_bitmap_bit(msr, write);
    const u64 word = where.byte & ~u64{7};
    return {OpCode::poke64, nested::at::msr_bitmap + word,
            u64{1} << (8 * (where.byte - word) + where.bit)};
}

TEST(NestedMsrBitmap, WhatL1WantsExitsAndWhatNobodyWantsDoesNot) {
    InL2 free{{}, false}, wished{{wish(syscall_target, true)}, false};
    EXPECT_FALSE(free.exits(syscall_target, true));
    EXPECT_TRUE(wished.exits(syscall_target, true));
    EXPECT_FALSE(wished.exits(syscall_target, false));
    EXPECT_TRUE(free.exits(0x3a, false)) << "IA32_FEATURE_CONTROL, which is ours";
}

/// SDM 3C, "Virtualizing MSR-Based APIC Accesses".
TEST(NestedMsrBitmap, OfTheX2ApicOnlyTheTaskPriorityInItsPageDoesNotExit) {
    for (const bool in_page : {false, true}) {
        InL2 l2{{}, in_page};
        for (u32 msr = 0x800; msr <= 0x8ff; ++msr)
            for (const bool write : {false, true}) {
                if (in_page && msr == task_priority) continue;
                EXPECT_TRUE(l2.exits(msr, write)) << in_page << ' ' << msr << ' ' << write;
            }
    }
    InL2 wished{{wish(task_priority, false)}, true}, free{{}, true};
    EXPECT_TRUE(wished.exits(task_priority, false));
    EXPECT_FALSE(free.exits(task_priority, false));
    EXPECT_FALSE(free.exits(task_priority, true));
    EXPECT_FALSE(wished.exits(task_priority, true));
}

/// The page is L1's, and L1 has its own local APIC in xAPIC mode. The same title.
TEST(NestedMsrBitmap, L2ReadsTheTaskPriorityOfItsPage) {
    InL2 l2{{{OpCode::poke32, nested::at::virtual_apic + 0x80, 0x50}}, true};
    EXPECT_FALSE(l2.guest->run_until(l2.guest->now() + 20).has_value());
    EXPECT_TRUE(l2.guest->vcpu().nested().in_l2());
    EXPECT_EQ(l2.guest->machine().processor().gpr[rax], 0x50u);
}

}  // namespace
}  // namespace postern::host

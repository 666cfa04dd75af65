// SPDX-License-Identifier: Apache-2.0
// SIMD code in the run loop: decoded, timed, interrupted by its own exceptions.
#include "cpu/run.h"

#include "tests/unit/cpu/simd/simd_machine.h"

namespace postern::cpu {
namespace {

class SimdRun : public SimdMachine {
protected:
    SimdRun() {
        leave_host_unit(c);
        c.event.activity = ActivityState::active;
        c.segment[cs] = {.selector = 8,
                         .reserved = 0,
                         .access_rights = 0xa09b,
                         .limit = 0xffff'ffff,
                         .reserved2 = 0,
                         .base = 0};
    }
    void load_code(std::initializer_list<u8> bytes) {
        std::memcpy(ram(code), bytes.begin(), bytes.size());
        c.rip = code;
    }
    /// An IDT whose #XM gate leads to `handler`, with a stack and the selectors it needs.
    void prepare_delivery(u64 handler) {
        constexpr u64 gdt = 0x6000, idt = 0x7000, stack = 0x9000;
        constexpr u64 code_descriptor = 0x00af'9b00'0000'ffff;
        std::memcpy(ram(gdt + 8), &code_descriptor, 8);
        c.gdtr = {gdt, 0xfff};
        const u64 low =
            (handler & 0xffff) | u64{8} << 16 | u64{0x8e00} << 32 | (handler >> 16 & 0xffff) << 48;
        std::memcpy(ram(idt + 16 * 19), &low, 8);
        c.idtr = {idt, 0xfff};
        c.gpr[rsp] = stack;
    }
};

TEST_F(SimdRun, SeveralInstructionsOfABlockRunOneAfterTheOther) {
    load_code({0x66, 0x0f, 0x6e, 0xc8,        // MOVD xmm1, eax
               0x66, 0x0f, 0x70, 0xd1, 0x00,  // PSHUFD xmm2, xmm1, 0
               0x66, 0x0f, 0xfe, 0xd2,        // PADDD xmm2, xmm2
               0x0f, 0x11, 0x13,              // MOVUPS [rbx], xmm2
               0x0f, 0xae, 0x5b, 0x10});      // STMXCSR [rbx + 16]
    c.gpr[rax] = 21;
    c.gpr[rbx] = data;
    const u64 start = now(c);
    ASSERT_EQ(cpu::run(c, start + 5), RunOutcome::time) << c.pending.what;
    EXPECT_EQ(ram_bytes(data), lanes<u32>({42, 42, 42, 42}));
    EXPECT_EQ(ram_bytes(data + 16), lanes<u32>({0x1f80, 0, 0, 0}));
    EXPECT_EQ(c.rip, code + 20);
    EXPECT_EQ(now(c), start + 5);
}

TEST_F(SimdRun, SimdExceptionIsDeliveredAtItsInstruction) {
    constexpr u64 handler = 0x11000;
    prepare_delivery(handler);
    load_code({0x90, 0xf2, 0x0f, 0x5e, 0xca, 0x90});  // NOP; DIVSD xmm1, xmm2; NOP
    std::memset(ram(handler), 0x90, 16);
    c.vector.mxcsr = mxcsr_reset & ~mxcsr_unmask_ze;
    set_xmm(1, lanes<u64>({double_1, 5}));
    set_xmm(2, lanes<u64>({double_0, 6}));
    const u64 start = now(c);
    ASSERT_EQ(cpu::run(c, start + 3), RunOutcome::time);
    EXPECT_EQ(c.rip, handler + 2) << "one NOP before, two after; the DIVSD did not retire";
    u64 pushed_rip = 0;
    std::memcpy(&pushed_rip, ram(c.gpr[rsp]), 8);
    EXPECT_EQ(pushed_rip, code + 1);
    EXPECT_EQ(xmm(1), lanes<u64>({double_1, 5}));
    EXPECT_EQ(c.vector.mxcsr, (mxcsr_reset & ~mxcsr_unmask_ze) | mxcsr_ze);
}

TEST_F(SimdRun, MovsdIsAStringOrAVectorInstructionByItsBytes) {
    load_code({0xf2, 0x0f, 0x10, 0x0b, 0xa5});  // MOVSD xmm1, [rbx]; MOVSD
    c.gpr[rbx] = c.gpr[rsi] = data;
    c.gpr[rdi] = data + 64;
    set_ram(data, lanes<u64>({double_3, 7}));
    set_xmm(1, lanes<u64>({1, 1}));
    ASSERT_EQ(cpu::run(c, now(c) + 2), RunOutcome::time);
    EXPECT_EQ(xmm(1), lanes<u64>({double_3, 0}));
    EXPECT_EQ(ram_bytes(data + 64), lanes<u64>({double_3 & 0xffff'ffff, 0}));
    EXPECT_EQ(c.gpr[rdi], data + 68);
}

}  // namespace
}  // namespace postern::cpu

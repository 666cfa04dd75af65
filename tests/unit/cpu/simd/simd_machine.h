// SPDX-License-Identifier: Apache-2.0
// A processor with a few pages of mapped RAM that runs single SIMD instructions, given as bytes,
// through build_simd(). Memory operands are [base + displacement].
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <initializer_list>
#include <memory>

#include "cpu/decode/block_cache.h"
#include "cpu/decode/instruction_table.h"
#include "cpu/event/event.h"
#include "cpu/exec/build.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/model.h"
#include "cpu/simd/host_unit.h"

namespace postern::cpu {

using Bytes = std::array<u8, 16>;

/// 16 bytes of elements, lowest first.
template <class T>
Bytes lanes(std::initializer_list<T> elements) {
    Bytes bytes{};
    std::memcpy(bytes.data(), elements.begin(), elements.size() * sizeof(T));
    return bytes;
}

// Bits of the numbers the tests compute with; the tests themselves compute nothing.
inline constexpr u64 double_0 = 0;
inline constexpr u64 double_1 = 0x3ff0'0000'0000'0000;
inline constexpr u64 double_2 = 0x4000'0000'0000'0000;
inline constexpr u64 double_3 = 0x4008'0000'0000'0000;
inline constexpr u64 double_quiet_nan = 0x7ff8'0000'0000'0000;
inline constexpr u64 double_infinity = 0x7ff0'0000'0000'0000;
inline constexpr u32 float_1 = 0x3f80'0000;
inline constexpr u32 float_2 = 0x4000'0000;
inline constexpr u32 float_3 = 0x4040'0000;

inline constexpr u32 mxcsr_ie = 1, mxcsr_ze = 4, mxcsr_pe = 0x20;
inline constexpr u32 mxcsr_unmask_ie = 0x80, mxcsr_unmask_ze = 0x200, mxcsr_unmask_pe = 0x1000;

class SimdMachine : public testing::Test {
protected:
    static constexpr u64 ram_size = 0x40000;
    static constexpr u64 data = 0x20000;  // mapped up to
    static constexpr u64 hole = 0x24000;  // this page, which is not
    static constexpr u64 code = 0x10000;
    static constexpr i64 budget = 1000;

    struct alignas(page_size) Page {
        std::array<u8, page_size> bytes;
    };

    SimdMachine() {
        system_.memory.ram = ram_[0].bytes.data();
        system_.memory.low_size = ram_size;
        system_.model = &default_model();
        c.system = &system_;
        c.blocks = &blocks_;
        c.cr0 = Cr0Word{Cr0::pe, Cr0::pg, Cr0::ne};
        c.cr4 = Cr4Word{Cr4::pae, Cr4::osfxsr, Cr4::osxmmexcpt, Cr4::osxsave};
        c.efer = EferWord{Efer::lme, Efer::lma};
        c.segment[cs].access_rights = 0xa09b;  // 64-bit code
        c.xcr0 = 7;
        c.code_epoch = 1;
        c.vector.mxcsr = mxcsr_reset;
        c.vector.x87.fcw = fcw_init;
        c.gpr[row_block] = code;
        c.budget = budget;
        map();
        reset_tlbs(c);
        flush_translations(c);
        enter_host_unit(c);
    }
    ~SimdMachine() override { leave_host_unit(c); }

    /// Decodes and builds; false: refused.
    bool build(std::initializer_list<u8> bytes) {
        ZydisDecoder decoder;
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        Decoded d{};
        const ZyanStatus status = ZydisDecoderDecodeFull(&decoder, bytes.begin(), bytes.size(),
                                                         &d.instruction, d.operand.data());
        EXPECT_TRUE(ZYAN_SUCCESS(status));
        EXPECT_EQ(d.instruction.length, bytes.size());
        Insn& i = insn_[0];
        i = Insn{};
        i.base = i.index = i.segment = row_zero;
        i.length = d.instruction.length;
        i.remaining = 1;
        for (unsigned n = 0; n < d.instruction.operand_count_visible; ++n) {
            if (!d.is_memory(n)) continue;
            i.base = register_row(d.operand[n].mem.base);
            i.disp = static_cast<i32>(d.operand[n].mem.disp.value);
            if (d.operand[n].mem.scale != 0)
                i.scale = static_cast<u8>(std::countr_zero(unsigned{d.operand[n].mem.scale}));
            i.form |= form_memory;
        }
        const bool vex = d.instruction.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX;
        i.run = vex ? instruction_row(d.instruction.mnemonic)->build(d, i, blocks_)
                    : build_simd(d, i, blocks_);
        insn_[1] = Insn{};
        insn_[1].run = [](Cpu&, const Insn*) { return Step::stop; };
        return i.run != nullptr;
    }

    /// Runs what was built, as the only instruction of its block.
    Step step() {
        c.pending = {};
        c.budget = budget - 1;
        const Step how = insn_[0].run(c, &insn_[0]);
        return how == Step::next ? insn_[1].run(c, &insn_[1]) : how;
    }
    /// True: it completed.
    bool again() {
        const Step how = step();
        EXPECT_TRUE(how == Step::stop || how == Step::fault);
        if (how == Step::fault) {
            EXPECT_EQ(c.rip, code);
            EXPECT_EQ(c.budget, budget) << "an instruction that faults does not retire";
        }
        return how == Step::stop;
    }
    bool run(std::initializer_list<u8> bytes) {
        if (!build(bytes)) {
            ADD_FAILURE() << "refused";
            return false;
        }
        return again();
    }

    void set_xmm(unsigned n, const Bytes& bytes) {
        std::memcpy(c.vector.zmm[n].bytes.data(), bytes.data(), bytes.size());
    }
    [[nodiscard]] Bytes xmm(unsigned n) const {
        Bytes bytes;
        std::memcpy(bytes.data(), c.vector.zmm[n].bytes.data(), bytes.size());
        return bytes;
    }
    void set_ymm(unsigned n, const Bytes& low, const Bytes& high) {
        set_xmm(n, low);
        std::memcpy(c.vector.zmm[n].bytes.data() + 16, high.data(), high.size());
    }
    [[nodiscard]] Bytes upper(unsigned n) const {
        Bytes bytes;
        std::memcpy(bytes.data(), c.vector.zmm[n].bytes.data() + 16, bytes.size());
        return bytes;
    }
    u8* ram(u64 address) { return ram_[address / page_size].bytes.data() + address % page_size; }
    void set_ram(u64 address, const Bytes& bytes) {
        std::memcpy(ram(address), bytes.data(), bytes.size());
    }
    Bytes ram_bytes(u64 address) {
        Bytes bytes;
        std::memcpy(bytes.data(), ram(address), bytes.size());
        return bytes;
    }

    BlockCache& blocks() { return blocks_; }

    [[nodiscard]] u32 mxcsr() const { return guest_mxcsr(c); }
    [[nodiscard]] u64 status_flags() const { return materialise(c); }
    [[nodiscard]] bool raised(Vector vector) const {
        return c.pending.kind == PendingKind::exception && c.pending.vector == vector;
    }

private:
    /// Identity, 4-KByte pages, but for `hole`.
    void map() {
        constexpr u64 pml4 = 0x1000, pdpt = 0x2000, directory = 0x3000, table = 0x4000;
        constexpr u64 present_writable = 3;
        put_entry(pml4, pdpt | present_writable);
        put_entry(pdpt, directory | present_writable);
        put_entry(directory, table | present_writable);
        for (u64 page = 0; page < ram_size; page += page_size) {
            const u64 entry = page == hole ? 0 : page | present_writable;
            put_entry(table + page / page_size * 8, entry);
        }
        c.cr3 = pml4;
    }
    void put_entry(u64 at, u64 value) { std::memcpy(ram(at), &value, sizeof value); }

    std::unique_ptr<Page[]> ram_ = std::make_unique<Page[]>(ram_size / page_size);
    std::unique_ptr<Cpu> cpu_ = std::make_unique<Cpu>();
    System system_;
    BlockCache blocks_;
    std::array<Insn, 2> insn_{};

protected:
    Cpu& c = *cpu_;
};

}  // namespace postern::cpu

// SPDX-License-Identifier: Apache-2.0
// A processor with 2 MiB of RAM for the tests of events and system instructions: 4 KiB pages,
// identity-mapped; GDT, IDT, TSS, stacks and page tables at fixed addresses; a bus and an
// interrupt controller that remember. What stands in memory is written by hand.
#pragma once

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "cpu/cpu.h"
#include "cpu/decode/block_cache.h"
#include "cpu/event/event.h"
#include "cpu/model.h"

namespace postern::cpu {

// Where things are.
inline constexpr u64 pml4_at = 0x1000, pdpt_at = 0x2000, pd_at = 0x3000, pt_at = 0x4000;
inline constexpr u64 gdt_at = 0x5000, idt_at = 0x6000, tss_at = 0x7000;
inline constexpr u64 ept_pml4_at = 0x8000, ept_pdpt_at = 0x9000, ept_pd_at = 0xa000,
                     ept_pt_at = 0xb000;
inline constexpr u64 ldt_at = 0xc000;
inline constexpr u64 bitmap_at = 0xd000;  // I/O bitmap A; B and the MSR bitmap follow
inline constexpr u64 data_at = 0x11000;   // operands of instructions
inline constexpr u64 code_rip = 0x12340;  // what runs
inline constexpr u64 kernel_stack = 0x20000, ist1_stack = 0x22008, user_stack = 0x30000;
inline constexpr u64 host_rip = 0x77000, host_rsp = 0x78000;
inline constexpr u64 page_end_hole = 0x40000;  // kernel stacks of some tests end here

/// The handler of vector n.
constexpr u64 handler_of(unsigned vector) { return 0x100000 + 16 * u64{vector}; }

// Selectors.
inline constexpr u16 kernel_cs = 0x08, kernel_ss = 0x10, user_ss = 0x1b, user_cs = 0x23;
inline constexpr u16 tss_selector = 0x28, ldt_selector = 0x38, conforming_cs = 0x48;
inline constexpr u16 compat_cs = 0x50, absent_cs = 0x58, absent_data = 0x60, read_only = 0x68;
inline constexpr u16 free_tss = 0x70, call_gate = 0x80, user_conforming_cs = 0x90;

// Descriptors, as the manual's figures give them: base 0, limit FFFFFH, G = 1.
inline constexpr u64 code64_dpl0 = 0x00af'9b00'0000'ffff, code64_dpl3 = 0x00af'fb00'0000'ffff;
inline constexpr u64 data_dpl0 = 0x00cf'9300'0000'ffff, data_dpl3 = 0x00cf'f300'0000'ffff;

enum class GateKind : u8 {
    interrupt = 0x8e,
    trap = 0x8f,
    user_interrupt = 0xee,
    absent = 0x0e,
    call = 0x8c
};

struct FakeBus final : Bus {
    struct Out {
        u16 port;
        unsigned size;
        u32 value;
        friend bool operator==(const Out&, const Out&) = default;
    };
    std::vector<Out> outs;
    u32 answer = 0;
    unsigned ins = 0;
    bool stop = false;

    u64 read(Hpa, unsigned) override { return ~u64{0}; }
    void write(Hpa, unsigned, u64) override {}
    u32 in(u16, unsigned) override {
        ++ins;
        return answer;
    }
    void out(u16 port, unsigned size, u32 value) override { outs.push_back({port, size, value}); }
    bool stop_requested() const override { return stop; }
};

struct FakeController final : InterruptController {
    int vector = -1;
    int acknowledged = -1;
    int ended = 0;
    u64 event_at = ~u64{0};
    u8 cr8 = 0;
    u64 deadline = 0;
    bool movable = false;

    bool can_be_moved() const override { return movable; }
    int pending_vector(u64) override { return vector; }
    void acknowledge(u8 taken) override {
        acknowledged = taken;
        vector = -1;
    }
    void end_of_interrupt() override { ++ended; }
    u64 next_event() const override { return event_at; }
    u8 task_priority() const override { return cr8; }
    void set_task_priority(u8 value) override { cr8 = value; }
    u64 read_msr(u32 msr, u64, bool& fault) override {
        fault = msr != 0x6e0 && msr != 0x802;
        return msr == 0x6e0 ? deadline : 5;
    }
    bool write_msr(u32 msr, u64 value, u64) override {
        deadline = value;
        return msr == 0x6e0;
    }
};

class Machine {
    static constexpr u64 ram_size = 2 << 20;
    std::unique_ptr<Cpu> cpu_ = std::make_unique<Cpu>();
    struct Ram {
        alignas(page_size) std::array<u8, ram_size> bytes;
    };
    std::unique_ptr<Ram> ram_ = std::make_unique<Ram>();  // the TLB needs host pages aligned
    std::unique_ptr<BlockCache> blocks_ = std::make_unique<BlockCache>();

public:
    Machine();
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    Cpu& c = *cpu_;
    System system;
    FakeBus bus;
    FakeController controller;
    Model model;

    template <class T>
    T get(u64 physical) const {
        T value;
        std::memcpy(&value, ram_->bytes.data() + physical, sizeof value);
        return value;
    }
    template <class T>
    void put(u64 physical, T value) {
        std::memcpy(ram_->bytes.data() + physical, &value, sizeof value);
    }
    u64 word(u64 physical) const { return get<u64>(physical); }

    void as_kernel();
    void as_user();
    void gate(unsigned vector, GateKind kind, unsigned ist = 0, u16 selector = kernel_cs);
    /// Bits of the page's table entry: 7 is present, writable, user; 0 unmaps.
    void map(u64 linear, u64 flags);

    /// VMX non-root operation with these controls (each the plain word), EPT off.
    void as_guest(u32 pin = 0, u32 primary = 0, u32 secondary = 0);
    void set(VmcsField field, u64 value) { c.vmx.vmcs.slot[vmcs_index(field)] = value; }
    u64 vmcs(VmcsField field) const { return c.vmx.vmcs.slot[vmcs_index(field)]; }
    /// EPT that maps all RAM to itself; `hole`'s page is left out.
    void with_ept(u64 hole);
};

/// What VM entry leaves for the run loop to deliver.
EventInProgress injection(u32 information, u32 length = 0, u32 error_code = 0,
                          bool enclave = false);

/// A memory operand at a fixed address, `size` bytes.
Insn memory_insn(u64 address, unsigned size = 8);
/// Registers only.
Insn register_insn(u8 dst, u8 src, unsigned size = 8);

/// Runs a semantic at code_rip as an instruction of `length` bytes.
using Semantic = Result<> (*)(Cpu&, const Insn&);
bool execute(Cpu& c, Semantic semantic, const Insn& i, unsigned length = 3);

}  // namespace postern::cpu

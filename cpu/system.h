// SPDX-License-Identifier: Apache-2.0
// What the processors of one machine share: physical memory, the enclave page cache, the bus to
// the devices, and what CPUID says. platform/ builds one and hands it to its processors.
#pragma once

#include <array>
#include <span>

#include "base/address.h"
#include "base/types.h"

namespace postern::cpu {

struct Cpu;
struct Debugger;  // cpu/debugger.h
struct Epc;       // cpu/sgx/epc.h
struct Model;     // cpu/model.h

/// RAM is one host mapping. Guest-physical numbers leave a hole for devices below 4 GiB.
struct PhysicalMemory {
    u8* ram = nullptr;
    u64 low_size = 0;   // bytes at address 0
    u64 high_size = 0;  // bytes at 4 GiB; they follow the low ones in `ram`
    u64 epc_base = 0;   // page-aligned, above all RAM
    u64 epc_size = 0;

    static constexpr u64 high_base = u64{1} << 32;

    /// The byte at `address`, or null where there is no RAM. Valid to the end of its page.
    [[nodiscard]] u8* pointer(Hpa address) const {
        const u64 a = address.raw();
        if (a < low_size) return ram + a;
        if (a - high_base < high_size) return ram + low_size + (a - high_base);
        return nullptr;
    }
    [[nodiscard]] bool is_epc(Hpa address) const { return address.raw() - epc_base < epc_size; }
};

/// Devices, in physical and port space. Unclaimed reads are all ones.
class Bus {
public:
    virtual u64 read(Hpa address, unsigned size) = 0;  // size 1, 2, 4, 8
    virtual void write(Hpa address, unsigned size, u64 value) = 0;
    virtual u32 in(u16 port, unsigned size) = 0;  // size 1, 2, 4
    virtual void out(u16 port, unsigned size, u32 value) = 0;
    /// True once a device asked the machine to stop (exit port, power-off, reset).
    virtual bool stop_requested() const = 0;

protected:
    ~Bus() = default;
};

/// The interrupt controller of one processor, as that processor sees it.
class InterruptController {
public:
    /// The vector that would be delivered now (above TPR), or -1.
    virtual int pending_vector(u64 now) = 0;
    /// The processor takes it.
    virtual void acknowledge(u8 vector) = 0;
    /// As a write to the EOI register does.
    virtual void end_of_interrupt() = 0;
    /// Absolute time of the next change by itself (a timer), or ~0.
    virtual u64 next_event() const = 0;
    virtual u8 task_priority() const = 0;  // CR8
    virtual void set_task_priority(u8 cr8) = 0;
    virtual u64 read_msr(u32 msr, u64 now, bool& fault) = 0;  // x2APIC MSRs, TSC deadline
    virtual bool write_msr(u32 msr, u64 value, u64 now) = 0;  // false: #GP
    /// False: its registers stay where they are after reset.
    virtual bool can_be_moved() const { return false; }
    /// IA32_APIC_BASE, which was `before`, has been written.
    virtual void base_written(u64 /*before*/) {}
    /// The processor takes an INIT.
    virtual void init_reset() {}

protected:
    ~InterruptController() = default;
};

/// What the manual leaves open and software can tell apart: one of two readings each. Names,
/// defaults and reasons are in cpu/choices.h.
struct Choices {
    /// VMX instructions other than VMCALL and VMFUNC, executed in an enclave: #UD, not a VM exit.
    bool vmx_instruction_in_enclave_is_ud = false;
    /// INT1 in an enclave: a hardware exception, not a privileged software exception.
    bool int1_in_debug_enclave_is_type3 = false;
    /// An AEX for the VM exit of an access leaves SSA.EXITINFO as it was.
    bool exitinfo_after_ept_is_stale = false;
    /// A page that ELDB has loaded goes only after an ETRACK, like one that EBLOCK blocked.
    bool ewb_after_eldb_wants_etrack = false;
    /// ERESUME that notifies leaves the entry point in RCX, not the address after the ENCLU.
    bool rcx_after_notify_is_entry = false;
};

/// How instructions are run, for tests that show it makes no difference.
struct Engine {
    bool unchained = false;      // each block is found by the run loop
    bool one_code_page = false;  // only one page's code is kept decoded
    bool one_space = false;      // translations are forgotten where another space is taken up
};

inline constexpr unsigned processors_most = 64;

struct System {
    PhysicalMemory memory;
    std::array<Cpu*, processors_most> processors{};
    unsigned processor_count = 0;
    Engine engine;
    Debugger* debugger = nullptr;  // null: nobody debugs
    /// An idle processor leaves the run loop at once; its owner lets time pass.
    bool idle_returns = false;
    Epc* epc = nullptr;
    Bus* bus = nullptr;
    const Model* model = nullptr;
    unsigned physical_bits = 46;  // MAXPHYADDR: the model's
    Choices choices;
    u64 sgx_seed = 1;  // the processors' SGX secrets follow from it
};

}  // namespace postern::cpu

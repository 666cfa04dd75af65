// SPDX-License-Identifier: Apache-2.0
// The small part of /dev/kvm that our virtual machine monitor needs: a machine with its memory, and
// virtual processors that start in real, protected or 64-bit mode. Whatever the kernel refuses ends
// the program with a line that says what.
#pragma once

#include <linux/kvm.h>
#include <stddef.h>
#include <stdint.h>

namespace kvm {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;

[[noreturn]] void fail(const char* what);
[[noreturn]] void fail_with_errno(const char* what);

enum class Mode { real, protected32, long64 };

class Vm {
public:
    explicit Vm(u64 memory_size);
    ~Vm();
    Vm(const Vm&) = delete;
    Vm& operator=(const Vm&) = delete;

    /// The first byte of guest memory, which begins at guest-physical 0.
    [[nodiscard]] u8* memory() const { return memory_; }
    [[nodiscard]] u64 memory_size() const { return size_; }

    template <class T>
    T& at(u64 address) const {
        return *reinterpret_cast<T*>(memory_ + address);
    }

    /// An ioctl on the machine; `what` names it if it fails.
    int call(unsigned long request, const void* argument, const char* what) const;
    int call(unsigned long request, u64 argument, const char* what) const;
    [[nodiscard]] int descriptor() const { return vm_; }

    /// PIC, IOAPIC and local APICs in the kernel. Before the first processor.
    void create_interrupt_chips() const;
    /// GSI `line` to `level`.
    void set_line(u32 line, bool level) const;

private:
    int vm_ = -1;
    u8* memory_ = nullptr;
    u64 size_ = 0;
};

/// kvm_cpuid2, with room for its entries.
struct CpuidTable {
    u32 count;
    u32 padding;
    kvm_cpuid_entry2 entry[128];
};

/// What the kernel can give guests.
CpuidTable supported_cpuid();

class Vcpu {
public:
    Vcpu(const Vm& vm, u32 number);
    ~Vcpu();
    Vcpu(const Vcpu&) = delete;
    Vcpu& operator=(const Vcpu&) = delete;

    /// At linear address `code`, with flat segments (real mode: CS.base is `code`, the others 0).
    /// In 64-bit mode the tables of build_tables() are used.
    void start(Mode mode, u64 code, u64 stack) const;
    void set_cpuid(const CpuidTable& table) const;

    /// KVM_RUN: the exit reason. Interrupted system calls are gone on with.
    u32 run() const;
    [[nodiscard]] kvm_run& shared() const { return *run_; }

    [[nodiscard]] kvm_regs registers() const;
    void set_registers(const kvm_regs& registers) const;
    int call(unsigned long request, const void* argument, const char* what) const;

private:
    int vcpu_ = -1;
    kvm_run* run_ = nullptr;
    size_t run_size_ = 0;
};

/// Where our guests' tables lie; code, stacks and data are from 10000H on.
namespace at {
inline constexpr u64 gdt = 0x1000;
inline constexpr u64 idt = 0x2000;
inline constexpr u64 pml4 = 0x3000;
inline constexpr u64 pdpt = 0x4000;
inline constexpr u64 directories = 0x5000;  // four
}  // namespace at

/// A GDT, and an identity map of 4 GiB by pages of 2 MiB.
void build_tables(const Vm& vm);

}  // namespace kvm

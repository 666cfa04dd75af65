// SPDX-License-Identifier: Apache-2.0
// What a check expects: the exits of a guest one after the other, then its registers and memory.
// The first thing that is not so is the check's failure; everything expected is written by hand.
#pragma once

#include "vmm.h"

namespace kvm {

/// A piece of codes.S.
struct Code {
    const u8* first;
    const u8* last;
};
#define GUEST_CODE(name)                                             \
    extern "C" const ::kvm::u8 guest_##name[], guest_##name##_end[]; \
    inline ::kvm::Code code_##name() { return {guest_##name, guest_##name##_end}; }

inline constexpr u64 code_at = 0x1'0000;
inline constexpr u64 data_at = 0x2'0000;
inline constexpr u64 counter_at = 0x2'1000;
inline constexpr u64 second_code_at = 0x3'0000;
inline constexpr u64 stack_at = 0x8000, second_stack_at = 0x9000;
inline constexpr u64 device_at = 0xd'0000;
inline constexpr u64 small_memory = 0x8'0000;

enum class What : u8 { end, halt, out, in, write, read, read_msr, write_msr, window };

/// `value`: expected of what the guest gives; handed to it where it asks.
struct Step {
    What what = What::end;
    u64 where = 0;  // port, address or MSR; of halt: RIP after it, counted from the code
    u32 size = 0;   // of MSRs: the reason, KVM_MSR_EXIT_REASON_*
    u64 value = 0;
    bool refuse = false;  // MSRs: the guest is to get #GP
};

struct RegisterWant {
    const char* name = nullptr;
    decltype(&kvm_regs::rax) member = nullptr;
    u64 value = 0;
    u64 mask = ~u64{0};
};

struct BytesWant {
    u64 address = 0;
    const char* bytes = nullptr;
    u32 count = 0;
};

/// One check's result. The first failure counts.
class Verdict {
public:
    [[nodiscard]] bool fine() const { return text_[0] == 0; }
    [[nodiscard]] const char* text() const { return text_; }
    [[gnu::format(printf, 2, 3)]] void fail(const char* format, ...);
    /// False and a failure if they differ.
    bool expect(const char* what, u64 seen, u64 wanted);

private:
    char text_[200] = {};
};

/// Runs the guest through the steps up to What::end.
void follow(const Vcpu& vcpu, const Step* steps, Verdict& verdict);
/// Runs it to its next exit, which is to be that step.
void follow_one(const Vcpu& vcpu, const Step& step, Verdict& verdict);

void check_registers(const Vcpu& vcpu, const RegisterWant* wants, Verdict& verdict);
void check_bytes(const Vm& vm, const BytesWant* wants, Verdict& verdict);

void put_code(const Vm& vm, Code code, u64 at = code_at);
/// `vector` leads to the linear address `handler`.
void put_gate(const Vm& vm, Mode mode, u32 vector, u64 handler);

struct Check {
    const char* name;
    void (*run)(Verdict& verdict);
};

/// Their ends are rows without a name.
extern const Check exit_checks[];
extern const Check interrupt_checks[];

}  // namespace kvm

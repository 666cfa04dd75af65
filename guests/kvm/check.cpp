// SPDX-License-Identifier: Apache-2.0
// Exits compared with steps.
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

namespace kvm {

namespace {

constexpr u64 mask_of(u32 size) { return size >= 8 ? ~u64{0} : (u64{1} << 8 * size) - 1; }

u64 value_at(const void* bytes, u32 size) {
    u64 value = 0;
    memcpy(&value, bytes, size);
    return value;
}

const char* exit_name(u32 reason) {
    switch (reason) {
        case KVM_EXIT_IO: return "a port";
        case KVM_EXIT_MMIO: return "MMIO";
        case KVM_EXIT_HLT: return "HLT";
        case KVM_EXIT_X86_RDMSR: return "RDMSR";
        case KVM_EXIT_X86_WRMSR: return "WRMSR";
        case KVM_EXIT_IRQ_WINDOW_OPEN: return "an interrupt window";
        case KVM_EXIT_SHUTDOWN: return "a shutdown";
        case KVM_EXIT_FAIL_ENTRY: return "a failed VM entry";
        case KVM_EXIT_INTERNAL_ERROR: return "an internal error";
        default: return "something else";
    }
}

u32 exit_of(What what) {
    switch (what) {
        case What::halt: return KVM_EXIT_HLT;
        case What::out:
        case What::in: return KVM_EXIT_IO;
        case What::write:
        case What::read: return KVM_EXIT_MMIO;
        case What::read_msr: return KVM_EXIT_X86_RDMSR;
        case What::write_msr: return KVM_EXIT_X86_WRMSR;
        case What::window: return KVM_EXIT_IRQ_WINDOW_OPEN;
        case What::end: break;
    }
    return 0;
}

bool is_exit(const Vcpu& vcpu, const Step& step, Verdict& verdict) {
    const kvm_run& run = vcpu.shared();
    if (run.exit_reason == exit_of(step.what)) return true;
    verdict.fail("exit %u (%s, detail %llx) at rip %llx, not %s", run.exit_reason,
                 exit_name(run.exit_reason), run.hw.hardware_exit_reason, vcpu.registers().rip,
                 exit_name(exit_of(step.what)));
    return false;
}

/// One exit may be several steps: the elements of a string. Returns how many.
u32 take_port(const kvm_run& run, const Step* steps, Verdict& verdict) {
    const auto& io = run.io;
    u8* data = reinterpret_cast<u8*>(const_cast<kvm_run*>(&run)) + io.data_offset;
    for (u32 n = 0; n < io.count; ++n, data += io.size) {
        const Step& step = steps[n];
        const bool is_out = io.direction == KVM_EXIT_IO_OUT;
        verdict.expect("elements", n, step.what == What::end ? n + 1 : n);
        verdict.expect("OUT", is_out, step.what == What::out);
        verdict.expect("port", io.port, step.where);
        verdict.expect("size of a port access", io.size, step.size);
        if (!verdict.fine()) return n + 1;
        if (is_out)
            verdict.expect("value of OUT", value_at(data, io.size), step.value);
        else
            memcpy(data, &step.value, io.size);
    }
    return io.count;
}

void take_mmio(kvm_run& run, const Step& step, Verdict& verdict) {
    auto& mmio = run.mmio;
    verdict.expect("MMIO write", mmio.is_write, step.what == What::write);
    verdict.expect("MMIO address", mmio.phys_addr, step.where);
    verdict.expect("size of an MMIO access", mmio.len, step.size);
    if (!verdict.fine()) return;
    if (mmio.is_write != 0)
        verdict.expect("value of an MMIO write", value_at(mmio.data, mmio.len), step.value);
    else
        memcpy(mmio.data, &step.value, mmio.len);
}

void take_msr(kvm_run& run, const Step& step, Verdict& verdict) {
    verdict.expect("MSR", run.msr.index, step.where);
    verdict.expect("reason of an MSR exit", run.msr.reason, step.size);
    if (step.what == What::write_msr)
        verdict.expect("value of WRMSR", run.msr.data, step.value);
    else
        run.msr.data = step.value;
    run.msr.error = step.refuse;
}

/// The steps that the exit which has just happened is.
u32 take(const Vcpu& vcpu, const Step* steps, Verdict& verdict) {
    if (!is_exit(vcpu, *steps, verdict)) return 1;
    kvm_run& run = vcpu.shared();
    switch (steps->what) {
        case What::out:
        case What::in: return take_port(run, steps, verdict);
        case What::write:
        case What::read: take_mmio(run, *steps, verdict); break;
        case What::read_msr:
        case What::write_msr: take_msr(run, *steps, verdict); break;
        case What::halt:
            if (steps->where != 0)
                verdict.expect("rip after HLT", vcpu.registers().rip, steps->where);
            break;
        case What::window:
        case What::end: break;
    }
    return 1;
}

}  // namespace

void Verdict::fail(const char* format, ...) {
    if (!fine()) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text_, sizeof text_, format, arguments);
    va_end(arguments);
}

bool Verdict::expect(const char* what, u64 seen, u64 wanted) {
    if (seen != wanted)
        fail("%s: %llx, not %llx", what, static_cast<unsigned long long>(seen),
             static_cast<unsigned long long>(wanted));
    return seen == wanted;
}

void follow(const Vcpu& vcpu, const Step* steps, Verdict& verdict) {
    while (steps->what != What::end && verdict.fine()) {
        vcpu.run();
        steps += take(vcpu, steps, verdict);
    }
}

void follow_one(const Vcpu& vcpu, const Step& step, Verdict& verdict) {
    const Step steps[2]{step, {}};
    follow(vcpu, steps, verdict);
}

void check_registers(const Vcpu& vcpu, const RegisterWant* wants, Verdict& verdict) {
    const kvm_regs registers = vcpu.registers();
    for (; wants->name != nullptr; ++wants)
        verdict.expect(wants->name, registers.*wants->member & wants->mask, wants->value);
}

void check_bytes(const Vm& vm, const BytesWant* wants, Verdict& verdict) {
    for (; wants->bytes != nullptr; ++wants)
        for (u32 n = 0; n < wants->count; ++n)
            verdict.expect("byte of memory", vm.at<u8>(wants->address + n),
                           static_cast<u8>(wants->bytes[n]));
}

void put_code(const Vm& vm, Code code, u64 at) {
    memcpy(vm.memory() + at, code.first, static_cast<size_t>(code.last - code.first));
}

void put_gate(const Vm& vm, Mode mode, u32 vector, u64 handler) {
    constexpr u32 interrupt_gate = 0x8e00;
    if (mode == Mode::real) {
        vm.at<u32>(4 * vector) = static_cast<u32>(code_at >> 4 << 16 | (handler - code_at));
        return;
    }
    const u32 selector = mode == Mode::long64 ? 0x18 : 0x08;
    const u64 at = at::idt + vector * (mode == Mode::long64 ? 16 : 8);
    vm.at<u32>(at) = selector << 16 | (handler & 0xffff);
    vm.at<u32>(at + 4) = static_cast<u32>((handler & 0xffff'0000) | interrupt_gate);
    if (mode == Mode::long64) vm.at<u64>(at + 8) = handler >> 32;
}

}  // namespace kvm

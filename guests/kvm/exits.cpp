// SPDX-License-Identifier: Apache-2.0
// Checks of single exits: HLT, ports, MMIO, string instructions between memory and a device, CPUID,
// MSRs; each in every mode that differs.
#include <string.h>

#include "check.h"

GUEST_CODE(halt_real)
GUEST_CODE(halt_protected)
GUEST_CODE(halt_long)
GUEST_CODE(ports_real)
GUEST_CODE(ports_protected)
GUEST_CODE(ports_long)
GUEST_CODE(strings_real)
GUEST_CODE(strings_protected)
GUEST_CODE(strings_long)
GUEST_CODE(mmio_real)
GUEST_CODE(mmio_protected)
GUEST_CODE(mmio_long)
GUEST_CODE(mmio_string_protected)
GUEST_CODE(mmio_string_long)
GUEST_CODE(cpuid_real)
GUEST_CODE(cpuid_protected)
GUEST_CODE(cpuid_long)
GUEST_CODE(msr_protected)
GUEST_CODE(msr_long)

namespace kvm {

namespace {

/// All that such a check is.
struct Row {
    Mode mode;
    Code code;
    Step steps[16];
    RegisterWant registers[6];
    BytesWant bytes[3];
    void (*prepare)(const Vm& vm, const Vcpu& vcpu) = nullptr;
};

void run_row(const Row& row, Verdict& verdict) {
    const Vm vm{small_memory};
    build_tables(vm);
    put_code(vm, row.code);
    const Vcpu vcpu{vm, 0};
    vcpu.start(row.mode, code_at, stack_at);
    if (row.prepare != nullptr) row.prepare(vm, vcpu);
    follow(vcpu, row.steps, verdict);
    check_registers(vcpu, row.registers, verdict);
    check_bytes(vm, row.bytes, verdict);
}

constexpr auto rax = &kvm_regs::rax, rbx = &kvm_regs::rbx, rcx = &kvm_regs::rcx,
               rdx = &kvm_regs::rdx, rsi = &kvm_regs::rsi, rdi = &kvm_regs::rdi, r8 = &kvm_regs::r8,
               rsp = &kvm_regs::rsp;

// RIP after each HLT: MOV of 3, 5 and 10 bytes and HLT of one.

void halt_real(Verdict& verdict) {
    run_row({.mode = Mode::real,
             .code = code_halt_real(),
             .steps = {{What::halt, 4}, {What::halt, 8}},
             .registers = {{"ax", rax, 0x1234}, {"bx", rbx, 0x5678}},
             .bytes = {}},
            verdict);
}

void halt_protected(Verdict& verdict) {
    run_row({.mode = Mode::protected32,
             .code = code_halt_protected(),
             .steps = {{What::halt, code_at + 6}, {What::halt, code_at + 12}},
             .registers = {{"eax", rax, 0x1234'5678}, {"ebx", rbx, 0x9abc'def0}},
             .bytes = {}},
            verdict);
}

void halt_long(Verdict& verdict) {
    run_row(
        {.mode = Mode::long64,
         .code = code_halt_long(),
         .steps = {{What::halt, code_at + 11}, {What::halt, code_at + 22}},
         .registers = {{"rax", rax, 0x1234'5678'9abc'def0}, {"rbx", rbx, 0x0fed'cba9'8765'4321}},
         .bytes = {}},
        verdict);
}

void ports(Mode mode, Code code, Verdict& verdict) {
    run_row({.mode = mode,
             .code = code,
             .steps = {{What::out, 0x3f8, 1, 0x41},
                       {What::in, 0x3f8, 1, 0x5a},
                       {What::out, 0x80, 2, 0x1234},
                       {What::in, 0x5658, 4, 0xdead'beef},
                       {What::out, 0x5658, 4, 0x89ab'cdef},
                       {What::halt}},
             .registers = {{"bl", rbx, 0x5a}, {"ecx", rcx, 0xdead'beef}},
             .bytes = {}},
            verdict);
}
void ports_real(Verdict& v) { ports(Mode::real, code_ports_real(), v); }
void ports_protected(Verdict& v) { ports(Mode::protected32, code_ports_protected(), v); }
void ports_long(Verdict& v) { ports(Mode::long64, code_ports_long(), v); }

/// RSI and RDI move by 4 and by 6, from `source` and `source` + 10H.
void strings(Mode mode, Code code, u64 source, Verdict& verdict) {
    run_row({.mode = mode,
             .code = code,
             .steps = {{What::out, 0x402, 1, 'a'},
                       {What::out, 0x402, 1, 'b'},
                       {What::out, 0x402, 1, 'c'},
                       {What::out, 0x402, 1, 'd'},
                       {What::in, 0x404, 2, 0x1211},
                       {What::in, 0x404, 2, 0x2221},
                       {What::in, 0x404, 2, 0x3231},
                       {What::halt}},
             .registers = {{"cx", rcx, 0}, {"si", rsi, source + 4}, {"di", rdi, source + 0x16}},
             .bytes = {{data_at + 0x10, "\x11\x12\x21\x22\x31\x32\x00", 7}}},
            verdict);
}
void strings_real(Verdict& v) { strings(Mode::real, code_strings_real(), 0, v); }
void strings_protected(Verdict& v) {
    strings(Mode::protected32, code_strings_protected(), data_at, v);
}
void strings_long(Verdict& v) { strings(Mode::long64, code_strings_long(), data_at, v); }

void mmio_real(Verdict& verdict) {
    run_row({.mode = Mode::real,
             .code = code_mmio_real(),
             .steps = {{What::write, device_at, 2, 0x1122},
                       {What::read, device_at + 8, 4, 0xcafe'babe},
                       {What::write, device_at + 3, 1, 0x7f},
                       {What::read, device_at + 2, 2, 0xbeef},
                       {What::halt}},
             .registers = {{"eax", rax, 0xcafe'babe}, {"bx", rbx, 0xbeef}},
             .bytes = {}},
            verdict);
}

constexpr Step mmio_write{What::write, device_at, 4, 0x1122'3344};
constexpr Step mmio_read{What::read, device_at + 8, 4, 0xcafe'babe};
constexpr Step mmio_write_byte{What::write, device_at + 3, 1, 0x7f};
constexpr Step mmio_read_word{What::read, device_at + 2, 2, 0xbeef};
constexpr Step mmio_add_read{What::read, device_at + 0x10, 4, 0x10};
constexpr Step mmio_add_write{What::write, device_at + 0x10, 4, 0x15};

void mmio_protected(Verdict& verdict) {
    run_row({.mode = Mode::protected32,
             .code = code_mmio_protected(),
             .steps = {mmio_write,
                       mmio_read,
                       mmio_write_byte,
                       mmio_read_word,
                       mmio_add_read,
                       mmio_add_write,
                       {What::halt}},
             .registers = {{"eax", rax, 0xcafe'babe}, {"ebx", rbx, 0xbeef}},
             .bytes = {}},
            verdict);
}

void mmio_long(Verdict& verdict) {
    run_row({.mode = Mode::long64,
             .code = code_mmio_long(),
             .steps = {mmio_write,
                       mmio_read,
                       mmio_write_byte,
                       mmio_read_word,
                       mmio_add_read,
                       mmio_add_write,
                       {What::write, device_at + 0x20, 8, 0x8877'6655'4433'2211},
                       {What::read, device_at + 0x28, 8, 0x0102'0304'0506'0708},
                       {What::halt}},
             .registers = {{"rax", rax, 0xcafe'babe},
                           {"rbx", rbx, 0xbeef},
                           {"rdx", rdx, 0x0102'0304'0506'0708}},
             .bytes = {}},
            verdict);
}

void mmio_string(Mode mode, Code code, Verdict& verdict) {
    run_row({.mode = mode,
             .code = code,
             .steps = {{What::write, device_at, 1, '1'},
                       {What::write, device_at + 1, 1, '2'},
                       {What::write, device_at + 2, 1, '3'},
                       {What::read, device_at + 0x40, 1, 'x'},
                       {What::read, device_at + 0x41, 1, 'y'},
                       {What::read, device_at + 0x42, 1, 'z'},
                       {What::halt}},
             .registers = {{"ecx", rcx, 0},
                           {"esi", rsi, device_at + 0x43},
                           {"edi", rdi, data_at + 0x13}},
             .bytes = {{data_at + 0x10, "xyz\0", 4}}},
            verdict);
}
void mmio_string_protected(Verdict& v) {
    mmio_string(Mode::protected32, code_mmio_string_protected(), v);
}
void mmio_string_long(Verdict& v) { mmio_string(Mode::long64, code_mmio_string_long(), v); }

/// Leaf 4 has subleaves; only the second is asked for.
void set_own_cpuid(const Vm&, const Vcpu& vcpu) {
    CpuidTable table{};
    const kvm_cpuid_entry2 rows[]{{.function = 0,
                                   .index = 0,
                                   .flags = 0,
                                   .eax = 0x16,
                                   .ebx = 0x1,
                                   .ecx = 0x2,
                                   .edx = 0x3,
                                   .padding = {}},
                                  {.function = 4,
                                   .index = 0,
                                   .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                                   .eax = 0xa0a0,
                                   .ebx = 0xb0b0,
                                   .ecx = 0xc0c0,
                                   .edx = 0xd0d0,
                                   .padding = {}},
                                  {.function = 4,
                                   .index = 1,
                                   .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                                   .eax = 0x4141'4141,
                                   .ebx = 0x4242'4242,
                                   .ecx = 0x4343'4343,
                                   .edx = 0x4444'4444,
                                   .padding = {}},
                                  {.function = 0x4000'0000,
                                   .index = 0,
                                   .flags = 0,
                                   .eax = 0x4000'0001,
                                   .ebx = 0x1,
                                   .ecx = 0x2,
                                   .edx = 0x3,
                                   .padding = {}},
                                  {.function = 0x4000'0001,
                                   .index = 0,
                                   .flags = 0,
                                   .eax = 0x6173'6261,
                                   .ebx = 0x6867'6665,
                                   .ecx = 0x6c6b'6a69,
                                   .edx = 0x706f'6e6d,
                                   .padding = {}}};
    table.count = sizeof rows / sizeof rows[0];
    memcpy(table.entry, rows, sizeof rows);
    vcpu.set_cpuid(table);
}

void cpuid(Mode mode, Code code, Verdict& verdict) {
    run_row({.mode = mode,
             .code = code,
             .steps = {{What::halt}},
             .registers = {{"eax", rax, 0x4141'4141}, {"edx", rdx, 0x4444'4444}},
             .bytes = {{data_at, "absaefghijklmnop", 16}, {data_at + 0x10, "AAAABBBBCCCCDDDD", 16}},
             .prepare = set_own_cpuid},
            verdict);
}
void cpuid_real(Verdict& v) { cpuid(Mode::real, code_cpuid_real(), v); }
void cpuid_protected(Verdict& v) { cpuid(Mode::protected32, code_cpuid_protected(), v); }
void cpuid_long(Verdict& v) { cpuid(Mode::long64, code_cpuid_long(), v); }

constexpr u32 filtered_msr = 0x174, unknown_msr = 0x12345;
constexpr u32 own_features = KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER;

/// 174H is taken away from the guest; it and unknown MSRs come to us.
void answer_msrs(const Vm& vm, const Vcpu&) {
    kvm_enable_cap capability{};
    capability.cap = KVM_CAP_X86_USER_SPACE_MSR;
    capability.args[0] = own_features;
    vm.call(KVM_ENABLE_CAP, &capability, "KVM_CAP_X86_USER_SPACE_MSR");
    u8 denied[1]{0};
    kvm_msr_filter filter{};
    filter.flags = KVM_MSR_FILTER_DEFAULT_ALLOW;
    filter.ranges[0] = {.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
                        .nmsrs = 1,
                        .base = filtered_msr,
                        .bitmap = denied};
    vm.call(KVM_X86_SET_MSR_FILTER, &filter, "KVM_X86_SET_MSR_FILTER");
    put_gate(vm, Mode::long64, 13, code_at + 0x80);
}

constexpr Step filtered_read{What::read_msr, filtered_msr, KVM_MSR_EXIT_REASON_FILTER,
                             0xaabb'ccdd'1122'3344};
constexpr Step filtered_write{What::write_msr, filtered_msr, KVM_MSR_EXIT_REASON_FILTER,
                              0x5566'7788'1122'3344};
constexpr Step unknown_read{What::read_msr, unknown_msr, KVM_MSR_EXIT_REASON_UNKNOWN, 0x5151};
constexpr Step unknown_refused{What::read_msr, unknown_msr, KVM_MSR_EXIT_REASON_UNKNOWN, 0, true};

void msr_protected(Verdict& verdict) {
    run_row(
        {.mode = Mode::protected32,
         .code = code_msr_protected(),
         .steps = {filtered_read, filtered_write, unknown_read, {What::halt}},
         .registers = {{"esi", rsi, 0x1122'3344}, {"edi", rdi, 0xaabb'ccdd}, {"ebx", rbx, 0x5151}},
         .bytes = {},
         .prepare = answer_msrs},
        verdict);
}

void msr_long(Verdict& verdict) {
    run_row({.mode = Mode::long64,
             .code = code_msr_long(),
             .steps = {filtered_read, filtered_write, unknown_read, unknown_refused, {What::halt}},
             .registers = {{"esi", rsi, 0x1122'3344},
                           {"edi", rdi, 0xaabb'ccdd},
                           {"ebx", rbx, 0x5151},
                           {"#GP's handler", r8, 0x0d},
                           {"rsp", rsp, stack_at}},
             .bytes = {},
             .prepare = answer_msrs},
            verdict);
}

}  // namespace

const Check exit_checks[]{
    {"hlt in real mode", halt_real},
    {"hlt in protected mode", halt_protected},
    {"hlt in 64-bit mode", halt_long},
    {"ports in real mode", ports_real},
    {"ports in protected mode", ports_protected},
    {"ports in 64-bit mode", ports_long},
    {"port strings in real mode", strings_real},
    {"port strings in protected mode", strings_protected},
    {"port strings in 64-bit mode", strings_long},
    {"mmio in real mode", mmio_real},
    {"mmio in protected mode", mmio_protected},
    {"mmio in 64-bit mode", mmio_long},
    {"mmio strings in protected mode", mmio_string_protected},
    {"mmio strings in 64-bit mode", mmio_string_long},
    {"cpuid in real mode", cpuid_real},
    {"cpuid in protected mode", cpuid_protected},
    {"cpuid in 64-bit mode", cpuid_long},
    {"msrs in protected mode", msr_protected},
    {"msrs in 64-bit mode", msr_long},
    {nullptr, nullptr},
};

}  // namespace kvm

// SPDX-License-Identifier: Apache-2.0
// /dev/kvm, and the states that our guests start in.
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace kvm {

namespace {

constexpr u16 code_selector = 0x08, data_selector = 0x10, code64_selector = 0x18;
constexpr u64 present = 1, writable = 2, large = 0x80;
constexpr u32 cr0_pe = 1, cr0_et = 0x10, cr0_ne = 0x20, cr0_pg = 0x8000'0000;
constexpr u32 cr4_pae = 0x20, cr4_osfxsr = 0x200, cr4_osxmmexcpt = 0x400;
constexpr u32 efer_lme = 0x100, efer_lma = 0x400;

/// The header's kvm_cpuid2 has an empty structure in it, which in C++ takes room: its requests come
/// out with another size than the kernel's.
constexpr u32 cpuid_head_size = 8;
constexpr unsigned long get_supported_cpuid =
    _IOC(_IOC_READ | _IOC_WRITE, KVMIO, _IOC_NR(KVM_GET_SUPPORTED_CPUID), cpuid_head_size);
constexpr unsigned long set_cpuid2 =
    _IOC(_IOC_WRITE, KVMIO, _IOC_NR(KVM_SET_CPUID2), cpuid_head_size);
static_assert(offsetof(CpuidTable, entry) == cpuid_head_size);

int device() {
    static int open_once = -1;
    if (open_once < 0) open_once = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (open_once < 0) fail_with_errno("/dev/kvm");
    return open_once;
}

kvm_segment flat(u16 selector, u8 type, bool long_mode) {
    kvm_segment s{};
    s.limit = 0xffff'ffff;
    s.selector = selector;
    s.type = type;
    s.present = 1;
    s.s = 1;
    s.g = 1;
    s.l = long_mode;
    s.db = !long_mode;
    return s;
}

kvm_segment real(u64 base, u8 type) {
    kvm_segment s{};
    s.base = base;
    s.limit = 0xffff;
    s.selector = static_cast<u16>(base >> 4);
    s.type = type;
    s.present = 1;
    s.s = 1;
    return s;
}

void set_segments(kvm_sregs& s, Mode mode, u64 code) {
    constexpr u8 code_type = 11, data_type = 3;
    kvm_segment data;
    if (mode == Mode::real) {
        s.cs = real(code, code_type);
        data = real(0, data_type);
    } else {
        const bool is_long = mode == Mode::long64;
        s.cs = flat(is_long ? code64_selector : code_selector, code_type, is_long);
        data = flat(data_selector, data_type, false);
    }
    s.ds = s.es = s.fs = s.gs = s.ss = data;
}

}  // namespace

void fail(const char* what) {
    fflush(stdout);
    fprintf(stderr, "kvm: %s\n", what);
    exit(2);
}

void fail_with_errno(const char* what) {
    const int number = errno;
    fflush(stdout);
    fprintf(stderr, "kvm: %s: %s\n", what, strerror(number));
    exit(2);
}

Vm::Vm(u64 memory_size) : size_{memory_size} {
    if (ioctl(device(), KVM_GET_API_VERSION, 0) != KVM_API_VERSION) fail("another API version");
    vm_ = ioctl(device(), KVM_CREATE_VM, 0);
    if (vm_ < 0) fail_with_errno("KVM_CREATE_VM");
    void* const mapped = mmap(nullptr, size_, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) fail_with_errno("memory");
    memory_ = static_cast<u8*>(mapped);
    kvm_userspace_memory_region region{};
    region.memory_size = size_;
    region.userspace_addr = reinterpret_cast<u64>(memory_);
    call(KVM_SET_USER_MEMORY_REGION, &region, "KVM_SET_USER_MEMORY_REGION");
    // Where no memory of a guest is.
    u64 identity_map = 0xfffb'c000;
    call(KVM_SET_IDENTITY_MAP_ADDR, &identity_map, "KVM_SET_IDENTITY_MAP_ADDR");
    call(KVM_SET_TSS_ADDR, u64{0xfffb'd000}, "KVM_SET_TSS_ADDR");
}

Vm::~Vm() {
    close(vm_);
    munmap(memory_, size_);
}

int Vm::call(unsigned long request, const void* argument, const char* what) const {
    return call(request, reinterpret_cast<u64>(argument), what);
}

int Vm::call(unsigned long request, u64 argument, const char* what) const {
    const int result = ioctl(vm_, request, argument);
    if (result < 0) fail_with_errno(what);
    return result;
}

void Vm::create_interrupt_chips() const { call(KVM_CREATE_IRQCHIP, u64{0}, "KVM_CREATE_IRQCHIP"); }

void Vm::set_line(u32 line, bool level) const {
    kvm_irq_level change{};
    change.irq = line;
    change.level = level;
    call(KVM_IRQ_LINE, &change, "KVM_IRQ_LINE");
}

CpuidTable supported_cpuid() {
    CpuidTable table{};
    table.count = sizeof table.entry / sizeof table.entry[0];
    if (ioctl(device(), get_supported_cpuid, &table) < 0)
        fail_with_errno("KVM_GET_SUPPORTED_CPUID");
    return table;
}

Vcpu::Vcpu(const Vm& vm, u32 number) {
    vcpu_ = vm.call(KVM_CREATE_VCPU, u64{number}, "KVM_CREATE_VCPU");
    const int size = ioctl(device(), KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size <= 0) fail_with_errno("KVM_GET_VCPU_MMAP_SIZE");
    run_size_ = static_cast<size_t>(size);
    void* const shared = mmap(nullptr, run_size_, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_, 0);
    if (shared == MAP_FAILED) fail_with_errno("kvm_run");
    run_ = static_cast<kvm_run*>(shared);
}

Vcpu::~Vcpu() {
    munmap(run_, run_size_);
    close(vcpu_);
}

int Vcpu::call(unsigned long request, const void* argument, const char* what) const {
    const int result = ioctl(vcpu_, request, argument);
    if (result < 0) fail_with_errno(what);
    return result;
}

void Vcpu::start(Mode mode, u64 code, u64 stack) const {
    kvm_sregs s{};
    call(KVM_GET_SREGS, &s, "KVM_GET_SREGS");
    set_segments(s, mode, code);
    s.cr0 = cr0_et | cr0_ne;
    if (mode == Mode::real) {
        s.idt = {.base = 0, .limit = 0x3ff, .padding = {}};
    } else {
        s.cr0 |= cr0_pe;
        s.gdt = {.base = at::gdt, .limit = 0x1f, .padding = {}};
        s.idt = {.base = at::idt, .limit = 0xfff, .padding = {}};
    }
    if (mode == Mode::long64) {
        s.cr0 |= cr0_pg;
        s.cr3 = at::pml4;
        s.cr4 = cr4_pae | cr4_osfxsr | cr4_osxmmexcpt;
        s.efer = efer_lme | efer_lma;
    }
    call(KVM_SET_SREGS, &s, "KVM_SET_SREGS");
    kvm_regs r{};
    r.rip = mode == Mode::real ? 0 : code;
    r.rsp = stack;
    r.rflags = 2;
    set_registers(r);
}

void Vcpu::set_cpuid(const CpuidTable& table) const { call(set_cpuid2, &table, "KVM_SET_CPUID2"); }

u32 Vcpu::run() const {
    while (ioctl(vcpu_, KVM_RUN, 0) < 0)
        if (errno != EINTR && errno != EAGAIN) fail_with_errno("KVM_RUN");
    return run_->exit_reason;
}

kvm_regs Vcpu::registers() const {
    kvm_regs r{};
    call(KVM_GET_REGS, &r, "KVM_GET_REGS");
    return r;
}

void Vcpu::set_registers(const kvm_regs& registers) const {
    call(KVM_SET_REGS, &registers, "KVM_SET_REGS");
}

void build_tables(const Vm& vm) {
    const u64 descriptors[]{0, 0x00cf'9b00'0000'ffff, 0x00cf'9300'0000'ffff, 0x00af'9b00'0000'ffff};
    memcpy(vm.memory() + at::gdt, descriptors, sizeof descriptors);
    vm.at<u64>(at::pml4) = at::pdpt | present | writable;
    for (u64 gib = 0; gib < 4; ++gib) {
        const u64 directory = at::directories + 0x1000 * gib;
        vm.at<u64>(at::pdpt + 8 * gib) = directory | present | writable;
        for (u64 n = 0; n < 512; ++n)
            vm.at<u64>(directory + 8 * n) = (gib << 30 | n << 21) | present | writable | large;
    }
}

}  // namespace kvm

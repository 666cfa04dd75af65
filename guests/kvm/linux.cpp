// SPDX-License-Identifier: Apache-2.0
// The 64-bit boot protocol of Linux (its Documentation/x86/boot.rst), and the little a kernel needs
// of a PC to come to its first program without ACPI and PCI.
#include "linux.h"

#include <asm/bootparam.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serial.h"

namespace kvm {

namespace {

// In low memory, above our tables.
constexpr u64 zero_page = 0x1'0000, command_line_at = 0x2'0000, stack = 0x9000;
constexpr u64 low_memory_end = 0x9'fc00, high_memory = 0x10'0000;
constexpr u32 header_magic = 0x5372'6448;  // "HdrS"
constexpr u64 entry_64 = 0x200;
constexpr u8 unknown_loader = 0xff;

struct File {
    explicit File(const char* path) : fd{open(path, O_RDONLY | O_CLOEXEC)} {
        struct stat status{};
        if (fd < 0 || fstat(fd, &status) != 0) fail_with_errno(path);
        size = static_cast<u64>(status.st_size);
    }
    ~File() { close(fd); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    void read(u64 offset, void* to, u64 count) const {
        auto* bytes = static_cast<u8*>(to);
        while (count != 0) {
            const ssize_t got = pread(fd, bytes, count, static_cast<off_t>(offset));
            if (got <= 0) fail("a file is too short");
            bytes += got;
            offset += static_cast<u64>(got);
            count -= static_cast<u64>(got);
        }
    }
    int fd;
    u64 size = 0;
};

void add_memory(boot_params& params, u64 from, u64 to) {
    params.e820_table[params.e820_entries++] = {.addr = from, .size = to - from, .type = 1};
}

/// Returns where the kernel lies.
u64 load_kernel(const Vm& vm, const char* path, boot_params& params) {
    const File file{path};
    if (file.size < 0x1000) fail("no bzImage");
    file.read(0x1f1, &params.hdr, sizeof params.hdr);
    const setup_header& header = params.hdr;
    constexpr u16 has_64_bit_entry = 1;
    if (header.header != header_magic || header.version < 0x20c ||
        (header.xloadflags & has_64_bit_entry) == 0)
        fail("no bzImage of a 64-bit kernel");
    const u64 setup = 512u * (1u + (header.setup_sects != 0 ? header.setup_sects : 4u));
    const u64 base = header.pref_address;
    if (base + header.init_size > vm.memory_size()) fail("not enough memory for the kernel");
    file.read(setup, vm.memory() + base, file.size - setup);
    return base;
}

void load_initrd(const Vm& vm, const char* path, boot_params& params, u64 above) {
    const File file{path};
    const u64 base = (vm.memory_size() - file.size) & ~u64{0xfff};
    if (file.size > vm.memory_size() || base < above) fail("not enough memory for the initrd");
    file.read(0, vm.memory() + base, file.size);
    params.hdr.ramdisk_image = static_cast<u32>(base);
    params.hdr.ramdisk_size = static_cast<u32>(file.size);
}

void put_command_line(const Vm& vm, const LinuxPlan& plan) {
    constexpr size_t most = 2000;
    char* const text = &vm.at<char>(command_line_at);
    strcpy(text, plan.command_line);
    for (char** word = plan.more_words; word != nullptr && *word != nullptr; ++word) {
        if (strlen(text) + strlen(*word) + 2 > most) fail("the command line is too long");
        strcat(strcat(text, " "), *word);
    }
}

u64 load(const Vm& vm, const LinuxPlan& plan) {
    boot_params params{};
    const u64 kernel = load_kernel(vm, plan.kernel, params);
    load_initrd(vm, plan.initrd, params, kernel + params.hdr.init_size);
    params.hdr.type_of_loader = unknown_loader;
    params.hdr.cmd_line_ptr = command_line_at;
    put_command_line(vm, plan);
    add_memory(params, 0, low_memory_end);
    add_memory(params, high_memory, vm.memory_size());
    memcpy(vm.memory() + zero_page, &params, sizeof params);
    return kernel + entry_64;
}

/// Local APIC 0 alone, and "there is a hypervisor", which KVM does not say by itself.
void set_cpuid(const Vcpu& vcpu) {
    CpuidTable table = supported_cpuid();
    for (u32 n = 0; n < table.count; ++n) {
        kvm_cpuid_entry2& row = table.entry[n];
        if (row.function == 1) {
            row.ebx &= 0x00ff'ffff;
            row.ecx |= 1u << 31;
        }
        if (row.function == 0xb || row.function == 0x1f) row.edx = 0;
    }
    vcpu.set_cpuid(table);
}

class Machine {
public:
    explicit Machine(const LinuxPlan& plan) : vm_{plan.memory}, serial_{plan.wanted} {}
    int run(const LinuxPlan& plan);

private:
    void port();
    u8 port_in(u16 number);
    void update_line();

    /// Before there is a processor.
    static const Vm& with_chips(const Vm& vm) {
        vm.create_interrupt_chips();
        kvm_pit_config pit{};
        vm.call(KVM_CREATE_PIT2, &pit, "KVM_CREATE_PIT2");
        return vm;
    }

    Vm vm_;
    Serial serial_;
    Vcpu vcpu_{with_chips(vm_), 0};
    bool line_ = false;
};

/// Where nothing is, all ones are read; the clock chip says 0, so that nobody waits for its update.
u8 Machine::port_in(u16 number) {
    if (number >= Serial::first_port && number <= Serial::last_port) return serial_.read(number);
    return number == 0x71 ? 0 : 0xff;
}

void Machine::port() {
    kvm_run& run = vcpu_.shared();
    const auto& io = run.io;
    u8* data = reinterpret_cast<u8*>(&run) + io.data_offset;
    for (u32 n = 0; n < io.count * io.size; ++n, ++data) {
        const u16 number = static_cast<u16>(io.port + n % io.size);
        if (io.direction == KVM_EXIT_IO_IN)
            *data = port_in(number);
        else if (number >= Serial::first_port && number <= Serial::last_port)
            serial_.write(number, *data);
    }
    update_line();
}

void Machine::update_line() {
    if (serial_.interrupts() == line_) return;
    line_ = !line_;
    vm_.set_line(Serial::line, line_);
}

int Machine::run(const LinuxPlan& plan) {
    build_tables(vm_);
    const u64 entry = load(vm_, plan);
    set_cpuid(vcpu_);
    vcpu_.start(Mode::long64, entry, stack);
    kvm_regs registers = vcpu_.registers();
    registers.rsi = zero_page;
    vcpu_.set_registers(registers);
    while (!serial_.done()) {
        const u32 reason = vcpu_.run();
        if (reason == KVM_EXIT_IO) {
            port();
        } else if (reason == KVM_EXIT_MMIO) {
            if (vcpu_.shared().mmio.is_write == 0) memset(vcpu_.shared().mmio.data, 0xff, 8);
        } else {
            printf("linux: FAILED exit %u, detail %llx, at rip %llx\n", reason,
                   vcpu_.shared().hw.hardware_exit_reason, vcpu_.registers().rip);
            return 1;
        }
    }
    printf("linux: ok\n");
    return 0;
}

}  // namespace

int boot_linux(const LinuxPlan& plan) {
    setvbuf(stdout, nullptr, _IOLBF, 0);
    Machine machine{plan};
    return machine.run(plan);
}

}  // namespace kvm

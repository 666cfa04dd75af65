// SPDX-License-Identifier: Apache-2.0
// Any bytes as a guest's code, at CPL 0 and at CPL 3, on the software processor under the
// hypervisor, a device's page within reach, sometimes with a timer that exits all the time. A
// small kernel steps over each fault by one byte. Nothing may crash or hang, an honest processor
// gives the hypervisor no anomaly, no VM entry fails, and what runs at CPL 3 does not stop the
// guest. An instruction that is not implemented ends a run by its name and address; it is blotted
// out and the rest is tried.
// iterations: 4000
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

#include "cpu/model.h"
#include "fuzz/input.h"
#include "host/guest.h"
#include "support/kernel_image.h"
#include "unit/platform/elf_image.h"

// The kernel: everything it uses lies at fixed addresses (namespace at, below).
asm(R"(
    .pushsection .rodata
    .globl postern_fuzz_start, postern_fuzz_fault, postern_fuzz_fault_code, postern_fuzz_end
postern_fuzz_start:
    lgdt 0x101f00
    lidt 0x101f10
    movw $0x28, %ax
    ltr %ax
    movl $0x107000, %eax
    movq %rax, %cr3
    movl $0x10620, %eax
    movq %rax, %cr4
    movl $1, %eax
    cpuid
    btl $26, %ecx
    jnc 3f
    movl $0x50620, %eax
    movq %rax, %cr4
    xorl %ecx, %ecx
    xorl %edx, %edx
    movl $7, %eax
    xsetbv
3:
    movw $0x1b, %ax
    movw %ax, %ds
    movw %ax, %es
    movl $0x106000, %esp
    popq %rax
    popq %rcx
    popq %rdx
    popq %rbx
    popq %rbp
    popq %rsi
    popq %rdi
    popq %r8
    popq %r9
    popq %r10
    popq %r11
    popq %r12
    popq %r13
    popq %r14
    popq %r15
    iretq
postern_fuzz_fault_code:
    addq $8, %rsp
postern_fuzz_fault:
    incq (%rsp)
    testb $3, 8(%rsp)
    jnz 1f
    cmpb $0, 0x106f04
    jne 2f
1:  decl 0x106f00
    jz 2f
    iretq
2:  movb $1, %al
    outb %al, $0xf4
postern_fuzz_end:
    .popsection
)");

extern "C" const unsigned char postern_fuzz_start[], postern_fuzz_fault[],
    postern_fuzz_fault_code[], postern_fuzz_end[];

namespace {

using namespace postern;

namespace at {
constexpr u64 kernel = test::KernelImage::base;
constexpr u64 stack_top = 0x10'6000;
constexpr u64 registers = 0x10'6000;  // 15 of them, then the frame of an IRETQ
constexpr u64 faults_left = 0x10'6f00, kernel_faults_end = 0x10'6f04;
constexpr u64 tables = 0x10'7000;  // four pages
constexpr u64 kernel_end = 0x10'b000;
constexpr u64 code = 0x20'0000, data = 0x30'0000, stack = 0x38'0000;  // user pages
constexpr u64 memory = 8 * platform::mib;
}  // namespace at

constexpr u64 instructions_at_most = 3000;
constexpr u32 faults_at_most = 40;

enum class Mode : u8 { kernel, user };

using fuzz::broken;

/// An honest processor gives no reason for any of these.
class Unsuspecting final : public hv::Watcher {
public:
    void exit(const hv::ExitRecord&) override {}
    void stopped(const hv::StopReport&) override {}
    void anomaly(hv::Anomaly anomaly, const hv::ExitRecord& record) override {
        char text[128];
        std::snprintf(text, sizeof text, "anomaly %u, exit reason %#x, RIP %#llx",
                      static_cast<unsigned>(anomaly), record.raw_reason,
                      static_cast<unsigned long long>(record.rip_or_aep));
        broken("no anomaly", text);
    }
};

/// Where a place in the kernel's code is in the guest.
u64 address_of(const unsigned char* place) {
    return at::kernel + static_cast<u64>(place - postern_fuzz_start);
}

/// The kernel's pages, from at::kernel on.
class Image : public test::KernelImage {
public:
    explicit Image(Mode mode)
        : KernelImage{{postern_fuzz_start, postern_fuzz_end}, at::kernel_end} {
        put(at::faults_left, faults_at_most, 4);
        put(at::kernel_faults_end, mode == Mode::kernel ? 0 : 1, 1);
        write_segments({.rsp0 = at::stack_top, .ist1 = at::stack_top});
        write_gates(address_of(postern_fuzz_fault), address_of(postern_fuzz_fault_code));
        write_page_tables();
    }

private:
    /// Identity: 0 to 2 MiB and 4 to 8 MiB are the kernel's, 2 to 4 MiB and the devices' page
    /// are everybody's.
    void write_page_tables() {
        constexpr u64 all = 7, kernel_only = 0x83, everybody = 0x87;
        constexpr u64 directory = at::tables + 2 * page_size, high = at::tables + 3 * page_size;
        put(at::tables, (at::tables + page_size) | all, 8);
        put(at::tables + page_size, directory | all, 8);
        put(at::tables + page_size + 3 * 8, high | all, 8);
        for (u64 i = 0; i < 4; ++i)
            put(directory + 8 * i, i << 21 | (i == 1 ? everybody : kernel_only), 8);
        put(high + 8 * (platform::doorbell_base >> 21 & 511), platform::doorbell_base | everybody,
            8);
    }
};

/// Registers that point to something, with a few bits of the input.
void write_registers(Image& image, Mode mode, std::span<const u8> seed, u64 rip) {
    const u64 values[15] = {seed[0],
                            seed[1] % 16u,
                            u64{seed[2]} << 4,
                            platform::doorbell_base + (seed[0] & 0xf0),
                            at::data + 0x400,
                            at::data + 0x800,
                            at::data + seed[1],
                            ~u64{0} - seed[2],
                            u64{1} << (seed[3] & 63),
                            at::code,
                            0x3f8,
                            at::kernel,
                            u64{0x8000'0000'0000} - seed[3],
                            platform::doorbell_base,
                            0x0123'4567'89ab'cdef};
    for (unsigned i = 0; i < 15; ++i) image.put(at::registers + 8 * i, values[i], 8);
    const u64 frame = at::registers + 8 * 15;
    image.put(frame, rip, 8);
    image.put(frame + 8, mode == Mode::kernel ? 0x08 : 0x23, 8);
    image.put(frame + 16, 0x2 | (u64{seed[3]} << 6 & 0xd00), 8);  // TF, DF, OF
    image.put(frame + 24, at::stack, 8);
    image.put(frame + 32, mode == Mode::kernel ? 0x10 : 0x1b, 8);
}

std::vector<u8> kernel_file(const Image& image, std::span<const u8> code, u64 rip) {
    test::ElfFile file;
    file.entry(at::kernel);
    const size_t size = image.bytes().size();
    file.add({1, 0x1000, at::kernel, size, size});
    file.add({1, 0x1000 + size + (rip & 0xfff), rip, code.size(), code.size()});
    file.bytes.resize(0x1000 + size + (rip & 0xfff) + code.size());
    std::ranges::copy(image.bytes(), file.bytes.begin() + 0x1000);
    std::ranges::copy(code, file.bytes.end() - static_cast<std::ptrdiff_t>(code.size()));
    return std::move(file.bytes);
}

std::string describe(const host::RunResult& result) {
    char text[160];
    std::snprintf(text, sizeof text, "ending %u, stop %u (%s), exit reason %#x, detail %#llx",
                  static_cast<unsigned>(result.ending), static_cast<unsigned>(result.stop.reason),
                  result.stop.what != nullptr ? result.stop.what : "", result.stop.exit.raw_reason,
                  static_cast<unsigned long long>(result.stop.detail));
    return text;
}

/// Stops that say that the hypervisor or the processor, not the guest, is wrong.
bool is_ours(hv::StopReason reason) {
    constexpr std::array ours{hv::StopReason::unknown_exit_reason,
                              hv::StopReason::reserved_exit_reason,
                              hv::StopReason::entry_failed,
                              hv::StopReason::vmfail,
                              hv::StopReason::no_instruction_length,
                              hv::StopReason::enclave_fault,
                              hv::StopReason::processor_lacks_control,
                              hv::StopReason::bad_configuration,
                              hv::StopReason::out_of_table_pages};
    return std::ranges::find(ours, reason) != ours.end();
}

void judge(Mode mode, const host::RunResult& result) {
    using host::Ending;
    if (result.instructions > instructions_at_most) broken("the limit holds", describe(result));
    if (is_ours(result.stop.reason)) broken("the guest is to blame", describe(result));
    if (result.ending == Ending::processor && !result.what.starts_with("not implemented: "))
        broken("the processor goes on", result.what);
    const bool stops = result.ending == Ending::stopped || result.ending == Ending::halted ||
                       result.ending == Ending::reset;
    if (mode != Mode::kernel && stops) broken("CPL 3 does not stop the guest", describe(result));
}

/// The address that a processor names which met what is not implemented; 0 for none.
u64 unimplemented_at(const host::RunResult& result) {
    constexpr std::string_view words = " at RIP 0x";
    const size_t found = result.what.find(words);
    if (result.ending != host::Ending::processor || found == std::string::npos) return 0;
    return std::strtoull(&result.what[found + words.size()], nullptr, 16);
}

host::RunResult run(Mode mode, std::span<const u8> seed, std::span<const u8> code, u64 rip) {
    static Unsuspecting watcher;
    platform::StringSink serial, debug;
    Image image{mode};
    write_registers(image, mode, seed, rip);
    host::GuestConfig config;
    config.layout = platform::layout_of(at::memory, 0);
    config.model = &cpu::default_model();
    config.preemption_timer = seed[2] % 4 == 0 ? 1 + seed[2] / 64u : 0;
    config.kernel.name = "fuzz";
    config.kernel.file = kernel_file(image, code, rip);
    auto guest = host::Guest::create(std::move(config), {serial, debug, watcher, {}});
    if (!guest) broken("the guest is built", guest.error().what);
    const host::RunResult result = (*guest)->run({instructions_at_most, 0});
    judge(mode, result);
    if (!(*guest)->port().missing_fields().empty()) broken("no VMCS field is missing", "one is");
    return result;
}

void run_all(Mode mode, std::span<const u8> seed, std::span<const u8> bytes) {
    constexpr int runs_at_most = 6;
    constexpr u8 nop = 0x90;
    std::vector<u8> code{bytes.begin(), bytes.end()};
    const u64 rip = at::code + ((seed[0] & 1) != 0 ? 0xff8 : 0);
    for (int runs = 0; runs < runs_at_most; ++runs) {
        const u64 where = unimplemented_at(run(mode, seed, code, rip)) - rip;
        if (where >= code.size() || code[where] == nop) return;
        code[where] = nop;
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr size_t seed_size = 4;
    if (size <= seed_size) return 0;
    const std::span input{data, size};
    for (const Mode mode : {Mode::kernel, Mode::user})
        run_all(mode, input.first(seed_size), input.subspan(seed_size));
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// A whole machine in the middle of its work: 64-bit mode, a loop that stores all over memory,
// computes in floating point, rewrites its own code and talks to the serial port, and an APIC
// timer whose handler talks, too.
#pragma once

#include <cstring>
#include <memory>
#include <span>
#include <string>

#include "arch/regs/segment.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/model.h"
#include "cpu/run.h"
#include "platform/device/serial.h"
#include "platform/machine.h"
#include "platform/snapshot/snapshot.h"

namespace postern::test {

namespace running_at {
inline constexpr u64 gdt = 0x1000, idt = 0x2000, handler = 0x4000, stack = 0x8000, code = 0x1'0000;
inline constexpr u64 pml4 = 0x10'0000, pdpt = 0x10'1000, pd = 0x10'2000, pt = 0x10'3000;
inline constexpr u64 small_pages = 0x40'0000;  // linear; 2 MiB of 4 KiB pages, mapped to themselves
}  // namespace running_at

inline constexpr u8 busy_code[] = {
    0xbd, 0x00, 0x00, 0xe0, 0xfe,                                // mov ebp, 0xfee00000
    0xc7, 0x85, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,  // mov dword [rbp+0xf0], 0x1ff
    0xc7, 0x85, 0xe0, 0x03, 0x00, 0x00, 0x0b, 0x00, 0x00, 0x00,  // mov dword [rbp+0x3e0], 0xb
    0xc7, 0x85, 0x20, 0x03, 0x00, 0x00, 0x40, 0x00, 0x02, 0x00,  // mov dword [rbp+0x320], 0x20040
    0xc7, 0x85, 0x80, 0x03, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00,  // mov dword [rbp+0x380], 7
    0xbf, 0x00, 0x00, 0x20, 0x00,                                // mov edi, 0x200000
    0x66, 0xba, 0xf8, 0x03,                                      // mov dx, 0x3f8
    0xfb,                                                        // sti
    0x48, 0xff, 0xc0,                                            // again: inc rax
    0x48, 0x89, 0x07,                                            // mov [rdi], rax
    0x48, 0x81, 0xc7, 0x08, 0x10, 0x00, 0x00,                    // add rdi, 4104
    0x81, 0xe7, 0xff, 0xff, 0x3f, 0x00,                          // and edi, 0x3fffff
    0x81, 0xcf, 0x00, 0x00, 0x20, 0x00,                          // or edi, 0x200000
    0x48, 0x69, 0xd8, 0xb1, 0x79, 0x37, 0x1e,                    // imul rbx, rax, 0x1e3779b1
    0xf2, 0x0f, 0x2a, 0xc3,                                      // cvtsi2sd xmm0, ebx
    0xf2, 0x0f, 0x58, 0xc8,                                      // addsd xmm1, xmm0
    0xa8, 0x1f,                                                  // test al, 0x1f
    0x75, 0xd4,                                                  // jnz again
    0xee,                                                        // out dx, al
    0x88, 0x05, 0x03, 0x00, 0x00, 0x00,                          // mov [rip+3], al
    0x41, 0x80, 0xc1, 0x00,                                      // add r9b, 0
    0xeb, 0xc7,                                                  // jmp again
};

inline constexpr u8 timer_handler[] = {
    0x50,                                                        // push rax
    0x48, 0xff, 0x04, 0x25, 0x00, 0x90, 0x00, 0x00,              // inc qword [0x9000]
    0x8b, 0x04, 0x25, 0x00, 0x90, 0x00, 0x00,                    // mov eax, [0x9000]
    0xee,                                                        // out dx, al
    0xc7, 0x85, 0xb0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  // mov dword [rbp+0xb0], 0
    0x58,                                                        // pop rax
    0x48, 0xcf,                                                  // iretq
};

struct MachineKind {
    u64 memory = 8 * platform::mib;
    u64 epc = 2 * platform::mib;
    const cpu::Model* model = &cpu::default_model();
};

class RunningMachine {
public:
    explicit RunningMachine(const MachineKind& kind = {},
                            std::span<const u8> code = std::span{busy_code}) {
        auto made =
            platform::Machine::create(platform::layout_of(kind.memory, kind.epc), kind.model);
        machine = std::move(*made);
        machine->attach_local_apic();
        static_cast<void>(machine->bus().attach(serial_port));
        build_tables();
        build_descriptors();
        std::memcpy(machine->ram() + running_at::code, code.data(), code.size());
        std::memcpy(machine->ram() + running_at::handler, timer_handler, sizeof timer_handler);
        load_registers();
    }

    [[nodiscard]] cpu::Cpu& c() const { return machine->processor(); }
    [[nodiscard]] u64 now() const { return cpu::now(c()); }
    cpu::RunOutcome run_to(u64 time) const { return cpu::run(c(), time); }

    template <class T>
    T& at(u64 physical) const {
        return *reinterpret_cast<T*>(machine->ram() + physical);
    }

    [[nodiscard]] platform::SnapshotSubject subject() {
        platform::SnapshotSubject s = platform::subject_of(*machine);
        s.parts.push_back(platform::snapshot::part("serial", serial_port));
        return s;
    }
    [[nodiscard]] std::string digest() { return platform::state_digest(subject()); }

    platform::StringSink serial;
    platform::Serial serial_port{serial};
    std::unique_ptr<platform::Machine> machine;

private:
    static constexpr u64 table_flags = 7, large_page = 0x80;

    void build_tables() const {
        at<u64>(running_at::pml4) = running_at::pdpt | table_flags;
        at<u64>(running_at::pdpt) = running_at::pd | table_flags;
        for (u64 n = 0; n < 4; ++n)
            at<u64>(running_at::pd + 8 * n) = n << 21 | large_page | table_flags;
        at<u64>(running_at::pd + 8 * (running_at::small_pages >> 21)) =
            running_at::pt | table_flags;
        for (u64 n = 0; n < 512; ++n)
            at<u64>(running_at::pt + 8 * n) = (running_at::small_pages + (n << 12)) | table_flags;
        // The APIC's page, at 3 GiB and more.
        constexpr u64 pd3 = 0x10'4000;
        at<u64>(running_at::pdpt + 8 * 3) = pd3 | table_flags;
        at<u64>(pd3 + 8 * (platform::local_apic_base >> 21 & 511)) =
            platform::local_apic_base | large_page | table_flags;
    }
    void build_descriptors() const {
        at<u64>(running_at::gdt + 0x08) = descriptor_from_segment(flat(0x08, 0xa09b));
        at<u64>(running_at::gdt + 0x10) = descriptor_from_segment(flat(0x10, 0xc093));
        constexpr u64 timer = 0x40, gate = 0x8e00;
        at<u64>(running_at::idt + 16 * timer) =
            (running_at::handler & 0xffff) | u64{0x08} << 16 | gate << 32;
    }
    void load_registers() const {
        cpu::Cpu& p = c();
        p.cr0 = Cr0Word{Cr0::pe, Cr0::mp, Cr0::et, Cr0::ne, Cr0::wp, Cr0::pg};
        p.cr3 = running_at::pml4;
        p.cr4 = Cr4Word{Cr4::pae, Cr4::osfxsr, Cr4::osxmmexcpt};
        p.efer = EferWord{Efer::lme, Efer::lma, Efer::nxe};
        p.gdtr = {running_at::gdt, 0x17};
        p.idtr = {running_at::idt, 0xfff};
        p.segment[cs] = flat(0x08, 0xa09b);
        for (const SegmentIndex s : {es, ss, ds, fs, gs}) p.segment[s] = flat(0x10, 0xc093);
        p.gpr[rsp] = running_at::stack;
        p.gpr[rdx] = 0;
        p.rip = running_at::code;
        cpu::flush_translations(p);
    }
    static Segment flat(u16 selector, u32 rights) {
        Segment segment{};
        segment.selector = selector;
        segment.access_rights = rights;
        segment.limit = 0xffff'ffff;
        return segment;
    }
};

}  // namespace postern::test

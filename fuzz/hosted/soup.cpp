// SPDX-License-Identifier: Apache-2.0
// The instructions, one maker for each kind.
#include "fuzz/hosted/soup.h"

#include "arch/msr.h"

namespace postern::fuzz {
namespace {

/// MSRs that are ranges are met by a number near one of these.
constexpr std::array interesting_msrs{Msr::tsc,
                                      Msr::platform_id,
                                      Msr::apic_base,
                                      Msr::feature_control,
                                      Msr::tsc_adjust,
                                      Msr::spec_ctrl,
                                      Msr::pred_cmd,
                                      Msr::bios_updt_trig,
                                      Msr::bios_sign_id,
                                      Msr::sgxlepubkeyhash0,
                                      Msr::sgxlepubkeyhash3,
                                      Msr::smbase,
                                      Msr::pmc0,
                                      Msr::platform_info,
                                      Msr::umwait_control,
                                      Msr::mtrrcap,
                                      Msr::sysenter_cs,
                                      Msr::sysenter_esp,
                                      Msr::sysenter_eip,
                                      Msr::mcg_cap,
                                      Msr::misc_enable,
                                      Msr::debugctl,
                                      Msr::mtrr_physbase0,
                                      Msr::mtrr_fix64k_00000,
                                      Msr::pat,
                                      Msr::mtrr_def_type,
                                      Msr::sgxownerepoch0,
                                      Msr::perf_global_ctrl,
                                      Msr::mc0_ctl,
                                      Msr::vmx_basic,
                                      Msr::vmx_misc,
                                      Msr::vmx_procbased_ctls2,
                                      Msr::rtit_ctl,
                                      Msr::ds_area,
                                      Msr::u_cet,
                                      Msr::s_cet,
                                      Msr::tsc_deadline,
                                      Msr::pkrs,
                                      Msr::hwp_request,
                                      Msr::xfd,
                                      Msr::efer,
                                      Msr::star,
                                      Msr::lstar,
                                      Msr::cstar,
                                      Msr::fmask,
                                      Msr::fs_base,
                                      Msr::gs_base,
                                      Msr::kernel_gs_base,
                                      Msr::tsc_aux,
                                      Msr::sgx_svn_status,
                                      Msr::arch_capabilities};
constexpr u32 x2apic = 0x800, xss = 0xda0, hypervisor = 0x4000'0000;

struct Bytes {
    u8 count;
    std::array<u8, 5> bytes;
};

/// Without operands, or with those that are there.
constexpr std::array<Bytes, 58> lone{{
    {1, {0xf4}},                          // HLT
    {1, {0xfa}},                          // CLI
    {1, {0xfb}},                          // STI
    {2, {0x0f, 0xa2}},                    // CPUID
    {2, {0x0f, 0x08}},                    // INVD
    {2, {0x0f, 0x09}},                    // WBINVD
    {3, {0xf3, 0x0f, 0x09}},              // WBNOINVD
    {2, {0x0f, 0x06}},                    // CLTS
    {3, {0x0f, 0x01, 0xf0}},              // LMSW AX
    {3, {0x0f, 0x01, 0xe0}},              // SMSW EAX
    {3, {0x0f, 0x01, 0xf8}},              // SWAPGS
    {2, {0x0f, 0x33}},                    // RDPMC
    {2, {0x0f, 0x31}},                    // RDTSC
    {3, {0x0f, 0x01, 0xf9}},              // RDTSCP
    {3, {0x0f, 0x01, 0xc8}},              // MONITOR
    {3, {0x0f, 0x01, 0xc9}},              // MWAIT
    {4, {0xf2, 0x0f, 0xae, 0xf0}},        // UMWAIT EAX
    {4, {0x66, 0x0f, 0xae, 0xf0}},        // TPAUSE EAX
    {4, {0xf3, 0x0f, 0xae, 0xf0}},        // UMONITOR RAX
    {2, {0xf3, 0x90}},                    // PAUSE
    {3, {0x0f, 0xc7, 0xf0}},              // RDRAND EAX
    {3, {0x0f, 0xc7, 0xf8}},              // RDSEED EAX
    {4, {0xf3, 0x0f, 0xc7, 0xf8}},        // RDPID RAX
    {2, {0x0f, 0x05}},                    // SYSCALL
    {3, {0x48, 0x0f, 0x07}},              // SYSRET
    {2, {0x0f, 0x34}},                    // SYSENTER
    {3, {0x48, 0x0f, 0x35}},              // SYSEXIT
    {2, {0x0f, 0xaa}},                    // RSM
    {2, {0x0f, 0x37}},                    // GETSEC
    {3, {0x0f, 0x01, 0xc5}},              // PCONFIG
    {3, {0x0f, 0x01, 0xc0}},              // ENCLV
    {3, {0x0f, 0x01, 0xcf}},              // ENCLS, whatever RAX
    {3, {0x0f, 0x01, 0xd7}},              // ENCLU
    {3, {0x0f, 0x01, 0xd0}},              // XGETBV
    {3, {0x0f, 0x01, 0xd1}},              // XSETBV, whatever ECX
    {3, {0x0f, 0x01, 0xca}},              // CLAC
    {3, {0x0f, 0x01, 0xcb}},              // STAC
    {3, {0x0f, 0x01, 0xee}},              // RDPKRU
    {3, {0x0f, 0x01, 0xef}},              // WRPKRU
    {3, {0x0f, 0x01, 0xd4}},              // VMFUNC
    {3, {0x0f, 0x01, 0xc1}},              // VMCALL
    {2, {0x0f, 0x0b}},                    // UD2
    {1, {0xcc}},                          // INT3
    {1, {0xf1}},                          // INT1
    {2, {0xcd, 0x02}},                    // INT 2
    {2, {0xcd, 0x80}},                    // INT 80H
    {2, {0x48, 0xcf}},                    // IRETQ
    {1, {0xcf}},                          // IRET
    {2, {0x48, 0xcb}},                    // far RET
    {1, {0x9b}},                          // FWAIT
    {2, {0xdb, 0xe3}},                    // FNINIT
    {3, {0x0f, 0x01, 0xe8}},              // SERIALIZE
    {4, {0xf3, 0x0f, 0x01, 0xe8}},        // SETSSBSY
    {2, {0x0f, 0x77}},                    // EMMS
    {5, {0xf3, 0x48, 0x0f, 0xae, 0xd0}},  // WRFSBASE
    {3, {0x66, 0x8e, 0xd0}},              // MOV SS, AX
    {3, {0x0f, 0x01, 0xc2}},              // VMLAUNCH
    {3, {0x0f, 0x01, 0xc3}},              // VMRESUME
}};

/// Opcodes with ModRM whose memory operand is [RDI]: two-byte ones begin with 0FH.
constexpr std::array<Bytes, 58> with_memory{{
    {1, {0x88}},
    {1, {0x89}},
    {1, {0x8a}},
    {1, {0x8b}},
    {1, {0x00}},
    {1, {0x01}},
    {1, {0x03}},
    {1, {0x09}},
    {1, {0x0b}},
    {1, {0x21}},
    {1, {0x29}},
    {1, {0x31}},
    {1, {0x39}},
    {1, {0x3b}},
    {1, {0x11}},
    {1, {0x19}},
    {1, {0x84}},
    {1, {0x85}},
    {1, {0x86}},
    {1, {0x87}},
    {1, {0x8c}},
    {1, {0x8e}},
    {1, {0x8f}},
    {1, {0x63}},
    {1, {0xff}},
    {1, {0xfe}},
    {1, {0xd1}},
    {1, {0xd3}},
    {1, {0xdd}},
    {1, {0xd9}},
    {2, {0x0f, 0xb6}},
    {2, {0x0f, 0xb7}},
    {2, {0x0f, 0xbe}},
    {2, {0x0f, 0xbf}},
    {2, {0x0f, 0xa3}},
    {2, {0x0f, 0xab}},
    {2, {0x0f, 0xb3}},
    {2, {0x0f, 0xbb}},
    {2, {0x0f, 0xb0}},
    {2, {0x0f, 0xb1}},
    {2, {0x0f, 0xc0}},
    {2, {0x0f, 0xc1}},
    {2, {0x0f, 0xc7}},
    {2, {0x0f, 0xc3}},
    {2, {0x0f, 0x10}},
    {2, {0x0f, 0x11}},
    {2, {0x0f, 0x28}},
    {2, {0x0f, 0x29}},
    {2, {0x0f, 0x2b}},
    {2, {0x0f, 0x6f}},
    {2, {0x0f, 0x7f}},
    {2, {0x0f, 0xae}},
    {2, {0x0f, 0x42}},
    {2, {0x0f, 0xaf}},
    {3, {0x0f, 0x38, 0xf0}},
    {3, {0x0f, 0x38, 0xf1}},
    {2, {0x0f, 0x18}},
    {2, {0x0f, 0x94}},
}};
/// With an immediate byte behind.
constexpr std::array<Bytes, 8> with_immediate{{{1, {0xc6}},
                                               {1, {0x80}},
                                               {1, {0x83}},
                                               {1, {0xc0}},
                                               {1, {0xc1}},
                                               {2, {0x0f, 0xba}},
                                               {2, {0x0f, 0xa4}},
                                               {1, {0x6b}}}};

}  // namespace

void Soup::put_number(u64 number, unsigned size) {
    for (unsigned i = 0; i < size; ++i) code_.push_back(static_cast<u8>(number >> 8 * i));
}

/// MOV r64, imm64.
void Soup::load(unsigned gpr, u64 number) {
    put({static_cast<u8>(0x48 | gpr >> 3), static_cast<u8>(0xb8 | (gpr & 7))});
    put_number(number, 8);
}

u8 Soup::modrm_register() { return static_cast<u8>(0xc0 | (random_.byte() & 0x3f)); }

u64 Soup::value() {
    switch (random_.below(8)) {
        case 0: return random_.below(16);
        case 1: return u64{1} << random_.below(64);
        case 2: return ~u64{0} - random_.below(16);
        case 3: return ~(u64{1} << random_.below(64));
        case 4: return random_.word();
        case 5: return random_.word() >> 32;
        case 6: return 0x8005'0033 ^ u64 { 1 } << random_.below(64);  // CR0's kind of bits
        default: return address();
    }
}

u64 Soup::address() {
    constexpr std::array places{platform::doorbell_base,
                                platform::doorbell_base,
                                platform::local_apic_base,
                                platform::ioapic_base,
                                at::nowhere,
                                at::data,
                                at::data,
                                at::code,
                                at::stack,
                                at::gdt,
                                at::idt,
                                at::tss,
                                at::tables,
                                at::epc,
                                at::elrange,
                                at::window,
                                at::memory,
                                at::kernel,
                                u64{0},
                                u64{0xffff'fff0},
                                u64{1} << 45,
                                u64{1} << 46,
                                u64{1} << 47,
                                ~u64{0xfff}};
    const u64 place = random_.one_of(places);
    switch (random_.below(4)) {
        case 0: return place;
        case 1: return place + random_.below(page_size);
        case 2: return place + page_size - 1 - random_.below(8);
        default: return place + random_.below(64) * 16;
    }
}

void Soup::any_bytes() {
    for (u64 left = 1 + random_.below(16); left != 0; --left) code_.push_back(random_.byte());
}

u32 Soup::msr_number() {
    switch (random_.below(5)) {
        case 0: return static_cast<u32>(random_.word());
        case 1: return x2apic + static_cast<u32>(random_.below(0x40));
        case 2: return random_.one_of(std::array{xss, hypervisor, u32{0xc001'0015}, u32{0x1fff}});
        default:
            return static_cast<u32>(random_.one_of(interesting_msrs)) +
                   (random_.once_in(4) ? static_cast<u32>(random_.below(16)) : 0);
    }
}

void Soup::msr() {
    load(rcx, msr_number());
    if (random_.once_in(3)) return put({0x0f, 0x32});
    const u64 number = value();
    load(rax, number);
    load(rdx, random_.once_in(2) ? number >> 32 : 0);
    put({0x0f, 0x30});
}

void Soup::control_register() {
    constexpr std::array<u8, 5> registers{0, 2, 3, 4, 8};
    const u8 number =
        random_.once_in(10) ? static_cast<u8>(random_.below(16)) : random_.one_of(registers);
    const u8 rex = number >= 8 ? 0x44 : 0x40;
    const auto modrm = static_cast<u8>(0xc0 | (number & 7) << 3 | rax);
    if (random_.once_in(4)) return put({rex, 0x0f, 0x20, modrm});
    switch (random_.below(3)) {
        case 0: load(rax, value()); break;
        default:  // what is there, one bit changed
            put({rex, 0x0f, 0x20, modrm, 0x48, 0x0f, 0xba, 0xf8});
            code_.push_back(static_cast<u8>(random_.below(random_.once_in(4) ? 64 : 23)));
    }
    put({rex, 0x0f, 0x22, modrm});
}

void Soup::debug_register() {
    const auto number = static_cast<u8>(random_.below(8));
    load(rax, value());
    put({0x0f, static_cast<u8>(random_.once_in(3) ? 0x21 : 0x23),
         static_cast<u8>(0xc0 | number << 3 | rax)});
}

void Soup::port() {
    constexpr std::array<u16, 18> ports{0x20, 0x21,  0x40,  0x43,  0x60,  0x61, 0x64,  0x70,  0x71,
                                        0x80, 0xcf8, 0xcfc, 0x3f8, 0x3fd, 0xa1, 0x510, 0x604, 0x92};
    const u64 number = random_.once_in(3) ? random_.below(0x1'0000) : random_.one_of(ports);
    if (number == 0xf4 || number == 0xcf9) return;  // these end the guest at its own wish
    load(rdx, number);
    load(rax, value());
    if (random_.once_in(4)) code_.push_back(0x66);
    code_.push_back(static_cast<u8>(0xec | (random_.byte() & 3)));
}

void Soup::string_port() {
    load(rdx, random_.once_in(2) ? 0x3f8 : 0x100 + random_.below(0x800));
    load(rdi, address());
    load(rsi, address());
    load(rcx, random_.once_in(4) ? value() : random_.below(8));
    if (random_.once_in(2)) code_.push_back(random_.once_in(2) ? 0xf3 : 0xf2);
    if (random_.once_in(4)) code_.push_back(0x66);
    code_.push_back(static_cast<u8>(0x6c | (random_.byte() & 3)));
}

/// SGDT, SIDT, LGDT, LIDT, SMSW, LMSW, INVLPG; SLDT, STR, LLDT, LTR, VERR, VERW; all of [RDI].
void Soup::descriptor_table() {
    load(rdi, random_.once_in(3) ? at::gdt_pointer : address());
    if (random_.once_in(2)) load(rax, value());
    const auto modrm =
        static_cast<u8>((random_.byte() & 0x38) | (random_.once_in(4) ? 0xc0 : 0) | rdi);
    put({0x0f, static_cast<u8>(random_.once_in(2) ? 0x00 : 0x01), modrm});
}

void Soup::extended_control() {
    load(rcx, random_.once_in(4) ? value() : 0);
    load(rax,
         random_.once_in(3) ? value() : random_.one_of(std::array<u64, 6>{1, 3, 7, 5, 2, 0x207}));
    load(rdx, random_.once_in(6) ? value() : 0);
    put({0x0f, 0x01, 0xd1});
}

void Soup::lone_instruction() {
    if (random_.once_in(3)) load(rax, value());
    if (random_.once_in(3)) load(rcx, value());
    const Bytes& chosen = random_.one_of(lone);
    for (u8 i = 0; i < chosen.count; ++i) code_.push_back(chosen.bytes[i]);
}

void Soup::memory_operand() {
    constexpr std::array<u8, 8> prefixes{0x66, 0xf0, 0xf2, 0xf3, 0x64, 0x65, 0x67, 0x2e};
    load(rdi, address());
    if (random_.once_in(3)) load(rax, value());
    if (random_.once_in(3)) code_.push_back(random_.one_of(prefixes));
    if (random_.once_in(3)) code_.push_back(0xf0);
    if (random_.once_in(2)) code_.push_back(static_cast<u8>(0x40 | (random_.byte() & 0x0c)));
    const bool immediate = random_.once_in(5);
    const Bytes& chosen = immediate ? random_.one_of(with_immediate) : random_.one_of(with_memory);
    for (u8 i = 0; i < chosen.count; ++i) code_.push_back(chosen.bytes[i]);
    put({static_cast<u8>((random_.byte() & 0x38) | rdi)});
    if (immediate) code_.push_back(random_.byte());
}

void Soup::string_on_memory() {
    constexpr std::array<u8, 10> strings{0xa4, 0xa5, 0xa6, 0xa7, 0xaa,
                                         0xab, 0xac, 0xad, 0xae, 0xaf};
    load(rdi, address());
    load(rsi, address());
    load(rcx, random_.once_in(6) ? value() : random_.below(32));
    if (random_.once_in(6)) code_.push_back(0xfd);
    if (random_.once_in(2)) code_.push_back(random_.once_in(2) ? 0xf3 : 0xf2);
    if (random_.once_in(4)) code_.push_back(random_.once_in(2) ? 0x66 : 0x48);
    code_.push_back(random_.one_of(strings));
}

/// MOV [RDI], RAX.
void Soup::spoil_tables() {
    load(rdi, at::tables + 8 * random_.below(7 * 512));
    load(rax, random_.once_in(2) ? address() | (random_.byte() & 0xff) : value());
    put({0x48, 0x89, 0x07});
    if (!random_.once_in(3)) put({0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8});  // CR3 to itself
}

void Soup::spoil_descriptors() {
    constexpr std::array tables{at::gdt, at::idt, at::tss, at::gdt_pointer, at::idt_pointer};
    load(rdi, random_.one_of(tables) + random_.below(0x100));
    load(rax, random_.once_in(2) ? random_.word() : value());
    put({0x48, 0x89, 0x07});
}

void Soup::use_selector() {
    load(rax, random_.below(0x60));
    switch (random_.below(5)) {
        case 0: return put({0x8e, static_cast<u8>(0xc0 | (random_.below(6) << 3))});
        case 1: return put({0x0f, 0x00, 0xd8});                                      // LTR AX
        case 2: return put({0x0f, 0x00, 0xd0});                                      // LLDT AX
        case 3: return put({0x0f, static_cast<u8>(0x02 | random_.below(2)), 0xc0});  // LAR, LSL
        default:  // far CALL or JMP to [data], whose selector may be a TSS or a gate
            load(rdi, at::data);
            put({0x48, 0xc7, 0x07});
            put_number(at::code, 4);
            put({0x66, 0x89, 0x47, 0x04, 0xff, static_cast<u8>(random_.once_in(2) ? 0x1f : 0x2f)});
    }
}

void Soup::move_stack() {
    load(rsp, address());
    constexpr std::array<Bytes, 7> uses{{{1, {0x50}},
                                         {1, {0x58}},
                                         {2, {0xcd, 0x30}},
                                         {1, {0x9c}},
                                         {4, {0xc8, 0x10, 0x00, 0x01}},
                                         {1, {0xcc}},
                                         {2, {0x48, 0xcf}}}};
    const Bytes& chosen = random_.one_of(uses);
    for (u8 i = 0; i < chosen.count; ++i) code_.push_back(chosen.bytes[i]);
}

void Soup::go_far_away() {
    load(rax, address());
    put({0xff, static_cast<u8>(random_.once_in(2) ? 0xe0 : 0xd0)});
}

void Soup::interrupt() { put({0xcd, random_.byte()}); }

/// Its registers through memory: any of them, with a preference for ICR, timer and EOI.
void Soup::local_apic() {
    constexpr std::array<u32, 9> registers{0x20,  0x80,  0xb0,  0xd0, 0xf0,
                                           0x300, 0x310, 0x320, 0x380};
    const u64 offset = random_.once_in(3) ? random_.below(page_size) : random_.one_of(registers);
    load(rdi, platform::local_apic_base + offset);
    // Delivery modes and destinations of the ICR: INIT, SIPI, NMI, all, self.
    load(rax, random_.once_in(2) ? random_.below(0x1000) << 8 | random_.byte() : value());
    if (random_.once_in(4)) return put({0x8b, 0x07});
    put({0x89, 0x07});
}

void Soup::vmx_instruction() {
    load(rdi, address());
    load(rax, value());
    switch (random_.below(6)) {
        case 0: return put({0x0f, 0xc7, static_cast<u8>(random_.once_in(2) ? 0x37 : 0x3f)});
        case 1: return put({static_cast<u8>(random_.once_in(2) ? 0x66 : 0xf3), 0x0f, 0xc7, 0x37});
        case 2: return put({0x0f, static_cast<u8>(0x78 | random_.below(2)), modrm_register()});
        case 3: return put({0x66, 0x0f, 0x38, static_cast<u8>(0x80 | random_.below(3)), 0x07});
        case 4: return put({0x0f, 0x01, static_cast<u8>(0xc0 | random_.below(6))});
        default: return put({0x0f, 0x78, 0x07});
    }
}

/// Operands of a leaf that works, or nearly.
void Soup::encls() {
    load(rax, random_.once_in(8) ? value() : random_.below(0x14));
    load(rbx, random_.once_in(4) ? value() : operand_at(random_.below(8)) + random_.below(3) * 32);
    load(rcx, random_.once_in(4) ? value() : window_of(random_.below(epc_pages)));
    load(rdx,
         random_.once_in(2) ? value() : window_of(random_.below(epc_pages)) + 8 * random_.below(4));
    put({0x0f, 0x01, 0xcf});
}

void Soup::enclu() {
    load(rax, random_.once_in(3) ? random_.below(12) : 2 + random_.below(2));
    load(rbx, random_.once_in(6) ? value() : at::elrange);
    load(rcx, random_.once_in(6) ? value() : at::aep);
    put({0x0f, 0x01, 0xd7});
}

/// To a segment of perhaps another mode, and from there perhaps out of paging or protection: CALL
/// the next, POP RAX, ADD RAX, PUSH selector, PUSH RAX, RETFQ.
void Soup::leave_the_mode() {
    constexpr std::array<u8, 5> selectors{0x40, 0x48, 0x50, 0x08, 0x20};
    constexpr u8 from_pop_to_end = 10;
    put({0xe8, 0, 0, 0, 0, 0x58, 0x48, 0x83, 0xc0, from_pop_to_end, 0x6a, random_.one_of(selectors),
         0x50, 0x48, 0xcb});
    const u64 leaves = random_.below(3);
    if (leaves == 0) return any_bytes();
    const u8 bit = leaves == 1 ? 31 : 0;
    put({0x0f, 0x20, 0xc0, 0x0f, 0xba, 0xf0, bit, 0x0f, 0x22, 0xc0});  // BTR in CR0
    any_bytes();
}

/// PUSH, POPFQ.
void Soup::flags() {
    put({0x68});
    put_number(random_.once_in(2) ? random_.word() & 0x003f'7fd5 : 1u << random_.below(22), 4);
    put({0x9d});
}

/// XSAVE and its kind, FXSAVE, LDMXCSR: [RDI].
void Soup::extended_state() {
    load(rdi, random_.once_in(3) ? address() : at::data);
    load(rax, random_.once_in(2) ? ~u64{0} : value());
    load(rdx, random_.once_in(2) ? ~u64{0} : 0);
    if (random_.once_in(2)) code_.push_back(0x48);
    put({0x0f, static_cast<u8>(random_.once_in(2) ? 0xae : 0xc7),
         static_cast<u8>((random_.byte() & 0x38) | rdi)});
}

std::vector<u8> Soup::portion(u64 limit) {
    static constexpr std::array<Maker, 36> makers{&Soup::any_bytes,
                                                  &Soup::any_bytes,
                                                  &Soup::msr,
                                                  &Soup::msr,
                                                  &Soup::msr,
                                                  &Soup::control_register,
                                                  &Soup::control_register,
                                                  &Soup::debug_register,
                                                  &Soup::port,
                                                  &Soup::string_port,
                                                  &Soup::descriptor_table,
                                                  &Soup::extended_control,
                                                  &Soup::lone_instruction,
                                                  &Soup::lone_instruction,
                                                  &Soup::lone_instruction,
                                                  &Soup::memory_operand,
                                                  &Soup::memory_operand,
                                                  &Soup::memory_operand,
                                                  &Soup::memory_operand,
                                                  &Soup::string_on_memory,
                                                  &Soup::spoil_tables,
                                                  &Soup::spoil_descriptors,
                                                  &Soup::use_selector,
                                                  &Soup::move_stack,
                                                  &Soup::go_far_away,
                                                  &Soup::interrupt,
                                                  &Soup::local_apic,
                                                  &Soup::local_apic,
                                                  &Soup::vmx_instruction,
                                                  &Soup::encls,
                                                  &Soup::encls,
                                                  &Soup::enclu,
                                                  &Soup::enclu,
                                                  &Soup::leave_the_mode,
                                                  &Soup::flags,
                                                  &Soup::extended_state};
    code_.clear();
    (this->*random_.one_of(makers))();
    if (code_.size() > limit) code_.resize(limit);
    return code_;
}

}  // namespace postern::fuzz

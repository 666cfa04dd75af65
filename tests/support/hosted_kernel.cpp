// SPDX-License-Identifier: Apache-2.0
// Its code, tables and operands.
#include "support/hosted_kernel.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cstring>

#include "arch/msr.h"
#include "arch/sgx/leaf.h"
#include "arch/sgx/pageinfo.h"
#include "arch/sgx/secs.h"
#include "arch/sgx/sigstruct.h"
#include "arch/sgx/tcs.h"
#include "support/kernel_image.h"
#include "unit/cpu/sgx/enclave_machine.h"
#include "unit/platform/elf_image.h"

// Addresses are those of namespace at. A slot's bank: 15 registers, then RSP, RIP, CS, RFLAGS, SS.
asm(R"(
    .pushsection .rodata
    .globl postern_soup_start, postern_soup_fault, postern_soup_fault_code, postern_soup_end
postern_soup_start:
    cli
    movl $0x106000, %esp
    call 7f
    leaq 0x107000, %rsi
    movl (%rsi), %ebp           # WRMSRs: number, value
    addq $8, %rsi
1:  testl %ebp, %ebp
    jz 2f
    movl (%rsi), %ecx
    movl 8(%rsi), %eax
    movl 12(%rsi), %edx
    wrmsr
    addq $16, %rsi
    decl %ebp
    jmp 1b
2:  movl (%rsi), %ebp           # ENCLSs: RAX, RBX, RCX, RDX
    addq $8, %rsi
3:  testl %ebp, %ebp
    jz 4f
    movq (%rsi), %rax
    movq 8(%rsi), %rbx
    movq 16(%rsi), %rcx
    movq 24(%rsi), %rdx
    encls
    addq $32, %rsi
    decl %ebp
    jmp 3b
4:  xorl %eax, %eax
    jmp 6f

postern_soup_fault_code:
    addq $8, %rsp
postern_soup_fault:
    cld
    movq (%rsp), %rax
    subq $0x200000, %rax
    cmpq 0x106f18, %rax         # a slot's: the one behind it; else one further than before
    jb 5f
    movq 0x106f00, %rax
5:  orq $63, %rax
    incq %rax
6:  movq %rax, 0x106f00
    cmpq 0x106f18, %rax
    jae 9f
    decl 0x106f08
    jz 9f
    cmpb $0, 0x106f10
    je 8f
    movq %rax, %rbp
    call 7f
    movq %rbp, %rax
8:  shlq $2, %rax
    leaq 0x110000(%rax), %rax
    pushq 0x98(%rax)
    pushq 0x78(%rax)
    pushq 0x90(%rax)
    pushq 0x88(%rax)
    pushq 0x80(%rax)
    movq 0x00(%rax), %rcx
    movq 0x08(%rax), %rdx
    movq 0x10(%rax), %rbx
    movq 0x18(%rax), %rbp
    movq 0x20(%rax), %rsi
    movq 0x28(%rax), %rdi
    movq 0x30(%rax), %r8
    movq 0x38(%rax), %r9
    movq 0x40(%rax), %r10
    movq 0x48(%rax), %r11
    movq 0x50(%rax), %r12
    movq 0x58(%rax), %r13
    movq 0x60(%rax), %r14
    movq 0x68(%rax), %r15
    movq 0x70(%rax), %rax
    iretq
9:  movb $1, %al
    outb %al, $0xf4
    jmp 9b

7:  lgdt 0x101f00               # in order again
    lidt 0x101f10
    movl $0x108000, %eax
    movq %rax, %cr3
    movl $0x80050033, %eax
    movq %rax, %cr0
    movl $0x50620, %eax
    movq %rax, %cr4
    andb $0xfd, 0x10102d        # the TSS is not busy
    movw $0x28, %ax
    ltr %ax
    movw $0x1b, %ax
    movw %ax, %ds
    movw %ax, %es
    movl $7, %eax
    xorl %ecx, %ecx
    xorl %edx, %edx
    xsetbv
    ret
postern_soup_end:
    .popsection
)");

extern "C" const unsigned char postern_soup_start[], postern_soup_fault[],
    postern_soup_fault_code[], postern_soup_end[];

namespace postern::test::hosted {
namespace {

constexpr u64 soup_size_at = 0x10'6f18;
constexpr u64 bank_size = 256;

/// EPC pages of the enclave: its SECS, then the pages at the start of its ELRANGE.
constexpr u64 secs_page = 0, first_page = 1;
constexpr u64 tcs = 0x100, code = 0x207, data = 0x203;  // SECINFO.FLAGS
constexpr std::array<u64, enclave_pages> page_flags{tcs, code, data, data, data, data};
constexpr u64 code_offset = 0x1000, ssa_offset = 0x2000;

// Operands: one page each.
constexpr u64 secs_source = operand_at(8), tcs_source = operand_at(9), code_source = operand_at(10),
              data_source = operand_at(11), sigstruct = operand_at(12), token = operand_at(13);

Secs enclave_secs() {
    Secs secs{};
    secs.size = elrange_size;
    secs.baseaddr = at::elrange;
    secs.ssaframesize = 1;
    secs.miscselect = {SgxMiscselect::exinfo};
    secs.attributes.flags = {SgxAttribute::mode64bit, SgxAttribute::debug};
    secs.attributes.xfrm = {Xcr0::x87, Xcr0::sse};
    return secs;
}

Tcs enclave_tcs() {
    Tcs thread{};
    thread.ossa = ssa_offset;
    thread.nssa = 2;
    thread.oentry = code_offset;
    thread.fslimit = thread.gslimit = 0xfff;
    return thread;
}

/// SDM 3D, "MRENCLAVE". What the pages hold is not measured, so that any code fits the signature.
std::array<u8, 32> measurement() {
    std::vector<u8> blocks(64 * (1 + enclave_pages));
    const auto put = [&](size_t where, u64 value) { std::memcpy(&blocks[where], &value, 8); };
    std::memcpy(blocks.data(), "ECREATE", 7);
    put(8, 1);
    for (unsigned i = 0; i < 8; ++i) blocks[12 + i] = static_cast<u8>(elrange_size >> 8 * i);
    for (u64 n = 0; n < enclave_pages; ++n) {
        std::memcpy(&blocks[64 * (n + 1)], "EADD", 4);
        put(64 * (n + 1) + 8, n * page_size);
        put(64 * (n + 1) + 16, page_flags[n]);
    }
    std::array<u8, 32> digest;
    EVP_Digest(blocks.data(), blocks.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
    return digest;
}

Sigstruct make_signature() {
    Sigstruct s{};
    s.header = {6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
    s.header2 = {1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1, 0, 0, 0};
    s.date = 0x2026'1122;
    const Secs secs = enclave_secs();
    s.miscselect = secs.miscselect;
    s.miscmask = SgxMiscselectWord::from_raw(~0u);
    s.attributes = secs.attributes;
    s.attributemask = {SgxAttributeFlags::from_raw(~u64{0}), Xcr0Word::from_raw(~u64{0})};
    s.enclavehash = measurement();
    cpu::sgx::sign(s);
    return s;
}

/// Where a place in the kernel's code is in the guest.
u64 address_of(const unsigned char* place) {
    return at::kernel + static_cast<u64>(place - postern_soup_start);
}

/// The guest's memory from at::kernel to at::kernel_end.
class Image : public test::KernelImage {
public:
    explicit Image(const Program& program)
        : KernelImage{{postern_soup_start, postern_soup_end}, at::kernel_end}, program_{program} {
        put(at::faults_left, program.faults, 8);
        put(at::repairs, program.repairs ? 1 : 0, 8);
        put(soup_size_at, program.slots.size() * slot_size, 8);
        write_segments({.rsp0 = at::stack_top, .ist1 = at::fault_stack}, more_segments);
        write_gates(address_of(postern_soup_fault), address_of(postern_soup_fault_code));
        write_page_tables();
        write_banks();
        write_operands();
        write_lists();
    }

private:
    static constexpr std::array<u64, 5> more_segments{
        0,                      // 38
        0x00cf'9b00'0000'ffff,  // 40: code, 32-bit, DPL 0
        0x008f'9b00'0000'ffff,  // 48: code, 16-bit, DPL 0
        0x00cf'fb00'0000'ffff,  // 50: code, 32-bit, DPL 3
        0x0000'8500'0000'0000,  // 58: task gate
    };

    void write_page_tables();
    void write_banks();
    void write_operands();
    void write_lists();

    const Program& program_;
};

/// Identity: 0 to 2 MiB and 4 to 8 MiB are the kernel's, 2 to 4 MiB and the doorbell's 2 MiB are
/// everybody's, so is the ELRANGE. The kernel has the other devices and the window, too.
void Image::write_page_tables() {
    constexpr u64 all = 7, kernel_only = 0x83, everybody = 0x87;
    constexpr u64 pdpt = at::tables + page_size, low = pdpt + page_size, second = low + page_size,
                  high = second + page_size, epc = high + page_size;
    put(at::tables, pdpt | all, 8);
    put(pdpt, low | all, 8);
    put(pdpt + 8, second | all, 8);
    put(pdpt + 24, high | all, 8);
    for (u64 i = 0; i < 4; ++i) put(low + 8 * i, i << 21 | (i == 1 ? everybody : kernel_only), 8);
    put(second, epc | all, 8);
    for (u64 i = 0x1e0; i < 512; ++i) put(high + 8 * i, (u64{3} << 30 | i << 21) | kernel_only, 8);
    const u64 doorbell = platform::doorbell_base >> 21 & 511;
    put(high + 8 * doorbell, platform::doorbell_base | everybody, 8);
    for (u64 n = 0; n < enclave_pages; ++n)
        put(epc + 8 * n, (at::epc + (first_page + n) * page_size) | all, 8);
    // Pages of the ELRANGE that are no EPC.
    put(epc + 8 * enclave_pages, platform::doorbell_base | all, 8);
    put(epc + 8 * (enclave_pages + 1), at::data | all, 8);
    for (u64 n = 0; n < epc_pages; ++n) put(epc + 8 * (16 + n), (at::epc + n * page_size) | 3, 8);
}

void Image::write_banks() {
    for (u64 n = 0; n < program_.slots.size(); ++n) {
        const Slot& slot = program_.slots[n];
        const u64 bank = at::banks + bank_size * n;
        constexpr std::array order{rcx, rdx, rbx, rbp, rsi, rdi, r8, r9,
                                   r10, r11, r12, r13, r14, r15, rax};
        for (unsigned i = 0; i < order.size(); ++i) put(bank + 8 * i, slot.gpr[order[i]], 8);
        put(bank + 0x78, slot.gpr[rsp], 8);
        put(bank + 0x80, at::code + n * slot_size, 8);
        put(bank + 0x88, slot.kernel ? 0x08 : 0x23, 8);
        put(bank + 0x90, slot.rflags, 8);
        put(bank + 0x98, slot.kernel ? 0x10 : 0x1b, 8);
    }
}

/// PAGEINFO and SECINFO of ECREATE and of each EADD, and what they point to.
void Image::write_operands() {
    static const Sigstruct signature = make_signature();
    for (u64 n = 0; n <= enclave_pages; ++n) {
        Pageinfo info{};
        Secinfo secinfo{};
        info.secinfo = operand_at(n) + 64;
        info.srcpge = secs_source;
        if (n != 0) {
            constexpr std::array sources{tcs_source, code_source, data_source};
            info.linaddr = at::elrange + (n - 1) * page_size;
            info.srcpge = sources[std::min<u64>(n - 1, 2)];
            info.secs = window_of(secs_page);
            secinfo.flags = SecinfoFlags::from_raw(page_flags[n - 1]);
        }
        put(operand_at(n), info);
        put(operand_at(n) + 64, secinfo);
    }
    Secs secs = enclave_secs();
    secs.attributes.flags =
        SgxAttributeFlags::from_raw(secs.attributes.flags.to_raw() | program_.more_attributes);
    put(secs_source, secs);
    put(tcs_source, enclave_tcs());
    put(sigstruct, signature);
    for (size_t i = 0; i < program_.enclave_code.size(); ++i)
        put(code_source + i, program_.enclave_code[i], 1);
}

/// All that makes an enclave.
void Image::write_lists() {
    static const std::array<u64, 4> signer = cpu::sgx::signer_hash();
    u64 where = at::lists;
    put(where, signer.size(), 8);
    where += 8;
    for (u64 n = 0; n < signer.size(); ++n, where += 16) {
        put(where, static_cast<u64>(Msr::sgxlepubkeyhash0) + n, 8);
        put(where + 8, signer[n], 8);
    }
    put(where, enclave_pages + 2, 8);
    where += 8;
    u64 leaves = 0;
    const auto leaf = [&](EnclsLeaf number, u64 rbx_value, u64 rcx_value, u64 rdx_value) {
        const bool spoilt = leaves++ == program_.spoilt_leaf;
        put(where, static_cast<u64>(number), 8);
        put(where + 8, rbx_value ^ (spoilt ? program_.spoilt_bits : 0), 8);
        put(where + 16, rcx_value, 8);
        put(where + 24, rdx_value, 8);
        where += 32;
    };
    leaf(EnclsLeaf::ecreate, operand_at(0), window_of(secs_page), 0);
    for (u64 n = 0; n < enclave_pages; ++n)
        leaf(EnclsLeaf::eadd, operand_at(n + 1), window_of(first_page + n), 0);
    leaf(EnclsLeaf::einit, sigstruct, window_of(secs_page), token);
}

/// Slots, padded with NOPs; behind the last an INT3, so that the kernel ends the guest.
std::vector<u8> make_code(const Program& program) {
    constexpr u8 nop = 0x90, int3 = 0xcc;
    std::vector<u8> bytes(at::aep - at::code + 16, int3);
    for (u64 n = 0; n < program.slots.size(); ++n) {
        const auto first = bytes.begin() + static_cast<std::ptrdiff_t>(n * slot_size);
        std::fill_n(first, slot_size, nop);
        std::ranges::copy(program.slots[n].code, first);
    }
    constexpr std::array<u8, 5> enclu_and_trap{0x0f, 0x01, 0xd7, 0x0f, 0x0b};
    std::ranges::copy(enclu_and_trap, bytes.end() - 16);
    return bytes;
}

}  // namespace

std::vector<u8> make_kernel(const Program& program) {
    const Image image{program};
    const std::vector<u8> text = make_code(program);
    test::ElfFile file;
    file.entry(at::kernel);
    const size_t size = image.bytes().size();
    file.add({1, 0x1000, at::kernel, size, size});
    file.add({1, 0x1000 + size, at::code, text.size(), text.size()});
    file.bytes.resize(0x1000 + size + text.size());
    std::ranges::copy(image.bytes(), file.bytes.begin() + 0x1000);
    std::ranges::copy(text, file.bytes.end() - static_cast<std::ptrdiff_t>(text.size()));
    return std::move(file.bytes);
}

}  // namespace postern::test::hosted

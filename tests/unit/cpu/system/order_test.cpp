// SPDX-License-Identifier: Apache-2.0
// What comes first: #UD, the privilege fault, the VM exit or the operand. SDM 3C, "Relative
// Priority of Faults and VM Exits"; one row for each thing that an instruction may do.
#include <gtest/gtest.h>

#include "cpu/exec/system.h"
#include "cpu/flags.h"
#include "unit/cpu/event/machine.h"

namespace postern::cpu {
namespace {

// Primary controls.
constexpr u32 hlt_exiting = 1u << 7, invlpg_exiting = 1u << 9, rdpmc_exiting = 1u << 11,
              rdtsc_exiting = 1u << 12, cr3_load = 1u << 15, cr3_store = 1u << 16,
              cr8_load = 1u << 19, cr8_store = 1u << 20, mov_dr = 1u << 23, all_io = 1u << 24,
              pause_exiting = 1u << 30;
// Secondary controls.
constexpr u32 tables = 1u << 2, wbinvd = 1u << 6, enable_rdtscp = 1u << 3, ple = 1u << 10,
              rdrand = 1u << 11, invpcid = 1u << 12, rdseed = 1u << 16;

constexpr u64 unmapped = 0x5000'0000;

/// How an instruction ended.
struct Outcome {
    enum class Kind : u8 { done, fault, exit } kind = Kind::done;
    unsigned number = 0;    // vector or basic reason
    u64 qualification = 0;  // of an exit; of a fault: the error code
    u32 information = 0;
    friend bool operator==(const Outcome&, const Outcome&) = default;
};
void PrintTo(const Outcome& o, std::ostream* os) {
    constexpr const char* kinds[] = {"done ", "fault ", "exit "};
    *os << kinds[static_cast<unsigned>(o.kind)] << o.number << " qualification " << std::hex
        << o.qualification << " information " << o.information;
}

constexpr Outcome done{};
constexpr Outcome ud{Outcome::Kind::fault, 6};
constexpr Outcome gp{Outcome::Kind::fault, 13};
constexpr Outcome db{Outcome::Kind::fault, 1};
constexpr Outcome pf{Outcome::Kind::fault, 14, 0, 0};
constexpr Outcome exits(unsigned reason, u64 qualification = 0, u32 information = 0) {
    return {Outcome::Kind::exit, reason, qualification, information};
}

Outcome outcome_of(const Cpu& c, bool succeeded) {
    if (succeeded) return {};
    const Pending& p = c.pending;
    if (p.kind == PendingKind::vm_exit)
        return exits(static_cast<unsigned>(p.reason), p.qualification, p.instruction_information);
    return {Outcome::Kind::fault, static_cast<unsigned>(p.vector), p.error_code, 0};
}

struct Row {
    const char* name;
    Semantic semantic;
    Insn insn;
    void (*arrange)(Machine&);
    Outcome expected;
};

const Insn none = register_insn(0, 0);
const Insn rax_to_rbx = register_insn(rbx, rax);

void user(Machine& m) { m.as_user(); }
void kernel(Machine&) {}
void guest(Machine& m) { m.as_guest(); }
template <u32 primary, u32 secondary = 0>
void guest_with(Machine& m) {
    m.as_guest(0, primary, secondary);
}
template <u32 primary, u32 secondary = 0>
void user_guest_with(Machine& m) {
    m.as_guest(0, primary, secondary);
    m.as_user();
}
void enclave_guest(Machine& m) {
    m.as_guest(0, ~0u, ~0u);
    m.as_user();
    m.c.enclave.active = true;
}

Insn with_base(Insn i, u8 base, i32 disp) {
    i.base = base;
    i.disp = disp;
    return i;
}
const Insn absent_memory = with_base(memory_insn(0, 2), rbx, 0x10);  // RBX leads nowhere

void lost_rbx(Machine& m) { m.c.gpr[rbx] = unmapped; }
template <u32 primary, u32 secondary = 0>
void lost_guest(Machine& m) {
    m.as_guest(0, primary, secondary);
    lost_rbx(m);
}
void lost_user(Machine& m) {
    m.as_guest(0, 0, tables);
    m.as_user();
    lost_rbx(m);
}

// [RBX + 10H] as instruction information: 64-bit addresses, DS, no index, base RBX.
constexpr u32 rbx_operand = 2u << 7 | 3u << 15 | 1u << 22 | 3u << 23;

const Row rows[] = {
    {"CPUID exits always", exec_cpuid, none, guest, exits(10)},
    {"CPUID exits at CPL 3 too", exec_cpuid, none, user_guest_with<0>, exits(10)},
    {"CPUID in an enclave", exec_cpuid, none, enclave_guest, ud},
    {"RDTSC may be left alone", exec_rdtsc, none, guest, done},
    {"RDTSC exits", exec_rdtsc, none, user_guest_with<rdtsc_exiting>, exits(16)},
    {"RDTSC: TSD first", exec_rdtsc, none,
     [](Machine& m) {
         user_guest_with<rdtsc_exiting>(m);
         m.c.cr4.set(Cr4::tsd);
     },
     gp},
    {"RDTSC in an enclave without SGX2", exec_rdtsc, none,
     [](Machine& m) {
         enclave_guest(m);
         m.model.features.set(Feature::sgx2, false);
     },
     ud},
    {"RDTSC in an enclave with SGX2 exits", exec_rdtsc, none, enclave_guest, exits(16)},
    {"RDTSCP needs its control", exec_rdtscp, none, guest_with<rdtsc_exiting>, ud},
    {"RDTSCP exits with its own number", exec_rdtscp, none,
     guest_with<rdtsc_exiting, enable_rdtscp>, exits(51)},
    {"RDPID needs RDTSCP's control", exec_rdpid, none, guest, ud},
    {"RDPMC: PCE first", exec_rdpmc, none, user_guest_with<rdpmc_exiting>, gp},
    {"RDPMC exits", exec_rdpmc, none, guest_with<rdpmc_exiting>, exits(15)},
    {"RDPMC has no counters", exec_rdpmc, none, kernel, gp},
    {"RDPMC in an enclave", exec_rdpmc, none, enclave_guest, ud},
    {"RDRAND R10D exits", exec_rdrand, register_insn(r10, 0, 4), guest_with<0, rdrand>,
     exits(57, 0, 10u << 3 | 1u << 11)},
    {"RDRAND in an enclave exits", exec_rdrand, register_insn(rax, 0, 8), enclave_guest,
     exits(57, 0, 2u << 11)},
    {"RDRAND without the feature", exec_rdrand, none,
     [](Machine& m) {
         guest_with<0, rdrand>(m);
         m.model.features.set(Feature::rdrand, false);
     },
     ud},
    {"RDSEED AX exits", exec_rdseed, register_insn(rax, 0, 2), guest_with<0, rdseed>, exits(61)},
    {"PAUSE exits at CPL 3", exec_pause, none, user_guest_with<pause_exiting>, exits(40)},
    {"PAUSE in an enclave exits", exec_pause, none, enclave_guest, exits(40)},
    {"PAUSE may be left alone", exec_pause, none, guest, done},
    {"HLT: CPL first", exec_hlt, none, user_guest_with<hlt_exiting>, gp},
    {"HLT exits", exec_hlt, none, guest_with<hlt_exiting>, exits(12)},
    {"MONITOR is not there", exec_monitor, none,
     [](Machine& m) {
         guest_with<1u << 29>(m);
         m.model.features.set(Feature::monitor, false);
     },
     ud},
    {"MWAIT is not there", exec_mwait, none,
     [](Machine& m) {
         guest_with<1u << 10>(m);
         m.model.features.set(Feature::monitor, false);
     },
     ud},
    {"MWAIT at CPL 3 is undefined", exec_mwait, none,
     [](Machine& m) {
         user_guest_with<1u << 10>(m);
         m.model.features.set(Feature::monitor);
     },
     ud},
    {"MWAIT exits", exec_mwait, none,
     [](Machine& m) {
         guest_with<1u << 10>(m);
         m.model.features.set(Feature::monitor);
     },
     exits(36)},
    {"RDMSR: CPL first", exec_rdmsr, none, user_guest_with<0>, gp},
    {"RDMSR exits without bitmaps", exec_rdmsr, none, guest, exits(31)},
    {"WRMSR: CPL first", exec_wrmsr, none, user_guest_with<0>, gp},
    {"WRMSR exits without bitmaps", exec_wrmsr, none, guest, exits(32)},
    {"MOV to CR1", exec_mov_to_cr, register_insn(1, rax), user, ud},
    {"MOV to CR3: CPL first", exec_mov_to_cr, register_insn(3, rax), user_guest_with<cr3_load>, gp},
    {"MOV to CR3 from RBX exits", exec_mov_to_cr, register_insn(3, rbx), guest_with<cr3_load>,
     exits(28, 0x303)},
    {"MOV to CR3 of a target value", exec_mov_to_cr, register_insn(3, rbx),
     [](Machine& m) {
         guest_with<cr3_load>(m);
         m.c.gpr[rbx] = pml4_at;
         m.set(VmcsField::cr3_target_count, 2);
         m.set(VmcsField::cr3_target_value_1, pml4_at);
     },
     done},
    {"MOV to CR3: the exit goes before reserved bits", exec_mov_to_cr, register_insn(3, rbx),
     [](Machine& m) {
         guest_with<cr3_load>(m);
         m.c.gpr[rbx] = ~u64{0};
     },
     exits(28, 0x303)},
    {"MOV to CR3 with reserved bits", exec_mov_to_cr, register_insn(3, rbx),
     [](Machine& m) { m.c.gpr[rbx] = u64{1} << 46; }, gp},
    {"MOV from CR3 to R9 exits", exec_mov_from_cr, register_insn(r9, 3), guest_with<cr3_store>,
     exits(28, 0x913)},
    {"MOV to CR8 exits", exec_mov_to_cr, register_insn(8, rax), guest_with<cr8_load>,
     exits(28, 0x008)},
    {"MOV from CR8 exits", exec_mov_from_cr, register_insn(rax, 8), guest_with<cr8_store>,
     exits(28, 0x018)},
    {"MOV to CR8 above 15", exec_mov_to_cr, register_insn(8, rbx),
     [](Machine& m) { m.c.gpr[rbx] = 16; }, gp},
    {"MOV to CR0 of a masked bit that differs", exec_mov_to_cr, register_insn(0, rbx),
     [](Machine& m) {
         m.as_guest();
         m.set(VmcsField::cr0_guest_host_mask, 1u << 30);
         m.c.gpr[rbx] = 0xc000'0031;
     },
     exits(28, 0x300)},
    {"MOV to CR0 of the shadow's value", exec_mov_to_cr, register_insn(0, rbx),
     [](Machine& m) {
         m.as_guest();
         m.set(VmcsField::cr0_guest_host_mask, 1u << 30);
         m.set(VmcsField::cr0_read_shadow, 1u << 30);
         m.c.gpr[rbx] = 0xc000'0031;
     },
     done},
    {"MOV to CR0: bits above 31", exec_mov_to_cr, register_insn(0, rbx),
     [](Machine& m) { m.c.gpr[rbx] = 0x1'8000'0031; }, gp},
    {"MOV to CR0: NW without CD", exec_mov_to_cr, register_insn(0, rbx),
     [](Machine& m) { m.c.gpr[rbx] = 0xa000'0031; }, gp},
    {"MOV to CR0: PG cannot go in 64-bit mode", exec_mov_to_cr, register_insn(0, rbx),
     [](Machine& m) { m.c.gpr[rbx] = 0x31; }, gp},
    {"MOV to CR0: NE may go outside VMX operation", exec_mov_to_cr, register_insn(0, rbx),
     [](Machine& m) { m.c.gpr[rbx] = 0x8000'0011; }, done},
    {"MOV to CR0: NE is fixed in VMX operation", exec_mov_to_cr, register_insn(0, rbx),
     [](Machine& m) {
         m.c.vmx.on = true;
         m.c.gpr[rbx] = 0x8000'0011;
     },
     gp},
    {"MOV to CR4: PAE cannot go", exec_mov_to_cr, register_insn(4, rbx),
     [](Machine& m) { m.c.gpr[rbx] = 0; }, gp},
    {"MOV to CR4: reserved bit", exec_mov_to_cr, register_insn(4, rbx),
     [](Machine& m) { m.c.gpr[rbx] = 0x20 | 1u << 15; }, gp},
    {"MOV to CR4: a bit whose feature is missing", exec_mov_to_cr, register_insn(4, rbx),
     [](Machine& m) {
         m.model.features.set(Feature::smap, false);
         m.c.gpr[rbx] = 0x20 | 1u << 21;
     },
     gp},
    {"MOV to CR4: VMXE is fixed in VMX operation", exec_mov_to_cr, register_insn(4, rbx),
     [](Machine& m) {
         m.c.vmx.on = true;
         m.c.gpr[rbx] = 0x20;
     },
     gp},
    {"MOV to CR4: PCIDE with a PCID in CR3", exec_mov_to_cr, register_insn(4, rbx),
     [](Machine& m) {
         m.c.cr3 |= 1;
         m.c.gpr[rbx] = 0x20 | 1u << 17;
     },
     gp},
    {"MOV to CR4 of a masked bit", exec_mov_to_cr, register_insn(4, rbx),
     [](Machine& m) {
         m.as_guest();
         m.set(VmcsField::cr4_guest_host_mask, 1u << 13);
         m.c.gpr[rbx] = 0x2020;
     },
     exits(28, 0x304)},
    {"CLTS of a TS that the hypervisor shows", exec_clts, none,
     [](Machine& m) {
         m.as_guest();
         m.set(VmcsField::cr0_guest_host_mask, 8);
         m.set(VmcsField::cr0_read_shadow, 8);
     },
     exits(28, 0x20)},
    {"CLTS: CPL first", exec_clts, none, user_guest_with<0>, gp},
    {"LMSW AX of a masked bit", exec_lmsw, register_insn(0, rax),
     [](Machine& m) {
         m.as_guest();
         m.set(VmcsField::cr0_guest_host_mask, 8);
         m.c.gpr[rax] = 0x1239;
     },
     exits(28, 0x1239'0030)},
    {"LMSW from memory reads its operand first", exec_lmsw, absent_memory,
     [](Machine& m) {
         lost_guest<0>(m);
         m.set(VmcsField::cr0_guest_host_mask, 8);
     },
     pf},
    {"SMSW in an enclave", exec_smsw, none, enclave_guest, ud},
    {"SMSW at CPL 3 under UMIP", exec_smsw, none,
     [](Machine& m) {
         m.as_user();
         m.c.cr4.set(Cr4::umip);
     },
     gp},
    {"MOV DR: the exit goes before CPL", exec_mov_to_dr, register_insn(7, rbx),
     user_guest_with<mov_dr>, exits(29, 0x307)},
    {"MOV DR: the exit goes before DE's #UD", exec_mov_from_dr, register_insn(rcx, 4),
     [](Machine& m) {
         guest_with<mov_dr>(m);
         m.c.cr4.set(Cr4::de);
     },
     exits(29, 0x114)},
    {"MOV DR in an enclave exits", exec_mov_from_dr, register_insn(rcx, 0), enclave_guest,
     exits(29, 0x110)},
    {"MOV DR4 under DE", exec_mov_from_dr, register_insn(rax, 4),
     [](Machine& m) {
         m.as_user();
         m.c.cr4.set(Cr4::de);
     },
     ud},
    {"MOV DR: CPL before general detect", exec_mov_to_dr, register_insn(0, rax),
     [](Machine& m) {
         m.as_user();
         m.c.dr7 = 0x2400;
     },
     gp},
    {"MOV DR: general detect", exec_mov_to_dr, register_insn(0, rax),
     [](Machine& m) { m.c.dr7 = 0x2400; }, db},
    {"MOV to DR7: bits above 31", exec_mov_to_dr, register_insn(7, rbx),
     [](Machine& m) { m.c.gpr[rbx] = u64{1} << 32; }, gp},
    {"XSETBV without OSXSAVE", exec_xsetbv, none, user_guest_with<0>, ud},
    {"XSETBV: CPL first", exec_xsetbv, none,
     [](Machine& m) {
         user_guest_with<0>(m);
         m.c.cr4.set(Cr4::osxsave);
     },
     gp},
    {"XSETBV exits always, whatever the value", exec_xsetbv, none,
     [](Machine& m) {
         m.as_guest();
         m.c.cr4.set(Cr4::osxsave);
     },
     exits(55)},
    {"XGETBV of another register", exec_xgetbv, none,
     [](Machine& m) {
         m.c.cr4.set(Cr4::osxsave);
         m.c.gpr[rcx] = 2;
     },
     gp},
    {"LGDT: CPL first", exec_lgdt, absent_memory, lost_user, gp},
    {"LGDT: the exit goes before its operand", exec_lgdt, absent_memory, lost_guest<0, tables>,
     exits(46, 0x10, rbx_operand | 1u << 11 | 2u << 28)},
    {"LIDT exits", exec_lidt, absent_memory, lost_guest<0, tables>,
     exits(46, 0x10, rbx_operand | 1u << 11 | 3u << 28)},
    {"LIDT reads its operand", exec_lidt, absent_memory, lost_guest<0>, pf},
    {"SGDT exits at CPL 3", exec_sgdt, absent_memory, lost_user,
     exits(46, 0x10, rbx_operand | 1u << 11)},
    {"SIDT in an enclave", exec_sidt, absent_memory, enclave_guest, ud},
    {"SIDT under UMIP", exec_sidt, absent_memory,
     [](Machine& m) {
         lost_user(m);
         m.c.cr4.set(Cr4::umip);
     },
     gp},
    {"SLDT to EBX exits", exec_sldt, register_insn(rbx, rbx, 4), lost_user,
     exits(47, 0, 3u << 3 | 1u << 10)},
    {"STR to memory exits", exec_str, absent_memory, lost_user,
     exits(47, 0x10, rbx_operand | 1u << 28)},
    {"STR in an enclave", exec_str, none, enclave_guest, ud},
    {"LLDT: CPL first", exec_lldt, rax_to_rbx, lost_user, gp},
    {"LLDT from AX exits", exec_lldt, rax_to_rbx, guest_with<0, tables>,
     exits(47, 0, 1u << 10 | 2u << 28)},
    {"LTR exits", exec_ltr, absent_memory, lost_guest<0, tables>,
     exits(47, 0x10, rbx_operand | 3u << 28)},
    {"INVLPG: CPL first", exec_invlpg, absent_memory, user_guest_with<invlpg_exiting>, gp},
    {"INVLPG exits with the linear address", exec_invlpg, absent_memory,
     lost_guest<invlpg_exiting>, exits(14, unmapped + 0x10)},
    {"INVLPG does not touch its operand", exec_invlpg, absent_memory, lost_guest<0>, done},
    {"INVPCID needs its control", exec_invpcid, absent_memory, user_guest_with<invlpg_exiting>, ud},
    {"INVPCID: CPL first", exec_invpcid, absent_memory, user_guest_with<invlpg_exiting, invpcid>,
     gp},
    {"INVPCID exits by INVLPG's control", exec_invpcid,
     [] {
         Insn i = absent_memory;
         i.dst = rsi;
         return i;
     }(),
     lost_guest<invlpg_exiting, invpcid>, exits(58, 0x10, rbx_operand | 6u << 28)},
    {"WBINVD: CPL first", exec_wbinvd, none, user_guest_with<0, wbinvd>, gp},
    {"WBINVD exits", exec_wbinvd, none, guest_with<0, wbinvd>, exits(54)},
    {"INVD exits always", exec_invd, none, guest, exits(13)},
    {"INVD with an EPC", exec_invd, none, [](Machine& m) { m.system.memory.epc_size = 4096; }, gp},
    {"INT n in an enclave", exec_int_n, none, enclave_guest, ud},
    {"IRET in an enclave", exec_iret, none, enclave_guest, ud},
    {"SYSCALL in an enclave", exec_syscall, none, enclave_guest, ud},
    {"SYSENTER in an enclave", exec_sysenter, none, enclave_guest, ud},
    {"MOV to DS in an enclave", exec_mov_to_sreg, register_insn(ds, rax), enclave_guest, ud},
    {"POP FS in an enclave", exec_pop_fs, none, enclave_guest, ud},
    {"LSS in an enclave", exec_lss_lfs_lgs, absent_memory, enclave_guest, ud},
    {"far RET in an enclave", exec_far_return, none, enclave_guest, ud},
    {"far JMP in an enclave", exec_far_jump, absent_memory, enclave_guest, ud},
    {"MOV to CS", exec_mov_to_sreg, register_insn(cs, rax), kernel, ud},
    {"GETSEC without SMXE", exec_getsec, none, guest, ud},
    {"RSM outside SMM", exec_rsm, none, guest, ud},
    {"UD2", exec_ud2, none, guest, ud},
    {"CLI at CPL 3", exec_cli, none, user, gp},
    {"STI at CPL 3", exec_sti, none, user, gp},
    {"CLI at CPL 3 with IOPL 3", exec_cli, none,
     [](Machine& m) {
         m.as_user();
         set_rflags(m.c, 0x3202);
     },
     done},
    {"CLAC at CPL 3", exec_clac, none, user, ud},
    {"STAC without SMAP", exec_stac, none,
     [](Machine& m) { m.model.features.set(Feature::smap, false); }, ud},
    {"SWAPGS at CPL 3", exec_swapgs, none, user, gp},
    {"RDFSBASE without its CR4 bit", exec_rdfsbase, none, kernel, ud},
    {"WRGSBASE not canonical", exec_wrgsbase, register_insn(0, rbx),
     [](Machine& m) {
         m.c.cr4.set(Cr4::fsgsbase);
         m.c.gpr[rbx] = u64{1} << 47;
     },
     gp},
    {"SYSCALL without SCE", exec_syscall, none,
     [](Machine& m) { m.c.efer.set(Efer::sce, false); }, ud},
    {"SYSRET: CPL", exec_sysret, none, user, gp},
    {"SYSRET to an address not canonical", exec_sysret, none,
     [](Machine& m) { m.c.gpr[rcx] = u64{1} << 47; }, gp},
    {"SYSENTER with a null selector", exec_sysenter, none, user, gp},
    {"SYSEXIT: CPL", exec_sysexit, none,
     [](Machine& m) {
         m.as_user();
         m.c.msr.sysenter_cs = 8;
     },
     gp},
    {"OUT exits", exec_out_imm,
     [] {
         Insn i = register_insn(0, 0, 1);
         i.imm = 0x80;
         return i;
     }(),
     guest_with<all_io>, exits(30, 0x0080'0040)},
    {"IN EAX, DX exits", exec_in_dx, register_insn(0, 0, 4),
     [](Machine& m) {
         guest_with<all_io>(m);
         m.c.gpr[rdx] = 0xcf8;
     },
     exits(30, 0x0cf8'000b)},
    {"IN: the permission bitmap goes before the exit", exec_in_dx, register_insn(0, 0, 1),
     user_guest_with<all_io>, gp},
    {"IN in an enclave", exec_in_dx, register_insn(0, 0, 1), enclave_guest, ud},
    {"OUTS in an enclave", exec_outs, register_insn(0, 0, 1), enclave_guest, ud},
    {"REP OUTSB exits before its operand", exec_outs,
     [] {
         Insn i = register_insn(0, 0, 1);
         i.form |= form_rep;
         return i;
     }(),
     [](Machine& m) {
         guest_with<all_io>(m);
         m.c.gpr[rdx] = 0x3f8;
         m.c.gpr[rsi] = unmapped;
         m.c.gpr[rcx] = 2;
     },
     exits(30, 0x03f8'0030, 2u << 7 | 3u << 15)},
};

TEST(SystemInstruction, FaultsAndExitsComeInTheManualsOrder) {
    for (const Row& row : rows) {
        SCOPED_TRACE(row.name);
        Machine m;
        row.arrange(m);
        const bool succeeded = execute(m.c, row.semantic, row.insn);
        EXPECT_EQ(outcome_of(m.c, succeeded), row.expected);
    }
}

TEST(SystemInstruction, WhatDoesNotCompleteChangesNothing) {
    for (const Row& row : rows) {
        if (row.expected == done || row.semantic == exec_iret) continue;
        SCOPED_TRACE(row.name);
        Machine m;
        row.arrange(m);
        const auto gpr_before = m.c.gpr;
        const auto segment_before = m.c.segment;
        const u64 flags = rflags(m.c);
        const u64 cr[] = {m.c.cr0.to_raw(), m.c.cr2, m.c.cr3, m.c.cr4.to_raw(), m.c.dr7, m.c.dr6};
        execute(m.c, row.semantic, row.insn);
        const u64 after[] = {m.c.cr0.to_raw(), m.c.cr2, m.c.cr3,
                             m.c.cr4.to_raw(), m.c.dr7, m.c.dr6};
        EXPECT_EQ(m.c.gpr, gpr_before);
        EXPECT_EQ(m.c.segment, segment_before);
        EXPECT_EQ(rflags(m.c), flags);
        EXPECT_TRUE(std::equal(std::begin(cr), std::end(cr), std::begin(after)));
        EXPECT_TRUE(m.bus.outs.empty());
        EXPECT_EQ(m.bus.ins, 0u);
    }
}

TEST(SystemInstruction, StringIoExitNamesItsOperandsAddress) {
    Machine m;
    guest_with<all_io>(m);
    m.c.gpr[rdi] = 0x4567;
    EXPECT_FALSE(execute(m.c, exec_ins, register_insn(0, 0, 1)));
    EXPECT_EQ(m.c.pending.guest_linear, 0x4567u);
    EXPECT_EQ(m.c.pending.qualification, 0x18u);
}

TEST(PauseLoop, ExitsAfterTheWindowAtCpl0Only) {
    for (const bool in_user : {false, true}) {
        Machine m;
        m.as_guest(0, 0, ple);
        m.set(VmcsField::ple_gap, 10);
        m.set(VmcsField::ple_window, 25);
        if (in_user) m.as_user();
        unsigned executed = 0;
        while (executed < 10 && execute(m.c, exec_pause, none, 2)) {
            ++executed;
            m.c.budget -= 8;
        }
        EXPECT_EQ(executed, in_user ? 10u : 4u);  // 0, 8, 16, 24; 32 > 25
    }
}

TEST(PauseLoop, AGapStartsANewLoop) {
    Machine m;
    m.as_guest(0, 0, ple);
    m.set(VmcsField::ple_gap, 10);
    m.set(VmcsField::ple_window, 25);
    for (unsigned n = 0; n < 10; ++n) {
        EXPECT_TRUE(execute(m.c, exec_pause, none, 2));
        m.c.budget -= 11;
    }
}

}  // namespace
}  // namespace postern::cpu

// SPDX-License-Identifier: Apache-2.0
// Everything that interrupts an enclave, made to happen by the enclave's own code or by the machine
// while the run loop runs it: what the SSA frame says of it, what the registers hold afterwards,
// and who gets to know. Each exception is delivered once and once taken by the hypervisor.
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "cpu/run.h"
#include "unit/cpu/event/inside.h"

namespace postern::cpu {
namespace {

constexpr u64 data = sgx::elrange + sgx::data_offset;
constexpr u64 resume_flag = 0x1'0000;
constexpr u64 old_cr2 = 0x77, untouched = 0x5a5a;

struct Cause {
    const char* name;
    std::vector<u8> code;      // at the entry point
    void (*arrange)(Inside&);  // inside, before it runs
    bool opt_in;
    u64 vector;
    i64 rip;  // of the SSA, from the entry point
    bool rf;  // of the SSA
    u32 exitinfo;
    u32 information;  // of the VM exit in its place
    u32 error_code = 0;
    u64 maddr = untouched;  // EXINFO
    u32 errcd = untouched;
    u64 cr2 = old_cr2;  // after the delivery
    u64 qualification = 0;
    u16 fcw = 0x37f, fsw = 0;
    u32 mxcsr = 0x1fb0;
};

const auto nothing = [](Inside&) {};
const auto rbx_at_data = [](Inside& m) { m.c.gpr[rbx] = data; };
const auto not_canonical = [](Inside& m) { m.c.gpr[rbx] = m.c.gpr[rbp] = u64{1} << 47; };
constexpr u64 unmapped_in_elrange = sgx::elrange + 0x5000;

const Cause causes[] = {
    {"DivideError",
     {0x31, 0xc9, 0xf7, 0xf1},  // XOR ECX, ECX; DIV ECX
     nothing,
     false,
     0,
     2,
     true,
     0x8000'0300,
     0x8000'0300},
    {.name = "DebugTrap",  // NOP with TF
     .code = {0x90, 0x90},
     .arrange = [](Inside& m) { m.c.flags.set(Rflag::tf); },
     .opt_in = true,
     .vector = 1,
     .rip = 1,
     .rf = false,
     .exitinfo = 0x8000'0301,
     .information = 0x8000'0301,
     .qualification = 0x4000},
    {.name = "DebugFaultOfACodeBreakpoint",
     .code = {0x90, 0x90},
     .arrange =
         [](Inside& m) {
             m.c.dr[0] = inside_rip + 1;
             m.c.dr7 = 0x401;
         },
     .opt_in = true,
     .vector = 1,
     .rip = 1,
     .rf = false,
     .exitinfo = 0x8000'0301,
     .information = 0x8000'0301,
     .qualification = 1},
    {.name = "DebugTrapOfADataBreakpointOutside",
     .code = {0x88, 0x03, 0x90},  // MOV [RBX], AL
     .arrange =
         [](Inside& m) {
             m.c.gpr[rbx] = m.c.dr[1] = 0xb000;
             m.c.dr7 = 0x400 | 4 | 1u << 20;
             flush_translations(m.c);
         },
     .opt_in = false,
     .vector = 1,
     .rip = 2,
     .rf = false,
     .exitinfo = 0x8000'0301,
     .information = 0x8000'0301,
     .qualification = 2},
    {"BreakpointAfterOptIn", {0xcc}, nothing, true, 3, 0, true, 0x8000'0603, 0x8000'0303},
    {"BreakpointAfterOptOut", {0xcc}, nothing, false, 6, 0, true, 0x8000'0306, 0x8000'0306},
    {"InvalidOpcode", {0x90, 0x0f, 0x0b}, nothing, false, 6, 1, true, 0x8000'0306, 0x8000'0306},
    {"DeviceNotAvailable",
     {0xd9, 0xe8},  // FLD1
     [](Inside& m) { m.c.cr0.set(Cr0::ts); },
     false,
     7,
     0,
     true,
     0,
     0x8000'0307},
    {"StackFault",
     {0x8b, 0x45, 0x00},  // MOV EAX, [RBP]
     not_canonical,
     false,
     12,
     0,
     true,
     0,
     0x8000'0b0c},
    {.name = "GeneralProtection",
     .code = {0x8b, 0x03},  // MOV EAX, [RBX]
     .arrange = not_canonical,
     .opt_in = false,
     .vector = 13,
     .rip = 0,
     .rf = true,
     .exitinfo = 0x8000'030d,
     .information = 0x8000'0b0d,
     .maddr = 0,
     .errcd = 0},
    {.name = "GeneralProtectionOfAFetchOutsideElrange",
     .code = {0xff, 0xe3},  // JMP RBX
     .arrange = [](Inside& m) { m.c.gpr[rbx] = sgx::elrange - 0x1000; },
     .opt_in = false,
     .vector = 13,
     .rip = -0x2010,  // of the address, where nothing is mapped
     .rf = true,
     .exitinfo = 0x8000'030d,
     .information = 0x8000'0b0d,
     .maddr = 0,
     .errcd = 0},
    {.name = "PageFaultNotPresent",
     .code = {0x8b, 0x83, 0x23, 0x11, 0, 0},  // MOV EAX, [RBX + 1123H]
     .arrange = rbx_at_data,
     .opt_in = false,
     .vector = 14,
     .rip = 0,
     .rf = true,
     .exitinfo = 0x8000'030e,
     .information = 0x8000'0b0e,
     .error_code = 4,
     .maddr = unmapped_in_elrange + 0x123,
     .errcd = 4,
     .cr2 = unmapped_in_elrange,
     .qualification = unmapped_in_elrange},
    {.name = "PageFaultOfTheEpcm",
     .code = {0x89, 0x43, 0x08},  // MOV [RBX + 8], EAX
     .arrange =
         [](Inside& m) {
             m.c.gpr[rbx] = data;
             m.entry(sgx::data_page).w = false;
         },
     .opt_in = false,
     .vector = 14,
     .rip = 0,
     .rf = true,
     .exitinfo = 0x8000'030e,
     .information = 0x8000'0b0e,
     .error_code = 0x8007,
     .maddr = data + 8,
     .errcd = 0x8007,
     .cr2 = data,
     .qualification = data},
    {.name = "PageFaultOutsideElrange",
     .code = {0x88, 0x03},  // MOV [RBX], AL
     .arrange = [](Inside& m) { m.c.gpr[rbx] = sgx::unmapped + 0x321; },
     .opt_in = false,
     .vector = 14,
     .rip = 0,
     .rf = true,
     .exitinfo = 0x8000'030e,
     .information = 0x8000'0b0e,
     .error_code = 6,
     .maddr = sgx::unmapped + 0x321,
     .errcd = 6,
     .cr2 = sgx::unmapped,
     .qualification = sgx::unmapped},
    {.name = "PageFaultOfAFetch",
     .code = {0xff, 0xe3},  // JMP RBX
     .arrange = [](Inside& m) { m.c.gpr[rbx] = data + 0x10; },
     .opt_in = false,
     .vector = 14,
     .rip = 0x3000,
     .rf = true,
     .exitinfo = 0x8000'030e,
     .information = 0x8000'0b0e,
     .error_code = 0x8015,
     .maddr = data + 0x10,
     .errcd = 0x8015,
     .cr2 = data,
     .qualification = data},
    {.name = "X87",
     // PUSH 37BH; FLDCW [RSP]; FLD1; FLDZ; FDIVP; FWAIT
     .code = {0x68, 0x7b, 3, 0, 0, 0xd9, 0x2c, 0x24, 0xd9, 0xe8, 0xd9, 0xee, 0xde, 0xf9, 0x9b},
     .arrange = nothing,
     .opt_in = false,
     .vector = 16,
     .rip = 14,
     .rf = true,
     .exitinfo = 0x8000'0310,
     .information = 0x8000'0310,
     .fcw = 0x37e,
     .fsw = 0x8081},
    {"AlignmentCheck",
     {0x8b, 0x43, 0x02},  // MOV EAX, [RBX + 2]
     [](Inside& m) {
         m.c.gpr[rbx] = data;
         m.c.cr0.set(Cr0::am);
         m.c.flags.set(Rflag::ac);
         select_tlb(m.c);
     },
     false,
     17,
     0,
     true,
     0x8000'0311,
     0x8000'0b11},
    {.name = "Simd",
     // PUSH 1D80H; LDMXCSR [RSP]; XORPS XMM0, XMM0; CVTSI2SS XMM1, ECX; DIVSS XMM1, XMM0
     .code = {0x68, 0x80, 0x1d, 0,    0,    0x0f, 0xae, 0x14, 0x24, 0x0f,
              0x57, 0xc0, 0xf3, 0x0f, 0x2a, 0xc9, 0xf3, 0x0f, 0x5e, 0xc8},
     .arrange = nothing,
     .opt_in = false,
     .vector = 19,
     .rip = 16,
     .rf = true,
     .exitinfo = 0x8000'0313,
     .information = 0x8000'0313,
     .mxcsr = 0x1f01},
};

class EnclaveCause : public testing::TestWithParam<Cause> {};
INSTANTIATE_TEST_SUITE_P(Enclave, EnclaveCause, testing::ValuesIn(causes),
                         [](const auto& test) { return std::string{test.param.name}; });

void prepare(Inside& m, const Cause& cause) {
    for (u64 n = 0; n < 256; ++n) m.at<u16>(0x10'0000 + 16 * n) = 0xfeeb;  // JMP to itself
    std::ranges::copy(cause.code, m.epc.page(sgx::code_page) + 0x10);
    m.exinfo() = {untouched, untouched, 0};
    m.gprsgx().exitinfo = Exitinfo::from_raw(0x8000'07ff);
    m.c.cr2 = old_cr2;
    cause.arrange(m);
}

/// What an AEX leaves, whoever hears of it.
void expect_aex(Inside& m, const Cause& cause) {
    EXPECT_EQ(m.gprsgx().rip, inside_rip + static_cast<u64>(cause.rip));
    EXPECT_EQ(m.gprsgx().rflags & resume_flag, cause.rf ? resume_flag : 0);
    EXPECT_EQ(m.gprsgx().rflags & 0x100, 0u);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), cause.exitinfo);
    EXPECT_EQ(m.exinfo().maddr, cause.maddr);
    EXPECT_EQ(m.exinfo().errcd, cause.errcd);
    EXPECT_EQ(m.c.vector.x87.fcw, cause.fcw);
    EXPECT_EQ(m.c.vector.x87.fsw, cause.fsw);
    EXPECT_EQ(m.c.vector.mxcsr, cause.mxcsr);
    EXPECT_EQ(m.c.gpr[rax], 3u);
    EXPECT_EQ(m.c.gpr[rbx], sgx::elrange + sgx::tcs_offset);
    EXPECT_EQ(m.c.gpr[rcx], sgx::aep);
    EXPECT_EQ(m.c.gpr[rdx], 0u);
    EXPECT_EQ(m.c.gpr[rbp], outer_rbp);
    EXPECT_EQ(m.c.xcr0, 7u);
    EXPECT_FALSE(m.c.enclave.active);
    EXPECT_EQ(m.tcs().cssa, 1u);
    EXPECT_EQ(m.tcs().state, TcsState::inactive);
    EXPECT_EQ(m.epc.hidden(sgx::secs_page).active_threads, 0u);
}

TEST_P(EnclaveCause, IsDeliveredFromTheAep) {
    const Cause& cause = GetParam();
    Inside m{cause.opt_in};
    prepare(m, cause);
    EXPECT_EQ(run(m.c, now(m.c) + 10), RunOutcome::time);
    EXPECT_EQ(m.c.rip, 0x10'0000 + 16 * cause.vector);
    expect_aex(m, cause);
    EXPECT_EQ(m.c.cr2, cause.cr2);
    const bool has_error_code = (cause.information & 0x800) != 0;
    EXPECT_EQ(m.at<u64>(rsp0 - 0x30), has_error_code ? cause.error_code : 0);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x28), sgx::aep);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x18) & resume_flag, 0u);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x10), outer_rsp);
}

TEST_P(EnclaveCause, ExitsFromTheAepByTheExceptionBitmap) {
    const Cause& cause = GetParam();
    Inside m{cause.opt_in};
    prepare(m, cause);
    m.set(VmcsField::exception_bitmap, 0xffff'ffff);
    EXPECT_EQ(run(m.c, now(m.c) + 10), RunOutcome::vm_exit);
    expect_aex(m, cause);
    EXPECT_EQ(m.c.cr2, old_cr2);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0000u);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_information), cause.information);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_interruption_error_code), cause.error_code);
    EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), cause.qualification);
    EXPECT_EQ(m.vmcs(VmcsField::vm_exit_instruction_length), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::idt_vectoring_information), 0u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), sgx::aep);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rsp), outer_rsp);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rflags) & resume_flag, 0u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0x10u);
}

// What is no exception.

struct Interruption {
    const char* name;
    std::vector<u8> code;
    void (*arrange)(Inside&, FakeController&);
    bool opt_in;
    u64 reason;  // of the VM exit; ~0: delivered
    i64 rip;
    bool rf = false;
    u64 vector = 0;
};

constexpr u64 delivered = ~u64{0};

const Interruption interruptions[] = {
    {"InterruptDelivered",
     {0x90, 0x90},
     [](Inside& m, FakeController& controller) {
         controller.vector = 0x41;
         m.c.flags.set(Rflag::if_);
     },
     false,
     delivered,
     0,
     false,
     0x41},
    {"InterruptThatExits",
     {0x90, 0x90},
     [](Inside& m, FakeController& controller) {
         controller.vector = 0x41;
         m.set(VmcsField::pin_based_controls, 1);
     },
     false,
     1,
     0},
    {"NmiDelivered",
     {0x90, 0x90},
     [](Inside& m, FakeController&) { m.c.event.nmi_pending = true; },
     false,
     delivered,
     0,
     false,
     2},
    {"NmiThatExits",
     {0x90, 0x90},
     [](Inside& m, FakeController&) {
         m.set(VmcsField::pin_based_controls, 1u << 3);
         m.c.event.nmi_pending = true;
     },
     false,
     0,
     0},
    {"PreemptionTimer",
     {0x90, 0x90, 0x90, 0x90},
     [](Inside& m, FakeController&) { m.c.vmx.preemption_deadline = now(m.c) + 2; },
     false,
     52,
     2},
    {"PreemptionTimerBetweenIterations",
     {0xf3, 0xaa},  // REP STOSB
     [](Inside& m, FakeController&) {
         m.c.gpr[rdi] = data;
         m.c.gpr[rcx] = 100;
         m.c.vmx.preemption_deadline = now(m.c) + 3;
     },
     false,
     52,
     0,
     true},
    {"InitSignal",
     {0x90, 0x90},
     [](Inside& m, FakeController&) { m.c.event.init_pending = true; },
     false,
     3,
     0},
    {"InterruptWindow",
     {0x90, 0x90},
     [](Inside& m, FakeController&) {
         m.c.flags.set(Rflag::if_);
         m.set(VmcsField::primary_processor_based_controls, 1u << 2);
     },
     false,
     7,
     0},
    {"NmiWindow",
     {0x90, 0x90},
     [](Inside& m, FakeController&) {
         m.set(VmcsField::primary_processor_based_controls, 1u << 22);
     },
     false,
     8,
     0},
    {"MonitorTrapAfterOptIn",
     {0x90, 0x90},
     [](Inside& m, FakeController&) {
         m.set(VmcsField::primary_processor_based_controls, 1u << 27);
     },
     true,
     37,
     1},
};

TEST(EnclaveInterruption, IsNoBusinessOfExitinfo) {
    for (const Interruption& each : interruptions) {
        SCOPED_TRACE(each.name);
        Inside m{each.opt_in};
        FakeController controller;
        m.c.interrupts = &controller;
        for (u64 n = 0; n < 256; ++n) m.at<u16>(0x10'0000 + 16 * n) = 0xfeeb;
        std::ranges::copy(each.code, m.epc.page(sgx::code_page) + 0x10);
        m.exinfo() = {untouched, untouched, 0};
        m.gprsgx().exitinfo = Exitinfo::from_raw(0x8000'07ff);
        each.arrange(m, controller);
        const RunOutcome outcome = run(m.c, now(m.c) + 10);
        EXPECT_EQ(m.gprsgx().rip, inside_rip + static_cast<u64>(each.rip));
        EXPECT_EQ(m.gprsgx().rflags & resume_flag, each.rf ? resume_flag : 0);
        EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0u);
        EXPECT_EQ(m.exinfo().maddr, untouched);
        EXPECT_EQ(m.c.vector.mxcsr, 0x1fb0u);
        EXPECT_EQ(m.c.vector.x87.fcw, 0x37f);
        EXPECT_EQ(m.c.gpr[rax], 3u);
        EXPECT_FALSE(m.c.enclave.active);
        if (each.reason == delivered) {
            EXPECT_EQ(outcome, RunOutcome::time);
            EXPECT_EQ(m.c.rip, 0x10'0000 + 16 * each.vector);
            EXPECT_EQ(m.at<u64>(rsp0 - 0x28), sgx::aep);
            continue;
        }
        EXPECT_EQ(outcome, RunOutcome::vm_exit);
        EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0000 | each.reason);
        EXPECT_EQ(m.vmcs(VmcsField::guest_rip), sgx::aep);
        EXPECT_EQ(m.vmcs(VmcsField::guest_rflags) & resume_flag, 0u);
        EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0x10u);
    }
}

/// EPT that maps RAM and EPC to themselves, but for the entry of the data page.
void use_ept(Inside& m, u64 entry_of_data_page) {
    constexpr u64 pml4 = 0x5'0000, pdpt = 0x5'1000, ram = 0x5'2000, epc = 0x5'3000,
                  pages = 0x5'4000;
    m.at<u64>(pml4) = pdpt | 7;
    m.at<u64>(pdpt) = ram | 7;
    m.at<u64>(pdpt + 8 * 5) = epc | 7;  // 5 GiB
    m.at<u64>(ram) = 0xb7;
    m.at<u64>(epc) = pages | 7;
    for (u64 n = 0; n < sgx::epc_pages; ++n)
        m.at<u64>(pages + 8 * n) = (sgx::epc_physical + n * page_size) | 0x37;
    m.at<u64>(pages + 8 * sgx::data_page) = entry_of_data_page;
    m.c.vmx.ept_pointer = pml4 | 0x1e;
    flush_translations(m.c);
}

TEST(EnclaveInterruption, EptViolationsAndMisconfigurationsLoseTheirPageOffsets) {
    struct Row {
        u64 entry, reason, qualification;
    };
    // A read; the linear address is valid, and translated; a user's page that may be written.
    for (const Row& row : {Row{0, 48, 0x781}, Row{2, 49, 0}}) {
        Inside m;
        std::ranges::copy(std::vector<u8>{0x90, 0x8b, 0x83, 0x23, 1, 0, 0},
                          m.epc.page(sgx::code_page) + 0x10);  // NOP; MOV EAX, [RBX + 123H]
        m.c.gpr[rbx] = data;
        m.gprsgx().exitinfo = Exitinfo::from_raw(0x8000'07ff);
        use_ept(m, row.entry);
        EXPECT_EQ(run(m.c, now(m.c) + 10), RunOutcome::vm_exit);
        EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 0x0800'0000 | row.reason);
        EXPECT_EQ(m.vmcs(VmcsField::exit_qualification), row.qualification);
        if (row.reason == 48) {
            EXPECT_EQ(m.vmcs(VmcsField::guest_linear_address), data);
        }
        EXPECT_EQ(m.vmcs(VmcsField::guest_physical_address),
                  sgx::epc_physical + sgx::data_page * page_size);
        EXPECT_EQ(m.vmcs(VmcsField::guest_rip), sgx::aep);
        EXPECT_EQ(m.vmcs(VmcsField::guest_rflags) & resume_flag, 0u);
        EXPECT_EQ(m.gprsgx().rip, inside_rip + 1);
        EXPECT_EQ(m.gprsgx().rflags & resume_flag, resume_flag);
        EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0u);
    }
}

TEST(EnclaveInterruption, EresumeThatMeetsAnEptViolationIsNoEnclavesExit) {
    Inside m;
    sgx::asynchronous_exit(m.c, {});
    use_ept(m, 0);
    m.tcs().ossa = sgx::data_offset;
    m.outside_code(sgx::outside_rip, {0x0f, 0x01, 0xd7});
    m.c.rip = sgx::outside_rip;
    m.c.gpr[rax] = 3;
    EXPECT_EQ(run(m.c, now(m.c) + 10), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 48u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), sgx::outside_rip);
    EXPECT_EQ(m.vmcs(VmcsField::guest_linear_address), data);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rflags) & resume_flag, resume_flag);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0u);
    EXPECT_EQ(m.tcs().cssa, 1u);
}

TEST(EnclaveInterruption, TheMonitorTrapIsSuppressedAfterOptOutAndDueOnceTheEnclaveIsLeft) {
    Inside m;
    m.enclave_code({0x90, 0x90, 0xb8, 4, 0, 0, 0, 0xbb, 0, 0xa0, 0, 0, 0x0f, 0x01, 0xd7});
    m.set(VmcsField::primary_processor_based_controls, 1u << 27);
    EXPECT_EQ(run(m.c, now(m.c) + 100), RunOutcome::vm_exit);
    EXPECT_EQ(m.vmcs(VmcsField::exit_reason), 37u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_rip), 0xa000u);
    EXPECT_EQ(m.vmcs(VmcsField::guest_interruptibility_state), 0u);
}

TEST(EnclaveInterruption, SingleStepSeesAnOptOutVisitAsOneInstruction) {
    Outside m;
    m.at<u16>(0x10'0010) = 0xfeeb;
    m.outside_code(sgx::outside_rip, {0x0f, 0x01, 0xd7, 0x90});
    m.enclave_code({0x90, 0x90, 0xb8, 4, 0, 0, 0, 0x89, 0xcb, 0x0f, 0x01, 0xd7});
    m.c.gpr[rax] = 2;
    m.c.gpr[rbx] = sgx::elrange + sgx::tcs_offset;
    m.c.gpr[rcx] = sgx::aep;
    m.c.flags.set(Rflag::tf);
    EXPECT_EQ(run(m.c, now(m.c) + 20), RunOutcome::time);
    EXPECT_EQ(m.c.rip, 0x10'0010u);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x28), sgx::outside_rip + 3);
    EXPECT_EQ(m.tcs().cssa, 0u);
    EXPECT_EQ(m.c.dr6 & 0x4000, 0x4000u);
}

TEST(EnclaveInterruption, SingleStepTrapsAfterEenterIfItIsAnOptInEntry) {
    Outside m{true};
    m.at<u16>(0x10'0010) = 0xfeeb;
    m.outside_code(sgx::outside_rip, {0x0f, 0x01, 0xd7, 0x90});
    m.enclave_code({0x90, 0x90});
    m.c.gpr[rax] = 2;
    m.c.gpr[rbx] = sgx::elrange + sgx::tcs_offset;
    m.c.gpr[rcx] = sgx::aep;
    m.c.flags.set(Rflag::tf);
    EXPECT_EQ(run(m.c, now(m.c) + 20), RunOutcome::time);
    EXPECT_EQ(m.c.rip, 0x10'0010u);
    EXPECT_EQ(m.gprsgx().rip, inside_rip);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0x8000'0301u);
    EXPECT_EQ(m.at<u64>(rsp0 - 0x28), sgx::aep);
}

TEST(EnclaveInterruption, EexitIntoElrangeFetchesTheFixedPattern) {
    Inside m;
    m.at<u16>(0x10'0000 + 16 * 6) = 0xfeeb;
    m.enclave_code({0xb8, 4, 0, 0, 0, 0x48, 0x8d, 0x1d, 0, 0, 0, 0, 0x0f, 0x01, 0xd7});
    EXPECT_EQ(run(m.c, now(m.c) + 20), RunOutcome::time);
    EXPECT_EQ(m.c.rip, 0x10'0060u);  // FFH FFH: #UD
    EXPECT_EQ(m.at<u64>(rsp0 - 0x28), inside_rip + 12);
    EXPECT_EQ(m.tcs().cssa, 0u);  // not an AEX
}

TEST(EnclaveInterruption, EresumeGoesWhereTheSsaSaysAndTheFetchFaults) {
    Inside m;
    m.at<u16>(0x10'0000 + 16 * 13) = 0xfeeb;
    sgx::asynchronous_exit(m.c, {});
    m.gprsgx().rip = 0xb000;
    m.outside_code(sgx::aep, {0x0f, 0x01, 0xd7});
    EXPECT_EQ(run(m.c, now(m.c) + 20), RunOutcome::time);
    EXPECT_EQ(m.c.rip, 0x10'00d0u);
    EXPECT_EQ(m.gprsgx().rip, 0xb000u);
    EXPECT_EQ(m.gprsgx().exitinfo.to_raw(), 0x8000'030du);
    EXPECT_EQ(m.tcs().cssa, 1u);
}

TEST(EnclaveInterruption, WhatMonitorArmedIsDisarmedByEntryAndExit) {
    Outside m;
    m.c.monitor.armed = true;
    ASSERT_TRUE(m.eenter().ok());
    EXPECT_FALSE(m.c.monitor.armed);
    m.c.monitor.armed = true;
    ASSERT_TRUE(m.enclu(EncluLeaf::eexit, 0xa000, 0).ok());
    EXPECT_FALSE(m.c.monitor.armed);
}

TEST(EnclaveInterruption, AWaitOfTheEnclaveEndsWithTheAex) {
    Inside m;
    FakeController controller;
    m.c.interrupts = &controller;
    m.at<u16>(0x10'0000 + 16 * 2) = 0xfeeb;
    m.set(VmcsField::primary_processor_based_controls, 1u << 31);
    m.set(VmcsField::secondary_processor_based_controls, 1u << 26);
    // MOV RAX, -1; MOV RDX, RAX: the deadline; XOR ECX, ECX; TPAUSE ECX
    m.enclave_code({0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff, 0x48, 0x89, 0xc2, 0x31, 0xc9, 0x66,
                    0x0f, 0xae, 0xf1});
    EXPECT_EQ(run(m.c, now(m.c) + 20), RunOutcome::halted);
    EXPECT_TRUE(m.c.enclave.active && m.c.monitor.waiting);
    m.c.event.nmi_pending = true;
    EXPECT_EQ(run(m.c, now(m.c) + 20), RunOutcome::time);
    EXPECT_EQ(m.c.rip, 0x10'0020u);
    EXPECT_EQ(m.gprsgx().rip, inside_rip + 16);
    EXPECT_FALSE(m.c.monitor.waiting);
}

TEST(EnclavePkru, IsSavedClearedAndRestoredWithXfrm) {
    for (const bool in_xfrm : {false, true}) {
        SCOPED_TRACE(in_xfrm);
        Outside m;
        m.c.cr4.set(Cr4::pke);
        m.c.xcr0 = 0x207;
        m.secs().attributes.xfrm.set(Xcr0::pkru, in_xfrm);
        m.xsave<u64>(2688) = 0;
        ASSERT_TRUE(m.eenter().ok());
        m.c.rip = inside_rip;
        m.c.pkru = 0x5555'0000;
        select_space(m.c);
        sgx::asynchronous_exit(m.c, {});
        EXPECT_EQ(m.c.pkru, in_xfrm ? 0 : 0x5555'0000);
        EXPECT_EQ(m.xsave<u64>(512), in_xfrm ? 0x203u : 3u);
        EXPECT_EQ(m.xsave<u64>(2688), in_xfrm ? 0x5555'0000u : 0u);
        EXPECT_EQ(m.c.xcr0, 0x207u);
        m.c.pkru = 0x4;
        select_space(m.c);
        ASSERT_TRUE(m.eresume().ok());
        EXPECT_EQ(m.c.pkru, in_xfrm ? 0x5555'0000 : 4);
        sgx::asynchronous_exit(m.c, {});
        m.xsave<u64>(512) = 3;
        m.c.pkru = 0x4;
        select_space(m.c);
        ASSERT_TRUE(m.eresume().ok());
        EXPECT_EQ(m.c.pkru, in_xfrm ? 0u : 4u);
    }
}

}  // namespace
}  // namespace postern::cpu

// SPDX-License-Identifier: Apache-2.0
// The table of formats that `postern decode` knows. The bits' titles are the manual's.
#include <array>

#include <fmt/format.h>

#include "app/decode.h"
#include "arch/exception.h"
#include "arch/sgx/secinfo.h"
#include "arch/vmx/exit_qualification.h"
#include "arch/vmx/exit_reason.h"
#include "arch/vmx/interruption_information.h"

namespace postern::app {

namespace {

template <size_t count>
std::string pick(const std::array<std::string_view, count>& names, u64 value) {
    return std::string{value < count ? names[value] : std::string_view{"reserved"}};
}

std::string exit_reason_meaning(u64 value) {
    if (value == no_exit_reason) return "no exit reason: VMLAUNCH or VMRESUME failed";
    if (value >= reason_limit) return "no such exit reason";
    return std::string{name_of(static_cast<BasicReason>(value))};
}

std::string vector_meaning(u64 value) {
    static constexpr std::array<std::string_view, 22> names{
        "#DE", "#DB", "NMI", "#BP", "#OF",      "#BR", "#UD", "#NM", "#DF", "reserved", "#TS",
        "#NP", "#SS", "#GP", "#PF", "reserved", "#MF", "#AC", "#MC", "#XM", "#VE",      "#CP"};
    return value < names.size() ? std::string{names[value]} : std::string{};
}

std::string event_type_meaning(u64 value) {
    return pick<8>(
        {"external interrupt", "reserved", "NMI", "hardware exception", "software interrupt",
         "privileged software exception (INT1)", "software exception (INT3, INTO)", "other event"},
        value);
}

std::string io_size_meaning(u64 value) {
    return pick<4>({"1 byte", "2 bytes", "reserved", "4 bytes"}, value);
}

std::string cr_access_meaning(u64 value) {
    return pick<4>({"MOV to CR", "MOV from CR", "CLTS", "LMSW"}, value);
}

std::string gpr_meaning(u64 value) { return std::string{name_of(static_cast<Gpr>(value))}; }

std::string apic_access_meaning(u64 value) {
    return pick<16>(
        {"linear, data read", "linear, data write", "linear, fetch",
         "linear, during event delivery", "reserved", "reserved", "reserved", "reserved",
         "reserved", "reserved", "guest-physical, during event delivery", "reserved", "reserved",
         "reserved", "reserved", "guest-physical, for a fetch or an instruction"},
        value);
}

std::string task_switch_meaning(u64 value) {
    return pick<4>({"CALL", "IRET", "JMP", "task gate in the IDT"}, value);
}

std::string page_type_meaning(u64 value) {
    return std::string{name_of(static_cast<PageType>(value))};
}

std::string conflict_meaning(u64 value) {
    return pick<4>({"TRACKING_RESOURCE_CONFLICT", "TRACKING_REFERENCE_CONFLICT",
                    "EPC_PAGE_CONFLICT_EXCEPTION", "EPC_PAGE_CONFLICT_ERROR"},
                   value);
}

constexpr BitField exit_reason_fields[] = {
    {15, 0, "basic exit reason", exit_reason_meaning},
    {25, 25, "shadow stack prematurely busy"},
    {26, 26, "bus lock"},
    {27, 27, "incident to enclave mode: RIP is the AEP, and the enclave's state is out of reach"},
    {28, 28, "pending MTF VM exit"},
    {29, 29, "VM exit from VMX root operation"},
    {31, 31, "VM-entry failure"},
};

constexpr BitField interruptibility_fields[] = {
    {0, 0, "blocking by STI"},
    {1, 1, "blocking by MOV SS"},
    {2, 2, "blocking by SMI"},
    {3, 3, "blocking by NMI"},
    {4, 4, "enclave interruption: the exit came while the processor was in an enclave"},
};

constexpr BitField interruption_fields[] = {
    {7, 0, "vector", vector_meaning},
    {10, 8, "type", event_type_meaning},
    {11, 11, "error code valid"},
    {12, 12, "NMI unblocking due to IRET"},
    {31, 31, "valid"},
};

constexpr BitField ept_fields[] = {
    {0, 0, "the access was a data read"},
    {1, 1, "the access was a data write"},
    {2, 2, "the access was an instruction fetch"},
    {3, 3, "the EPT entries allow reads"},
    {4, 4, "the EPT entries allow writes"},
    {5, 5, "the EPT entries allow fetches (supervisor-mode, with mode-based control)"},
    {6, 6, "the EPT entries allow fetches from user-mode addresses"},
    {7, 7, "the guest linear address is valid"},
    {8, 8, "it was the final translation (else a paging-structure entry)"},
    {9, 9, "user-mode linear address"},
    {10, 10, "read/write page"},
    {11, 11, "execute-disable page"},
    {12, 12, "NMI unblocking due to IRET"},
    {13, 13, "shadow-stack access"},
    {14, 14, "supervisor shadow-stack page"},
    {15, 15, "guest-paging verification"},
    {16, 16, "asynchronous to instruction execution"},
};

constexpr BitField io_fields[] = {
    {2, 0, "size of access", io_size_meaning},
    {3, 3, "IN (else OUT)"},
    {4, 4, "string instruction"},
    {5, 5, "REP prefixed"},
    {6, 6, "port in an immediate (else in DX)"},
    {31, 16, "port"},
};

constexpr BitField cr_fields[] = {
    {3, 0, "control register"},   {5, 4, "access type", cr_access_meaning},
    {6, 6, "LMSW from memory"},   {11, 8, "general-purpose register", gpr_meaning},
    {31, 16, "LMSW source data"},
};

constexpr BitField dr_fields[] = {
    {2, 0, "debug register"},
    {4, 4, "MOV from DR (else to DR)"},
    {11, 8, "general-purpose register", gpr_meaning},
};

constexpr BitField debug_fields[] = {
    {0, 0, "breakpoint 0"},       {1, 1, "breakpoint 1"},
    {2, 2, "breakpoint 2"},       {3, 3, "breakpoint 3"},
    {11, 11, "bus lock"},         {13, 13, "access to a debug register (BD)"},
    {14, 14, "single step (BS)"}, {16, 16, "RTM"},
};

constexpr BitField apic_fields[] = {
    {11, 0, "offset in the APIC page"},
    {15, 12, "access type", apic_access_meaning},
    {16, 16, "asynchronous to instruction execution"},
};

constexpr BitField task_switch_fields[] = {
    {15, 0, "selector of the new task"},
    {31, 30, "source", task_switch_meaning},
};

constexpr BitField conflict_fields[] = {
    {15, 0, "code (place in the word not verified against the manual)", conflict_meaning},
    {31, 16, "error (place in the word not verified against the manual)"},
};

constexpr BitField secinfo_fields[] = {
    {0, 0, "R: readable in the enclave"},
    {1, 1, "W: writable in the enclave"},
    {2, 2, "X: executable in the enclave"},
    {3, 3, "PENDING"},
    {4, 4, "MODIFIED"},
    {5, 5, "PR: permission restriction in progress"},
    {15, 8, "page type", page_type_meaning},
};

constexpr BitField attribute_fields[] = {
    {0, 0, "INIT: EINIT has succeeded"},
    {1, 1, "DEBUG"},
    {2, 2, "MODE64BIT"},
    {4, 4, "PROVISIONKEY"},
    {5, 5, "EINITTOKEN_KEY"},
    {6, 6, "CET"},
    {7, 7, "KSS: key separation and sharing"},
    {10, 10, "AEXNOTIFY"},
};

constexpr BitField rflags_fields[] = {
    {0, 0, "CF"},     {1, 1, "always 1"}, {2, 2, "PF"},   {4, 4, "AF"},   {6, 6, "ZF"},
    {7, 7, "SF"},     {8, 8, "TF"},       {9, 9, "IF"},   {10, 10, "DF"}, {11, 11, "OF"},
    {13, 12, "IOPL"}, {14, 14, "NT"},     {16, 16, "RF"}, {17, 17, "VM"}, {18, 18, "AC"},
    {19, 19, "VIF"},  {20, 20, "VIP"},    {21, 21, "ID"},
};

constexpr BitField cr0_fields[] = {
    {0, 0, "PE: protection enable"},
    {1, 1, "MP: monitor coprocessor"},
    {2, 2, "EM: emulation"},
    {3, 3, "TS: task switched"},
    {4, 4, "ET: extension type"},
    {5, 5, "NE: numeric error"},
    {16, 16, "WP: write protect"},
    {18, 18, "AM: alignment mask"},
    {29, 29, "NW: not write-through"},
    {30, 30, "CD: cache disable"},
    {31, 31, "PG: paging"},
};

constexpr BitField cr4_fields[] = {
    {0, 0, "VME"},     {1, 1, "PVI"},       {2, 2, "TSD"},          {3, 3, "DE"},
    {4, 4, "PSE"},     {5, 5, "PAE"},       {6, 6, "MCE"},          {7, 7, "PGE"},
    {8, 8, "PCE"},     {9, 9, "OSFXSR"},    {10, 10, "OSXMMEXCPT"}, {11, 11, "UMIP"},
    {12, 12, "LA57"},  {13, 13, "VMXE"},    {14, 14, "SMXE"},       {16, 16, "FSGSBASE"},
    {17, 17, "PCIDE"}, {18, 18, "OSXSAVE"}, {19, 19, "KL"},         {20, 20, "SMEP"},
    {21, 21, "SMAP"},  {22, 22, "PKE"},     {23, 23, "CET"},        {24, 24, "PKS"},
    {25, 25, "UINTR"}, {27, 27, "LASS"},    {28, 28, "LAM_SUP"},    {32, 32, "FRED"},
};

constexpr BitField efer_fields[] = {
    {0, 0, "SCE: SYSCALL enable"},
    {8, 8, "LME: IA-32e mode enable"},
    {10, 10, "LMA: IA-32e mode active"},
    {11, 11, "NXE: execute-disable enable"},
};

constexpr Format table[] = {
    {"exit-reason", "VM-exit reason (VMCS field 4402H)", 32, exit_reason_fields},
    {"interruptibility", "guest interruptibility state (VMCS field 4824H)", 32,
     interruptibility_fields},
    {"intr-info", "interruption information, or IDT-vectoring information", 32,
     interruption_fields},
    {"ept-qualification", "exit qualification of an EPT violation", 64, ept_fields},
    {"io-qualification", "exit qualification of an I/O instruction", 64, io_fields},
    {"cr-qualification", "exit qualification of a control-register access", 64, cr_fields},
    {"dr-qualification", "exit qualification of MOV DR", 64, dr_fields},
    {"debug-qualification", "exit qualification of a debug exception", 64, debug_fields},
    {"apic-qualification", "exit qualification of an APIC access", 64, apic_fields},
    {"task-qualification", "exit qualification of a task switch", 64, task_switch_fields},
    {"sgx-conflict-qualification", "exit qualification of an SGX conflict", 64, conflict_fields},
    {"secinfo", "SECINFO.FLAGS", 64, secinfo_fields},
    {"attributes", "SECS.ATTRIBUTES, first quadword", 64, attribute_fields},
    {"rflags", "RFLAGS", 64, rflags_fields},
    {"cr0", "CR0", 64, cr0_fields},
    {"cr4", "CR4", 64, cr4_fields},
    {"efer", "IA32_EFER (MSR C0000080H)", 64, efer_fields},
};

}  // namespace

std::span<const Format> formats() { return table; }

}  // namespace postern::app

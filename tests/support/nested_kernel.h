// SPDX-License-Identifier: Apache-2.0
// A hypervisor for tests and fuzzers of nesting: it carries out a script and keeps a log of what
// its guest's exits left. Its guest is the kernel of hosted_kernel.h, whose memory is its own at
// the same addresses; it lives above. It runs bare as it does hosted.
#pragma once

#include <vector>

#include "arch/vmx/vmcs_field.h"
#include "support/hosted_kernel.h"

namespace postern::test::nested {

/// Fixed addresses; the code in nested_kernel.cpp has them as numbers.
namespace at {
inline constexpr u64 base = 0x90'0000;
inline constexpr u64 stubs = 0x90'1000, gdt = 0x90'2000, idt = 0x90'3000, tss = 0x90'4000;
inline constexpr u64 stack = 0x90'6000, fault_stack = 0x90'8000;  // the tops
inline constexpr u64 variables = 0x90'9000, gprs = 0x90'9100, logged_fields = 0x90'a000;
inline constexpr u64 tables = 0x90'b000;     // 4 pages
inline constexpr u64 vmxon = 0x91'0000;      // and the VMCSs behind it
inline constexpr u64 ept = 0x91'8000;        // 6 pages
inline constexpr u64 ept_small = 0x91'd000;  // the last: of guest addresses from 2 MiB on
inline constexpr u64 io_bitmaps = 0x92'0000, msr_bitmap = 0x92'2000;
inline constexpr u64 virtual_apic = 0x92'3000, apic_access = 0x92'4000;
inline constexpr u64 msr_lists = 0x92'5000;  // loaded at entry; stored and loaded at exits
inline constexpr u64 msr_list_size = 0x400;
inline constexpr u64 fields = 0x92'8000;
inline constexpr u64 script = 0x94'0000;
inline constexpr u64 code = 0x96'0000;  // of the script's calls
inline constexpr u64 log = 0x98'0000, log_end = 0xf0'0000;
inline constexpr u64 memory = 16 * platform::mib;
}  // namespace at

inline constexpr u64 vmcs_count = 3;
inline constexpr u64 vmcs_at(u64 n) { return at::vmxon + (1 + n) * page_size; }

enum class OpCode : u64 {
    end,
    write_field,   // a: encoding, b: value
    vmptrld,       // a: region
    vmclear,       // a: region
    enter,         // a: 0 as the VMCS's launch state asks for, 1 VMLAUNCH, 2 VMRESUME
    poke64,        // a: address, b: value
    invept,        // a: type, b and c: descriptor
    invvpid,       // the same
    vmxoff,        // a: VMXON region of the VMXON that follows
    handle,        // the exit as a hypervisor would; a: where the guest goes on if it cannot
    flip_field,    // a: encoding, b: bits
    call,          // a: address
    poke32,        // a: address, b: value
    write_msr,     // a: number, b: value
    write_fields,  // all of Program::fields
    count
};
struct Op {
    OpCode code = OpCode::end;
    u64 a = 0, b = 0, c = 0;
};

struct FieldValue {
    VmcsField field;
    u64 value;
};
/// With EPT: a guest that starts as hosted_kernel.h's kernel does.
std::vector<FieldValue> usual_fields();

struct Program {
    hosted::Program l2;
    std::vector<FieldValue> fields = usual_fields();
    std::vector<Op> script{};              // at most `script_most`
    std::vector<std::vector<u8>> calls{};  // 64 bytes each, at at::code; a RET behind
    std::vector<VmcsField> logged{};
    u64 faults = 40;  // of its own, and it ends
};
inline constexpr u64 script_most = 4000;

/// An ELF file for a machine of at::memory.
std::vector<u8> make_kernel(const Program& program);

/// Records of the log: a kind, the number of words that follow, and these.
enum class RecordKind : u64 {
    exit = 1,    // `before_fields` words of the processor's state, then the logged fields
    fault = 2,   // of its own: vector, error code, RIP, CS, RFLAGS, CR2
    vmfail = 3,  // the script's operation, the status flags, VM-instruction error
};
struct Record {
    RecordKind kind;
    std::vector<u64> words;
};
inline constexpr u64 before_fields = 42;
/// `memory`: the guest's, from address 0.
std::vector<Record> read_log(const u8* memory);

}  // namespace postern::test::nested

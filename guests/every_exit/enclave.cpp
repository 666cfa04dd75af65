// SPDX-License-Identifier: Apache-2.0
// The probe: an enclave that runs the one instruction it is asked to, tells what an interruption
// left in its SSA frame, and hashes its data page to show that nothing else changed. It has two
// threads, of which the second may be debugged. It keeps no global variables.
#include "guests/enclave/bytes.h"
#include "guests/enclave/entry.h"
#include "guests/every_exit/abi.h"
#include "guests/every_exit/instructions.h"
#include "guests/sha256.h"

namespace postern::guests {
namespace {

/// SDM 3D, "EXINFO Structure".
struct Exinfo {
    u64 linear_address;
    u32 error_code, reserved;
};

void hash(u64 pages, u8 (&to)[32]) {
    u8 digest[32];
    Sha256 sha;
    for (u64 i = 0; i < pages; ++i)
        sha.add(reinterpret_cast<const u8*>(layout::start_of(layout::data)), layout::page);
    sha.finish(digest);
    copy_bytes(to, digest, sizeof digest);
    wipe(digest);
}

/// Nobody outside may ever see this.
inline void plant_secret() {
    asm volatile(R"(
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movq xmm\n, %0
        .endr)"
                 :
                 : "r"(0x5ec2'e75e'c2e7'5ec2)
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
                   "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

/// The instruction's registers are in the enclave while it runs: an interruption must find them
/// in the SSA frame and nowhere else.
void run_one(ProbeCall& call, u64 instruction) {
    ProbeRegisters registers = call.registers;
    plant_secret();
    run_instruction(&registers, instruction);
    call.registers = registers;
}

EnclaveStatus run(ProbeFunction function, ProbeCall& call) {
    constexpr u64 most_pages = 1 << 20;
    const auto known = static_cast<u64>(instruction_table_end - instruction_table);
    const u64 instruction = call.instruction, pages = call.pages;
    if (instruction >= known || pages > most_pages) return EnclaveStatus::bad_argument;
    switch (function) {
        case ProbeFunction::run: run_one(call, instruction); return EnclaveStatus::ok;
        case ProbeFunction::hash: hash(1, call.digest); return EnclaveStatus::ok;
        case ProbeFunction::hash_long: hash(pages, call.long_digest); return EnclaveStatus::ok;
        default: return EnclaveStatus::bad_argument;
    }
}

EnclaveStatus handle_event(ProbeCall& call, const layout::Region& ssa) {
    InterruptedRegisters& registers = interrupted_call(ssa);
    const auto& exinfo = *(reinterpret_cast<const Exinfo*>(&registers) - 1);
    call.exitinfo = registers.exit_information;
    call.linear_address = exinfo.linear_address;
    call.error_code = exinfo.error_code;
    const u64 next = step_over(registers.rip);
    call.stepped_over = next != 0 ? 1 : 0;
    if (next != 0) registers.rip = next;
    return EnclaveStatus::ok;
}

}  // namespace

extern "C" EnclaveStatus enclave_main(u64 number, u64 address, u64 cssa, u64 tcs) {
    const auto function = static_cast<ProbeFunction>(number);
    if (!layout::is_outside(address, sizeof(ProbeCall))) return EnclaveStatus::bad_argument;
    auto& call = *reinterpret_cast<ProbeCall*>(address);
    if (cssa == 0) return run(function, call);
    if (function != ProbeFunction::handle_event) return EnclaveStatus::bad_state;
    const bool debug = tcs == layout::start_of(layout::debug_tcs);
    return handle_event(call, debug ? layout::debug_ssa : layout::ssa);
}

}  // namespace postern::guests

// SPDX-License-Identifier: Apache-2.0
// CPUID, time, random numbers.
#include "cpu/cpuid.h"
#include "cpu/exec/system/common.h"
#include "cpu/flags.h"
#include "cpu/msr.h"

namespace postern::cpu {

/// SDM 2A, "CPUID".
Result<> exec_cpuid(Cpu& c, const Insn&) {
    TRY(refuse_in_enclave(c));
    if (vmx::in_guest(c)) return vmx::raise_exit(c, BasicReason::cpuid);
    const CpuidResult r = cpuid(c, static_cast<u32>(c.gpr[rax]), static_cast<u32>(c.gpr[rcx]));
    c.gpr[rax] = r.eax;
    c.gpr[rbx] = r.ebx;
    c.gpr[rcx] = r.ecx;
    c.gpr[rdx] = r.edx;
    return Done{};
}

namespace {

/// Inside an enclave RDTSC and RDTSCP are legal only where SGX2 is.
Result<> refuse_time_in_enclave(Cpu& c) {
    if (has_feature(*c.system->model, Feature::sgx2)) return Done{};
    return refuse_in_enclave(c);
}

Result<> check_time_stamp(Cpu& c, BasicReason reason) {
    if (c.cr4.has(Cr4::tsd) && c.cpl != 0) return general_protection(c);
    if (wants(c, PrimaryControl::rdtsc_exiting)) return vmx::raise_exit(c, reason);
    return Done{};
}

void load_time_stamp(Cpu& c) {
    const u64 tsc = read_tsc(c);
    c.gpr[rax] = static_cast<u32>(tsc);
    c.gpr[rdx] = tsc >> 32;
}

/// RDTSCP and RDPID are #UD in a guest that "enable RDTSCP" does not give them to.
Result<> require_tsc_aux(Cpu& c, Feature feature) {
    TRY(require(c, feature));
    if (vmx::in_guest(c) && !wants(c, SecondaryControl::enable_rdtscp)) return invalid_opcode(c);
    return Done{};
}

}  // namespace

/// SDM 2B, "RDTSC".
Result<> exec_rdtsc(Cpu& c, const Insn&) {
    TRY(refuse_time_in_enclave(c));
    TRY(check_time_stamp(c, BasicReason::rdtsc));
    load_time_stamp(c);
    return Done{};
}

/// SDM 2B, "RDTSCP".
Result<> exec_rdtscp(Cpu& c, const Insn&) {
    TRY(require_tsc_aux(c, Feature::rdtscp));
    TRY(refuse_time_in_enclave(c));
    TRY(check_time_stamp(c, BasicReason::rdtscp));
    load_time_stamp(c);
    c.gpr[rcx] = static_cast<u32>(c.msr.tsc_aux);
    return Done{};
}

/// SDM 2B, "RDPID".
Result<> exec_rdpid(Cpu& c, const Insn& i) {
    TRY(require_tsc_aux(c, Feature::rdpid));
    c.gpr[i.dst] = static_cast<u32>(c.msr.tsc_aux);
    return Done{};
}

/// SDM 2B, "RDPMC". There are no counters, so that every index is #GP(0).
Result<> exec_rdpmc(Cpu& c, const Insn&) {
    TRY(refuse_in_enclave(c));
    if (c.cpl != 0 && !c.cr4.has(Cr4::pce)) return general_protection(c);
    if (wants(c, PrimaryControl::rdpmc_exiting)) return vmx::raise_exit(c, BasicReason::rdpmc);
    return general_protection(c);
}

namespace {

enum class Stream : u64 { rdrand = 0x7264'7261'6e64, rdseed = 0x7264'7365'6564 };

/// A function of the time and the processor, so that the same run draws the same numbers; no
/// two instructions of a processor share a time.
u64 draw(const Cpu& c, Stream stream) {
    u64 x = now(c) * 0x9e37'79b9'7f4a'7c15 + static_cast<u64>(stream) + (u64{c.number} << 48);
    x = (x ^ (x >> 30)) * 0xbf58'476d'1ce4'e5b9;
    x = (x ^ (x >> 27)) * 0x94d0'49bb'1331'11eb;
    return x ^ (x >> 31);
}

/// Success: CF = 1, the other status flags 0.
Result<> random(Cpu& c, const Insn& i, Feature feature, SecondaryControl control,
                BasicReason reason, Stream stream) {
    TRY(require(c, feature));
    const unsigned size = operand_size(i);
    if (wants(c, control)) {
        const auto operand = RegisterOperandInformation::of(static_cast<Gpr>(i.dst), size);
        return vmx::raise_exit(c, reason, 0, operand.to_raw());
    }
    put_register(c, i.dst, size, draw(c, stream));
    from_image(c, 1);
    return Done{};
}

}  // namespace

/// SDM 2B, "RDRAND".
Result<> exec_rdrand(Cpu& c, const Insn& i) {
    return random(c, i, Feature::rdrand, SecondaryControl::rdrand_exiting, BasicReason::rdrand,
                  Stream::rdrand);
}

/// SDM 2B, "RDSEED".
Result<> exec_rdseed(Cpu& c, const Insn& i) {
    return random(c, i, Feature::rdseed, SecondaryControl::rdseed_exiting, BasicReason::rdseed,
                  Stream::rdseed);
}

}  // namespace postern::cpu

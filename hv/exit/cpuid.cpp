// SPDX-License-Identifier: Apache-2.0
// CPUID: the processor's own answer, filtered leaf by leaf.
#include <array>

#include "arch/regs/cr4.h"
#include "base/bits.h"
#include "base/table.h"
#include "hv/exit/handlers.h"

namespace postern::hv {
namespace {

constexpr u32 hypervisor_leaf = 0x4000'0000;
constexpr u32 hypervisor_leaf_last = 0x4fff'ffff;
/// EBX, ECX, EDX of the hypervisor's leaf read "PosternPoste".
constexpr u32 word_of(const char* text) {
    u32 word = 0;
    for (unsigned i = 0; i < 4; ++i) word |= u32{static_cast<u8>(text[i])} << 8 * i;
    return word;
}

void put(u32& word, unsigned position, bool on) {
    word = on ? word | 1u << position : word & ~(1u << position);
}
void hide(u32& word, unsigned position) { put(word, position, false); }

void features(const NormalExit& exit, u32, CpuidResult& result) {
    if (!exit.is_apic_on()) hide(result.edx, 9);  // as if there were none
    put(result.ecx, 5, exit.offers_vmx());
    hide(result.ecx, 6);  // SMX
    put(result.ecx, 31, true);
    put(result.ecx, 27, Cr4Word::from_raw(exit.cr4()).has(Cr4::osxsave));
    if (exit.config().hidden.has(HiddenFeature::monitor)) hide(result.ecx, 3);
    if (exit.config().hidden.has(HiddenFeature::rdrand)) hide(result.ecx, 30);
    constexpr unsigned apic_id = 24;  // EBX[31:24]
    result.ebx = (result.ebx & 0x00ff'ffff) | exit.vcpu_number() << apic_id;
}

void monitor(const NormalExit& exit, u32, CpuidResult& result) {
    if (exit.config().hidden.has(HiddenFeature::monitor)) result = {};
}

void extended_features(const NormalExit& exit, u32 subleaf, CpuidResult& result) {
    if (subleaf != 0) return;
    const HiddenFeatures hidden = exit.config().hidden;
    if (!exit.offers_sgx()) hide(result.ebx, 2);
    if (!exit.offers_launch_control()) hide(result.ecx, 30);
    if (hidden.has(HiddenFeature::invpcid)) hide(result.ebx, 10);
    if (hidden.has(HiddenFeature::rdseed)) hide(result.ebx, 18);
    if (hidden.has(HiddenFeature::waitpkg)) hide(result.ecx, 5);
    put(result.ecx, 4, Cr4Word::from_raw(exit.cr4()).has(Cr4::pke));
}

void extended_state(const NormalExit& exit, u32 subleaf, CpuidResult& result) {
    if (subleaf == 1 && exit.config().hidden.has(HiddenFeature::xsaves)) hide(result.eax, 3);
}

/// The x2APIC ID, in every sub-leaf. SDM 2A, "CPUID", "Extended Topology Enumeration Leaf".
template <u32 leaf>
void topology(const NormalExit& exit, u32, CpuidResult& result) {
    if (exit.cpuid(0, 0).eax >= leaf) result.edx = exit.vcpu_number();
}

/// SDM 3D, "Intel SGX Resource Enumeration Leaves": the guest has one EPC section, its own.
void sgx(const NormalExit& exit, u32 subleaf, CpuidResult& result) {
    result = exit.sgx_leaf(subleaf);
}

void extended_processor(const NormalExit& exit, u32, CpuidResult& result) {
    if (exit.config().hidden.has(HiddenFeature::rdtscp)) hide(result.edx, 27);
}

struct Filter {
    u32 leaf;
    void (*apply)(const NormalExit&, u32 subleaf, CpuidResult&);
};
// clang-format off
constexpr std::array filters{
    Filter{0x1, features},
    Filter{0x5, monitor},
    Filter{0x7, extended_features},
    Filter{0xb, topology<0xb>},
    Filter{0xd, extended_state},
    Filter{0x12, sgx},
    Filter{0x1f, topology<0x1f>},
    Filter{0x8000'0001, extended_processor},
};
// clang-format on
static_assert(is_strictly_sorted(filters, [](const Filter& filter) { return filter.leaf; }));

CpuidResult answer(const NormalExit& exit, u32 leaf, u32 subleaf) {
    if (leaf == hypervisor_leaf)
        return {hypervisor_leaf, word_of("Post"), word_of("ernP"), word_of("oste")};
    if (leaf > hypervisor_leaf && leaf <= hypervisor_leaf_last) return {};
    CpuidResult result = exit.cpuid(leaf, subleaf);
    for (const Filter& filter : filters)
        if (filter.leaf == leaf) filter.apply(exit, subleaf, result);
    return result;
}

}  // namespace

/// SDM 2A, "CPUID".
Next on_cpuid(NormalExit& exit) {
    const CpuidResult result =
        answer(exit, static_cast<u32>(exit.read(rax)), static_cast<u32>(exit.read(rcx)));
    exit.write(rax, result.eax);
    exit.write(rbx, result.ebx);
    exit.write(rcx, result.ecx);
    exit.write(rdx, result.edx);
    return exit.done();
}

}  // namespace postern::hv

// SPDX-License-Identifier: Apache-2.0
// ENCLS: the instruction's own checks, and the table of its leaves.
#include <array>

#include "arch/msr.h"
#include "base/table.h"
#include "cpu/event/event.h"
#include "cpu/mode.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/sgx.h"
#include "cpu/vmx/vmx.h"

namespace postern::cpu::sgx {
namespace {

struct LeafRow {
    EnclsLeaf leaf;
    const char* name;
    Feature feature;  // without it the leaf is undefined
    LeafHandler run;  // null: not built yet
};

constexpr std::array leaves{
    LeafRow{EnclsLeaf::ecreate, "ENCLS[ECREATE]", Feature::sgx1, ecreate},
    LeafRow{EnclsLeaf::eadd, "ENCLS[EADD]", Feature::sgx1, eadd},
    LeafRow{EnclsLeaf::einit, "ENCLS[EINIT]", Feature::sgx1, einit},
    LeafRow{EnclsLeaf::eremove, "ENCLS[EREMOVE]", Feature::sgx1, eremove},
    LeafRow{EnclsLeaf::edbgrd, "ENCLS[EDBGRD]", Feature::sgx1, edbgrd},
    LeafRow{EnclsLeaf::edbgwr, "ENCLS[EDBGWR]", Feature::sgx1, edbgwr},
    LeafRow{EnclsLeaf::eextend, "ENCLS[EEXTEND]", Feature::sgx1, eextend},
    LeafRow{EnclsLeaf::eldb, "ENCLS[ELDB]", Feature::sgx1, eldb},
    LeafRow{EnclsLeaf::eldu, "ENCLS[ELDU]", Feature::sgx1, eldu},
    LeafRow{EnclsLeaf::eblock, "ENCLS[EBLOCK]", Feature::sgx1, eblock},
    LeafRow{EnclsLeaf::epa, "ENCLS[EPA]", Feature::sgx1, epa},
    LeafRow{EnclsLeaf::ewb, "ENCLS[EWB]", Feature::sgx1, ewb},
    LeafRow{EnclsLeaf::etrack, "ENCLS[ETRACK]", Feature::sgx1, etrack},
    LeafRow{EnclsLeaf::eaug, "ENCLS[EAUG]", Feature::sgx2, eaug},
    LeafRow{EnclsLeaf::emodpr, "ENCLS[EMODPR]", Feature::sgx2, emodpr},
    LeafRow{EnclsLeaf::emodt, "ENCLS[EMODT]", Feature::sgx2, emodt},
    LeafRow{EnclsLeaf::erdinfo, "ENCLS[ERDINFO]", Feature::sgx_oversub, nullptr},
    LeafRow{EnclsLeaf::etrackc, "ENCLS[ETRACKC]", Feature::sgx_oversub, nullptr},
    LeafRow{EnclsLeaf::eldbc, "ENCLS[ELDBC]", Feature::sgx_oversub, nullptr},
    LeafRow{EnclsLeaf::elduc, "ENCLS[ELDUC]", Feature::sgx_oversub, nullptr},
    LeafRow{EnclsLeaf::eupdatesvn, "ENCLS[EUPDATESVN]", Feature::sgx_eupdatesvn, nullptr},
};
static_assert(is_strictly_sorted(leaves, [](const LeafRow& row) { return row.leaf; }));

const LeafRow* row_of(const Cpu& c, u32 leaf) {
    for (const LeafRow& row : leaves)
        if (static_cast<u32>(row.leaf) == leaf) return has(c, row.feature) ? &row : nullptr;
    return nullptr;
}

}  // namespace

void narrow_operands(Cpu& c) {
    for (const Gpr operand : {rbx, rcx, rdx}) c.gpr[operand] = static_cast<u32>(c.gpr[operand]);
}

bool sgx_is_enabled(const Cpu& c) {
    return FeatureControlWord::from_raw(c.msr.feature_control)
        .has_all({FeatureControl::lock, FeatureControl::sgx_enable});
}

Result<> encls(Cpu& c) {
    const auto leaf = static_cast<u32>(c.gpr[rax]);
    if (!c.cr0.has(Cr0::pe) || c.flags.has(Rflag::vm) || !has_sgx(c) || c.cpl > 0)
        return invalid_opcode(c);
    if (vmx::exits_on_encls(c, leaf)) return vmx::raise_exit(c, BasicReason::encls);
    if (!sgx_is_enabled(c)) return general_protection(c);
    const LeafRow* const row = row_of(c, leaf);
    if (row == nullptr || !c.cr0.has(Cr0::pg)) return general_protection(c);
    if (!in_64_bit_mode(c)) {
        if (c.segment[ds].expand_down()) return general_protection(c);
        narrow_operands(c);
    }
    if (row->run == nullptr) return raise_unimplemented(c, row->name);
    return row->run(c);
}

}  // namespace postern::cpu::sgx

// SPDX-License-Identifier: Apache-2.0
// ENCLU: the instruction's own checks, and the table of its leaves.
#include <array>

#include "base/table.h"
#include "cpu/event/event.h"
#include "cpu/mode.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/sgx.h"

namespace postern::cpu::sgx {
namespace {

enum class Where : u8 { outside, inside };

struct LeafRow {
    EncluLeaf leaf;
    const char* name;
    Feature feature;  // without it the leaf is undefined
    Where where;      // #GP(0) elsewhere
    LeafHandler run;  // null: not built yet
};

constexpr std::array leaves{
    LeafRow{EncluLeaf::ereport, "ENCLU[EREPORT]", Feature::sgx1, Where::inside, ereport},
    LeafRow{EncluLeaf::egetkey, "ENCLU[EGETKEY]", Feature::sgx1, Where::inside, egetkey},
    LeafRow{EncluLeaf::eenter, "ENCLU[EENTER]", Feature::sgx1, Where::outside, eenter},
    LeafRow{EncluLeaf::eresume, "ENCLU[ERESUME]", Feature::sgx1, Where::outside, eresume},
    LeafRow{EncluLeaf::eexit, "ENCLU[EEXIT]", Feature::sgx1, Where::inside, eexit},
    LeafRow{EncluLeaf::eaccept, "ENCLU[EACCEPT]", Feature::sgx2, Where::inside, eaccept},
    LeafRow{EncluLeaf::emodpe, "ENCLU[EMODPE]", Feature::sgx2, Where::inside, emodpe},
    LeafRow{EncluLeaf::eacceptcopy, "ENCLU[EACCEPTCOPY]", Feature::sgx2, Where::inside,
            eacceptcopy},
    LeafRow{EncluLeaf::everifyreport2, "ENCLU[EVERIFYREPORT2]", Feature::sgx_everifyreport2,
            Where::inside, nullptr},
    LeafRow{EncluLeaf::edeccssa, "ENCLU[EDECCSSA]", Feature::sgx_edeccssa, Where::inside, edeccssa},
};
static_assert(is_strictly_sorted(leaves, [](const LeafRow& row) { return row.leaf; }));

const LeafRow* row_of(const Cpu& c, u32 leaf) {
    for (const LeafRow& row : leaves)
        if (static_cast<u32>(row.leaf) == leaf) return has(c, row.feature) ? &row : nullptr;
    return nullptr;
}

}  // namespace

Result<> enclu(Cpu& c) {
    if (!c.cr0.has(Cr0::pe) || c.flags.has(Rflag::vm) || !has_sgx(c)) return invalid_opcode(c);
    if (c.cr0.has(Cr0::ts)) return raise(c, Vector::device_not_available);
    if (c.cpl < 3) return invalid_opcode(c);
    if (!sgx_is_enabled(c)) return general_protection(c);
    const LeafRow* const row = row_of(c, static_cast<u32>(c.gpr[rax]));
    if (row == nullptr || !c.cr0.has_all({Cr0::pg, Cr0::ne})) return general_protection(c);
    if (!in_64_bit_mode(c)) {
        if (!c.segment[cs].db() || !c.segment[ds].db()) return general_protection(c);
        narrow_operands(c);
    }
    if (c.enclave.active != (row->where == Where::inside)) return general_protection(c);
    if (row->run == nullptr) return raise_unimplemented(c, row->name);
    return row->run(c);
}

}  // namespace postern::cpu::sgx

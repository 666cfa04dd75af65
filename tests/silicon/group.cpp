// SPDX-License-Identifier: Apache-2.0
// The list of groups, filled before main().
#include "silicon/group.h"

#include <algorithm>
#include <string_view>
#include <vector>

namespace postern::silicon {
namespace {

std::vector<const Group*>& list() {
    static std::vector<const Group*> instance;
    return instance;
}

}  // namespace

Registered::Registered(const Group& group) {
    const auto before = [](const Group* a, const Group* b) {
        return std::string_view{a->name} < b->name;
    };
    list().insert(std::ranges::upper_bound(list(), &group, before), &group);
}

std::span<const Group* const> groups() { return list(); }

bool is_alignment_first(const Case&, const Decoded& d, const Outcome& host) {
    constexpr int general_protection = 13;
    constexpr u16 smallest = 128;
    if (host.vector != general_protection) return false;
    for (unsigned n = 0; n < d.instruction.operand_count_visible; ++n) {
        const ZydisDecodedOperand& o = d.operand[n];
        if (o.type == ZYDIS_OPERAND_TYPE_MEMORY && o.size >= smallest &&
            o.mem.segment == ZYDIS_REGISTER_SS)
            return true;
    }
    return false;
}

}  // namespace postern::silicon

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

}  // namespace postern::silicon

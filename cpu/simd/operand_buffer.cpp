// SPDX-License-Identifier: Apache-2.0
// Operands in pieces of up to 8 bytes.
#include "cpu/simd/operand_buffer.h"

#include <algorithm>
#include <cstring>

#include "cpu/event/event.h"
#include "cpu/exec/fast.h"

namespace postern::cpu {
namespace {

constexpr unsigned chunk(unsigned left) { return std::min(left, 8u); }

Step back(Cpu&, const Insn*) { return Step::next; }

}  // namespace

Step misaligned(Cpu& c, const Insn* i) {
    (void)general_protection(c);
    c.rip = address_of(c, i);
    c.budget += i->remaining;
    return Step::fault;
}

Step run_apart(Cpu& c, const Insn* i, void* memory) { return run_apart(c, i, thunk_of(i), memory); }

Step run_apart(Cpu& c, const Insn* i, MemoryThunk thunk, void* memory) {
    std::array<Insn, 2> pair{*i, *i};
    pair[1].run = back;
    return thunk(c, pair.data(), memory);
}

Result<> load_operand(Cpu& c, Gva at, u8* to, unsigned size) {
    for (unsigned done = 0; done < size; done += chunk(size - done)) {
        const unsigned count = chunk(size - done);
        const u64 value = TRY(load_unaligned(c, at + done, count));
        std::memcpy(to + done, &value, count);
    }
    return check_alignment(c, at, checked_alignment(size));
}

Result<> store_operand(Cpu& c, Gva at, const u8* from, unsigned size) {
    if (size > 8 || checks_alignment(c)) TRY(probe_write(c, at, size));
    TRY(check_alignment(c, at, checked_alignment(size)));
    for (unsigned done = 0; done < size; done += chunk(size - done)) {
        const unsigned count = chunk(size - done);
        u64 value = 0;
        std::memcpy(&value, from + done, count);
        if (!store_unaligned(c, at + done, count, value)) return Failed{};
    }
    return Done{};
}

}  // namespace postern::cpu

// SPDX-License-Identifier: Apache-2.0
// How groups of instructions plug in. A group lives in a file of its own, tests/silicon/<name>.cpp,
// which defines a Group and registers it:
//
//     const Group group{.name = "x87", .takes = takes, .lead = lead, .open = open,
//                       .vendor = differences};
//     const Registered registered{group};
//
// Nothing else has to be told: encodings of rows of the instruction table (classes integer and
// exact) are found by decoding every opcode, and the group whose `takes` says so makes their
// cases. Registers, flags, MXCSR, x87 state and memory have random values before `lead` sees
// them; an ordinary memory operand is led into the scratch area after it. All state is compared.
#pragma once

#include <span>

#include "silicon/case.h"
#include "silicon/encoding.h"
#include "silicon/random.h"

namespace postern::silicon {

/// A case under construction.
struct Draft {
    Case k;
    Decoded d;
    Encoding encoding;
    u64 place;  // where the memory operand is to lie

    [[nodiscard]] ZydisMnemonic mnemonic() const { return d.instruction.mnemonic; }
    [[nodiscard]] u64& gpr(ZydisRegister r) {
        return k.before.gpr[static_cast<size_t>(ZydisRegisterGetId(r))];
    }
    /// The first visible memory operand that is accessed, or null.
    [[nodiscard]] const ZydisDecodedOperand* memory() const;
    /// What GS adds to the operand that it overrides the segment of; else 0.
    [[nodiscard]] u64 segment_base() const;
    /// Its linear address with the registers as they are; not of a vector index.
    [[nodiscard]] u64 address(const ZydisDecodedOperandMem& m) const;
    [[nodiscard]] bool is(ZydisInstructionCategory category) const {
        return d.instruction.meta.category == category;
    }
};

/// Nothing of these is compared.
struct Open {
    u64 flags = 0;  // of a completed instruction
    u16 gpr = 0;    // a bit a register
    u16 ymm = 0;    // likewise
    u8 st = 0;      // likewise
    u16 fsw = 0;    // bits
    bool memory = false;
};

enum class Vendor : u8 { intel, amd, other, any };

/// Where processors of a vendor are known to differ from ours, which is Intel's wherever the manual
/// or the same answer every time says what that is: the only allow-list. Vendor::any: the manual
/// leaves it to the processor.
struct VendorRow {
    Vendor vendor;
    bool (*applies)(const Case& k, const Decoded& d, const Outcome& host);
    const char* why;
};

inline bool faults(const Outcome& host) { return host.vector >= 0; }
/// Does it write to its first operand, in memory?
inline bool is_store(const Decoded& d) {
    const ZydisDecodedOperand& o = d.operand[0];
    return d.instruction.operand_count_visible != 0 && o.type == ZYDIS_OPERAND_TYPE_MEMORY &&
           (o.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
}

/// SDM 2B, "MASKMOVDQU" and "MASKMOVQ".
inline constexpr const char* masked_bytes_may_fault =
    "whether bytes that are not stored can fault is the processor's affair";

struct Group {
    const char* name;
    /// Is an instruction of this form the group's? No two groups may say so.
    bool (*takes)(const Decoded& d);
    /// Gives registers and operand values that the instruction has a use for; may be null. A
    /// vector index is led here: nobody else looks at it.
    void (*lead)(Draft& draft, Random& random) = nullptr;
    /// What the manual leaves open; may be null: nothing.
    Open (*open)(const Case& k, const Decoded& d) = nullptr;
    std::span<const VendorRow> vendor{};
};

struct Registered {
    explicit Registered(const Group& group);
};

/// By name, so that the order does not depend on the linker.
std::span<const Group* const> groups();

/// The group that takes it, or null.
const Group* group_of(const Decoded& d);

}  // namespace postern::silicon

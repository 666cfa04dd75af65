// SPDX-License-Identifier: Apache-2.0
// ENCLS[EDBGRD] and ENCLS[EDBGWR]: a debugger's way into the pages of a debug enclave.
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"

namespace postern::cpu::sgx {
namespace {

constexpr u64 slot_size = 8;  // of a version array; and of TCS.FLAGS

/// What EDBGRD and EDBGWR move.
u64 word_size(const Cpu& c) { return in_64_bit_mode(c) ? 8 : 4; }

/// The word at RCX, once everything about it but its page's state is checked.
struct Word {
    u64 offset;  // within the EPC
    const EpcmEntry* entry;

    [[nodiscard]] bool is(PageType type) const { return entry->page_type == type; }
    [[nodiscard]] bool settled() const { return !entry->pending && !entry->modified; }
};

Result<> find_word(Cpu& c, Access access, Word& word) {
    TRY(require_alignment(c, word_size(c), c.gpr[rcx]));
    word.offset = TRY(epc_operand(c, c.gpr[rcx], access));
    const bool reads = access == Access::read;
    if (meets_conflict(c, reads ? EnclsLeaf::edbgrd : EnclsLeaf::edbgwr))
        return general_protection(c);
    word.entry = &c.system->epc->entries[word.offset / page_size];
    const bool version_array = word.is(PageType::va) && reads;
    const bool usable =
        word.entry->valid && (word.is(PageType::reg) || word.is(PageType::tcs) || version_array);
    if (!usable) return raise_epc_fault(c, c.gpr[rcx], access);
    return Done{};
}

/// What a TCS holds beyond its documented fields is the processor's; of those, FLAGS is the only
/// one that a debugger may change.
bool is_forbidden_in_tcs(const Word& word, Access access) {
    const u64 place = word.offset % page_size;
    const u64 field = place - place % slot_size;
    return word.is(PageType::tcs) &&
           (access == Access::read ? place >= sgx_tcs_limit : field != offsetof(Tcs, flags));
}

bool belongs_to_debug_enclave(const Epc& epc, const Word& word) {
    return epc.secs(word.entry->enclave_secs).attributes.flags.has(SgxAttribute::debug);
}

}  // namespace

/// Reads a word, whatever the EPCM lets the enclave do with it; of a version array only whether
/// the slot is in use. SDM 3D, "EDBGRD", Operation. In: RCX = address. Out: RAX; RBX = data.
Result<> edbgrd(Cpu& c) {
    Word word{};
    TRY(find_word(c, Access::read, word));
    if (!word.settled()) return complete(c, SgxError::page_not_debuggable);
    if (is_forbidden_in_tcs(word, Access::read)) return general_protection(c);
    const Epc& epc = *c.system->epc;
    const bool version_array = word.is(PageType::va);
    if (!version_array && !belongs_to_debug_enclave(epc, word)) return general_protection(c);

    // From here on nothing can fault.
    const bool wide = word_size(c) == 8;
    const u64 value = wide ? epc.at<u64>(word.offset) : epc.at<u32>(word.offset);
    const u64 slot = epc.at<u64>(word.offset - word.offset % slot_size);
    const u64 ones = wide ? ~u64{0} : u64{0xffff'ffff};
    c.gpr[rbx] = !version_array ? value : slot != 0 ? ones : 0;
    return complete(c, SgxError::success);
}

/// Writes a word. SDM 3D, "EDBGWR", Operation. In: RBX = data, RCX = address. Out: RAX.
Result<> edbgwr(Cpu& c) {
    Word word{};
    TRY(find_word(c, Access::write, word));
    if (!word.settled()) return complete(c, SgxError::page_not_debuggable);
    if (is_forbidden_in_tcs(word, Access::write)) return general_protection(c);
    const Epc& epc = *c.system->epc;
    if (!belongs_to_debug_enclave(epc, word)) return general_protection(c);

    // From here on nothing can fault.
    about_to_write_page(c, word.offset / page_size);
    if (word_size(c) == 8)
        epc.at<u64>(word.offset) = c.gpr[rbx];
    else
        epc.at<u32>(word.offset) = static_cast<u32>(c.gpr[rbx]);
    return complete(c, SgxError::success);
}

}  // namespace postern::cpu::sgx

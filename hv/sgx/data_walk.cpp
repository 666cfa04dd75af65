// SPDX-License-Identifier: Apache-2.0
// SDM 3A, "Paging", "Determination of Access Rights", "Accessed and Dirty Flags".
#include "hv/sgx/data_walk.h"

#include <cstring>

#include "arch/exception.h"
#include "arch/paging.h"

namespace postern::hv {
namespace {

constexpr unsigned highest_level = 5;

class Walk {
public:
    Walk(const Vm& vm, const DataRules& rules, Gva linear, bool write)
        : vm_{vm}, rules_{rules}, linear_{linear}, write_{write} {}

    [[nodiscard]] DataAddress run();

private:
    struct Used {
        u8* bytes = nullptr;  // null: not in memory that can be written
        u64 seen = 0;
    };

    [[nodiscard]] DataAddress run_pae();
    [[nodiscard]] DataAddress run_32_bit();
    [[nodiscard]] DataAddress descend(u64 table, unsigned level);
    [[nodiscard]] DataAddress leaf(PageEntry entry, unsigned level, u64 base, u64 size);
    [[nodiscard]] u64 read_entry(Gpa at, unsigned level, unsigned size);
    [[nodiscard]] bool key_refuses() const;
    [[nodiscard]] bool permitted() const;
    [[nodiscard]] DataAddress fault(bool present, bool reserved = false, bool key = false) const;
    void restrict(PageEntry entry) {
        writable_ &= entry.has(PageEntryBit::rw);
        user_ &= entry.has(PageEntryBit::us);
    }
    void set_flags(unsigned leaf);

    const Vm& vm_;
    const DataRules& rules_;
    Gva linear_;
    bool write_;
    bool writable_ = true, user_ = true;
    unsigned key_ = 0;
    unsigned top_ = 4;
    std::array<Used, highest_level + 1> used_{};
};

DataAddress Walk::fault(bool present, bool reserved, bool key) const {
    PageFaultError code;
    code.set(PageFaultBit::p, present);
    code.set(PageFaultBit::wr, write_);
    code.set(PageFaultBit::rsvd, reserved);
    code.set(PageFaultBit::pk, key);
    return {true, code.to_raw(), {}};
}

u64 Walk::read_entry(Gpa at, unsigned level, unsigned size) {
    u64 value = size == 4 ? 0xffff'ffff : ~u64{0};
    u8* const bytes = vm_.ram_at(at);
    const u8* const source = bytes != nullptr ? bytes : vm_.bytes_at(at);
    if (source != nullptr) {
        value = 0;
        std::memcpy(&value, source, size);
    }
    used_[level] = {bytes, value};
    return value;
}

/// Keys govern data accesses to user pages, a supervisor's too. SDM 3A, "Protection Keys".
bool Walk::key_refuses() const {
    if (!rules_.efer.has(Efer::lma) || !rules_.cr4.has(Cr4::pke) || !user_) return false;
    const u32 disable = rules_.pkru >> (2 * key_) & 3;
    if ((disable & 1) != 0) return true;
    return write_ && (disable & 2) != 0 && rules_.cr0.has(Cr0::wp);
}

bool Walk::permitted() const {
    if (write_ && !writable_ && rules_.cr0.has(Cr0::wp)) return false;
    return !user_ || !rules_.cr4.has(Cr4::smap) || rules_.ac;
}

/// Atomically: other processors of the guest walk the same tables.
void Walk::set_flags(unsigned leaf) {
    constexpr u8 accessed = 1u << static_cast<unsigned>(PageEntryBit::a);
    constexpr u8 dirty = 1u << static_cast<unsigned>(PageEntryBit::d);
    for (unsigned level = top_; level >= leaf; --level) {
        const Used& entry = used_[level];
        const u8 wanted = level == leaf && write_ ? accessed | dirty : accessed;
        if (entry.bytes != nullptr && (entry.seen & wanted) != wanted)
            __atomic_fetch_or(entry.bytes, wanted, __ATOMIC_SEQ_CST);
    }
}

DataAddress Walk::leaf(PageEntry entry, unsigned level, u64 base, u64 size) {
    key_ = protection_key(entry);
    const bool key = key_refuses();
    if (key || !permitted()) return fault(true, false, key);
    set_flags(level);
    return {false, 0, Gpa{base | (linear_.raw() & (size - 1))}};
}

DataAddress Walk::descend(u64 table, unsigned level) {
    const bool pae = !rules_.efer.has(Efer::lma);
    const PagingRules paging{.max_physical_bits = rules_.physical_bits,
                             .nxe = rules_.efer.has(Efer::nxe)};
    for (;; --level) {
        const Gpa at{table + 8 * u64{linear_index(linear_, level)}};
        const auto entry = PageEntry::from_raw(read_entry(at, level, 8));
        if (!entry.has(PageEntryBit::p)) return fault(false);
        const bool ignored_by_others = bits<62, 52>(entry.to_raw()) != 0;
        if (has_reserved_bits(entry, level, paging) || (pae && ignored_by_others))
            return fault(true, true);
        restrict(entry);
        table = page_address(entry, level);
        if (is_page(entry, level)) return leaf(entry, level, table, page_bytes(level));
    }
}

/// The page-directory-pointer table is in registers, and has no rights.
DataAddress Walk::run_pae() {
    const u64 entry = rules_.pdpte[linear_.raw() >> 30 & 3];
    if ((entry & 1) == 0) return fault(false);
    top_ = 2;
    return descend(entry & bit_mask(51, 12), 2);
}

/// A 4-MByte page may lie above 4 GiB: bits 39:32 are in 20:13. SDM 3A, "32-Bit Paging".
DataAddress Walk::run_32_bit() {
    constexpr u64 large = u64{4} << 20;
    top_ = 2;
    const u64 linear = linear_.raw();
    const Gpa directory{(rules_.cr3 & bit_mask(31, 12)) + 4 * bits<31, 22>(linear)};
    auto entry = PageEntry::from_raw(read_entry(directory, 2, 4));
    if (!entry.has(PageEntryBit::p)) return fault(false);
    restrict(entry);
    const u64 raw = entry.to_raw();
    if (entry.has(PageEntryBit::ps) && rules_.cr4.has(Cr4::pse)) {
        const unsigned reach = rules_.physical_bits < 40 ? rules_.physical_bits : 40;
        if ((raw & bit_mask(21, reach - 19)) != 0) return fault(true, true);
        return leaf(PageEntry{}, 2, (raw & bit_mask(31, 22)) | bits<20, 13>(raw) << 32, large);
    }
    const Gpa at{(raw & bit_mask(31, 12)) + 4 * bits<21, 12>(linear)};
    entry = PageEntry::from_raw(read_entry(at, 1, 4));
    if (!entry.has(PageEntryBit::p)) return fault(false);
    restrict(entry);
    return leaf(PageEntry{}, 1, entry.to_raw() & bit_mask(31, 12), page_size);
}

DataAddress Walk::run() {
    if (!rules_.cr0.has(Cr0::pg)) return {false, 0, Gpa{linear_.raw()}};
    if (rules_.efer.has(Efer::lma)) {
        top_ = rules_.cr4.has(Cr4::la57) ? 5 : 4;
        return descend(cr3_table(rules_.cr3), top_);
    }
    return rules_.cr4.has(Cr4::pae) ? run_pae() : run_32_bit();
}

}  // namespace

DataAddress walk_data(const Vm& vm, const DataRules& rules, Gva linear, bool write) {
    return Walk{vm, rules, linear, write}.run();
}

}  // namespace postern::hv

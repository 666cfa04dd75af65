// SPDX-License-Identifier: Apache-2.0
// Shadows of L1's EPTs. Their pages come from the pool and go back to it as soon as they hold
// nothing; what a snapshot brings is checked before it is followed.
#include "hv/nested/shadow_ept.h"

#include "arch/vmx/capability.h"
#include "hv/memory/slot_page.h"
#include "hv/vm.h"

namespace postern::hv {
namespace {

constexpr unsigned root_level = 4;
constexpr unsigned largest_level = 2;
/// The processor's own, if L1 asks for them: they mean nothing here.
constexpr u64 processor_flags = EptFlags{EptBit::accessed, EptBit::dirty}.to_raw();

constexpr Ept12Result translated_to_itself(Gpa l2) {
    Ept12Result result;
    result.address = l2;
    result.level = 3;
    result.permissions = ept_all_access;
    return result;
}

/// Execute-only entries are cached, too: no entry of a shadow is misconfigured.
bool can_be_cached(u64 entry) { return EptEntry::from_raw(entry).present(); }

/// L1's permissions and ours. While L1 waits for the dirty flag the page cannot be written, so that
/// the first write comes to handle(), which sets it. SDM 3C, "Accessed and Dirty Flags for EPT".
EptFlags shadow_permissions(const Ept12Result& l1, SlotKind kind) {
    const EptFlags both = l1.permissions & permissions_of(kind);
    return l1.tracks_writes ? both.without({EptBit::write}) : both;
}

/// Our own memory type is WB for all of a guest's memory, so that L1's decides.
u64 entry_for(const Ept12Result& l1, const MemorySlot& slot, unsigned level) {
    const u64 host = host_page(slot, l1.address, level).raw();
    return EptEntry::page(level, host, shadow_permissions(l1, slot.kind), l1.type)
        .with(EptBit::ignore_pat, l1.ignore_pat)
        .to_raw();
}

}  // namespace

Result<u64> ShadowEpt::use(u64 eptp12) {
    notice_our_own_changes();
    Context& context = *TRY(find_or_begin(eptp12));
    context.last_used = ++state_.uses;
    return pointer_of(context);
}

ShadowEpt::Handled ShadowEpt::handle(u64 eptp12, Gpa l2, Ept12Access access,
                                     const EptRules& rules) {
    notice_our_own_changes();
    const Ept12Result l1 = eptp12 == identity
                               ? translated_to_itself(l2)
                               : walk_ept12(vm_, Eptp::from_raw(eptp12), l2, access, rules);
    switch (l1.outcome) {
        case Ept12Result::Outcome::violation: return {Answer::violation, {}, l1.permissions};
        case Ept12Result::Outcome::misconfiguration: return {.answer = Answer::misconfiguration};
        case Ept12Result::Outcome::changed: return {};
        case Ept12Result::Outcome::found: break;
    }
    const MemorySlot* const slot = vm_.memory().find(l1.address);
    if (slot == nullptr || (access.write && slot->kind == SlotKind::rom))
        return {Answer::device, l1.address, l1.permissions};
    const Result<Context*> context = find_or_begin(eptp12);
    const bool mapped = context.ok() && map(*context.value(), l2, l1, *slot);
    return {mapped ? Answer::mapped : Answer::out_of_pages, l1.address, l1.permissions};
}

/// Single-context INVEPT: of all EPTPs with the same table. SDM 3C, "INVEPT".
void ShadowEpt::forget(u64 eptp12) {
    const u64 root12 = Eptp::from_raw(eptp12).root();
    for (const Context& context : state_.contexts)
        if (context.eptp12 != 0 && Eptp::from_raw(context.eptp12).root() == root12) empty(context);
}

void ShadowEpt::forget_all() {
    for (const Context& context : state_.contexts)
        if (context.eptp12 != 0) empty(context);
}

bool ShadowEpt::restore(const State& state) {
    if (!can_be_ours(state)) return false;
    state_ = state;
    return true;
}

bool ShadowEpt::can_be_ours(const State& state) const {
    u64 roots = 0;
    for (size_t i = 0; i < context_limit; ++i) {
        const Context& context = state.contexts[i];
        if (context.last_used > state.uses) return false;
        if (context.eptp12 == 0 && (context.root | context.last_used) != 0) return false;
        if (context.eptp12 == 0) continue;
        if (!vm_.pages().could_own(context.root)) return false;
        for (size_t j = 0; j < i; ++j)
            if (state.contexts[j].eptp12 == context.eptp12 ||
                state.contexts[j].root == context.root)
                return false;
        ++roots;
    }
    return state.pages >= roots && state.pages <= page_limit;
}

ShadowEpt::Context* ShadowEpt::find(u64 eptp12) {
    for (Context& context : state_.contexts)
        if (context.eptp12 == eptp12) return &context;
    return nullptr;
}

/// Null: there is none.
ShadowEpt::Context* ShadowEpt::oldest_but(const Context* kept) {
    Context* oldest = nullptr;
    for (Context& context : state_.contexts) {
        if (context.eptp12 == 0 || &context == kept) continue;
        if (oldest == nullptr || context.last_used < oldest->last_used) oldest = &context;
    }
    return oldest;
}

Result<ShadowEpt::Context*> ShadowEpt::find_or_begin(u64 eptp12) {
    if (eptp12 == 0) return Failed{};
    if (Context* const known = find(eptp12)) return known;
    Context* const free = find(0);
    Context& context = free != nullptr ? *free : *oldest_but(nullptr);
    drop(context);
    Result<Hpa> root = take_page();
    while (!root.ok() && drop_oldest_but(nullptr)) root = take_page();
    if (!root.ok()) return Failed{};
    context = {.eptp12 = eptp12, .root = root.value().raw(), .last_used = state_.uses};
    return &context;
}

/// With L1's flags on, accesses to L2's paging structures count as writes: the processor has to see
/// it so, too. SDM 3C, "Accessed and Dirty Flags for EPT".
u64 ShadowEpt::pointer_of(const Context& context) const {
    const auto capabilities =
        EptVpidCapabilities::from_raw(port_.rdmsr(static_cast<u32>(Msr::vmx_ept_vpid_cap)));
    const bool flags = Eptp::from_raw(context.eptp12).accessed_and_dirty() &&
                       capabilities.has(EptVpidCapability::accessed_and_dirty);
    return Eptp::of(context.root, MemoryType::wb, root_level, flags).to_raw();
}

void ShadowEpt::notice_our_own_changes() {
    const u64 now = vm_.ept().generation();
    if (state_.generation == now) return;
    forget_all();
    state_.generation = now;
}

bool ShadowEpt::map(Context& context, Gpa l2, const Ept12Result& l1, const MemorySlot& slot) {
    const unsigned level = level_for(context, l2, l1, slot);
    const Result<u64*> entry = place_for(context, l2, level);
    if (!entry.ok()) return false;
    replace(context, *entry.value(), entry_for(l1, slot, level));
    return true;
}

/// A large page needs one of L1's, one of ours, and a place where no table stands yet.
unsigned ShadowEpt::level_for(const Context& context, Gpa l2, const Ept12Result& l1,
                              const MemorySlot& slot) const {
    unsigned most = l1.level < vm_.ept().largest_level() ? l1.level : vm_.ept().largest_level();
    if (most > largest_level) most = largest_level;
    const u64* entries = table(context.root);
    for (unsigned level = root_level; level > 1 && entries != nullptr; --level) {
        const auto entry = EptEntry::from_raw(entries[linear_index(l2, level)]);
        if (!entry.present() || entry.is_leaf(level)) return largest_page(slot, l1.address, most);
        entries = table(entry.address(level));
    }
    return 1;
}

/// First the contexts of L1's other EPTs make room, then this one's own tables.
Result<u64*> ShadowEpt::place_for(const Context& context, Gpa l2, unsigned level) {
    Result<u64*> entry = find_or_build(context, l2, level);
    while (!entry.ok() && drop_oldest_but(&context)) entry = find_or_build(context, l2, level);
    if (entry.ok()) return entry;
    empty(context);
    return find_or_build(context, l2, level);
}

/// A large page in the way goes: what else it mapped comes back by violations of its own.
Result<u64*> ShadowEpt::find_or_build(const Context& context, Gpa l2, unsigned last) {
    u64* entries = table(context.root);
    for (unsigned level = root_level; entries != nullptr && level > last; --level) {
        u64& raw = entries[linear_index(l2, level)];
        if (!EptEntry::from_raw(raw).present() || EptEntry::from_raw(raw).is_leaf(level)) {
            const Hpa next = TRY(take_page());
            replace(context, raw, EptEntry::table(next.raw(), ept_all_access).to_raw());
        }
        entries = table(EptEntry::from_raw(raw).address(level));
    }
    if (entries == nullptr) return Failed{};
    return &entries[linear_index(l2, last)];
}

void ShadowEpt::replace(const Context& context, u64& entry, u64 value) {
    if (((entry ^ value) & ~processor_flags) == 0) return;
    const bool cached = can_be_cached(entry);
    entry = value;
    if (cached) port_.invept(pointer_of(context));
}

Result<Hpa> ShadowEpt::take_page() {
    if (state_.pages >= page_limit) return Failed{};
    const Hpa page = TRY(vm_.pages().take());
    ++state_.pages;
    return page;
}

void ShadowEpt::give_back(u64 page) {
    if (state_.pages == 0) return;
    --state_.pages;
    vm_.pages().give_back(Hpa{page});
}

/// Null: a table that a snapshot names and that is none.
u64* ShadowEpt::table(u64 page) const {
    return vm_.pages().owns(page) ? reinterpret_cast<u64*>(port_.page(Hpa{page})) : nullptr;
}

template <unsigned level>
void ShadowEpt::give_back_tables(u64* entries) {
    for (unsigned n = 0; n < page_table_entry_count; ++n) {
        const auto entry = EptEntry::from_raw(entries[n]);
        entries[n] = 0;
        if (!entry.present() || entry.is_leaf(level)) continue;
        u64* const below = table(entry.address(level));
        if (below == nullptr) continue;
        if constexpr (level > 2) give_back_tables<level - 1>(below);
        give_back(entry.address(level));
    }
}

/// Nobody runs with the tables now: it is the virtual processor's own that is asking.
void ShadowEpt::empty(const Context& context) {
    u64* const entries = table(context.root);
    port_.invept(pointer_of(context));
    if (entries != nullptr) give_back_tables<root_level>(entries);
}

void ShadowEpt::drop(Context& context) {
    if (context.eptp12 == 0) return;
    empty(context);
    give_back(context.root);
    context = {};
}

bool ShadowEpt::drop_oldest_but(const Context* kept) {
    Context* const oldest = oldest_but(kept);
    if (oldest == nullptr) return false;
    drop(*oldest);
    return true;
}

}  // namespace postern::hv

// SPDX-License-Identifier: Apache-2.0
// Loads and stores once the TLB has missed: translation, the enclave check, then RAM, EPC or a
// device. All pages of an access are checked before its first byte moves.
#include "cpu/mmu/access.h"

#include <array>
#include <cstring>

#include "arch/exception.h"
#include "arch/vmx/exit_qualification.h"
#include "cpu/debugger.h"
#include "cpu/decode/block_cache.h"
#include "cpu/event/breakpoint.h"
#include "cpu/event/event.h"
#include "cpu/exec/address.h"
#include "cpu/sgx/sgx.h"
#include "cpu/vmx/virtual_apic.h"

namespace postern::cpu {
namespace {

constexpr u64 all_ones = ~u64{0};

/// What EPC looks like from outside, as an instruction fetch sees it.
const std::array<u8, page_size> abort_page_code = [] {
    std::array<u8, page_size> bytes;
    bytes.fill(0xff);
    return bytes;
}();

/// The end of a translation: memory, the abort page, or a device.
struct Place {
    u8* bytes = nullptr;  // of the access itself
    bool abort = false;
    bool virtual_apic = false;  // the virtual-APIC page, in place of the APIC-access page
    Hpa address;
};

Failed raise_epcm_fault(Cpu& c, Gva linear, Access access) {
    PageFaultError code{PageFaultBit::p, PageFaultBit::us, PageFaultBit::sgx};
    code.set(PageFaultBit::wr, access == Access::write);
    code.set(PageFaultBit::id, access == Access::execute && reports_fetches(c));
    return raise_page_fault(c, linear.raw(), code.to_raw());
}

ApicAccessType apic_access_type(const Cpu& c, Access access) {
    if (c.event.delivering.valid) return ApicAccessType::linear_during_delivery;
    switch (access) {
        case Access::read: return ApicAccessType::linear_read;
        case Access::write: return ApicAccessType::linear_write;
        case Access::execute: return ApicAccessType::linear_fetch;
    }
    return ApicAccessType::linear_read;
}

/// By an enclave, to a linear address of its own.
bool is_enclaves_own(const Cpu& c, Gva linear, Accessor as) {
    return as == Accessor::current && c.enclave.active && c.enclave.covers(linear.raw());
}

/// No enclave's access is redirected.
bool reaches_virtual_apic(const Cpu& c, Gva linear, Access access, Accessor as, unsigned size) {
    if (as == Accessor::current && c.enclave.active) return false;
    return vmx::virtualizes_apic_access(c, linear.offset(), size, access);
}

void locate_in_virtual_apic(Cpu& c, Gva linear, Place& place) {
    place.virtual_apic = true;
    place.address = vmx::virtual_apic_address(c, linear.offset());
    place.bytes = c.system->memory.pointer(place.address);
}

Failed raise_apic_access(Cpu& c, Gva linear, Access access) {
    c.pending = {};
    c.pending.kind = PendingKind::vm_exit;
    c.pending.reason = BasicReason::apic_access;
    c.pending.qualification =
        ApicAccess::of(apic_access_type(c, access), static_cast<u16>(linear.offset())).to_raw();
    return Failed{};
}

/// What kind of access a TLB entry must translate.
constexpr u32 tlb_kind(Access access) {
    switch (access) {
        case Access::read: return tlb_reads;
        case Access::write: return tlb_writes;
        case Access::execute: return tlb_executes;
    }
    return 0;
}

/// A page that may be written may be read, in paging, EPT and EPCM alike.
constexpr u32 tlb_found(Access access) {
    return access == Access::write ? u32{tlb_reads} | tlb_writes : tlb_kind(access);
}

/// Implicit accesses are a supervisor's with RFLAGS.AC clear, from outside every enclave.
Tlb& tlb_of(Cpu& c, Accessor as) {
    return as == Accessor::supervisor ? c.tlbs[tlb_supervisor] : *c.tlb;
}

/// Pages with watched bytes are never in the TLB.
bool cached(Cpu& c, Gva linear, Access access, Accessor as, Place& place) {
    const Tlb& tlb = tlb_of(c, as);
    if (!tlb.translates(linear.raw(), tlb_kind(access))) return false;
    place.bytes =
        reinterpret_cast<u8*>(tlb.entry[Tlb::slot_of(linear.raw())].page) + linear.offset();
    return true;
}

void remember(Cpu& c, Gva linear, Access access, Accessor as, u8* bytes, u32 flags) {
    if (is_watched_page(c, linear)) return;
    const u64 page = reinterpret_cast<u64>(bytes) & ~(page_size - 1);
    if (is_watched_by_debugger(c, linear)) flags |= tlb_watched;
    Tlb& tlb = tlb_of(c, as);
    const bool writes = access == Access::write || tlb.translates(linear.raw(), tlb_writes);
    tlb.insert(linear.raw(), page, tlb_found(access) | flags,
               writes && !withholds_writes(c, bytes));
}

/// Where an access leads; what leads to memory is in the TLB afterwards. `size` of one that may be
/// virtualized; 0: a part, or a fetch.
Result<> locate(Cpu& c, Gva linear, Access access, Accessor as, Place& place, unsigned size = 0) {
    if (cached(c, linear, access, as, place)) return Done{};
    Translation found;
    TRY(find_translation(c, linear, access, as, found));
    place.address = found.address;
    // An enclave's own access is none, even if the page were its own. Without a TPR shadow no
    // access to the page is virtualized. SDM 3C, "APIC-Access VM Exits".
    if (c.vmx.apic_access.covers(place.address)) {
        if (is_enclaves_own(c, linear, as)) return raise_epcm_fault(c, linear, access);
        if (!reaches_virtual_apic(c, linear, access, as, size))
            return raise_apic_access(c, linear, access);
        locate_in_virtual_apic(c, linear, place);
        return Done{};
    }
    const PhysicalMemory& memory = c.system->memory;
    const bool epc = memory.is_epc(place.address);
    place.bytes = memory.pointer(place.address);
    if (as == Accessor::current && (epc || c.enclave.active)) {
        const sgx::AccessCheck check = sgx::check_access(c, linear, place.address, access);
        if (check.verdict == sgx::Verdict::page_fault) return raise_epcm_fault(c, linear, access);
        if (check.verdict == sgx::Verdict::enclave_page) place.bytes = check.page + linear.offset();
    }
    place.abort = epc && place.bytes == nullptr;
    if (place.bytes != nullptr) remember(c, linear, access, as, place.bytes, found.flags);
    return Done{};
}

template <class T>
u64 read_as(const u8* bytes) {
    T value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

/// Up to 8 bytes; no call for the sizes that instructions have.
u64 read_memory(const u8* bytes, unsigned size) {
    switch (size) {
        case 8: return read_as<u64>(bytes);
        case 4: return read_as<u32>(bytes);
        case 2: return read_as<u16>(bytes);
        case 1: return *bytes;
        default: break;
    }
    u64 value = 0;
    std::memcpy(&value, bytes, size);
    return value;
}

void write_memory(u8* bytes, unsigned size, u64 value) {
    if (size == 8)
        std::memcpy(bytes, &value, 8);
    else
        std::memcpy(bytes, &value, size);
}

void note_virtual_write(Cpu& c, const Place& place, unsigned size) {
    if (place.virtual_apic) [[unlikely]]
        vmx::note_apic_write(c, place.address.offset(), size);
}

u64 read_place(Cpu& c, const Place& place, unsigned size) {
    if (place.bytes != nullptr) return read_memory(place.bytes, size);
    const u64 mask = all_ones >> (64 - 8 * size);
    return (place.abort ? all_ones : c.system->bus->read(place.address, size)) & mask;
}

void write_place(Cpu& c, const Place& place, unsigned size, u64 value) {
    note_virtual_write(c, place, size);
    if (place.bytes != nullptr) {
        c.blocks->about_to_write(c, place.bytes, size);
        write_memory(place.bytes, size, value);
    } else if (!place.abort) {
        c.system->bus->write(place.address, size, value);
        c.recheck = true;
    }
}

/// The two halves of an access that crosses a page.
struct Split {
    Place low, high;
    unsigned low_size, high_size;
};

Result<> locate_split(Cpu& c, Gva linear, unsigned size, Access access, Accessor as, Split& s) {
    s.low_size = static_cast<unsigned>(page_size - linear.offset());
    s.high_size = size - s.low_size;
    TRY(locate(c, linear, access, as, s.low));
    TRY(locate(c, linear + s.low_size, access, as, s.high));
    return Done{};
}

bool crosses(Gva linear, unsigned size) { return linear.offset() + size > page_size; }

/// Devices see single bytes here: no device of a PC has registers that straddle a page.
u64 read_bytewise(Cpu& c, Place place, unsigned count) {
    if (place.bytes != nullptr) return read_place(c, place, count);
    u64 value = 0;
    for (unsigned n = 0; n < count; ++n) {
        value |= read_place(c, place, 1) << (8 * n);
        place.address = place.address + 1;
    }
    return value;
}

void write_bytewise(Cpu& c, Place place, unsigned count, u64 value) {
    if (place.bytes != nullptr) return write_place(c, place, count, value);
    for (unsigned n = 0; n < count; ++n) {
        write_place(c, place, 1, value >> (8 * n) & 0xff);
        place.address = place.address + 1;
    }
}

/// For breakpoints: only what an instruction does by itself counts.
void note(Cpu& c, Gva linear, u64 size, Access access, Accessor as) {
    if (as == Accessor::current) note_access(c, linear, size, access == Access::write);
}

u64 tag_of(const TlbEntry& e, Access access) {
    switch (access) {
        case Access::read: return e.read;
        case Access::write: return e.write;
        case Access::execute: return e.exec;
    }
    return 0;
}

u8* hit(const Cpu& c, Gva linear, Access access, unsigned size) {
    const TlbEntry& e = c.tlb->entry[Tlb::slot_of(linear.raw())];
    const u64 offset = linear.raw() - tag_of(e, access);
    return offset <= page_size - size ? reinterpret_cast<u8*>(e.page + offset) : nullptr;
}

}  // namespace

bool fill_tlb(Cpu& c, Gva linear, Access access, unsigned size) {
    if (crosses(linear, size)) return false;
    if (c.tlb->checked && access != Access::execute) return false;
    Place place;
    if (!locate(c, linear, access, Accessor::current, place)) return false;
    if (hit(c, linear, access, size) != nullptr) return true;
    // In the TLB, but stores to it were withheld: perhaps not any more.
    if (place.bytes == nullptr || access != Access::write) return false;
    if (withholds_writes(c, place.bytes) || is_watched_page(c, linear)) return false;
    if (is_watched_by_debugger(c, linear)) return false;
    c.tlb->set_tags(Tlb::slot_of(linear.raw()), true);
    return true;
}

Result<> check_alignment(Cpu& c, Gva linear, unsigned alignment, u32 error_code) {
    if (checks_alignment(c) && linear.raw() % alignment != 0) [[unlikely]]
        return raise(c, Vector::alignment_check, error_code);
    return Done{};
}

namespace {

/// An access with what is asked of it. `alignment`: 1 is none.
struct Request {
    Gva linear;
    unsigned size;
    unsigned alignment;
    Accessor as;
};

/// All of an access's pages come before its alignment. SDM 3A, "Priority Among Concurrent Events".
Result<u64> load(Cpu& c, const Request& r) {
    if (crosses(r.linear, r.size)) {
        Split s;
        TRY(locate_split(c, r.linear, r.size, Access::read, r.as, s));
        TRY(check_alignment(c, r.linear, r.alignment));
        note(c, r.linear, r.size, Access::read, r.as);
        const u64 low = read_bytewise(c, s.low, s.low_size);
        return low | read_bytewise(c, s.high, s.high_size) << (8 * s.low_size);
    }
    Place place;
    TRY(locate(c, r.linear, Access::read, r.as, place, r.size));
    TRY(check_alignment(c, r.linear, r.alignment));
    note(c, r.linear, r.size, Access::read, r.as);
    return read_place(c, place, r.size);
}

Result<> store(Cpu& c, const Request& r, u64 value) {
    if (crosses(r.linear, r.size)) {
        Split s;
        TRY(locate_split(c, r.linear, r.size, Access::write, r.as, s));
        TRY(check_alignment(c, r.linear, r.alignment));
        note(c, r.linear, r.size, Access::write, r.as);
        write_bytewise(c, s.low, s.low_size, value);
        write_bytewise(c, s.high, s.high_size, value >> (8 * s.low_size));
        return Done{};
    }
    Place place;
    TRY(locate(c, r.linear, Access::write, r.as, place, r.size));
    TRY(check_alignment(c, r.linear, r.alignment));
    note(c, r.linear, r.size, Access::write, r.as);
    write_place(c, place, r.size, value);
    return Done{};
}

}  // namespace

Result<u64> load(Cpu& c, Gva linear, unsigned size, Accessor as) {
    if (as == Accessor::supervisor) return load(c, {linear, size, 1, as});
    if (const u8* p = hit(c, linear, Access::read, size)) return read_memory(p, size);
    return load(c, {linear, size, size, as});
}

Result<> store(Cpu& c, Gva linear, unsigned size, u64 value, Accessor as) {
    if (as == Accessor::supervisor) return store(c, {linear, size, 1, as}, value);
    if (u8* p = hit(c, linear, Access::write, size)) {
        write_memory(p, size, value);
        return Done{};
    }
    return store(c, {linear, size, size, as}, value);
}

Result<u64> load_unaligned(Cpu& c, Gva linear, unsigned size) {
    if (const u8* p = hit(c, linear, Access::read, size)) return read_memory(p, size);
    return load(c, {linear, size, 1, Accessor::current});
}

Result<> store_unaligned(Cpu& c, Gva linear, unsigned size, u64 value) {
    if (u8* p = hit(c, linear, Access::write, size)) {
        write_memory(p, size, value);
        return Done{};
    }
    return store(c, {linear, size, 1, Accessor::current}, value);
}

namespace {

/// Both pages of up to 4096 bytes.
struct Range {
    std::array<Place, 2> place;
    std::array<unsigned, 2> count;
};

Result<> locate_range(Cpu& c, Gva linear, unsigned count, Access access, Accessor as, Range& r) {
    const auto room = static_cast<unsigned>(page_size - linear.offset());
    r.count = {count < room ? count : room, count < room ? 0 : count - room};
    TRY(locate(c, linear, access, as, r.place[0], r.count[1] == 0 ? count : 0));
    if (r.count[1] != 0) TRY(locate(c, linear + room, access, as, r.place[1]));
    return Done{};
}

}  // namespace

Result<> load_bytes(Cpu& c, Gva linear, void* to, unsigned count, Accessor as) {
    if (count == 0) return Done{};
    Range r;
    TRY(locate_range(c, linear, count, Access::read, as, r));
    note(c, linear, count, Access::read, as);
    auto* out = static_cast<u8*>(to);
    for (unsigned part = 0; part < 2; ++part) {
        Place place = r.place[part];
        if (place.bytes != nullptr) {
            std::memcpy(out, place.bytes, r.count[part]);
            out += r.count[part];
            continue;
        }
        for (unsigned n = 0; n < r.count[part]; ++n) {
            *out++ = static_cast<u8>(read_place(c, place, 1));
            place.address = place.address + 1;
        }
    }
    return Done{};
}

Result<> store_bytes(Cpu& c, Gva linear, const void* from, unsigned count, Accessor as) {
    if (count == 0) return Done{};
    Range r;
    TRY(locate_range(c, linear, count, Access::write, as, r));
    note(c, linear, count, Access::write, as);
    const auto* in = static_cast<const u8*>(from);
    for (unsigned part = 0; part < 2; ++part) {
        Place place = r.place[part];
        if (place.bytes != nullptr && r.count[part] != 0) {
            note_virtual_write(c, place, r.count[part]);
            c.blocks->about_to_write(c, place.bytes, r.count[part]);
            std::memcpy(place.bytes, in, r.count[part]);
            in += r.count[part];
            continue;
        }
        for (unsigned n = 0; n < r.count[part]; ++n) {
            write_place(c, place, 1, *in++);
            place.address = place.address + 1;
        }
    }
    return Done{};
}

Result<> probe_write(Cpu& c, Gva linear, unsigned count, Accessor as) {
    if (count == 0) return Done{};
    Range r;
    return locate_range(c, linear, count, Access::write, as, r);
}

Result<const u8*> code_pointer(Cpu& c, Gva linear) {
    if (const u8* p = hit(c, linear, Access::execute, 1)) return p;
    if (sgx::fetch_forbidden(c, linear.raw())) return general_protection(c);
    Place place;
    TRY(locate(c, linear, Access::execute, Accessor::current, place));
    if (place.abort) return abort_page_code.data() + linear.offset();
    if (place.bytes == nullptr) return raise_unimplemented(c, "instruction fetch from a device");
    return const_cast<const u8*>(place.bytes);
}

u64 read_physical(Cpu& c, Hpa address, unsigned size) {
    Place place{.address = address};
    place.abort = c.system->memory.is_epc(address);
    place.bytes = place.abort ? nullptr : c.system->memory.pointer(address);
    return read_place(c, place, size);
}

void write_physical(Cpu& c, Hpa address, unsigned size, u64 value) {
    Place place{.address = address};
    place.abort = c.system->memory.is_epc(address);
    place.bytes = place.abort ? nullptr : c.system->memory.pointer(address);
    write_place(c, place, size, value);
}

}  // namespace postern::cpu

// SPDX-License-Identifier: Apache-2.0
// From a segment and an offset to bytes or a device.
#include "hv/emulate/operand_memory.h"

#include <cstring>

#include "hv/emulate/arithmetic.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

Segment read_segment(Port& port, SegmentIndex index) {
    const auto read = [&](VmcsField of_es) { return port.vmread(segment_field(of_es, index)); };
    Segment segment{};
    segment.access_rights = static_cast<u32>(read(VmcsField::guest_es_access_rights));
    segment.limit = static_cast<u32>(read(VmcsField::guest_es_limit));
    segment.base = read(VmcsField::guest_es_base);
    return segment;
}

/// SDM 3A, "Limit Checking".
bool is_within_limit(const Segment& segment, u64 offset, unsigned size) {
    const u64 last = offset + size - 1;
    if (!segment.expand_down()) return last <= segment.limit;
    return offset > segment.limit && last <= (segment.db() ? 0xffff'ffff : 0xffff);
}

}  // namespace

void OperandMemory::begin(const Capture& capture) {
    paging_ = vcpu_.paging_registers();
    code_size_ = vcpu_.code_size();
    user_ = capture.cpl == 3;
    flags_ = Rflags::from_raw(capture.rflags);
    obstacle_ = {};
    for (Known& known : known_) known.linear = Known{}.linear;
}

Failed OperandMemory::fault(const Event& event, u64 cr2) {
    obstacle_ = {.kind = Obstacle::Kind::fault, .event = event, .cr2 = cr2};
    return {};
}
Failed OperandMemory::retry(const char* what) {
    obstacle_ = {.kind = Obstacle::Kind::retry, .what = what};
    return {};
}
Failed OperandMemory::refused(const SecondLevelFault& second_level, u64 linear) {
    obstacle_ = {.kind = Obstacle::Kind::refused, .cr2 = linear, .second_level = second_level};
    return {};
}
Failed OperandMemory::not_implemented(const char* what) {
    obstacle_ = {.kind = Obstacle::Kind::not_implemented, .what = what};
    return {};
}
Failed OperandMemory::segment_fault(SegmentIndex segment) {
    return fault(
        Event::exception(segment == ss ? Vector::stack_fault : Vector::general_protection));
}

size_t OperandMemory::fetch(u64 rip, u8* bytes, size_t wanted) {
    const bool long_code = code_size_ == CodeSize::bits64;
    const u64 base = long_code ? 0 : vcpu_.port_.vmread(VmcsField::guest_cs_base);
    const u64 linear = base + rip;
    const Gva at{long_code ? linear : static_cast<u32>(linear)};
    return fetch_guest(vcpu_.vm_, paging_, at, user_, bytes, wanted);
}

Result<> OperandMemory::locate(Operand& operand, SegmentIndex segment, u64 offset, unsigned size,
                               GuestAccess access) {
    const Gva linear = TRY(linear_address(segment, offset, size, access));
    const auto room = static_cast<unsigned>(page_size - linear.offset());
    const unsigned first = size < room ? size : room;
    operand.pieces[1].size = 0;
    TRY(locate_piece(operand.pieces[0], linear, first, segment, access));
    if (first < size) {
        const u64 rest = (linear + first).raw();
        const Gva next{code_size_ == CodeSize::bits64 ? rest : static_cast<u32>(rest)};
        TRY(locate_piece(operand.pieces[1], next, size - first, segment, access));
    }
    return check_alignment(linear, size);
}

/// SDM 3A, "Logical and Linear Addresses": in 64-bit mode only FS and GS have a base.
Result<Gva> OperandMemory::linear_address(SegmentIndex segment, u64 offset, unsigned size,
                                          GuestAccess access) {
    Port& port = vcpu_.port_;
    if (code_size_ == CodeSize::bits64) {
        if (segment != fs && segment != gs) return Gva{offset};
        return Gva{offset + port.vmread(segment_field(VmcsField::guest_es_base, segment))};
    }
    if (!segment_allows(segment, offset, size, access)) return segment_fault(segment);
    const u64 base = port.vmread(segment_field(VmcsField::guest_es_base, segment));
    return Gva{static_cast<u32>(base + offset)};
}

/// SDM 3A, "Type Checking". Real-address and virtual-8086 mode know no types.
bool OperandMemory::segment_allows(SegmentIndex index, u64 offset, unsigned size,
                                   GuestAccess access) {
    const Segment segment = read_segment(vcpu_.port_, index);
    const bool typed = paging_.cr0.has(Cr0::pe) && !flags_.has(Rflag::vm);
    if (typed && segment.unusable()) return false;
    const bool writes = access == GuestAccess::write;
    if (typed && !(writes ? segment.writable() : segment.readable())) return false;
    return is_within_limit(segment, offset, size);
}

Result<> OperandMemory::locate_piece(Piece& piece, Gva linear, unsigned size, SegmentIndex segment,
                                     GuestAccess access) {
    if (known_page(linear, access) == nullptr) {
        const Gpa address = TRY(translate(linear, segment, access));
        Known& known = known_[next_known_];
        next_known_ = next_known_ + 1 < known_.size() ? next_known_ + 1 : 0;
        known.linear = linear.page().raw();
        known.access = access;
        look_behind(known.page, address.page());
    }
    piece = *known_page(linear, access);
    piece.size = static_cast<u8>(size);
    piece.address = piece.address + linear.offset();
    piece.host = piece.host + linear.offset();
    if (piece.bytes != nullptr) piece.bytes += linear.offset();
    return Done{};
}

const Piece* OperandMemory::known_page(Gva linear, GuestAccess access) const {
    for (const Known& known : known_)
        if (known.linear == linear.page().raw() && known.access == access) return &known.page;
    return nullptr;
}

Result<Gpa> OperandMemory::translate(Gva linear, SegmentIndex segment, GuestAccess access) {
    const WalkRequest request{.address = linear,
                              .access = access,
                              .user = user_,
                              .alignment_override = flags_.has(Rflag::ac)};
    const WalkResult result = walk(vcpu_.vm_, paging_, request);
    switch (result.outcome) {
        case WalkResult::Outcome::found: return result.address;
        case WalkResult::Outcome::page_fault:
            return fault(Event::exception(Vector::page_fault, result.error_code.to_raw()),
                         linear.raw());
        case WalkResult::Outcome::not_canonical: return segment_fault(segment);
        case WalkResult::Outcome::changed: return retry("a paging structure that changes");
        case WalkResult::Outcome::second_level_fault:
            return refused(result.second_level, linear.raw());
        case WalkResult::Outcome::not_in_memory: break;
    }
    return not_implemented("a paging structure outside memory");
}

void OperandMemory::look_behind(Piece& piece, Gpa page) {
    piece = {.address = page};
    const MemorySlot* const slot = vcpu_.vm_.memory().find(page);
    if (slot == nullptr) return;
    piece.behind = Behind::epc;
    if (slot->kind == SlotKind::epc) return;
    piece.behind = slot->kind == SlotKind::rom ? Behind::rom : Behind::ram;
    piece.host = MemoryMap::host_address(*slot, page);
    piece.bytes = vcpu_.port_.page(piece.host);
    if (piece.bytes == nullptr) piece.behind = Behind::device;
}

/// SDM 3A, "Interrupt 17: Alignment Check Exception (#AC)". It comes after the page faults.
Result<> OperandMemory::check_alignment(Gva linear, unsigned size) {
    const unsigned alignment = size > 8 ? 8 : size;
    if (alignment == 0 || linear.raw() % alignment == 0 || !user_) return Done{};
    if (!paging_.cr0.has(Cr0::am) || !flags_.has(Rflag::ac)) return Done{};
    return fault(Event::exception(Vector::alignment_check));
}

/// EPC reads as ones outside enclaves, and what is written to it is lost. SDM 3D, "Accesses to
/// EPC Pages": the abort page.
u64 OperandMemory::read(const Piece& piece, bool bytewise) const {
    u64 value = 0;
    if (piece.bytes != nullptr) {
        std::memcpy(&value, piece.bytes, piece.size);
        return value;
    }
    if (piece.behind == Behind::epc) return size_mask(piece.size);
    if (!bytewise) return vcpu_.read_device(piece.address, piece.size);
    for (unsigned n = 0; n < piece.size; ++n)
        value |= vcpu_.read_device(piece.address + n, 1) << 8 * n;
    return value;
}

void OperandMemory::write(const Piece& piece, u64 value, bool bytewise) const {
    switch (piece.behind) {
        case Behind::epc: return;
        case Behind::ram: {
            vcpu_.port_.about_to_write(piece.host, piece.size);
            std::memcpy(piece.bytes, &value, piece.size);
            return;
        }
        case Behind::rom:
        case Behind::device: break;
    }
    if (!bytewise) return vcpu_.write_device(piece.address, piece.size, value);
    for (unsigned n = 0; n < piece.size; ++n)
        vcpu_.write_device(piece.address + n, 1, value >> 8 * n & 0xff);
}

/// Where an operand crosses a page devices see single bytes: none has a register there.
u64 OperandMemory::read(const Operand& operand) const {
    const auto& [low, high] = operand.pieces;
    if (high.size == 0) return read(low, false);
    const u64 first = read(low, true);
    return first | read(high, true) << 8 * low.size;
}

void OperandMemory::write(const Operand& operand, u64 value) const {
    const auto& [low, high] = operand.pieces;
    if (high.size == 0) return write(low, value & size_mask(low.size), false);
    write(low, value, true);
    write(high, value >> 8 * low.size, true);
}

}  // namespace postern::hv

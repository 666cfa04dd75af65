// SPDX-License-Identifier: Apache-2.0
// GDTR, IDTR, LDTR and TR.
#include <cstring>

#include "cpu/exec/segment_check.h"
#include "cpu/exec/system/common.h"
#include "cpu/exec/system/descriptor.h"
#include "cpu/mmu/access.h"
#include "cpu/mode.h"

namespace postern::cpu {

namespace {

enum class Access46 : u8 { sgdt, sidt, lgdt, lidt };
enum class Access47 : u8 { sldt, str, lldt, ltr };

/// SDM 3C, table "Format of the VM-Exit Instruction-Information Field as Used for LIDT, LGDT,
/// SIDT, or SGDT".
Result<> consult_hypervisor(Cpu& c, const Insn& i, Access46 access) {
    if (!wants(c, SecondaryControl::descriptor_table_exiting)) return Done{};
    const bool wide = in_64_bit_mode(c) || operand_size(i) == 4;
    const auto information = memory_information(i).with_operand_32_bit(wide).with_table_instruction(
        static_cast<unsigned>(access));
    return vmx::raise_exit(c, BasicReason::access_to_gdtr_or_idtr, displacement(c, i),
                           information.to_raw());
}

Result<> consult_hypervisor(Cpu& c, const Insn& i, Access47 access) {
    if (!wants(c, SecondaryControl::descriptor_table_exiting)) return Done{};
    const bool stores = access == Access47::sldt || access == Access47::str;
    const auto row = static_cast<Gpr>(stores ? i.dst : i.src);
    const auto operand =
        is_memory(i) ? memory_information(i) : MemoryOperandInformation::of_register(row);
    return vmx::raise_exit(c, BasicReason::access_to_ldtr_or_tr,
                           is_memory(i) ? displacement(c, i) : 0,
                           operand.with_table_instruction(static_cast<unsigned>(access)).to_raw());
}

struct Image {
    u8 bytes[10];
};

/// A limit of 2 bytes and a base of 8 or 4.
unsigned image_size(const Cpu& c) { return in_64_bit_mode(c) ? 10 : 6; }

Result<> load_table(Cpu& c, const Insn& i, Access46 access, DescriptorTable& table) {
    TRY(require_supervisor(c));
    TRY(consult_hypervisor(c, i, access));
    Image image{};
    const Gva at = TRY(checked_address(c, i, image_size(c), Access::read));
    TRY(load_bytes(c, at, image.bytes, image_size(c)));
    u16 limit = 0;
    u64 base = 0;
    std::memcpy(&limit, image.bytes, sizeof limit);
    std::memcpy(&base, image.bytes + 2, sizeof base);
    if (!in_64_bit_mode(c) && operand_size(i) == 2) base &= 0xff'ffff;
    if (!is_canonical(c, base)) return general_protection(c);
    table = {base, limit};
    return Done{};
}

/// #UD in an enclave, #GP(0) by UMIP; neither is a VM exit.
Result<> check_store(Cpu& c) {
    TRY(refuse_in_enclave(c));
    if (c.cr4.has(Cr4::umip) && c.cpl != 0) return general_protection(c);
    return Done{};
}

/// An aligned word, then an aligned doubleword: an address that is 2 modulo 4 is the one that never
/// faults. SDM 3A, "Segment Descriptor Tables".
Result<> check_table_alignment(Cpu& c, Gva at) {
    TRY(check_alignment(c, at, 2));
    return check_alignment(c, at + 2, 4);
}

Result<> store_table(Cpu& c, const Insn& i, Access46 access, const DescriptorTable& table) {
    TRY(check_store(c));
    TRY(consult_hypervisor(c, i, access));
    Image image;
    const u16 limit = static_cast<u16>(table.limit);
    std::memcpy(image.bytes, &limit, sizeof limit);
    std::memcpy(image.bytes + 2, &table.base, sizeof table.base);
    const Gva at = TRY(checked_address(c, i, image_size(c), Access::write));
    TRY(probe_write(c, at, image_size(c)));
    TRY(check_table_alignment(c, at));
    return store_bytes(c, at, image.bytes, image_size(c));
}

Result<> store_selector(Cpu& c, const Insn& i, Access47 access, SegmentIndex index) {
    TRY(check_store(c));
    TRY(consult_hypervisor(c, i, access));
    const u16 selector = c.segment[index].selector;
    if (is_memory(i)) return store_checked(c, i, 2, selector);
    put_register(c, i.dst, operand_size(i), selector);
    return Done{};
}

Result<u64> selector_operand(Cpu& c, const Insn& i) {
    if (is_memory(i)) return load_checked(c, i, 2);
    return c.gpr[i.src] & 0xffff;
}

/// A descriptor of the GDT that must be present and of one of `types` (a bit each): of 16 bytes in
/// 64-bit mode, else of 8.
Result<> read_system_segment(Cpu& c, u16 selector, u32 types, Segment& segment) {
    const u32 error = selector_error(selector);
    if (selects_ldt(selector)) return general_protection(c, error);
    const bool wide = in_64_bit_mode(c);
    const Gva address = TRY(find_descriptor(c, selector, wide ? 16 : 8));
    const u64 low = TRY(load(c, address, 8, Accessor::supervisor));
    const u64 high = wide ? TRY(load(c, address + 8, 8, Accessor::supervisor)) : 0;
    segment = segment_from_system_descriptor(selector, low, high);
    if (segment.is_code_or_data() || (types >> segment.type() & 1) == 0)
        return general_protection(c, error);
    if (bits<44, 40>(high) != 0) return general_protection(c, error);
    if (!segment.present()) return raise(c, Vector::segment_not_present, error);
    if (!is_canonical(c, segment.base)) return general_protection(c, error);
    return Done{};
}

constexpr u32 type_bit(SystemType type) { return 1u << static_cast<unsigned>(type); }

/// IA-32e mode has no 16-bit TSS.
u32 available_tss(const Cpu& c) {
    const u32 either = type_bit(SystemType::tss_available);
    return in_ia32e_mode(c) ? either : either | type_bit(SystemType::tss16_available);
}

}  // namespace

/// SDM 2A, "LGDT/LIDT".
Result<> exec_lgdt(Cpu& c, const Insn& i) { return load_table(c, i, Access46::lgdt, c.gdtr); }
Result<> exec_lidt(Cpu& c, const Insn& i) { return load_table(c, i, Access46::lidt, c.idtr); }

/// SDM 2B, "SGDT", "SIDT".
Result<> exec_sgdt(Cpu& c, const Insn& i) { return store_table(c, i, Access46::sgdt, c.gdtr); }
Result<> exec_sidt(Cpu& c, const Insn& i) { return store_table(c, i, Access46::sidt, c.idtr); }

/// SDM 2B, "SLDT", "STR".
Result<> exec_sldt(Cpu& c, const Insn& i) { return store_selector(c, i, Access47::sldt, ldtr); }
Result<> exec_str(Cpu& c, const Insn& i) { return store_selector(c, i, Access47::str, tr); }

/// SDM 2A, "LLDT".
Result<> exec_lldt(Cpu& c, const Insn& i) {
    TRY(require_supervisor(c));
    TRY(consult_hypervisor(c, i, Access47::lldt));
    const auto selector = static_cast<u16>(TRY(selector_operand(c, i)));
    Segment segment = null_segment(selector);
    if (!is_null_selector(selector))
        TRY(read_system_segment(c, selector, type_bit(SystemType::ldt), segment));
    c.segment[ldtr] = segment;
    return Done{};
}

/// SDM 2A, "LTR": the descriptor becomes busy, in memory and in TR.
Result<> exec_ltr(Cpu& c, const Insn& i) {
    TRY(require_supervisor(c));
    TRY(consult_hypervisor(c, i, Access47::ltr));
    const auto selector = static_cast<u16>(TRY(selector_operand(c, i)));
    if (is_null_selector(selector)) return general_protection(c);
    Segment segment;
    TRY(read_system_segment(c, selector, available_tss(c), segment));
    segment.access_rights |= access_rights_busy_tss;
    const Gva address = TRY(find_descriptor(c, selector, 8));
    TRY(store(c, address + 5, 1, segment.access_rights & 0xff, Accessor::supervisor));
    c.segment[tr] = segment;
    return Done{};
}

}  // namespace postern::cpu

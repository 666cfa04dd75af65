// SPDX-License-Identifier: Apache-2.0
// Violated guest segment registers.
#include "unit/cpu/vmx/violation.h"

namespace postern::cpu::vmx {
namespace {

using F = VmcsField;
using M = VmxMachine;

void set_base(M& m, unsigned index, u64 base) {
    m.set(segment_field(F::guest_es_base, index), base);
}
void set_limit(M& m, unsigned index, u64 limit) {
    m.set(segment_field(F::guest_es_limit, index), limit);
}
void set_selector(M& m, unsigned index, u64 selector) {
    m.set(segment_field(F::guest_es_selector, index), selector);
}

void make_guest_virtual_8086(M& m) {
    make_guest_legacy(m);
    make_virtual_8086(m);
}

void set_ldtr(M& m, VmcsField field, u64 value) {
    make_ldtr_usable(m);
    m.set(field, value);
}

constexpr std::string_view rpl =
    "SS.RPL is CS.RPL, unless the guest is unrestricted or virtual-8086";
constexpr std::string_view v86_bases = "virtual-8086 bases are 16 times the selectors";
constexpr std::string_view small_bases = "usable SS, DS and ES have bases of 32 bits";
constexpr std::string_view v86_rights = "virtual-8086 access rights are F3H";
constexpr std::string_view cs_type =
    "CS is accessed code, or writable data of an unrestricted guest";
constexpr std::string_view ss_type = "a usable SS is accessed writable data";
constexpr std::string_view accessed = "usable DS, ES, FS and GS are accessed";
constexpr std::string_view readable = "code in DS, ES, FS and GS is readable";
constexpr std::string_view data_dpl =
    "usable data segments' DPL is not below RPL, unless unrestricted";
constexpr std::string_view system = "CS and usable data segments have S set";
constexpr std::string_view present = "CS and usable data segments are present";
constexpr std::string_view middle = "CS and usable data segments have rights without bits 11:8";
constexpr std::string_view bytes = "CS and usable data segments in bytes have G clear";
constexpr std::string_view large = "CS and usable data segments above 1 MByte have G set";
constexpr std::string_view top = "CS and usable data segments have rights without bits 31:17";

constexpr Violation violations[]{
    {rpl,
     [](M& m) {
         set_rights(m, cs, 0xa09f);
         set_selector(m, ss, 0x11);
         set_rights(m, ss, 0xc0b3);
     }},
    {v86_bases,
     [](M& m) {
         make_guest_virtual_8086(m);
         set_base(m, gs, 0x1'0010);
     }},
    {v86_bases,
     [](M& m) {
         make_guest_virtual_8086(m);
         set_base(m, cs, 0);
     }},
    {"FS and GS bases are canonical", [](M& m) { set_base(m, fs, not_canonical); }},
    {"FS and GS bases are canonical",
     [](M& m) {
         set_base(m, gs, not_canonical);
         set_rights(m, gs, 0x1'0000);  // even if unusable
     }},
    {"CS base has 32 bits", [](M& m) { set_base(m, cs, bit_of(32)); }},
    {small_bases, [](M& m) { set_base(m, ss, bit_of(32)); }},
    {small_bases, [](M& m) { set_base(m, ds, bit_of(32)); }},
    {small_bases, [](M& m) { set_base(m, es, bit_of(63)); }},
    {"virtual-8086 limits are FFFFH",
     [](M& m) {
         make_guest_virtual_8086(m);
         set_limit(m, ds, 0xfffe);
     }},
    {v86_rights,
     [](M& m) {
         make_guest_virtual_8086(m);
         set_rights(m, fs, 0x93);
     }},
    {v86_rights,
     [](M& m) {
         make_guest_virtual_8086(m);
         set_rights(m, es, 0x1'00f3);  // unusable
     }},

    {cs_type, [](M& m) { set_rights(m, cs, 0xa09a); }},
    {cs_type, [](M& m) { set_rights(m, cs, 0xa093); }},  // the guest is not unrestricted
    {cs_type,
     [](M& m) {
         make_unrestricted(m);
         set_rights(m, cs, 0xa097);
     }},
    {ss_type, [](M& m) { set_rights(m, ss, 0xc091); }},
    {ss_type, [](M& m) { set_rights(m, ss, 0xc09b); }},
    {accessed, [](M& m) { set_rights(m, ds, 0xc092); }},
    {accessed, [](M& m) { set_rights(m, es, 0xc090); }},
    {accessed, [](M& m) { set_rights(m, gs, 0xc09a); }},
    {readable, [](M& m) { set_rights(m, fs, 0xc099); }},
    {readable, [](M& m) { set_rights(m, ds, 0xc09d); }},
    {system, [](M& m) { set_rights(m, cs, 0xa08b); }},
    {system, [](M& m) { set_rights(m, ss, 0xc083); }},
    {system, [](M& m) { set_rights(m, ds, 0xc083); }},
    {"data in CS has DPL 0",
     [](M& m) {
         make_unrestricted(m);
         set_rights(m, cs, 0xa0b3);
     }},
    {"non-conforming code has the DPL of SS", [](M& m) { set_rights(m, cs, 0xa0fb); }},
    {"conforming code has no DPL above that of SS", [](M& m) { set_rights(m, cs, 0xa0bf); }},
    {"SS.DPL is SS.RPL, unless the guest is unrestricted",
     [](M& m) {
         set_rights(m, cs, 0xa09f);
         set_rights(m, ss, 0xc0f3);
     }},
    {"SS.DPL is SS.RPL, unless the guest is unrestricted",
     [](M& m) {
         set_rights(m, cs, 0xa09f);
         set_rights(m, ss, 0x1'0060);  // even if unusable
     }},
    {"SS.DPL is 0 with data in CS and without protection",
     [](M& m) {
         make_unrestricted(m);
         set_rights(m, cs, 0xa093);
         set_rights(m, ss, 0xc0b3);
     }},
    {"SS.DPL is 0 with data in CS and without protection",
     [](M& m) {
         make_guest_real(m);
         set_rights(m, cs, 0xfb);
         set_rights(m, ss, 0xc0f3);
     }},
    {data_dpl, [](M& m) { set_selector(m, es, 0x13); }},
    {data_dpl,
     [](M& m) {
         set_selector(m, gs, 0x11);
         set_rights(m, gs, 0xc09b);
     }},
    {present, [](M& m) { set_rights(m, cs, 0xa01b); }},
    {present, [](M& m) { set_rights(m, ds, 0xc013); }},
    {middle, [](M& m) { set_rights(m, cs, 0xa19b); }},
    {middle, [](M& m) { set_rights(m, gs, 0xc893); }},
    {"a 64-bit CS has D clear", [](M& m) { set_rights(m, cs, 0xe09b); }},
    {bytes, [](M& m) { set_limit(m, cs, 0x1000); }},
    {bytes, [](M& m) { set_limit(m, ds, 0xffff'fffe); }},
    {large, [](M& m) { set_rights(m, cs, 0x209b); }},
    {large,
     [](M& m) {
         set_limit(m, es, 0x10'0fff);
         set_rights(m, es, 0x4093);
     }},
    {top, [](M& m) { set_rights(m, cs, 0x2'a09b); }},
    {top, [](M& m) { set_rights(m, ss, 0x8000'c093); }},

    {"TR is in the GDT", [](M& m) { set_selector(m, tr, 0x1c); }},
    {"a usable LDTR is in the GDT", [](M& m) { set_ldtr(m, F::guest_ldtr_selector, 0x2c); }},
    {"TR base is canonical", [](M& m) { set_base(m, tr, not_canonical); }},
    {"a usable LDTR's base is canonical",
     [](M& m) { set_ldtr(m, F::guest_ldtr_base, not_canonical); }},
    {"TR is a busy TSS, of 16 bits only outside IA-32e mode",
     [](M& m) { set_rights(m, tr, 0x89); }},
    {"TR is a busy TSS, of 16 bits only outside IA-32e mode",
     [](M& m) { set_rights(m, tr, 0x83); }},
    {"TR has S clear", [](M& m) { set_rights(m, tr, 0x9b); }},
    {"TR is present", [](M& m) { set_rights(m, tr, 0x0b); }},
    {"TR rights have no bits 11:8", [](M& m) { set_rights(m, tr, 0x18b); }},
    {"a TR in bytes has G clear", [](M& m) { set_rights(m, tr, 0x808b); }},
    {"a TR above 1 MByte has G set", [](M& m) { set_limit(m, tr, 0x10'0067); }},
    {"TR is usable", [](M& m) { set_rights(m, tr, 0x1'008b); }},
    {"TR rights have no bits 31:17", [](M& m) { set_rights(m, tr, 0x2'008b); }},
    {"a usable LDTR is an LDT", [](M& m) { set_ldtr(m, F::guest_ldtr_access_rights, 0x83); }},
    {"a usable LDTR has S clear", [](M& m) { set_ldtr(m, F::guest_ldtr_access_rights, 0x92); }},
    {"a usable LDTR is present", [](M& m) { set_ldtr(m, F::guest_ldtr_access_rights, 0x02); }},
    {"a usable LDTR's rights have no bits 11:8",
     [](M& m) { set_ldtr(m, F::guest_ldtr_access_rights, 0x182); }},
    {"a usable LDTR in bytes has G clear",
     [](M& m) { set_ldtr(m, F::guest_ldtr_access_rights, 0x8082); }},
    {"a usable LDTR above 1 MByte has G set",
     [](M& m) { set_ldtr(m, F::guest_ldtr_limit, 0x10'0fff); }},
    {"a usable LDTR's rights have no bits 31:17",
     [](M& m) { set_ldtr(m, F::guest_ldtr_access_rights, 0x8000'0082); }},
};

}  // namespace

std::span<const Violation> segment_violations() { return violations; }

}  // namespace postern::cpu::vmx

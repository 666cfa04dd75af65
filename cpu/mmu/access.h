// SPDX-License-Identifier: Apache-2.0
// Memory as instructions reach it: linear to physical (paging, then EPT, then the enclave check),
// and loads and stores that may cross pages or touch devices. The slow path; the fast one is the
// TLB compare in cpu/exec/fast.h, which these fill.
#pragma once

#include "arch/paging.h"
#include "base/address.h"
#include "base/result.h"
#include "cpu/cpu.h"

namespace postern::cpu {

enum class Access : u8 { read, write, execute };

/// As whom: the current privilege level, or supervisor whatever CPL is (descriptor tables, TSS,
/// IDT, the stack of an event's handler). Implicit accesses are never enclave accesses.
enum class Accessor : u8 { current, supervisor };

/// Only then does a #PF say that it was a fetch. SDM 3A, "Page-Fault Exceptions".
inline bool reports_fetches(const Cpu& c) { return c.efer.has(Efer::nxe) || c.cr4.has(Cr4::smep); }

/// Where paging and EPT lead.
struct Translation {
    Hpa address;
    Gpa guest_physical;
    u32 flags = 0;  // tlb_global, tlb_large
};

/// Where a linear address leads after paging and EPT. Raises #PF, #GP (not canonical) or an EPT
/// exit. No enclave check, and the TLB is not asked.
Result<> find_translation(Cpu& c, Gva linear, Access access, Accessor as, Translation& found);
inline Result<Hpa> translate(Cpu& c, Gva linear, Access access, Accessor as = Accessor::current,
                             Gpa* guest_physical = nullptr) {
    Translation found;
    TRY(find_translation(c, linear, access, as, found));
    if (guest_physical != nullptr) *guest_physical = found.guest_physical;
    return found.address;
}

/// MOV to CR3, CR0 or CR4 with PAE paging outside IA-32e mode: loads Cpu::pdpte from the table at
/// `cr3`, or raises #GP(0) for reserved bits. SDM 3A, "PDPTE Registers".
Result<> load_pdptes(Cpu& c, u64 cr3);
/// What must be 0 in a PDPTE that is present.
inline u64 reserved_in_pdpte(const Cpu& c) { return pdpte_reserved_mask(c.system->physical_bits); }

/// Are the data accesses of the current privilege level checked for alignment? Implicit accesses
/// of a supervisor's never are. SDM 3A, "Interrupt 17: Alignment Check Exception (#AC)".
inline bool checks_alignment(const Cpu& c) {
    return c.cpl == 3 && c.cr0.has(Cr0::am) && c.flags.has(Rflag::ac);
}
/// For data that load() and store() do not see whole. It comes last: what paging has to say has
/// been said. `alignment`: 1, 2, 4 or 8.
Result<> check_alignment(Cpu& c, Gva linear, unsigned alignment, u32 error_code = 0);

// Data accesses of 1, 2, 4 or 8 bytes, little-endian; page crossing, devices, EPC, abort page.
Result<u64> load(Cpu& c, Gva linear, unsigned size, Accessor as = Accessor::current);
Result<> store(Cpu& c, Gva linear, unsigned size, u64 value, Accessor as = Accessor::current);

// The same for parts of vectors, of which no alignment is asked. SDM 1, "Memory Alignment".
Result<u64> load_unaligned(Cpu& c, Gva linear, unsigned size);
Result<> store_unaligned(Cpu& c, Gva linear, unsigned size, u64 value);

// Any number of bytes up to 4096, all or nothing: every page is checked before a byte moves. Not
// checked for alignment.
Result<> load_bytes(Cpu& c, Gva linear, void* to, unsigned count, Accessor as = Accessor::current);
Result<> store_bytes(Cpu& c, Gva linear, const void* from, unsigned count,
                     Accessor as = Accessor::current);

/// Raises the fault that a store to these bytes would raise, and does nothing else (A/D bits and
/// the TLB aside).
Result<> probe_write(Cpu& c, Gva linear, unsigned count, Accessor as = Accessor::current);

/// Where the instruction bytes at `linear` lie in host memory, valid to the end of their page.
/// EPC seen from outside is a page of FFH. Raises #PF, #GP or an EPT exit.
Result<const u8*> code_pointer(Cpu& c, Gva linear);

/// Fills the TLB for an access within one page of plain memory; false if there is no such
/// translation, or the page must be reached by load() and store() (device, EPC seen from outside,
/// cached code, alignment checks). A fault is left pending but not acted on: the slow form finds it
/// again.
bool fill_tlb(Cpu& c, Gva linear, Access access, unsigned size);

// Physical bytes, EPC and devices included; used by page walks, VMCS regions, MSR lists.
u64 read_physical(Cpu& c, Hpa address, unsigned size);
void write_physical(Cpu& c, Hpa address, unsigned size, u64 value);

}  // namespace postern::cpu

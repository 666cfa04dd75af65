// SPDX-License-Identifier: Apache-2.0
// ENCLS[EEXTEND].
#include "arch/sgx/measurement.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"

namespace postern::cpu::sgx {

/// Measures 256 bytes of a page. SDM 3D, "EEXTEND", Operation, with the "not" that the manual
/// lost in "RBX does resolve". In: RBX = the SECS, RCX = the bytes.
Result<> eextend(Cpu& c) {
    Epc& epc = *c.system->epc;
    TRY(require_alignment(c, page_size, c.gpr[rbx]));
    const u64 secs_page = TRY(epc_operand(c, c.gpr[rbx], Access::write)) / page_size;
    TRY(require_alignment(c, eextend_chunk_size, c.gpr[rcx]));
    const u64 offset = TRY(epc_operand(c, c.gpr[rcx], Access::read));
    if (meets_conflict(c, EnclsLeaf::eextend)) return general_protection(c);
    const EpcmEntry& entry = epc.entries[offset / page_size];
    if (!entry.valid || (entry.page_type != PageType::reg && entry.page_type != PageType::tcs))
        return raise_epc_fault(c, c.gpr[rcx], Access::read);
    if (entry.enclave_secs != secs_page) return general_protection(c);
    const Secs& secs = epc.secs(secs_page);
    if (secs.attributes.flags.has(SgxAttribute::init)) return general_protection(c);

    // From here on nothing can fault.
    Measurement& measurement = epc.hidden(secs_page).measurement;
    const u64 chunk = entry.enclave_address - secs.baseaddr + offset % page_size;
    add_block(measurement, eextend_block(chunk).data());
    for (u64 done = 0; done < eextend_chunk_size; done += sizeof(MeasurementBlock))
        add_block(measurement, epc.bytes + offset + done);
    return Done{};
}

}  // namespace postern::cpu::sgx

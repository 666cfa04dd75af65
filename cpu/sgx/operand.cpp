// SPDX-License-Identifier: Apache-2.0
// Resolving and reporting, for all leaves alike.
#include "cpu/sgx/operand.h"

#include "cpu/decode/block_cache.h"
#include "cpu/exec/segment_check.h"
#include "cpu/flags.h"

namespace postern::cpu::sgx {

Result<Gva> operand_address(Cpu& c, u64 effective, u64 size) {
    if (in_64_bit_mode(c)) [[likely]]
        return Gva{effective};
    return segment_address(c, ds, static_cast<u32>(effective), size, Access::read);
}

Failed raise_epc_fault(Cpu& c, u64 effective, Access access) {
    PageFaultError error{PageFaultBit::p, PageFaultBit::sgx};
    error.set(PageFaultBit::wr, access == Access::write);
    error.set(PageFaultBit::us, c.cpl == 3);
    return raise_page_fault(c, operand_linear(c, effective), error.to_raw());
}

Result<u64> epc_operand(Cpu& c, u64 effective, Access access, Gpa* physical) {
    const Gva linear = TRY(operand_address(c, effective, 1));
    const Hpa address = TRY(translate(c, linear, access, Accessor::current, physical));
    const Epc& epc = *c.system->epc;
    if (!epc.contains(address)) return raise_epc_fault(c, effective, access);
    return epc.offset_of(address);
}

void about_to_write_page(Cpu& c, u64 page) {
    if (c.blocks != nullptr) c.blocks->about_to_write(c, c.system->epc->page(page), page_size);
}

namespace {

Result<> complete_with(Cpu& c, SgxError status, Rflags status_flags) {
    c.gpr[rax] = static_cast<u64>(status);
    set_rflags(c, (rflags(c) & ~rflags_status_mask) | status_flags.to_raw());
    return Done{};
}

}  // namespace

Result<> complete(Cpu& c, SgxError status) {
    return complete_with(c, status, status != SgxError::success ? Rflags{Rflag::zf} : Rflags{});
}

Result<> complete_with_information(Cpu& c, SgxError status) {
    return complete_with(c, status, {Rflag::cf});
}

}  // namespace postern::cpu::sgx

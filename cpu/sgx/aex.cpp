// SPDX-License-Identifier: Apache-2.0
// The asynchronous enclave exit. SDM 3D, "Asynchronous Enclave Exits (AEX)". All it touches in
// memory was translated and checked at entry, so nothing here can fault.
#include "cpu/flags.h"
#include "cpu/sgx/epc.h"
#include "cpu/sgx/extended_state.h"
#include "cpu/sgx/operand.h"
#include "cpu/sgx/sgx.h"
#include "cpu/sgx/thread.h"

namespace postern::cpu::sgx {
namespace {

/// Of a 32-bit enclave's registers the lower halves of the fields are written, R8 to R15 not at
/// all.
void put(const Enclave& e, u64& field, u64 value) {
    field = e.mode64 ? value : with_bits<31, 0>(field, static_cast<u32>(value));
}

unsigned saved_count(const Enclave& e) { return e.mode64 ? gpr_count : 8; }

void save_registers(const Cpu& c, bool fault_like, Gprsgx& to) {
    const Enclave& e = c.enclave;
    for (unsigned n = 0; n < saved_count(e); ++n) put(e, to.*saved_gpr[n], c.gpr[n]);
    put(e, to.rip, c.rip);
    to.fsbase = c.segment[fs].base;
    to.gsbase = c.segment[gs].base;
    Rflags flags = Rflags::from_raw(rflags(c)).with(Rflag::tf, false);
    if (fault_like) flags.set(Rflag::rf);
    put(e, to.rflags, flags.to_raw());
}

/// EXITINFO, and EXINFO for #GP and #PF. A #PF with U/S = 0 is no business of the enclave's.
void record_cause(const Cpu& c, const ExitCause& cause) {
    if (cause.access_exit && c.system->choices.exitinfo_after_ept_is_stale) return;
    const Epc& epc = *c.system->epc;
    const Enclave& e = c.enclave;
    auto& gprsgx = epc.at<Gprsgx>(e.ssa_gpr);
    gprsgx.exitinfo = {};
    if (!cause.is_exception) return;
    const auto miscselect = SgxMiscselectWord::from_raw(e.misc_select);
    gprsgx.exitinfo = exitinfo_of(cause.vector, miscselect);
    const bool page_fault = cause.vector == Vector::page_fault;
    if (!page_fault && cause.vector != Vector::general_protection) return;
    if (!miscselect.has(SgxMiscselect::exinfo)) return;
    if (page_fault && !PageFaultError::from_raw(cause.error_code).has(PageFaultBit::us)) return;
    epc.at<Exinfo>(e.ssa_misc) = {page_fault ? cause.address : 0, cause.error_code, 0};
}

void save_state(Cpu& c, const ExitCause& cause) {
    Epc& epc = *c.system->epc;
    const Enclave& e = c.enclave;
    about_to_write_page(c, e.ssa_gpr / page_size);
    about_to_write_page(c, e.ssa_xsave[0] / page_size);
    save_extended_state(c, Xcr0Word::from_raw(e.xfrm), epc.bytes + e.ssa_xsave[0]);
    save_registers(c, cause.fault_like, epc.at<Gprsgx>(e.ssa_gpr));
    record_cause(c, cause);
}

/// SDM 3D, table "GPR, x87 Synthetic States on Asynchronous Enclave Exit".
void load_synthetic_registers(Cpu& c) {
    const auto& gprsgx = c.system->epc->at<Gprsgx>(c.enclave.ssa_gpr);
    c.gpr[rax] = synthetic::rax;
    c.gpr[rbx] = c.enclave.tcs_linear;
    c.gpr[rcx] = c.enclave.aep;
    c.gpr[rdx] = c.gpr[rsi] = c.gpr[rdi] = 0;
    for (unsigned n = r8; n < saved_count(c.enclave); ++n) c.gpr[n] = 0;
    const bool mode64 = c.enclave.mode64;
    c.gpr[rsp] = mode64 ? gprsgx.ursp : static_cast<u32>(gprsgx.ursp);
    c.gpr[rbp] = mode64 ? gprsgx.urbp : static_cast<u32>(gprsgx.urbp);
    c.rip = c.enclave.aep;
    set_rflags(c, rflags(c) & ~synthetic::rflags_cleared);
}

}  // namespace

void asynchronous_exit(Cpu& c, const ExitCause& cause) {
    save_state(c, cause);
    load_synthetic_registers(c);
    const bool x87_fault = cause.is_exception && cause.vector == Vector::x87_floating_point;
    const bool simd_fault = cause.is_exception && cause.vector == Vector::simd_floating_point;
    load_synthetic_state(c, Xcr0Word::from_raw(c.enclave.xfrm),
                         x87_fault ? synthetic::fcw_on_mf : synthetic::fcw,
                         x87_fault ? synthetic::fsw_on_mf : synthetic::fsw,
                         simd_fault ? synthetic::mxcsr_on_xm : synthetic::mxcsr);
    ++c.system->epc->tcs(c.enclave.tcs_page).cssa;
    leave(c);
}

}  // namespace postern::cpu::sgx

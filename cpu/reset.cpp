// SPDX-License-Identifier: Apache-2.0
// Power-on values.
#include "cpu/reset.h"

#include <algorithm>

#include "arch/msr.h"
#include "arch/regs/dr6.h"
#include "arch/regs/dr7.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/model.h"
#include "cpu/simd/xsave.h"

namespace postern::cpu {

namespace {

Segment at_reset(u32 rights) {
    Segment s{};
    s.limit = 0xffff;
    s.access_rights = rights;
    return s;
}

void reset_segments(Cpu& c) {
    // The manual gives TR no type: with a TSS of 16 bits nobody could enter IA-32e mode, as all do,
    // before loading TR.
    constexpr u32 data = 0x93, code = 0x9b, ldt = 0x82, busy_tss = 0x8b;
    c.segment.fill(at_reset(data));
    c.segment[cs] = at_reset(code);
    c.segment[cs].selector = 0xf000;
    c.segment[cs].base = 0xffff'0000;
    c.segment[ldtr] = at_reset(ldt);
    c.segment[tr] = at_reset(busy_tss);
    c.gdtr = c.idtr = {0, 0xffff};
}

/// FEATURE_CONTROL is as a BIOS leaves it: locked, with what the model has.
u64 feature_control(const Model& model) {
    FeatureControlWord word{FeatureControl::lock};
    word.set(FeatureControl::vmx_outside_smx, has_feature(model, Feature::vmx));
    word.set(FeatureControl::sgx_enable, has_feature(model, Feature::sgx));
    word.set(FeatureControl::sgx_lc, has_feature(model, Feature::sgx_lc));
    return word.to_raw();
}

void reset_msrs(Cpu& c) {
    MsrState& m = c.msr;
    m = {};
    m.tsc_adjust = u64{0} - now(c);  // the counter itself starts at 0
    m.pat = pat_reset;
    m.apic_base = apic_base_reset_address |
                  ApicBaseWord{ApicBase::global_enable}.with(ApicBase::bsp, c.number == 0).to_raw();
    m.feature_control = feature_control(*c.system->model);
    m.misc_enable = MiscEnableWord{MiscEnable::fast_strings, MiscEnable::bts_unavailable,
                                   MiscEnable::pebs_unavailable}
                        .to_raw();
    std::copy_n(sgxlepubkeyhash_reset, m.sgx_le_pubkey_hash.size(), m.sgx_le_pubkey_hash.begin());
}

void reset_vectors(Cpu& c) {
    c.vector = {};
    c.vector.mxcsr = mxcsr_reset;
    c.vector.x87.fcw = fcw_reset;
    c.vector.x87.tag = 0xff;  // FTW = 5555H: every register valid, holding +0
}

void reset_vmx(Cpu& c) {
    const bool hosted = c.vmx.hosted;
    c.vmx = {};
    c.vmx.hosted = hosted;
    c.vmx.current = no_vmcs;
    c.vmx.preemption_deadline = ~u64{0};
}

}  // namespace

void reset_extended_state(Cpu& c) {
    reset_vectors(c);
    set_pkru(c, 0);
}

void reset_registers(Cpu& c) {
    c.gpr.fill(0);
    c.gpr[rdx] = c.system->model->signature;
    c.rip = c.next_rip = 0xfff0;
    c.cpl = 0;
    set_rflags(c, 0);
    reset_segments(c);
    c.cr0 = Cr0Word::from_raw(cr0_reset);
    c.cr2 = c.cr3 = 0;
    c.cr4 = {};
    c.efer = {};
    c.xcr0 = 1;
    c.dr.fill(0);
    c.dr6 = dr6_reset;
    c.dr7 = dr7_reset;
    reset_msrs(c);
    reset_vectors(c);
    c.event = {};
    if (c.number != 0) c.event.activity = ActivityState::wait_for_sipi;
    c.pending = {};
    c.enclave = {};
    reset_vmx(c);
}

void init_registers(Cpu& c) {
    constexpr u64 cache_bits = Cr0Word{Cr0::cd, Cr0::nw}.to_raw();
    const u64 cache = c.cr0.to_raw() & cache_bits;
    const MsrState msr = c.msr;
    const VectorState vector = c.vector;
    const u64 xcr0 = c.xcr0;
    const bool starts = c.event.sipi_pending;  // it may have come right after the INIT
    const u8 start_vector = c.event.sipi_vector;
    reset_registers(c);
    c.event.sipi_pending = starts;
    c.event.sipi_vector = start_vector;
    if (c.interrupts != nullptr) c.interrupts->init_reset();
    c.msr = msr;
    c.vector = vector;
    c.xcr0 = xcr0;
    c.cr0 = Cr0Word::from_raw((cr0_reset & ~cache_bits) | cache);
    c.monitor = {};
    flush_translations(c);
}

}  // namespace postern::cpu

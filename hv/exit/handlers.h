// SPDX-License-Identifier: Apache-2.0
// Every answer that a row of the exit table can give, by the kind of exit it is given to.
#pragma once

#include "hv/exit/exit.h"

namespace postern::hv {

// Exits outside enclaves.
Next on_exception(NormalExit&);
Next on_acknowledged(NormalExit&);  // the host's or the processor's business
Next on_triple_fault(NormalExit&);
Next on_window(NormalExit&);  // interrupt and NMI window
Next on_preemption_timer(NormalExit&);
Next on_apic_access(NormalExit&);
Next on_apic_write(NormalExit&);
Next on_virtualized_eoi(NormalExit&);
Next on_cpuid(NormalExit&);
Next on_hlt(NormalExit&);
Next on_cache_flush(NormalExit&);
Next on_control_register(NormalExit&);
Next on_mov_dr(NormalExit&);
Next on_task_switch(NormalExit&);  // stops, but #UD at CPL 3
Next on_io(NormalExit&);
Next on_rdmsr(NormalExit&);
Next on_wrmsr(NormalExit&);
Next on_xsetbv(NormalExit&);
Next on_encls(NormalExit&);
Next on_vmx_instruction(NormalExit&);        // VMCALL and those of VMX root operation
Next on_ept(NormalExit&);                    // violation and misconfiguration
Next on_undefined_instruction(NormalExit&);  // not offered to the guest: #UD
Next on_hidden_or_forced(NormalExit&);       // RDRAND, RDTSC, PAUSE and their like
Next on_corrupt(NormalExit&);                // a number that no exit has
Next on_unimplemented(NormalExit&);          // an instruction's: stops, but #UD at CPL 3
Next on_unimplemented_event(NormalExit&);    // an event's: stops

// An enclave's instruction was interrupted.
Next on_enclave_exception(EnclaveExit&);
Next on_enclave_acknowledged(EnclaveExit&);
Next on_enclave_triple_fault(EnclaveExit&);
Next on_enclave_window(EnclaveExit&);
Next on_enclave_preemption_timer(EnclaveExit&);
Next on_enclave_ept(EnclaveExit&);
Next on_enclave_device(EnclaveExit&);     // the guard
Next on_enclave_undefined(EnclaveExit&);  // can be met at CPL 3, not offered: #UD
Next on_enclave_mov_dr(EnclaveExit&);
Next on_enclave_hidden_or_forced(EnclaveExit&);
Next on_enclave_unimplemented_event(EnclaveExit&);
Next corrupt_from_enclave(EnclaveExit&);
/// The processor raises #UD, or #GP(0), before it would exit: an anomaly, then that fault.
Next never_from_enclave_ud(EnclaveExit&);
Next never_from_enclave_gp(EnclaveExit&);
/// An event that cannot interrupt an enclave: an anomaly, and on at the AEP.
Next never_from_enclave_event(EnclaveExit&);

// An event was being delivered.
Next on_delivery_exception(EnclaveDelivery&);
Next on_delivery_acknowledged(EnclaveDelivery&);  // the original event once more
Next on_delivery_triple_fault(EnclaveDelivery&);
Next on_delivery_ept(EnclaveDelivery&);
Next on_delivery_onto_device(EnclaveDelivery&);
Next on_delivery_unimplemented(EnclaveDelivery&);
Next corrupt_in_delivery(EnclaveDelivery&);
/// Nothing that exits so runs while an event is delivered: an anomaly, the event once more.
Next never_in_delivery(EnclaveDelivery&);

}  // namespace postern::hv

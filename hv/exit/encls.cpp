// SPDX-License-Identifier: Apache-2.0
// ENCLS of exits outside enclaves: no other has one, CPL 3 comes before the VM exit.
#include "hv/sgx/encls.h"
#include "hv/exit/handlers.h"
#include "hv/sgx/encls_bitmap.h"

namespace postern::hv {
namespace {

/// The guest may run the leaf itself. A bitmap that is older than what the guest has is written
/// again; one that says otherwise is not ours.
Next run_untrapped(NormalExit& exit) {
    exit.report(Anomaly::control_never_set);
    if (!exit.refresh_encls_bitmap()) return exit.fault(Vector::invalid_opcode);
    return exit.retry_without_control();
}

Next finish(NormalExit& exit, const EnclsEnd& end) {
    switch (end.kind) {
        case EnclsEnd::Kind::done: return exit.done();
        case EnclsEnd::Kind::status:
            exit.write(rax, end.rax);
            exit.set_status_flags(end.status_flags);
            return exit.done();
        case EnclsEnd::Kind::fault:
            if (end.vector == Vector::page_fault)
                return exit.page_fault(end.address, end.error_code);
            return exit.fault(end.vector);
        case EnclsEnd::Kind::again: return exit.retry();
        case EnclsEnd::Kind::refused: return exit.refuse_access(end.second_level, end.address);
        case EnclsEnd::Kind::broken: break;
    }
    return exit.stop(StopReason::sgx_operand, "ENCLS faulted on a page of the hypervisor's");
}

}  // namespace

/// SDM 3D, "ENCLS", Operation: what comes after the VM exit. CPL is looked at all the same: what is
/// run here is run with the hypervisor's rights.
Next on_encls(NormalExit& exit) {
    if (exit.cpl() != 0) return exit.fault(Vector::invalid_opcode);
    const auto leaf = static_cast<u32>(exit.read(rax));
    switch (exit.answer_encls(leaf)) {
        case EnclsAnswer::invalid_opcode: return exit.fault(Vector::invalid_opcode);
        case EnclsAnswer::general_protection: return exit.fault(Vector::general_protection);
        case EnclsAnswer::run: return run_untrapped(exit);
        case EnclsAnswer::enforce: break;
    }
    return finish(exit, exit.run_encls(static_cast<EnclsLeaf>(leaf)));
}

}  // namespace postern::hv

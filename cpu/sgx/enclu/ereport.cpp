// SPDX-License-Identifier: Apache-2.0
// ENCLU[EREPORT].
#include "arch/sgx/report.h"
#include "cpu/sgx/enclave_operand.h"
#include "cpu/sgx/epc.h"
#include "cpu/sgx/keys.h"
#include "cpu/sgx/leaf.h"

namespace postern::cpu::sgx {
namespace {

using ReportData = decltype(Report::reportdata);

/// All but the MAC; the reserved bytes are zero.
Report describe(const System& system, u32 secs_page, const ReportData& data) {
    const Secs& secs = system.epc->secs(secs_page);
    const SecsHidden& hidden = system.epc->hidden(secs_page);
    Report report{};
    report.cpusvn = cpusvn;
    report.miscselect = secs.miscselect;
    report.isvextprodid = hidden.isvextprodid;
    report.attributes = secs.attributes;
    report.mrenclave = secs.mrenclave;
    report.mrsigner = secs.mrsigner;
    report.configid = secs.configid;
    report.isvprodid = secs.isvprodid;
    report.isvsvn = secs.isvsvn;
    report.configsvn = secs.configsvn;
    report.isvfamilyid = hidden.isvfamilyid;
    report.reportdata = data;
    report.keyid = report_keyid(system);
    return report;
}

}  // namespace

/// Attests to another enclave of this processor who the running one is. SDM 3D, "EREPORT",
/// Operation. In: RBX = TARGETINFO, RCX = REPORTDATA, RDX = where the REPORT goes.
Result<> ereport(Cpu& c) {
    Targetinfo target;
    TRY(load_enclave_operand(c, c.gpr[rbx], targetinfo_alignment, target));
    ReportData data;
    TRY(load_enclave_operand(c, c.gpr[rcx], reportdata_alignment, data));
    const u64 output = TRY(enclave_operand(c, c.gpr[rdx], report_alignment, Access::write));

    // From here on nothing can fault.
    const System& system = *c.system;
    Report report = describe(system, c.enclave.secs_page, data);
    const Key key = derive_key(system, report_dependencies(system, target, report.keyid));
    report.mac = cmac(key, &report, report_maced_size);
    store_found(c, c.gpr[rdx], output, &report, sizeof report);
    return Done{};
}

}  // namespace postern::cpu::sgx

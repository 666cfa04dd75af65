#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux's KVM selftests on Debian's KVM on our processor, or as a guest of our hypervisor, whose
nested virtualization KVM then uses: one boot, 60 s of the guest's time for each, and a table. What
must pass and what may skip is written here, and is the same for both.

    debian_kvm_selftests.py POSTERN KERNELS SELFTESTS FLAVOUR PROCESSORS [rest] [hosted]

`rest` runs the other tests of x86_64; theirs are the expectations of REST."""
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from debian import SKIPPED, Debian, complaints, with_modules

TIMEOUT = 3500
PASS, SKIP = 0, 4                  # statuses of the selftests' framework
TIMED_OUT = (124, 143)

EXPECTED = dict.fromkeys((
    "cpuid_test", "cr4_cpuid_sync_test", "debug_regs", "get_msr_index_features",
    "monitor_mwait_test", "nested_exceptions_test", "platform_info_test", "set_sregs_test",
    "state_test", "sync_regs_test", "triple_fault_event_test", "tsc_msrs_test",
    "userspace_io_test", "userspace_msr_exit_test", "vmx_apic_access_test",
    "vmx_close_while_nested_test", "vmx_dirty_log_test", "vmx_invalid_nested_guest_state",
    "vmx_msrs_test", "vmx_nested_tsc_scaling_test", "vmx_preemption_timer_test",
    "vmx_set_nested_state_test", "vmx_tsc_adjust_test", "xapic_ipi_test", "xapic_state_test"), PASS)
EXPECTED["vmx_pmu_caps_test"] = SKIP                         # there is no PMU
EXPECTED["vmx_exception_with_invalid_guest_state"] = SKIP    # and passes below
# With unrestricted_guest=0, after the others.
RESTRICTED = "vmx_exception_with_invalid_guest_state"

REST = dict.fromkeys((
    "evmcs_test", "fix_hypercall_test", "hyperv_clock", "hyperv_cpuid", "hyperv_features",
    "kvm_clock_test", "kvm_pv_test", "max_vcpuid_cap_test", "set_boot_cpu_id", "smm_test",
    "tsc_scaling_sync", "ucna_injection_test", "xss_msr_test"), PASS)
REST |= dict.fromkeys((
    "amx_test",                     # AMX: no Ice Lake has it
    "emulator_error_test",          # wants EPT off (allow_smaller_maxphyaddr)
    "mmio_warning_test",            # wants unrestricted_guest=0
    "nx_huge_pages_test",           # a part of nx_huge_pages_test.sh, which gives it arguments
    "pmu_event_filter_test",        # a PMU
    "hyperv_svm_test", "sev_migrate_tests", "svm_int_ctl_test", "svm_nested_shutdown_test",
    "svm_nested_soft_inject_test", "svm_vmcall_test",   # AMD
    "xen_shinfo_test", "xen_vmcall_test"), SKIP)        # CONFIG_KVM_XEN, which Debian leaves out

SCRIPT = """#!/bin/busybox sh
run() {
    begin=$(cut -d' ' -f1 /proc/uptime)
    timeout 60 "$1" >/tmp/output 2>&1
    status=$?
    echo "selftest $2 $status $begin $(cut -d' ' -f1 /proc/uptime) $(grep -m1 SKIP /tmp/output)"
    [ $status = 0 ] || tail -n 12 /tmp/output
}
for test in /selftests/*; do run $test ${test##*/}; done
"""
AGAIN = f"""rmmod kvm_intel
insmod /lib/modules/kvm-intel.ko unrestricted_guest=0
run /selftests/{RESTRICTED} {RESTRICTED}:restricted
"""


@dataclass
class Result:
    name: str
    status: int
    seconds: float
    why: str

    @property
    def word(self):
        if self.status in TIMED_OUT:
            return "timeout"
        return {PASS: "pass", SKIP: "skip"}.get(self.status, f"status {self.status}")


def results(serial):
    for found in re.finditer(r"^selftest (\S+) (\d+) ([\d.]+) ([\d.]+) ?(.*?)\r?$", serial,
                             re.MULTILINE):
        name, status, begin, end, why = found.groups()
        yield Result(name, int(status), float(end) - float(begin),
                     why.partition("# SKIP - ")[2].removeprefix("Requirement not met: "))


def print_table(found):
    print(f"{'selftest':<50}{'result':<10}{'seconds':>8}")
    for result in found:
        print(f"{result.name:<50}{result.word:<10}{result.seconds:>8.2f}  {result.why}".rstrip())


def main():
    postern, kernels, selftests, flavour, processors, *words = sys.argv[1:]
    rest, hosted = "rest" in words, "hosted" in words
    programs = {path.name: path for path in sorted(Path(selftests, "bin/x86_64").glob("*"))}
    if not programs:
        print(f"skipped: {selftests} is missing; tools/kvm_selftests.sh builds it")
        sys.exit(SKIPPED)
    expected = REST if rest else {**EXPECTED, f"{RESTRICTED}:restricted": PASS}
    chosen = [name for name in programs if (name in EXPECTED) != rest]
    with tempfile.TemporaryDirectory() as work:
        made = with_modules(work, kernels, flavour, "kvm-intel",
                            script=SCRIPT + ("" if rest else AGAIN),
                            files=[(programs[name], f"selftests/{name}") for name in chosen])
        run = Debian(postern, kernels, made, flavour, TIMEOUT, bare=not hosted).boot(
            "nokaslr postern.run=check", "--cpus", processors)
    found = list(results(run.serial))
    print_table(found)
    seen = {result.name: result for result in found}
    wrong = [f"{name}: {seen[name].word if name in seen else 'did not run'}"
             for name, status in expected.items()
             if name not in seen or seen[name].status != status]
    wrong += [f"{name}: nothing is expected of it" for name in seen if name not in expected]
    wrong += complaints(run.serial)
    if run.status != 0:
        wrong.append(f"status {run.status}")
    if wrong:
        print(run.serial[-20000:], run.errors)
        sys.exit("FAILED:\n" + "\n".join(wrong))
    print(f"ok, {run.instructions} instructions and idle nanoseconds")


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux's own selftests of KVM, on Debian's kernel with its kvm-intel.ko, on our processor: each has
60 seconds of guest time, and must end as the table says. The programs are those of
tools/selftests.sh; status 4 is theirs for "skipped".

    kvm_selftests.py POSTERN KERNELS SELFTESTS required|rest"""
import re
import sys
import tempfile
from pathlib import Path

from debian import SKIPPED, Debian, complaints, with_modules

PASS, SKIP = 0, 4

# Skipped for what the machine lacks: a performance monitoring unit, and a KVM without
# "unrestricted guest" (AGAIN runs those with one).
REQUIRED = {
    "vmx_apic_access_test": PASS,
    "vmx_close_while_nested_test": PASS,
    "vmx_dirty_log_test": PASS,
    "vmx_exception_with_invalid_guest_state": SKIP,
    "vmx_invalid_nested_guest_state": PASS,
    "vmx_msrs_test": PASS,
    "vmx_nested_tsc_scaling_test": PASS,
    "vmx_pmu_caps_test": SKIP,
    "vmx_preemption_timer_test": PASS,
    "vmx_set_nested_state_test": PASS,
    "vmx_tsc_adjust_test": PASS,
    "set_sregs_test": PASS,
    "sync_regs_test": PASS,
    "userspace_io_test": PASS,
    "userspace_msr_exit_test": PASS,
    "state_test": PASS,
    "xapic_state_test": PASS,
    "xapic_ipi_test": PASS,
    "debug_regs": PASS,
    "nested_exceptions_test": PASS,
    "triple_fault_event_test": PASS,
    "cpuid_test": PASS,
    "cr4_cpuid_sync_test": PASS,
    "get_msr_index_features": PASS,
    "tsc_msrs_test": PASS,
    "platform_info_test": PASS,
    "monitor_mwait_test": PASS,
}
AGAIN = {"vmx_exception_with_invalid_guest_state": PASS}

SCRIPT = """#!/bin/busybox sh
one() {{
    timeout -k 5 60 /kvm/$1 >/tmp/output 2>&1 </dev/null
    status=$?
    echo "selftest $1 $2 status $status"
    [ $status = 0 ] || tail -n 12 /tmp/output | sed 's/^/    /'
}}
for name in {names}; do one $name default; done
{again}"""
AGAIN_SCRIPT = """rmmod kvm-intel
insmod /lib/modules/kvm-intel.ko unrestricted_guest=0
for name in {names}; do one $name restricted; done
"""


def results(serial):
    """Status by (name, way)."""
    found = re.findall(r"^selftest (\S+) (\S+) status (\d+)\r?$", serial, re.MULTILINE)
    return {(name, way): int(status) for name, way, status in found}


def main():
    postern, kernels, selftests, which = sys.argv[1:]
    programs = {path.name: path for path in Path(selftests).glob("*")}
    if not programs:
        print(f"skipped: {selftests} is empty; run tools/selftests.sh")
        sys.exit(SKIPPED)
    rest = sorted(programs.keys() - REQUIRED.keys())
    names = list(REQUIRED) if which == "required" else rest
    missing = [name for name in names if name not in programs]
    if missing:
        sys.exit(f"FAILED: not built: {' '.join(missing)}; see {selftests}.log")
    again = AGAIN_SCRIPT.format(names=" ".join(AGAIN)) if which == "required" else ""
    with tempfile.TemporaryDirectory() as work:
        initramfs = with_modules(work, kernels, "amd64", "kvm-intel",
                                 script=SCRIPT.format(names=" ".join(names), again=again),
                                 files=[(programs[name], f"kvm/{name}") for name in names])
        run = Debian(postern, kernels, initramfs, "amd64").boot(
            "postern.run=check", "--memory", "2G", timeout=280 if which == "required" else 3600)
    found = results(run.serial)
    wrong = [] if which == "rest" else complaints(run.serial)
    if run.status != 0:
        wrong.append(f"status {run.status}")
    expected = {(name, "default"): status for name, status in REQUIRED.items()}
    expected |= {(name, "restricted"): status for name, status in AGAIN.items()}
    for key in sorted({(name, "default") for name in names} if which == "rest" else expected):
        status = found.get(key)
        print(f"{key[0]:<42}{key[1]:<12}"
              f"{ {0: 'pass', 4: 'skip', None: 'not run'}.get(status, f'FAIL ({status})')}")
        if which == "required" and status != expected[key]:
            wrong.append(f"{key[0]} ({key[1]}): status {status}, not {expected[key]}")
        if which == "rest" and status is None:
            wrong.append(f"{key[0]}: not run")
    if wrong:
        print(run.serial[-12000:], run.errors[-2000:])
        sys.exit("FAILED:\n" + "\n".join(wrong))
    print(f"ok, {run.instructions} instructions and idle nanoseconds")


main()

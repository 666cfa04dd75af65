#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's own KVM on our processor, with all that it uses of VMX on by its own choice: our virtual
machine monitor takes every kind of exit from guests of its own, then boots a second Debian kernel,
whose KVM does the same again in the VMX that the first one's emulates. The first kernel has no
complaint.

    debian_kvm.py POSTERN KERNELS KVM FLAVOUR PROCESSORS [SECOND_FLAVOUR] [hosted]

`hosted`: the first kernel is a guest of our hypervisor, which offers less of VMX."""
import re
import sys
import tempfile
from pathlib import Path

from debian import Debian, complaints, with_modules

TIMEOUT = 550
MODES = ("real mode", "protected mode", "64-bit mode")
CHECKS = {f"{what} in {mode}" for mode in MODES
          for what in ("hlt", "ports", "port strings", "mmio", "cpuid", "injected interrupt")}
CHECKS |= {f"{what} in {mode}" for mode in MODES[1:] for what in ("mmio strings", "msrs")}
CHECKS |= {"edge on the ioapic", "level on the ioapic", "task priority", "self ipi", "apic timer",
           "start-up of a second processor", "ipis between two processors"}
NOT_NESTED = ("enable_apicv", "pml")   # what our hypervisor does not offer to a guest
PARAMETERS = ("ept", "vpid", "unrestricted_guest", "enable_apicv", "flexpriority", "pml")

SCRIPT = f"""#!/bin/busybox sh
cd /sys/module/kvm_intel/parameters
for name in {' '.join(PARAMETERS)}; do echo "parameter $name $(cat $name)"; done
timeout 60 kvm check
echo "checks: status $?"
"""
SECOND = """timeout 120 kvm linux /guest/vmlinuz /guest/initrd 256 "checks: status" postern.run=check
echo "second: status $?"
"""
NESTED = """#!/bin/busybox sh
timeout 60 kvm check
echo "checks: status $?"
"""
OF_SECOND = "guest: "


def wrong_checks(serial, whose=""):
    results = dict(re.findall(rf"^{whose}([^:\r\n]+): (ok|FAILED.*?)\r?$", serial, re.MULTILINE))
    for name in sorted(CHECKS):
        if results.get(name) != "ok":
            yield f"{whose}{name}: {results.get(name, 'did not run')}"


def main():
    postern, kernels, kvm, flavour, processors, *second = sys.argv[1:]
    hosted = "hosted" in second
    second = [word for word in second if word != "hosted"]
    script, files = SCRIPT, [(kvm, "bin/kvm")]
    wanted = [f"parameter {name} {'N' if hosted and name in NOT_NESTED else 'Y'}"
              for name in PARAMETERS] + ["checks: status 0"]
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as inner:
        if second:
            script += SECOND
            initrd = with_modules(inner, kernels, second[0], "kvm-intel", script=NESTED,
                                  files=files)
            files += [(Path(kernels, second[0], "vmlinuz"), "guest/vmlinuz"),
                      (f"{initrd}.gz", "guest/initrd")]
            wanted += [f"{OF_SECOND}checks: status 0", "linux: ok", "second: status 0"]
        made = with_modules(work, kernels, flavour, "kvm-intel", script=script, files=files)
        run = Debian(postern, kernels, made, flavour, TIMEOUT, bare=not hosted).boot(
            "nokaslr postern.run=check", "--cpus", processors)
    lines = run.serial.splitlines()
    ours = "\n".join(line for line in lines if not line.startswith(OF_SECOND))
    wrong = complaints(ours) + list(wrong_checks(run.serial))
    if second:
        wrong += wrong_checks(run.serial, OF_SECOND)
    wrong += [f"not in the log: {line}" for line in [*wanted, "postern: power off"]
              if line not in lines]
    if run.status != 0:
        wrong.append(f"status {run.status}")
    if wrong:
        print(run.serial[-6000:], run.errors)
        sys.exit("FAILED:\n" + "\n".join(wrong))
    print(f"ok, {run.instructions} instructions and idle nanoseconds")


main()

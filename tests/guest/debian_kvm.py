#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's own KVM on our processor, with all that it uses of VMX on by its own choice: our virtual
machine monitor takes every kind of exit from guests of its own, then boots a second Debian kernel
to the first line of its /init. The first kernel has no complaint.

    debian_kvm.py POSTERN KERNELS INITRAMFS KVM FLAVOUR PROCESSORS [SECOND_FLAVOUR]"""
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
PARAMETERS = ("ept", "vpid", "unrestricted_guest", "enable_apicv", "flexpriority", "pml")

SCRIPT = f"""#!/bin/busybox sh
cd /sys/module/kvm_intel/parameters
for name in {' '.join(PARAMETERS)}; do echo "parameter $name $(cat $name)"; done
timeout 60 kvm check
echo "checks: status $?"
"""
SECOND = """timeout 120 kvm linux /guest/vmlinuz /guest/initrd 256
echo "second: status $?"
"""


def wrong_checks(serial):
    results = dict(re.findall(r"^([^:\r\n]+): (ok|FAILED.*?)\r?$", serial, re.MULTILINE))
    for name in sorted(CHECKS):
        if results.get(name) != "ok":
            yield f"{name}: {results.get(name, 'did not run')}"


def main():
    postern, kernels, initramfs, kvm, flavour, processors, *second = sys.argv[1:]
    script, files = SCRIPT, [(kvm, "bin/kvm")]
    wanted = [f"parameter {name} Y" for name in PARAMETERS] + ["checks: status 0"]
    if second:
        script += SECOND
        files += [(Path(kernels, second[0], "vmlinuz"), "guest/vmlinuz"),
                  (f"{initramfs}.gz", "guest/initrd")]
        wanted += ["guest: postern: init reached", "linux: ok", "second: status 0"]
    with tempfile.TemporaryDirectory() as work:
        made = with_modules(work, kernels, flavour, "kvm-intel", script=script, files=files)
        run = Debian(postern, kernels, made, flavour, TIMEOUT).boot(
            "nokaslr postern.run=check", "--cpus", processors)
    ours = "\n".join(line for line in run.serial.splitlines() if not line.startswith("guest: "))
    wrong = complaints(ours) + list(wrong_checks(run.serial))
    wrong += [f"not in the log: {word}" for word in [*wanted, "postern: power off"]
              if word not in run.serial]
    if run.status != 0:
        wrong.append(f"status {run.status}")
    if wrong:
        print(run.serial[-6000:], run.errors)
        sys.exit("FAILED:\n" + "\n".join(wrong))
    print(f"ok, {run.instructions} instructions and idle nanoseconds")


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A whole tower of other people's code on our processor: Debian's kernel, its kvm-intel.ko, its QEMU,
and in that another Debian kernel, to its /init and a clean end of both.

    kvm_debian_in_debian.py POSTERN KERNELS INITRAMFS"""
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from debian import SKIPPED, Debian, complaints, with_modules

QEMU = shutil.which("qemu-system-x86_64")
FIRMWARE = {"kvmvapic.bin": "qemu", "linuxboot_dma.bin": "qemu", "bios-256k.bin": "seabios"}

SCRIPT = """#!/bin/busybox sh
mkdir -p /dev/shm /var/tmp
exec /bin/qemu -L /firmware -accel kvm -cpu host -m 192 -nodefaults -no-user-config -no-reboot \\
    -display none -serial stdio -kernel /inner/vmlinuz -initrd /inner/initrd \\
    -append 'console=ttyS0 ignore_loglevel'
"""


def qemu_files():
    """QEMU, the libraries it needs, and the firmware that a Linux guest needs of it."""
    libraries = re.findall(r"(/\S+) \(0x", subprocess.run(
        ("ldd", QEMU), check=True, capture_output=True, text=True).stdout)
    files = [(library, f"{library.removeprefix('/')}:755") for library in libraries]
    for name, package in FIRMWARE.items():
        files.append((Path("/usr/share", package, name), f"firmware/{name}"))
    return [(QEMU, "bin/qemu:755"), *files]


def main():
    postern, kernels, initramfs = sys.argv[1:]
    if QEMU is None:
        print("skipped: qemu-system-x86_64 is not installed")
        sys.exit(SKIPPED)
    inner = [(Path(kernels, "cloud/vmlinuz"), "inner/vmlinuz"), (f"{initramfs}.gz", "inner/initrd")]
    for needed, _ in inner:
        if not Path(needed).is_file():
            print(f"skipped: {needed} is missing")
            sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as work:
        outer = with_modules(work, kernels, "amd64", "kvm-intel", script=SCRIPT,
                             files=[*qemu_files(), *inner])
        run = Debian(postern, kernels, outer, "amd64", timeout=560).boot(
            "postern.run=check", "--memory", "2G")
    # The guest's own vulnerabilities are what QEMU's idea of a processor makes of them.
    wrong = [line for line in complaints(run.serial) if "Vulnerable" not in line]
    if run.status != 0:
        wrong.append(f"status {run.status}")
    parts = run.serial.split("postern: run check", 1)
    for wanted in ("Hypervisor detected: KVM", "postern: init reached", "postern: power off",
                   "reboot: Power down", "postern: status 0"):
        if wanted not in parts[-1]:
            wrong.append(f"not in the inner log: {wanted}")
    if wrong or len(parts) != 2:
        print(run.serial[-8000:], run.errors[-2000:])
        sys.exit("FAILED:\n" + "\n".join(wrong))
    print(f"ok, {run.instructions} instructions and idle nanoseconds")


main()

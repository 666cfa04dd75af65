#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel as a guest that reboots once and begins anew: the same kernel boots twice, its log
has no complaint either time, the disk and the clock keep what they had, the second boot finds the
whole EPC, and a snapshot of the second boot goes on alike.

    debian_resets.py POSTERN KERNELS FLAVOUR PROCESSORS HOW

HOW: port (our program writes CF9H), or a value of Linux's option reboot=, such as acpi or triple."""
import re
import sys
import tempfile
from pathlib import Path

from debian import Debian, complaints, with_modules

SIZE = 1 << 20
MARK = b"rebooted"

SCRIPT = """#!/bin/busybox sh
echo "boot: mark $(dd if=/dev/vda bs=8 count=1 2>/dev/null), since $(date +%s)"
if [ "$(dd if=/dev/vda bs=8 count=1 2>/dev/null)" = rebooted ]; then exit 0; fi
echo -n rebooted | dd of=/dev/vda 2>/dev/null
sync
RESET
echo "boot: goes on after its reset"
"""


def boots_of(log):
    return log.split("Linux version ")[1:]


def epc_lines(boot):
    return re.findall(r"sgx: EPC section .*", boot)


def check_log(run, processors, how):
    wrong = complaints(run.serial)
    boots = boots_of(run.serial)
    if len(boots) != 2 or run.serial.count("postern: init reached") != 2:
        return wrong + [f"the kernel boots {len(boots)} times"]
    if run.status != 0:
        wrong.append(f"status {run.status}")
    cause = "a triple fault of" if how == "triple" else "asked for by"
    if f"the guest begins anew: reset 1: {cause} processor" not in run.errors:
        wrong.append("nothing is said of the reset")
    for n, boot in enumerate(boots):
        for wanted in (f", {processors} processors", "boot: mark"):
            if wanted not in boot:
                wrong.append(f"not in the log of boot {n + 1}: {wanted}")
    if "boot: mark rebooted" not in boots[1] or "boot: goes on" in run.serial:
        wrong.append("the second boot is as the first")
    if not epc_lines(boots[0]) or epc_lines(boots[0]) != epc_lines(boots[1]):
        wrong.append("the second boot has another EPC")
    first, second = (int(time) for time in re.findall(r", since (\d+)", run.serial))
    if second < first:
        wrong.append(f"the clock went from {first} to {second}")
    return wrong


def from_snapshot(guest, processors, initramfs, disk, append, whole):
    """Of the second boot, with the kernel that another restart would need."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "snapshot")
        disk.write_bytes(bytes(SIZE))
        common = ("--on-reset", "restart", "--cpus", processors, "--drive", disk)
        first = guest.boot(append, *common, "--save", file, "--save-at",
                           whole.instructions * 3 // 4)
        second = guest.run("--kernel", guest.kernel, "--initrd", initramfs, *common, "--load", file)
    wrong = []
    if first.serial + second.serial != whole.serial:
        wrong.append("from the snapshot the console says something else")
    if len(boots_of(first.serial)) != 2:
        wrong.append("the snapshot is not of the second boot")
    if second.end() != whole.end():
        wrong.append(f"from the snapshot the end is another: {second.end()}, {whole.end()}")
    return wrong


def main():
    postern, kernels, flavour, processors, how = sys.argv[1:6]
    by_port = how == "port"
    script = SCRIPT.replace("RESET", "port 0xcf9 6" if by_port else "reboot -f")
    append = "postern.run=check" + ("" if by_port else f" reboot={how}")
    with tempfile.TemporaryDirectory() as work:
        initramfs = with_modules(work, kernels, flavour, "virtio_blk", script=script)
        disk = Path(work, "disk")
        disk.write_bytes(bytes(SIZE))
        guest = Debian(postern, kernels, initramfs, flavour, bare=False)
        run = guest.boot(append, "--on-reset", "restart", "--cpus", processors, "--drive", disk)
        wrong = check_log(run, processors, how)
        if disk.read_bytes()[:len(MARK)] != MARK:
            wrong.append("the disk has no mark")
        if not wrong:
            wrong = from_snapshot(guest, processors, initramfs, disk, append, run)
    if wrong:
        print(run.serial[-6000:], run.errors)
        sys.exit("FAILED:\n" + "\n".join(wrong))
    print(f"ok, {run.instructions} instructions and idle nanoseconds")


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's unmodified kernel on our processor, to our /init and a clean power-off, without a word
of complaint in its whole log.

    debian_boot.py POSTERN KERNELS INITRAMFS FLAVOUR PROCESSORS WAY [kaslr] [hosted]"""
import re
import sys

from debian import Debian, complaints

# Where Linux lies when nothing moves it: __START_KERNEL of its linker script.
UNMOVED = "ffffffff81000000"


def place_of_kernel(run):
    found = re.search(r"^([0-9a-f]{16}) T _text\r?$", run.serial, re.MULTILINE)
    return found[1] if found else None


def main():
    *places, flavour, processors, way = sys.argv[1:7]
    moved = "kaslr" in sys.argv[7:]
    append = "postern.run=grep,-m1,-w,_text,/proc/kallsyms" + ("" if moved else " nokaslr")
    bare = "hosted" not in sys.argv[7:]
    run = Debian(*places, flavour, bare=bare).boot(append, "--cpus", processors, "--boot", way)
    wrong = complaints(run.serial)
    if run.status != 0:
        wrong.append(f"status {run.status}")
    for wanted in ("postern: init reached", f", {processors} processors",
                   "postern: vulnerability spectre_v2: ", "postern: power off",
                   "reboot: Power down"):
        if wanted not in run.serial:
            wrong.append(f"not in the log: {wanted}")
    place = place_of_kernel(run)
    if place is None or (place != UNMOVED) != moved:
        wrong.append(f"the kernel lies at {place}")
    if wrong:
        print(run.serial[-6000:], run.errors)
        sys.exit("FAILED:\n" + "\n".join(wrong))
    print(f"ok, {run.instructions} instructions and idle nanoseconds")


main()

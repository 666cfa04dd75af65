#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel with its own driver of virtio consoles: a line that is typed reaches the guest,
what the guest writes comes out byte for byte, interrupts are messages, and the log, which goes to
the serial line, has no complaint.

    debian_console.py POSTERN KERNELS FLAVOUR PROCESSORS [hosted]"""
import hashlib
import sys
import tempfile
from pathlib import Path

from debian import Debian, complaints, with_modules

# The terminal is open all the time: it forgets its settings when nobody has it open.
SCRIPT = """#!/bin/busybox sh
exec 3<>/dev/hvc0
stty raw -echo <&3
echo ready >&3
read line <&3
echo "typed: $line" >&3
seq 1 20000 >&3
head -c 3000 <&3 | sha256sum >&3
grep virtio /proc/interrupts
"""
TYPED = b"hello, guest\n" + b"".join(b"line %d\n" % n for n in range(1, 1000))


def expected():
    return (b"ready\ntyped: hello, guest\n" + b"".join(b"%d\n" % n for n in range(1, 20001)) +
            hashlib.sha256(TYPED[13:3013]).hexdigest().encode() + b"  -\n")


def main():
    postern, kernels, flavour, processors = sys.argv[1:5]
    bare = "hosted" not in sys.argv[5:]
    with tempfile.TemporaryDirectory() as work:
        initramfs = with_modules(work, kernels, flavour, "virtio_console", script=SCRIPT)
        log = Path(work, "log")
        run = Debian(postern, kernels, initramfs, flavour, bare=bare).boot(
            "postern.run=check", "--cpus", processors, "--serial", log, "--console", "stdio",
            typed=(b"ready\n", TYPED))
        serial = log.read_text(errors="replace")
    wrong = complaints(serial)
    if run.status != 0:
        wrong.append(f"status {run.status}")
    for wanted in ("postern: module virtio_console", "PCI-MSI", "virtio0-input",
                   "postern: status 0", "postern: power off"):
        if wanted not in serial:
            wrong.append(f"not in the log: {wanted}")
    if run.serial.encode() != expected():
        wrong.append(f"{len(run.serial)} bytes came out: {run.serial[:60]!r}...")
    if wrong:
        print(serial[-6000:], run.errors)
        sys.exit("FAILED:\n" + "\n".join(wrong))
    print(f"ok, {run.instructions} instructions and idle nanoseconds")


main()

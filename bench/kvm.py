#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What handling one VM exit costs the guest of Debian's KVM on Postern, in instructions: the
program of guests/kvm measures it with its guests' time-stamp counters, which count each
instruction as one. The numbers are exact: the same kernel gives the same ones on any host.

    kvm.py [--markdown] [--program build/release/guests/kvm]"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KERNELS = ROOT / "build/kernels/amd64"
INITRD = ROOT / "build/bench-kvm.cpio"
POSTERN = ROOT / "build/release/postern"
ROWS = {"cpuid": "CPUID", "ept_violation": "EPT violation, the monitor's page is there",
        "ept_violation_new_page": "EPT violation, page allocated and cleared",
        "mmio_in_kernel": "MMIO, the I/O APIC in the kernel",
        "mmio_in_monitor": "MMIO, to the monitor and back",
        "port_in_monitor": "IN, to the monitor and back",
        "interrupt": "external interrupt: the timer tick in a guest",
        "interrupt_without_guest": "the same tick in a program of Debian's"}
HEADS = ["guest-visible instructions per exit", "median", "least", "most"]


def fail(message):
    sys.exit(f"bench: {message}")


def prepare(program):
    for needed in (KERNELS / "vmlinuz", program, POSTERN):
        if not needed.is_file():
            fail(f"{needed} is missing; make and tools/kernels.sh make it")
    try:
        subprocess.run((ROOT / "tools/initramfs.py", "--output", INITRD, "--module", "kvm-intel",
                        "--add", f"{program}=bin/kvm"), check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        fail(error)


def run(timeout):
    """(rows, seconds): the lines of one boot."""
    command = (POSTERN, "run", "--bare", "--kernel", KERNELS / "vmlinuz", "--initrd", INITRD,
               "--append", "console=ttyS0 postern.run=kvm,measure")
    started = time.monotonic()
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        fail(f"KVM's guests still run after {timeout} s")
    text = done.stdout.decode(errors="replace")
    rows = {name: [int(n) for n in numbers.split()]
            for name, numbers in re.findall(r"^cost (\w+) (\d+ \d+ \d+)\r?$", text, re.M)}
    missing = [name for name in ROWS if name not in rows]
    if missing:
        fail(f"no {', '.join(missing)}; the last lines:\n" + text[-2000:])
    return rows, time.monotonic() - started


def print_table(rows, markdown):
    table = [HEADS, *([label, *map(str, rows[name])] for name, label in ROWS.items())]
    widths = [max(len(line[i]) for line in table) for i in range(len(HEADS))]
    for number, line in enumerate(table):
        cells = [cell.ljust(width) if i == 0 else cell.rjust(width)
                 for i, (cell, width) in enumerate(zip(line, widths))]
        print(f"| {' | '.join(cells)} |" if markdown else "  ".join(cells))
        if number == 0 and markdown:
            print("|" + "|".join([" --- ", *[" ---: "] * (len(HEADS) - 1)]) + "|")


def main():
    parser = argparse.ArgumentParser(description="Counts what Debian's KVM costs its guests.")
    parser.add_argument("--program", type=Path, default=ROOT / "build/release/guests/kvm")
    parser.add_argument("--timeout", type=float, default=300, help="seconds")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    prepare(arguments.program)
    rows, seconds = run(arguments.timeout)
    print((KERNELS / "package").read_text(encoding="ascii").strip() + "; kvm-intel on Postern")
    print_table(rows, arguments.markdown)
    bochs = shutil.which("bochs")
    print(f"boot and all rows: {seconds:.1f} s; "
          + (f"bochs: {bochs} is there, but this driver cannot boot it yet" if bochs
             else "bochs, the one peer with VMX: not installed"))


main()

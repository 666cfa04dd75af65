#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel on a machine with 1 GiB of EPC: it finds all of it, clears it and boots; a
snapshot of such a machine is as small as what is in it and loads.

    debian_large_epc.py POSTERN KERNELS INITRAMFS FLAVOUR"""
import sys
import tempfile
from pathlib import Path

from debian import Debian, complaints
from machine import expect

EPC = ["--epc", "1G"]
SECTION = "sgx: EPC section 0x100000000-0x13fffffff"
NODE = "ACPI: SRAT: Node 0 PXM 0 [mem 0x100000000-0x13fffffff]"
SNAPSHOT_MOST = 256 << 20


def main():
    debian = Debian(*sys.argv[1:])
    with tempfile.TemporaryDirectory() as directory:
        saved = Path(directory, "saved")
        made = debian.boot("nokaslr", *EPC, "--save", saved, "--save-at", "mark")
        expect(made.status == 0, made.errors)
        for line in (SECTION, NODE):
            expect(line in made.serial, f"no line {line}")
        size = saved.stat().st_size
        print(f"the snapshot has {size} bytes")
        expect(size < SNAPSHOT_MOST, "the snapshot is large")
        loaded = debian.run("--load", saved, *EPC)
        expect(loaded.status == 0, loaded.errors)
        log = made.serial + loaded.serial
        expect("postern: init reached" in log and "reboot: Power down" in log, log[-2000:])
        expect(complaints(log) == [], complaints(log))
        other = debian.run("--load", saved, "--epc", "64M")
        expect(other.status == 2 and "--epc 1G" in other.errors, other.errors)
    print("ok")


main()

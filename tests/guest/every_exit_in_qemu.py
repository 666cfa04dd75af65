#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots every_exit.elf in QEMU: what its instructions do outside an enclave on a processor that is
not ours, what it says to a processor without SGX and to a wrong command line.

    every_exit_in_qemu.py EVERY_EXIT.elf
"""
import subprocess
import sys

from machine import TIMEOUT, expect, need_qemu, qemu, values

# What the manual says; None: the instruction completes. INT1 and RDPMC are left out: QEMU does
# not know the first and has no counters.
OUTSIDE = {
    "cpuid": None, "in": None, "out": None, "sgdt": None, "sldt": None, "vmcall": 6,
    "syscall": None, "pause": None, "pause_loop": None, "rdtsc": None, "int3": 3,
    "single_step": 1, "divide": 0, "page_fault": 14, "gp": 13, "mov_dr": None, "vmread": 6,
    "mmio": None, "mmio_tf": 1, "double_fault": 8,
}


def boot(path, command_line):
    done = subprocess.run(qemu(path, command_line, "-device", "isa-debug-exit,iobase=0xf4"),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=TIMEOUT)
    print(f"--- \"{command_line}\": status {done.returncode}\n{done.stdout}{done.stderr}", end="")
    return done.returncode, done.stdout


def check_outside(path):
    status, output = boot(path, "mode=outside scenario=" + ",".join(OUTSIDE))
    said = values(output)
    expect(status == 1 and said.get("done") == "1", f"it ends with {status}")
    for name, vector in OUTSIDE.items():
        expect(said[f"{name}.outside_count"] == ("0" if vector is None else "1"), f"{name}: count")
        if vector is None:
            expect(said.get(f"{name}.outside") == "ok", f"{name}: not ok")
        else:
            expect(said.get(f"{name}.outside_vector") == str(vector), f"{name}: vector")
    expect(said["page_fault.outside_error"] == "4", "the error code of the #PF")
    expect(said["page_fault.outside_cr2"] == "400038000123", "CR2 of the #PF")


def check_no_sgx(path):
    status, output = boot(path, "scenario=cpuid")
    expect(values(output) == {"sgx": "0"} and status == 5, f"without SGX it ends with {status}")


def check_bad_command_lines(path):
    for word, named in (("scenario=none", "none"), ("scenario=cpuid,,in", ""), ("mode=x", "x"),
                        ("pages=0", "0"), ("instructions=1x", "1x"), ("quiet", "quiet")):
        status, output = boot(path, word)
        expect(f'"{named}"' in output and "right would be" in output, f"no word of {word}")
        expect(status == 9, f"{word}: status {status}")


def main():
    need_qemu()
    path = sys.argv[1]
    check_outside(path)
    check_no_sgx(path)
    check_bad_command_lines(path)
    print("ok")


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots first_light.elf in QEMU by its PVH note: the self-test, and what it says to a processor
without SGX and to a wrong command line.

    first_light_in_qemu.py FIRST_LIGHT.elf
"""
import hashlib
import subprocess
import sys

from machine import TIMEOUT, expect, need_qemu, qemu, values

DATA_PAGE = bytes((i * 7 + 3) & 0xff for i in range(4096))


def boot(path, command_line):
    done = subprocess.run(qemu(path, command_line, "-device", "isa-debug-exit,iobase=0xf4"),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=TIMEOUT)
    print(f"--- \"{command_line}\": status {done.returncode}\n{done.stdout}{done.stderr}", end="")
    return done.returncode, done.stdout


def check_selftest(path):
    status, output = boot(path, "selftest")
    wanted = {"selftest.ud": "1", "selftest.supervisor_refused": "1",
              "selftest.untouched_is_zero": "1", "done": "1",
              "selftest.digest": hashlib.sha256(DATA_PAGE).hexdigest()}
    expect(values(output) == wanted, f"the self-test says {values(output)}")
    expect(status == 1, f"the self-test ends with {status}")


def check_no_sgx(path):
    for command_line in ("", "rows=1"):
        status, output = boot(path, command_line)
        expect(values(output) == {"sgx": "0"} and "no SGX" in output, "no word of the missing SGX")
        expect(status == 5, f"without SGX it ends with {status}")


def check_bad_command_lines(path):
    for word in ("rows=4", "rows=", "rows=1,,2", "rows=12", "selftests", "quiet"):
        status, output = boot(path, word)
        expect(f'"{word}"' in output and "right would be" in output, f"no word of {word}")
        expect(status == 9, f"{word}: status {status}")


def main():
    need_qemu()
    path = sys.argv[1]
    check_selftest(path)
    check_no_sgx(path)
    check_bad_command_lines(path)
    print("ok")


main()

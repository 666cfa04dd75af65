#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The demo's part in Debian, as `make run` shows it: Linux's SGX selftests in a hosted guest, every
row of the table with its controls.

    hosted_scenarios.py POSTERN KERNELS SELFTESTS PROGRAM FLAVOUR [OPTION ...]

PROGRAM: guests/linux_scenarios. OPTION: more of `postern demo`."""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from debian import SKIPPED, with_modules

TIMEOUT = 400
ROOT = Path(__file__).resolve().parents[2]


def files_of(selftests, program):
    yield ROOT / "guests/linux/demo", "bin/demo"
    yield program, "bin/linux_scenarios"
    for name in ("test_sgx", "test_encl.elf"):
        yield Path(selftests, "bin", name), f"sgx/{name}"


def main():
    postern, kernels, selftests, program, flavour, *options = sys.argv[1:]
    kernel = Path(kernels, flavour, "vmlinuz")
    if not kernel.is_file():
        print(f"skipped: {kernel} is missing")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as work:
        made = with_modules(work, kernels, flavour, script="", files=files_of(selftests, program))
        done = subprocess.run([postern, "demo", "--guest", "debian", "--kernel", kernel, "--initrd",
                               made, *options], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=False, timeout=TIMEOUT)
    print(done.stdout, done.stderr, sep="")
    wrong = []
    if done.returncode != 0 or done.stderr:
        wrong.append(f"status {done.returncode}")
    if not options and "SGX selftests under Postern: 16 of 16\n" not in done.stdout:
        wrong.append("not 16 of 16")
    last = re.search(r"^(\d+) runs, (\d+) as predicted, 0 not; ", done.stdout, re.MULTILINE)
    if not last or last[1] != last[2] or (not options and int(last[1]) != 88):
        wrong.append("the last line")
    if any(len(line) > 190 for line in done.stdout.splitlines()):
        wrong.append("a line of more than 190 columns")
    if wrong:
        sys.exit("FAILED: " + ", ".join(wrong))


main()

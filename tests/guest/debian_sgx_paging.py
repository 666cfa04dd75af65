#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three times the EPC in enclaves on Debian's SGX driver: two programs at once on two processors,
each with two enclaves of 12 MiB that it uses in turns, in 16 MiB. Every page is read as it was
written, through evictions that are counted, and the kernel's log has no complaint.

    debian_sgx_paging.py POSTERN KERNELS PROGRAM FLAVOUR PROCESSORS"""
import re
import sys
import tempfile

from debian import Debian, complaints, with_modules

TIMEOUT = 560
ROUNDS = 2
PAGES = 2 * 3072   # of a program
EPC_PAGES = 4096
SCRIPT = f"""#!/bin/busybox sh
for number in 1 2; do
    {{ sgx oversubscribe 2 {ROUNDS} >/tmp/$number 2>&1; echo "status $?" >>/tmp/$number; }} &
done
wait
for number in 1 2; do sed "s/^/program $number: /" /tmp/$number; done
"""
# All pages are filled, then read and filled again in each round; what is not in the EPC when its
# turn comes has been written out. In turns, nothing stays until it is used again.
LEAST_EVICTED = ROUNDS * (2 * PAGES - EPC_PAGES)


def main():
    postern, kernels, program, flavour, processors = sys.argv[1:]
    with tempfile.TemporaryDirectory() as work:
        made = with_modules(work, kernels, flavour, script=SCRIPT, files=[(program, "bin/sgx")])
        # A rate that EWB practically never meets makes the machine count how often it is asked.
        run = Debian(postern, kernels, made, flavour, TIMEOUT).boot(
            "nokaslr postern.run=check", "--epc", "16M", "--cpus", processors,
            "--sgx-conflict", "ewb=0.000001")
    wrong = complaints(run.serial)
    lines = run.serial.splitlines()
    for number in (1, 2):
        for line in (*(f"round {n}: {PAGES} pages ok" for n in range(ROUNDS)), "status 0"):
            if f"program {number}: {line}" not in lines:
                wrong.append(f"not printed: program {number}: {line}")
    found = re.search(r"conflicts of EWB, asked for (\d+) times", run.errors)
    evicted = int(found[1]) if found else 0
    if evicted < LEAST_EVICTED:
        wrong.append(f"EWB executed {evicted} times; expected: at least {LEAST_EVICTED}")
    if run.status != 0 or "postern: power off" not in lines:
        wrong.append(f"status {run.status}")
    if wrong:
        print(run.serial[-6000:], run.errors)
        sys.exit("FAILED:\n" + "\n".join(wrong))
    print(f"ok, {evicted} pages evicted, {run.instructions} instructions and idle nanoseconds")


main()

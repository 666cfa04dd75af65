#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two processes of a hosted Debian: one whose enclave takes exits without end, one that only
hashes. The innocent one has its share of the processor, and its digests are right.

    hosted_hostile.py POSTERN KERNELS PROGRAM FLAVOUR

PROGRAM: guests/linux_scenarios. Measured in instructions of the guest, so the same every time."""
import hashlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from debian import SKIPPED, complaints, with_modules

TIMEOUT = 170
PAGES = 300
SLOWED_AT_MOST = 3
DIGEST = hashlib.sha256(bytes((i * 7 + 3) & 0xff for i in range(4096))).hexdigest()

SCRIPT = f"""#!/bin/busybox sh
echo alone
linux_scenarios hashing {PAGES}
echo beside
linux_scenarios hostile &
hostile=$!
sleep 0.2
linux_scenarios hashing {PAGES}
kill -TERM $hostile
wait $hostile
echo "over $?"
"""


def said(part, name):
    return dict(re.findall(rf"^@{name}\.(\w+)=(\w+)\r?$", part, re.MULTILINE))


def wrong_hashing(what, found):
    if (found.get("digest"), found.get("ok"), found.get("digests")) != (DIGEST, *[str(PAGES)] * 2):
        yield f"{what}: a wrong digest: {found}"


def wrong_hostile(found):
    wanted = {"rip_is_aep": "1", "synthetic": "1", "xmm_clear": "1", "digest": DIGEST}
    for key, value in wanted.items():
        if found.get(key) != value:
            yield f"hostile.{key} is {found.get(key)}"
    if int(found.get("count", 0)) < 1000 or int(found.get("resumes", 0)) < 1000:
        yield f"hostile did next to nothing: {found}"


def main():
    postern, kernels, program, flavour = sys.argv[1:]
    kernel = Path(kernels, flavour, "vmlinuz")
    if not kernel.is_file():
        print(f"skipped: {kernel} is missing")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as work:
        made = with_modules(work, kernels, flavour, script=SCRIPT,
                            files=[(program, "bin/linux_scenarios")])
        done = subprocess.run([postern, "run", "--kernel", kernel, "--initrd", made, "--append",
                               "console=ttyS0 nokaslr postern.run=check", "--test-devices"],
                              stdin=subprocess.DEVNULL, capture_output=True, check=False,
                              timeout=TIMEOUT)
    log = done.stdout.decode(errors="replace")
    _, _, rest = log.partition("\nalone")
    alone, _, beside = rest.partition("\nbeside")
    quiet, disturbed = said(alone, "hashing"), said(beside, "hashing")
    hostile = said(beside, "hostile")
    wrong = complaints(log) + list(wrong_hashing("alone", quiet))
    wrong += [*wrong_hashing("beside", disturbed), *wrong_hostile(hostile)]
    if done.returncode != 0 or "\nover 0" not in log:
        wrong.append(f"status {done.returncode}")
    if not wrong:
        slowed = int(disturbed["ticks"]) / int(quiet["ticks"])
        print(f"beside {hostile['count']} events of {hostile['entries']} entries: {slowed:.2f} "
              "times as long")
        if not 1 < slowed <= SLOWED_AT_MOST:
            wrong.append(f"slowed by {slowed:.2f}")
    if wrong:
        print(log[-20000:], done.stderr.decode(errors="replace"))
        sys.exit("FAILED:\n" + "\n".join(wrong))


main()

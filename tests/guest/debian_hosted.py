#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Debian's unmodified kernel as the guest of Postern's hypervisor: to our /init and a clean
power-off, without a word of complaint, with a log that is a bare machine's but for what is listed
here, at no more than one and a half times bare's seconds, twice the same, and the same from a
snapshot that is made on the way.

    debian_hosted.py POSTERN KERNELS INITRAMFS FLAVOUR PROCESSORS"""
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

from debian import Debian, complaints

SLOWER_AT_MOST = 1.5

# Lines that only one of the two logs has, and why. Times and what follows from them may differ.
DIFFERENCES = (
    ("CPUID tells of a hypervisor", r"microcode: "),
    ("hosted there is no MWAIT", r"process: using mwait in idle threads"),
    ("hosted IA32_TEST_CTRL is not tried", r"x86/split lock detection: "),
    ("a time", r"sched_clock: Marking stable"),
    ("a time", r"audit: type=2000 audit\([\d.]+:1\): state=initialized"),
    ("a time", r"node \d deferred pages initialised in \d+ms"),
    ("a time", r"registered taskstats|Loaded X.509|random: crng"),
    ("a time", r"rcu: .*(jiffies|g=)"),
    ("a time", r"Trying to unpack rootfs image|Freeing initrd memory"),
    ("a time", r"tsc: Refined|clocksource: "),
    ("a time", r"rtc_cmos .*setting system clock"),
)


def lines_of(log):
    """Without the times at their beginning, and without the order of what runs at the same time."""
    stripped = (re.sub(r"^\[ *[\d.]+\] ", "", line.rstrip("\r")) for line in log.splitlines())
    return Counter(line for line in stripped if line)


def unexplained(bare, hosted):
    here, there = lines_of(bare), lines_of(hosted)
    wrong = []
    for way, only in (("bare", here - there), ("hosted", there - here)):
        wrong += [f"only {way}: {line}" for line in only
                  if not any(re.search(pattern, line) for _, pattern in DIFFERENCES)]
    return wrong


def check_end(run, processors):
    wrong = complaints(run.serial)
    if run.status != 0:
        wrong.append(f"status {run.status}: {run.errors}")
    for wanted in ("postern: init reached", f", {processors} processors", "postern: power off",
                   "reboot: Power down"):
        if wanted not in run.serial:
            wrong.append(f"not in the log: {wanted}")
    return wrong


def from_snapshot(hosted, processors, whole):
    """Saved in the middle, loaded, run to the end: the same console bytes, the same end."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory, "snapshot")
        middle = whole.instructions // 2
        first = hosted.boot("", "--cpus", processors, "--save", file, "--save-at", middle)
        second = hosted.run("--cpus", processors, "--load", file)
    wrong = []
    if first.serial + second.serial != whole.serial:
        wrong.append("from the snapshot the console says something else")
    if second.end() != whole.end():
        wrong.append(f"from the snapshot the end is another: {second.end()}, {whole.end()}")
    return wrong


def main():
    *places, flavour, processors = sys.argv[1:6]
    bare = Debian(*places, flavour).boot("", "--cpus", processors)
    guest = Debian(*places, flavour, bare=False)
    hosted = guest.boot("", "--cpus", processors)
    wrong = check_end(hosted, processors) + unexplained(bare.serial, hosted.serial)
    again = guest.boot("", "--cpus", processors)
    if (again.end(), again.serial) != (hosted.end(), hosted.serial):
        wrong.append(f"the second time is another: {again.end()}, {hosted.end()}")
    wrong += from_snapshot(guest, processors, hosted)
    ratio = min(hosted.seconds, again.seconds) / bare.seconds
    if ratio > SLOWER_AT_MOST:
        wrong.append(f"hosted takes {ratio:.2f} times bare's processor seconds")
    if wrong:
        print(hosted.serial[-4000:])
        sys.exit("FAILED:\n" + "\n".join(wrong))
    print(f"ok, {hosted.instructions} instructions and idle nanoseconds, {ratio:.2f} times the "
          f"processor seconds of bare's {bare.instructions}")


main()

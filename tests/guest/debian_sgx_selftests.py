#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux's SGX selftests on Debian's SGX driver on our processor: every test passes and the kernel's
log has no complaint.

    debian_sgx_selftests.py POSTERN KERNELS SELFTESTS FLAVOUR PROCESSORS [OPTION ...]

OPTION: more of `postern run`, such as --sgx-conflict. With several processors one test may fail:
docs/sgx-selftests.md says why."""
import re
import sys
import tempfile
from pathlib import Path

from debian import SKIPPED, Debian, complaints, with_modules

TIMEOUT = 560
# test_sgx waits for each test in seconds of the guest's, 30 if the test says no more.
EXPECTED = (
    "unclobbered_vdso", "unclobbered_vdso_oversubscribed", "unclobbered_vdso_oversubscribed_remove",
    "clobbered_vdso", "clobbered_vdso_and_user_function", "tcs_entry", "pte_permissions",
    "tcs_permissions", "epcm_permissions", "augment", "augment_via_eaccept", "tcs_create",
    "remove_added_page_no_eaccept", "remove_added_page_invalid_access",
    "remove_added_page_invalid_access_after_eaccept", "remove_untouched_page")
# What the machine counts when an option makes it do something.
DONE = re.compile(r"^ *[1-9]\d*  (?:conflicts|interruptions) of ", re.MULTILINE)
SECTION = "sgx: EPC section 0x100000000-0x103ffffff"     # 64 MiB

# A line at a time with the time: how long each test takes is part of the result.
SCRIPT = """#!/bin/busybox sh
cd /sgx
ls -l /dev/sgx_enclave
./test_sgx 2>&1 | while read -r line; do echo "selftest $(cut -d' ' -f1 /proc/uptime) $line"; done
"""


def results(serial):
    """Of each test: its name, the harness's word for it, the guest's seconds it took."""
    begin, comment = 0.0, ""
    for found in re.finditer(r"^selftest ([\d.]+) (.*?)\r?$", serial, re.MULTILINE):
        time, line = float(found[1]), found[2]
        if line.startswith("#  RUN"):
            begin, comment = time, ""
        elif ended := re.match(r"(ok|not ok) \d+ (?:\w+\.)*enclave\.(\w+)(.*)", line):
            yield ended[2], ended[1] + ended[3], time - begin, comment
        elif re.match(r"# \S+\.c:\d+:", line):
            comment = comment or line


def print_table(found):
    print(f"{'selftest':<50}{'result':<10}{'seconds':>8}")
    for name, word, seconds, comment in found:
        print(f"{name:<50}{word:<10}{seconds:>8.2f}  {'' if word == 'ok' else comment}".rstrip())


def wrong_results(found, serial):
    seen = {name: word for name, word, *_ in found}
    for name in EXPECTED:
        if seen.get(name) != "ok":
            yield f"{name}: {seen.get(name, 'did not run')}"
    for name in seen:
        if name not in EXPECTED:
            yield f"{name}: nothing is expected of it"
    count = len(EXPECTED)
    totals = f"# Totals: pass:{count} fail:0 xfail:0 xpass:0 skip:0 error:0"
    for line in (f"1..{count}", f"# PASSED: {count} / {count} tests passed.", totals):
        if not re.search(rf"^selftest [\d.]+ {re.escape(line)}\r?$", serial, re.MULTILINE):
            yield f"not printed: {line}"


def run_selftests(arguments, **more):
    """What the machine did and what the tests said. `more`: for Debian()."""
    postern, kernels, selftests, flavour, processors, *options = arguments
    programs = [(Path(selftests, "bin", name), f"sgx/{name}")
                for name in ("test_sgx", "test_encl.elf")]
    if not all(path.is_file() for path, _ in programs):
        print(f"skipped: {selftests} is not complete; tools/sgx_selftests.sh builds it")
        sys.exit(SKIPPED)
    with tempfile.TemporaryDirectory() as work:
        made = with_modules(work, kernels, flavour, script=SCRIPT, files=programs)
        run = Debian(postern, kernels, made, flavour, TIMEOUT, **more).boot(
            "nokaslr postern.run=check", "--cpus", processors, *options)
    found = list(results(run.serial))
    print_table(found)
    wrong = complaints(run.serial) + list(wrong_results(found, run.serial))
    if SECTION not in run.serial:
        wrong.append(f"not in the log: {SECTION}")
    if run.status != 0:
        wrong.append(f"status {run.status}")
    return run, wrong


def end(run, wrong):
    if wrong:
        print(run.serial[-20000:], run.errors)
        sys.exit("FAILED:\n" + "\n".join(wrong))


def main():
    options = sys.argv[6:]
    run, wrong = run_selftests(sys.argv[1:])
    if options and not DONE.search(run.errors):
        wrong.append(f"{' '.join(options)} did nothing")
    end(run, wrong)
    for line in run.errors.splitlines():
        if DONE.match(line):
            print(line.strip())
    print(f"ok, {run.instructions} instructions and idle nanoseconds")


if __name__ == "__main__":
    main()

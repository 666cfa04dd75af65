#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Linux's SGX selftests on Debian as Postern's guest: every test passes, the kernel's log has no
complaint, each enclave was created by an ECREATE that the hypervisor ran, and nothing was refused.

    hosted_sgx_selftests.py POSTERN KERNELS SELFTESTS FLAVOUR PROCESSORS [OPTION ...]"""
import re
import sys

from debian_sgx_selftests import EXPECTED, end, run_selftests


def exits_of(reason, errors):
    """--stats: how many there were outside enclaves."""
    found = re.search(rf"^ *(\d+)  exits: \d+ {reason}, normal$", errors, re.MULTILINE)
    return int(found[1]) if found else 0


def main():
    run, wrong = run_selftests(sys.argv[1:], bare=False)
    if refusal := re.search(r"^postern: refused .*\n.*", run.errors, re.MULTILINE):
        wrong.append(refusal[0])
    # Each test has an enclave of its own: an ECREATE and an EINIT.
    if (encls := exits_of("encls", run.errors)) < 2 * len(EXPECTED):
        wrong.append(f"{encls} VM exits of ENCLS")
    end(run, wrong)
    print(f"ok, {len(EXPECTED)} of {len(EXPECTED)}, {encls} VM exits of ENCLS")


main()

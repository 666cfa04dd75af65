#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An enclave's report and keys on Debian's SGX driver: the same in another machine with the same
--sgx-seed, others with another; the report's MAC is what OpenSSL says, and it names the enclave
and the signer that our signing tool wrote into SIGSTRUCT.

    debian_sgx_keys.py POSTERN KERNELS PROGRAM FLAVOUR SIGSTRUCT SIGNER"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from debian import Debian, complaints, with_modules
from machine import expect

TIMEOUT = 170
KEYS = ("report key", "seal key of the enclave", "seal key of the signer")
# Where a SIGSTRUCT and a REPORT have what is compared. SDM 3D, the structures' tables.
ENCLAVEHASH = slice(960, 992)
ATTRIBUTES, MRENCLAVE, MRSIGNER = slice(48, 64), slice(64, 96), slice(128, 160)
REPORTDATA, MAC, COVERED = slice(320, 384), slice(416, 432), slice(0, 384)


def values(serial):
    return {name: bytes.fromhex(value) for name, value in
            re.findall(r"^((?:report|seal)[\w ]*): ([0-9a-f]+)\r?$", serial, re.MULTILINE)}


def cmac(key, message):
    done = subprocess.run(("openssl", "mac", "-cipher", "AES-128-CBC", "-macopt",
                           f"hexkey:{key.hex()}", "-binary", "-in", "/dev/stdin", "CMAC"),
                          input=message, capture_output=True, check=False)
    expect(done.returncode == 0, f"openssl: {done.stderr.decode()}")
    return done.stdout


def main():
    postern, kernels, program, flavour, sigstruct, signer = sys.argv[1:]
    with tempfile.TemporaryDirectory() as work:
        made = with_modules(work, kernels, flavour, script="#!/bin/busybox sh\nsgx keys\n",
                            files=[(program, "bin/sgx")])
        debian = Debian(postern, kernels, made, flavour, TIMEOUT)
        seen = []
        for seed in (7, 7, 8):
            run = debian.boot("nokaslr postern.run=check", "--sgx-seed", seed)
            expect(run.status == 0 and not complaints(run.serial), run.serial[-3000:])
            seen.append(values(run.serial))
            expect(len(seen[-1]) == 1 + len(KEYS), f"printed: {sorted(seen[-1])}")
    first, again, other = seen
    expect(first == again, "another machine with the same seed has other keys")
    everything = [keys[name] for keys in (first, other) for name in KEYS]
    expect(len(set(everything)) == len(everything), "two of the keys are the same")
    for keys in (first, other):
        report = keys["report"]
        expect(report[MRENCLAVE] == Path(sigstruct).read_bytes()[ENCLAVEHASH], "MRENCLAVE")
        expect(report[MRSIGNER] == Path(signer).read_bytes(), "MRSIGNER")
        expect(report[ATTRIBUTES] == bytes((7,)) + bytes(7) + bytes((3,)) + bytes(7), "ATTRIBUTES")
        expect(report[REPORTDATA] == bytes(range(64)), "REPORTDATA")
        expect(report[MAC] == cmac(keys["report key"], report[COVERED]), "the report's MAC")
    print("ok")


main()

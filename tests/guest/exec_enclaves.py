#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""exec_enclaves.py POSTERN KERNELS CACHE ADDER SELFTESTS: our example enclave (examples/adder),
as its README says, with an AEX after each of its instructions too; and Linux's own test enclave, if
tools/sgx_selftests.sh has built it."""
import subprocess
import sys
import tempfile
from pathlib import Path

from exec_run import Exec

EXPECTED = b"""call 1 of the enclave: 2 + 40 = 42
call 2 of the enclave: 2 + 40 = 42
call 3 of the enclave: 2 + 40 = 42
its report says 42, and its MRENCLAVE is the one that was signed
its data, read from outside: ffffffff
"""
FILES = ("--file", "adder.image", "--file", "adder.sigstruct")


def example(run, adder):
    for name, options in (("example", ()), ("two processors", ("--cpus", 2)),
                          ("an AEX after each instruction", ("--interrupt-enclave", "every=1")),
                          ("another seed", ("--sgx-seed", 7))):
        run.expect(name, run("./adder", "2", "40", cwd=adder, options=[*FILES, *options]), 0,
                   EXPECTED)
    run.expect("no SGX", run("./adder", cwd=adder, options=[*FILES, "--epc", 0]), 1,
               err=b"adder: /dev/sgx_enclave: No such file or directory\n")


def tampered(run, adder):
    """One bit of the image, of the product's number, of the signature: EINIT refuses, which the
    driver tells as EPERM. Linux, "Software Guard eXtensions (SGX)"."""
    with tempfile.TemporaryDirectory() as directory:
        for name in ("adder", "adder.image", "adder.sigstruct"):
            Path(directory, name).write_bytes(Path(adder, name).read_bytes())
        Path(directory, "adder").chmod(0o755)
        for name, place in (("adder.image", 0x3fff), ("adder.sigstruct", 1024),
                            ("adder.sigstruct", 600)):
            whole = Path(adder, name).read_bytes()
            changed = bytearray(whole)
            changed[place] ^= 1
            Path(directory, name).write_bytes(changed)
            run.expect(f"another byte {place} of {name}",
                       run("./adder", cwd=directory, options=FILES), 1,
                       err=b"adder: EINIT: Operation not permitted\n")
            Path(directory, name).write_bytes(whole)


def from_its_makefile(run, adder):
    """As a user builds it: with a new key, in a copy of the directory."""
    source = Path(__file__).resolve().parents[2] / "examples/adder"
    with tempfile.TemporaryDirectory() as directory:
        for file in source.iterdir():
            if file.is_file():
                Path(directory, file.name).write_bytes(file.read_bytes())
        done = subprocess.run(["make", "--silent"], cwd=directory, check=False,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if done.returncode != 0:
            print("the example's own make: not run, gcc, make or openssl is missing")
            return
        run.expect("the example's own make",
                   run("./adder", "2", "40", cwd=directory, options=FILES), 0, EXPECTED)
        # The measurement does not depend on the key.
        mine, ours = (Path(place, "adder.sigstruct").read_bytes()[960:992]
                      for place in (directory, adder))
        run.expect("the same measurement", run("true"), 0, err=lambda _: mine == ours)


def selftests(run, place):
    """All sixteen, with an EPC small enough that filling it takes no time."""
    if not all(Path(place, name).is_file() for name in ("test_sgx", "test_encl.elf")):
        print(f"Linux's test enclave: not run, {place} is not complete")
        return
    run.expect("Linux's test enclave",
               run("./test_sgx", cwd=place, options=["--file", "test_encl.elf", "--epc", "8M"]), 0,
               lambda text: b"# PASSED: 16 / 16 tests passed.\n" in text,
               lambda text: b"postern" not in text)


def main():
    run = Exec(*sys.argv[1:4])
    adder, programs = sys.argv[4:6]
    example(run, adder)
    tampered(run, adder)
    from_its_makefile(run, adder)
    selftests(run, Path(programs, "bin"))
    run.verdict()


if __name__ == "__main__":
    main()

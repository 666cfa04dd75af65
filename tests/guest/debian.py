# SPDX-License-Identifier: Apache-2.0
"""What the tests that boot Debian's kernels on our processor share: the command, what it prints,
and the log they take as a sign of a right machine."""
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SKIPPED = 77
INITRAMFS = Path(__file__).resolve().parents[2] / "tools/initramfs.py"
TIMEOUT = 170

# What a Linux log says of a machine that is wrong, or that it thinks weak.
COMPLAINTS = ("WARNING", "BUG", "unchecked MSR", "[Firmware Bug]", "TSC unstable", "Vulnerable",
              "I/O error", "not loaded")


@dataclass
class Run:
    status: int
    serial: str
    errors: str
    seconds: float = 0  # of processor time

    @property
    def instructions(self):
        return int(self._of_stats(r"^ *(\d+) +instructions"))

    @property
    def digest(self):
        return self._of_stats(r"^state ([0-9a-f]{64})$")

    def _of_stats(self, pattern):
        found = re.search(pattern, self.errors, re.MULTILINE)
        if not found:
            sys.exit(f"FAILED: no line like {pattern}:\n{self.errors}")
        return found[1]

    def end(self):
        """What must be the same whenever the same thing is run."""
        return self.status, self.instructions, self.digest


class Debian:
    """A kernel and the initial file system that tools/kernels.sh and tools/initramfs.py made."""

    def __init__(self, postern, kernels, initramfs, flavour, timeout=TIMEOUT, bare=True):
        self.postern = postern
        self.way = ["--bare"] if bare else []
        self.timeout = timeout
        self.kernel = Path(kernels, flavour, "vmlinuz")
        self.initramfs = Path(initramfs)
        for needed in (self.kernel, self.initramfs):
            if not needed.is_file():
                print(f"skipped: {needed} is missing")
                sys.exit(SKIPPED)

    def boot(self, append, *options, program=None, typed=None):
        return self.run("--kernel", self.kernel, "--initrd", self.initramfs, "--append",
                        f"console=ttyS0 ignore_loglevel {append}", *options, program=program,
                        typed=typed)

    def run(self, *options, program=None, typed=None):
        """`typed`: what is waited for on standard output, and what is typed then."""
        command = [program or self.postern, "run", *self.way, "--stats", *map(str, options)]
        given = subprocess.PIPE if typed else subprocess.DEVNULL
        before = os.times()
        with subprocess.Popen(command, stdin=given, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as machine:
            early = b""
            try:
                if typed:
                    early = wait_for(typed[0], machine.stdout)
                    machine.stdin.write(typed[1])
                output, errors = machine.communicate(timeout=self.timeout)
            finally:
                machine.kill()
        after = os.times()
        seconds = (after.children_user + after.children_system - before.children_user -
                   before.children_system)
        return Run(machine.returncode, (early + output).decode(errors="replace"), errors.decode(),
                   seconds)


def wait_for(prompt, stream):
    """What came up to and with `prompt`, or all of it if that never came."""
    seen = b""
    while not seen.endswith(prompt):
        byte = stream.read(1)
        if not byte:
            break
        seen += byte
    return seen


def with_modules(directory, kernels, flavour, *modules, script, files=()):
    """An initial file system that loads the modules and has `script` as /bin/check. `files` are
    more of it: (where it is, its path there)."""
    output, check = Path(directory, "initramfs.cpio"), Path(directory, "check")
    check.write_text(script)
    place = Path(kernels, flavour, "modules")
    if not place.is_dir():
        print(f"skipped: {place} is missing")
        sys.exit(SKIPPED)
    words = [word for module in modules for word in ("--module", module)]
    for source, path in files:
        if not Path(source).is_file():
            print(f"skipped: {source} is missing")
            sys.exit(SKIPPED)
        words += ["--add", f"{source}={path}"]
    subprocess.run([sys.executable, "-B", INITRAMFS, "--output", output, "--modules", place,
                    "--add", f"{check}=bin/check", *words], check=True, stdout=subprocess.DEVNULL)
    return output


def complaints(log):
    return [line for line in log.splitlines() if any(word in line for word in COMPLAINTS)]

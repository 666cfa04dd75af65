# SPDX-License-Identifier: Apache-2.0
"""What the tests of `postern exec` share: running it, with snapshots in a directory of the build,
and comparing what came out with what is written in the test."""
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SKIPPED = 77
TIMEOUT = 170


@dataclass
class Run:
    status: int
    out: bytes
    err: bytes


class Exec:
    def __init__(self, postern, kernels, cache, flavour="amd64"):
        self.postern = Path(postern).resolve()
        self.cache = Path(cache).resolve()
        self.kernel = Path(kernels, flavour, "vmlinuz").resolve()
        self.failures = 0
        if not self.kernel.is_file():
            print(f"skipped: {self.kernel} is missing")
            sys.exit(SKIPPED)

    def __call__(self, *words, options=(), given=b"", cwd=None, environment=None, **more):
        """`given`: bytes for standard input, or an open file."""
        kernel = () if "--kernel" in options else ("--kernel", self.kernel)
        command = [self.postern, "exec", *map(str, (*kernel, *options)), "--", *map(str, words)]
        source = {"input": given} if isinstance(given, bytes) else {"stdin": given}
        more.setdefault("stdout", subprocess.PIPE)
        more.setdefault("stderr", subprocess.PIPE)
        done = subprocess.run(command, cwd=cwd, timeout=TIMEOUT, check=False,
                              env={**os.environ, "XDG_CACHE_HOME": str(self.cache),
                                   **(environment or {})},
                              **source, **more)
        return Run(done.returncode, done.stdout, done.stderr)

    def expect(self, name, run, status, out=b"", err=b""):
        """`out` and `err`: all bytes, or a function that says whether they are right."""
        wrong = []
        for what, seen, wanted in (("status", run.status, status), ("output", run.out, out),
                                   ("error", run.err, err)):
            right = wanted(seen) if callable(wanted) else seen == wanted
            if not right:
                shown = seen if isinstance(seen, int) else seen[:600]
                wrong.append(f"  {what}: {shown!r}"
                             + ("" if callable(wanted) else f", not {wanted!r}"[:600]))
        print(f"{name}: {'FAILED' if wrong else 'ok'}", *wrong, sep="\n" if wrong else "")
        self.failures += bool(wrong)

    def verdict(self):
        sys.exit(f"FAILED: {self.failures}" if self.failures else 0)


def line(*words):
    """One line of ours with these words in it."""
    def is_right(text):
        return (text.startswith(b"postern: ") and text.endswith(b"\n") and text.count(b"\n") == 1
                and all(word.encode() in text for word in words))
    return is_right


def compile_c(directory, name, source, *flags):
    """A program or library from a few lines of C."""
    path = Path(directory, name)
    done = subprocess.run(["gcc", "-O1", "-x", "c", "-", "-o", path, *map(str, flags)],
                          input=source.encode(), check=False)
    if done.returncode != 0:
        print("skipped: gcc does not build the test's program")
        sys.exit(SKIPPED)
    return path

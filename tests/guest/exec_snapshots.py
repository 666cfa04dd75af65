#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""exec_snapshots.py POSTERN KERNELS: `postern exec` with a cache of its own. The first run boots and
keeps the machine, the second goes on from there and ends in the very same state; a file that is no
good is named and made anew; a cache that cannot be written does no harm."""
import os
import re
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from exec_run import Exec, line

SCRIPT = ("sh", "-c", "read a; echo $a; exit 3")


def end_of(run):
    """What must be the same by every way: instructions and the digest of the machine's state."""
    return re.findall(rb"^(\d+) instructions|^state ([0-9a-f]{64})$", run.err, re.MULTILINE)


def spoil(path, change):
    content = bytearray(path.read_bytes())
    path.write_bytes(change(content))


def flip(content):
    content[len(content) // 2] ^= 1
    return content


def main():
    with tempfile.TemporaryDirectory() as cache:
        run = Exec(*sys.argv[1:3], cache)
        snapshots = Path(cache, "postern", "snapshots")

        def check(name, options=("--stats",), err=None):
            made = run(*SCRIPT, options=options, given=b"hello\n")
            run.expect(name, made, 3, b"hello\n", err or (lambda text: b"postern:" not in text))
            return made

        without = check("booted, nothing kept", ("--stats", "--no-snapshot"))
        run.expect("no cache", without, 3, b"hello\n",
                   lambda _: len(end_of(without)) == 2 and not snapshots.exists())
        first = check("booted, kept")
        [kept] = snapshots.iterdir()
        saved = kept.read_bytes()
        second = check("loaded")
        for other in (first, second):
            run.expect("the same end", other, 3, b"hello\n",
                       lambda _, other=other: end_of(other) == end_of(without))
        run.expect("the kernel's log is not seen", second, 3, b"hello\n",
                   lambda text: b"Linux version" not in text)

        for name, change in (("damaged", flip), ("cut", lambda c: c[:1000]),
                             ("empty", lambda c: b""), ("another file", lambda c: b"text" * 99)):
            spoil(kept, change)
            made = check(f"a file that is {name}", ("--verbose",),
                         lambda text: re.search(rb"^postern: [^\n]*it is made anew$", text,
                                                re.MULTILINE) and b"Linux version" in text)
            run.expect(f"and made anew: {name}", made, 3, b"hello\n",
                       lambda _: kept.read_bytes() == saved)

        run.expect("another machine", run("true", options=["--memory", "512M"]), 0)
        run.expect("has a file of its own", run("true"), 0, err=lambda _: len(
            list(snapshots.iterdir())) == 2)
        os.utime(kept, (1, 1))
        for number in range(8):
            Path(snapshots, f"{number}").write_bytes(b"x")
        run.expect("a new one", run("true", options=["--memory", "256M"]), 0,
                   err=lambda _: len(list(snapshots.iterdir())) == 8 and not kept.exists())

        with ThreadPoolExecutor(2) as pool:
            both = list(pool.map(lambda _: run("sh", "-c", "exit 5"), range(2)))
        for one in both:
            run.expect("two at once", one, 5)
        run.expect("left whole", run("true"), 0, err=lambda _: kept.read_bytes() == saved)

        run.cache = Path(cache, "a file")
        run.cache.write_bytes(b"")
        run.expect("a cache that is none", run("sh", "-c", "exit 6"), 6, err=line(str(run.cache)))
        run.verdict()


if __name__ == "__main__":
    main()

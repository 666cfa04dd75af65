# SPDX-License-Identifier: Apache-2.0
"""Debian's gdb, driven through a script, on a run of Postern; and what it printed."""
import re
import shutil
import subprocess
import sys
import tempfile

from machine import TIMEOUT, expect


def need_gdb():
    if shutil.which("gdb") is None:
        print("skipped: gdb is not installed")
        sys.exit(77)


def session(command, symbols, text, timeout=TIMEOUT):
    """What gdb printed; what the guest wrote, what is said of its end, and the status."""
    with tempfile.NamedTemporaryFile("w", suffix=".gdb") as script:
        with subprocess.Popen([*command, "--gdb", "0"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as program:
            try:
                line = program.stderr.readline()
                found = re.search(r"waiting for a debugger at (\S+)", line)
                expect(found, f"Postern says: {line}")
                script.write(text.replace("{address}", found[1]))
                script.flush()
                gdb = subprocess.run(["gdb", "-nx", "-batch", "-x", script.name, symbols],
                                     stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                     timeout=timeout)
                output, errors = program.communicate(timeout=timeout)
            finally:
                program.kill()
    print(gdb.stdout, gdb.stderr, output, errors, sep="\n---\n")
    return gdb.stdout + gdb.stderr, (output, errors, program.returncode)


def parts(text):
    found = {}
    for part in re.split(r"^@", text, flags=re.M)[1:]:
        name, _, rest = part.partition("\n")
        found[name] = rest
    return found


def values(text, pattern=r"\$\d+ = (0x[0-9a-f]+)"):
    return [int(word, 16) for word in re.findall(pattern, text)]

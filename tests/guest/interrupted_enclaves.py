#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs our guests with --interrupt-enclave: their enclaves' results do not change, the runtime
counts as many ERESUMEs as the machine counts interruptions, bare the kernel sees nothing, and
hosted each is a VM exit that the hypervisor counts.

    interrupted_enclaves.py FIRST_LIGHT.elf EVERY_EXIT.elf POSTERN [POSTERN_AS_A_LOOP]

By the loop build only if it is there.
"""
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import TIMEOUT, expect, values

DIGEST = hashlib.sha256(bytes((i * 7 + 3) & 0xff for i in range(4096))).hexdigest()
WAYS = {"bare": ["--bare"], "hosted": []}


def run(postern, guest, append, *options):
    """What the guest said by its keys, and the counters."""
    with tempfile.TemporaryDirectory() as directory:
        stats = Path(directory, "stats")
        command = [postern, "run", "--kernel", guest, "--append", append, "--stats", stats]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False,
                              timeout=TIMEOUT)
        expect(done.returncode == 1, f"{options}: status {done.returncode}: {done.stderr}")
        return values(done.stdout), json.loads(stats.read_text())


def enclave_exits(stats):
    return sum(kinds.get("enclave", 0) for kinds in stats["exits"].values())


def check_first_light(postern, guest, way):
    """One thread, which hashes: every instruction of the enclave is one that may be the last."""
    plain, stats = run(postern, guest, "rows=1", *WAYS[way])
    expect(plain["row1.digest"] == DIGEST, f"{way}: {plain}")
    expect(stats["interruptions"] == {}, f"{way}: {stats['interruptions']}")
    usual = int(plain["row1.resumes"])
    instructions = 0
    for asked in ("every=1", "every=7", "every=1000", "at=1", "at=12345", "seed=1", "seed=2"):
        said, stats = run(postern, guest, "rows=1", *WAYS[way], "--interrupt-enclave", asked)
        where = f"{way}, {asked}"
        made = stats["interruptions"]
        print(f"{where}: {made['given']} in {made['instructions']} instructions")
        expect(said["row1.digest"] == DIGEST, f"{where}: {said}")
        expect(int(said["row1.resumes"]) == usual + made["given"], f"{where}: {said}")
        instructions = instructions or made["instructions"]
        expect(made["instructions"] == instructions, f"{where}: {made}, not {instructions}")
        kind, number = asked.split("=")
        # EEXIT is the last instruction, and there is nothing left to interrupt after it.
        if kind == "every":
            expect(made["given"] == (instructions - 1) // int(number), f"{where}: {made}")
        if kind == "at":
            expect(made["given"] == 1, f"{where}: {made}")
        if kind == "seed":
            expect(5 < made["given"] < instructions // 100, f"{where}: {made}")
        if way == "hosted":
            of_host = stats["exits"]["external_interrupt"]["enclave"]
            expect(of_host == made["given"], f"{where}: {of_host} exits by the host's interrupt")
            expect(enclave_exits(stats) == usual + of_host, f"{where}: {stats['exits']}")
            expect(stats["anomalies"] == {}, f"{where}: {stats['anomalies']}")


def end(postern, guest, *options):
    _, stats = run(postern, guest, "rows=1", "--bare", "--interrupt-enclave", *options)
    return stats["state"], stats["time"]


def check_same_by_every_way(postern, guest, loops):
    for asked in ("seed=5", "every=3"):
        usual = end(postern, guest, asked)
        for engine in ("no-chaining", "one-page"):
            expect(end(postern, guest, asked, "--engine", engine) == usual,
                   f"{asked}: another run with {engine}")
        for loop in loops:
            if Path(loop).is_file():
                expect(end(loop, guest, asked) == usual, f"{asked}: another run by a loop")
    expect(end(postern, guest, "seed=5") == end(postern, guest, "seed=5"), "seed=5 twice")
    expect(end(postern, guest, "seed=5") != end(postern, guest, "seed=6"), "seeds 5 and 6")


def check_events(postern, guest, way):
    """Exceptions of an enclave, and that an interruption before them changes nothing of them. Its
    frame is read by the enclave itself, which is entered for that: CSSA is 1 then."""
    names = "cpuid,divide,page_fault,gp,int3_debug,rdrand"
    plain, _ = run(postern, guest, f"scenario={names} mode=inside", *WAYS[way])
    for asked in ("every=50", "every=7"):
        said, stats = run(postern, guest, f"scenario={names} mode=inside", *WAYS[way],
                          "--interrupt-enclave", asked)
        expect(stats["interruptions"]["given"] > 1000, f"{asked}: {stats['interruptions']}")
        for key, value in plain.items():
            # How often the AEP resumed, and what the random number was.
            if key.endswith((".resumes", ".start", ".end")) or key == "rdrand.rax":
                continue
            expect(said.get(key) == value, f"{way}, {asked}: {key} is {said.get(key)}, not {value}")


def check_snapshot(postern, guest):
    """Saved between two interruptions and gone on with: the same end. With another wish at loading
    that one counts from there."""
    wish = ["--interrupt-enclave", "every=100"]
    with tempfile.TemporaryDirectory() as directory:
        saved = str(Path(directory, "saved"))

        def machine(*options):
            done = subprocess.run([postern, "run", "--bare", "--stats", *options],
                                  capture_output=True, text=True, check=False, timeout=TIMEOUT)
            found = re.search(r"^state (\w+)$", done.stderr, re.MULTILINE)
            made = re.search(r"^ *(\d+)  interruptions of", done.stderr, re.MULTILINE)
            return done, found and found[1], made and int(made[1])

        kernel = ["--kernel", guest, "--append", "rows=1"]
        straight, state, count = machine(*kernel, *wish)
        expect(straight.returncode == 1 and count > 100, straight.stderr)
        length = int(straight.stderr.split()[0])
        done, _, _ = machine(*kernel, *wish, "--save", saved, "--save-at", str(length // 2))
        expect(done.returncode == 0, done.stderr)
        for again in ([], wish):
            done, ended, made = machine("--load", saved, *again)
            expect((done.returncode, ended, made) == (1, state, count), f"loaded: {done.stderr}")
        done, ended, made = machine("--load", saved, "--interrupt-enclave", "at=77")
        expect((done.returncode, made) == (1, 1), f"another wish: {done.stderr}")


def main():
    first_light, every_exit, postern, *loops = sys.argv[1:]
    for way in WAYS:
        check_first_light(postern, first_light, way)
        check_events(postern, every_exit, way)
    check_same_by_every_way(postern, first_light, loops)
    check_snapshot(postern, first_light)
    print("ok")


main()

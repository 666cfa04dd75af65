#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every_exit.elf on Postern, with every protection on and no setting of its own, and compares
each scenario with what the manual says of it.

    every_exit_scenarios.py EVERY_EXIT.elf POSTERN [l2]

l2: EVERY_EXIT has a hypervisor of its own below, which sees the guest's end by a triple fault.
"""
import hashlib
import subprocess
import sys

from machine import TIMEOUT, expect, values

PAGE = bytes((i * 7 + 3) & 0xff for i in range(4096))
DIGEST = hashlib.sha256(PAGE).hexdigest()
LONG_DIGEST = hashlib.sha256(16 * PAGE).hexdigest()

UD = {"vector": "6", "error": "0", "exitinfo": "80000306"}
INJECTED_UD = UD | {"exitinfo": "0"}  # the enclave was interrupted by no exception
DE = {"vector": "0", "error": "0", "exitinfo": "80000300"}

# Inside: the one event, or None if the instruction completes.
INSIDE = {
    "cpuid": UD, "in": UD, "out": UD, "rdpmc": UD, "sgdt": UD, "sldt": UD, "vmcall": UD,
    "syscall": UD, "pause": None, "pause_loop": None, "rdrand": None, "rdseed": None,
    "rdtsc": None, "rdtscp": None, "int3": UD, "int1": UD,
    "int3_debug": {"vector": "3", "error": "0", "exitinfo": "80000603"},
    "int1_debug": {"vector": "1", "error": "0", "exitinfo": "80000301"},
    "single_step_debug": {"vector": "1", "error": "0", "exitinfo": "80000301",
                          "stepped_over": "0"},
    "divide": DE,
    "page_fault": {"vector": "14", "error": "4", "cr2": "400038000000", "exitinfo": "8000030e",
                   "exinfo_address": "400038000123", "exinfo_error": "4"},
    "epcm_fault": {"vector": "14", "error": "8007", "cr2": "100000000000",
                   "exitinfo": "8000030e", "exinfo_address": "100000000ff8",
                   "exinfo_error": "8007"},
    "gp": {"vector": "13", "error": "0", "exitinfo": "8000030d", "exinfo_address": "0",
           "exinfo_error": "0"},
    "mov_dr": {"vector": "13", "error": "0", "exitinfo": "8000030d"},
    "vmread": INJECTED_UD, "mmio": INJECTED_UD, "mmio_tf": INJECTED_UD, "apic_page": INJECTED_UD,
    "delivery_stack": DE,
    "double_fault": DE | {"vector": "8", "cr2": "ffffa0000ffffff8"},
}

# Outside: the one event's vector, or None. RDPMC: there are no counters.
OUTSIDE = {
    "cpuid": None, "in": None, "out": None, "rdpmc": 13, "sgdt": None, "sldt": None, "vmcall": 6,
    "syscall": None, "pause": None, "pause_loop": None, "rdrand": None, "rdseed": None,
    "rdtsc": None, "rdtscp": None, "int3": 3, "int1": 1, "int3_debug": 3, "int1_debug": 1,
    "single_step": 1, "single_step_debug": 1, "divide": 0, "page_fault": 14, "epcm_fault": None,
    "gp": 13, "mov_dr": None, "vmread": 6, "mmio": None, "mmio_tf": 1, "apic_page": None,
    "delivery_stack": 0, "double_fault": 8,
}

INTERRUPTED_BY_THE_HOST = ["nmi", "external_interrupt", "interrupt_window", "mtf", "mtf_debug",
                           "timer"]


def run(postern, guest, command_line):
    done = subprocess.run([postern, "run", "--kernel", guest, "--append", command_line,
                           "--max-instructions", "400000000"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=TIMEOUT)
    print(f"--- \"{command_line}\": status {done.returncode}\n{done.stdout}{done.stderr}", end="")
    return done.returncode, values(done.stdout), done.stdout + done.stderr


def check_inside(said, name, event):
    def get(key):
        return said.get(f"{name}.{key}")

    expect(get("digest") == DIGEST, f"{name}: the enclave's own result")
    if f"{name}.long_digest" not in said:
        expect(get("rbx") == "1b", f"{name}: RBX is {get('rbx')}")
    if event is None:
        expect(get("count") == "0" and get("inside") == "ok", f"{name}: not ok")
        return
    before = {"cpuid": "0"}.get(name, "1a")
    expect(get("rax") == before, f"{name}: RAX is {get('rax')}")
    wanted = {"count": "1", "rip_is_aep": "1", "synthetic": "1", "xmm_clear": "1",
              "mxcsr": "1fb0", "resumes": "1", "stepped_over": "1"} | event
    for key, value in wanted.items():
        expect(get(key) == value, f"{name}.{key} is {get(key)}, not {value}")


def check_outside(said, name, vector):
    count = said.get(f"{name}.outside_count")
    expect(count == ("0" if vector is None else "1"), f"{name}: {count} events outside")
    if vector is None:
        expect(said.get(f"{name}.outside") == "ok", f"{name}: not ok outside")
    else:
        expect(said.get(f"{name}.outside_vector") == str(vector), f"{name}: the vector outside")


def check_random(said, name):
    """CF says that there was a number; in and outside it is not the same."""
    expect(int(said[f"{name}.rflags"], 16) & 1 == 1, f"{name}: no random number")
    expect(said[f"{name}.rax"] != said[f"{name}.outside_rax"], f"{name}: twice the same number")


def check_single_step(said):
    """After an opt-out entry the trap waits until EEXIT."""
    name = "single_step"
    wanted = {"count": "1", "vector": "1", "rip_is_aep": "0", "after_eexit": "1", "resumes": "0",
              "digest": DIGEST}
    for key, value in wanted.items():
        expect(said.get(f"{name}.{key}") == value, f"{name}.{key} is not {value}")


def check_hostile(said):
    def number(key):
        return int(said[f"hostile.{key}"])

    expect(number("count") > 1000 and said["hostile.rip_is_aep"] == "1", "hostile: the events")
    expect(said["hostile.xmm_clear"] == "1" and said["hostile.synthetic"] == "1", "hostile: leaks")
    expect(number("b_digests") > 10, "hostile: the second task has done nothing")
    expect(number("b_ok") == number("b_digests"), "hostile: a wrong digest")
    first = hashlib.sha256(PAGE[:512]).hexdigest()
    expect(said["hostile.b_first_digest"] == first, "hostile: the first digest")
    share = number("b_ticks") / (number("a_ticks") + number("b_ticks"))
    expect(share >= 0.5 / 3, f"hostile: the second task has {share:.0%}")
    expect(said["hostile.digest"] == DIGEST, "hostile: the enclave's own result")


def check_default(postern, guest):
    status, said, _ = run(postern, guest, "")
    expect(status == 1 and said.get("done") == "1", f"it ends with {status}")
    for name, event in INSIDE.items():
        check_inside(said, name, event)
    for name, vector in OUTSIDE.items():
        check_outside(said, name, vector)
    check_random(said, "rdrand")
    check_random(said, "rdseed")
    check_single_step(said)
    check_hostile(said)
    named = {key.split(".")[0] for key in said} - {"done"}
    known = set(INSIDE) | set(OUTSIDE) | {"hostile"}
    expect(named == known, f"scenarios without expectations: {named ^ known}")


def check_hashes(postern, guest):
    status, said, _ = run(postern, guest, "scenario=" + ",".join(INTERRUPTED_BY_THE_HOST))
    expect(status == 1, f"it ends with {status}")
    for name in INTERRUPTED_BY_THE_HOST:
        check_inside(said, name, None)
        expect(said.get(f"{name}.long_digest") == LONG_DIGEST, f"{name}: the long digest")


def check_sti(postern, guest):
    status, said, _ = run(postern, guest, "scenario=interrupt_window_sti")
    expect(status == 1, f"STI with IOPL 3: it ends with {status}")
    check_inside(said, "interrupt_window_sti", None)


def check_sacrifices(postern, guest, in_l2):
    triple_fault = (7, "L1: exit reason 8000002 ") if in_l2 else (4, "triple fault")
    for name, wanted, why in (("delivery_device", 4, "onto a device"),
                              ("triple_fault", *triple_fault)):
        status, said, output = run(postern, guest, f"scenario={name} mode=inside")
        expect(status == wanted and why in output, f"{name}: status {status}")
        expect(f"{name}.end" not in said, f"{name}: the guest went on")


def check_hostile_at_length(postern, guest):
    """30 million instructions of an enclave that does nothing but exit."""
    status, said, _ = run(postern, guest, "scenario=hostile instructions=30000000")
    expect(status == 1, f"hostile at length: it ends with {status}")
    check_hostile(said)


def main():
    guest, postern, *below = sys.argv[1:]
    check_default(postern, guest)
    check_hashes(postern, guest)
    check_sti(postern, guest)
    check_sacrifices(postern, guest, below == ["l2"])
    check_hostile_at_length(postern, guest)
    print("ok")


main()

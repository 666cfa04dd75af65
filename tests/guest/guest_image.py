#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a guest is made of, read with binutils and OpenSSL's command line.

    guest_image.py GUEST.elf PARTS_DIR KEY.pem SIGN_ENCLAVE
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import Image, disassemble, expect, run

PHYS32_ENTRY = 18
WIDE = re.compile(r"\b([yz]mm\d+|k[0-7])\b")
X87_OR_MMX = re.compile(r"\b(st(\(\d\))?|mm[0-7])\b")
SSE = re.compile(r"\bxmm\d+\b")
SAVE_AND_RESTORE = re.compile(r"fx(save|rstor)64 ")

# By the guest's name: its enclave and ring-3 program as the build calls them, the plan that the
# enclave is signed by, SIGSTRUCT's ATTRIBUTES.FLAGS and MISCSELECT, and how often ENCLU stands in
# the ring-3 program.
GUESTS = {
    "first_light": {"enclave": "enclave", "runtime": "runtime", "plan": "first_light",
                    "attributes": 0x4, "miscselect": 0, "enclu": 2},
    "every_exit": {"enclave": "probe", "runtime": "scenarios", "plan": "probe",
                   "attributes": 0x6, "miscselect": 1, "enclu": 3},
}


def check_elf(image):
    header = image.bytes[:64]
    expect(header[:6] == b"\x7fELF\x02\x01", "not a little-endian ELF64")
    expect(int.from_bytes(header[16:18], "little") == 2, "not ET_EXEC")
    entry = int.from_bytes(header[24:32], "little")
    loads = []
    for line in run("readelf", "-lW", image.path).splitlines():
        found = re.match(r"\s*LOAD\s+\w+ (\w+) (\w+) (\w+) (\w+) (R.E|RW.)", line)
        if found:
            loads.append([int(found[i], 16) for i in range(1, 5)])
    expect(len(loads) == 2, f"{len(loads)} LOAD segments that are not both writable and executable")
    for virtual, physical, in_file, in_memory in loads:
        expect(virtual == physical and virtual >= 1 << 20, "a segment is not identity-mapped")
        expect(in_file <= in_memory and virtual + in_memory <= 4 << 20, "a segment's size")
    (first, *_, size), (second, *_) = sorted(loads)
    expect(first + size <= second, "segments overlap")
    expect(first <= entry < first + size, "e_entry is not in the code")
    expect(entry == image.symbols["_start"], "e_entry is not _start")


def check_pvh_note(image):
    notes = run("readelf", "-nW", image.path)
    found = re.search(r"Xen\s+0x00000008\s.*\(0x0*12\)\s+description data: ((\w\w ){8})", notes)
    expect(found, "no PVH note of 8 bytes")
    entry = int.from_bytes(bytes.fromhex(found[1]), "little")
    expect(entry == image.symbols["pvh_entry"], "the PVH note does not name pvh_entry")


def check_instructions(name, code, allow_sse):
    expect(len(code) > 300, f"{name} has only {len(code)} instructions")
    for address, text in code:
        where = f"{name}: {text} at {address:#x}"
        vector = text.startswith("v") and not text.startswith("vm")
        expect(not WIDE.search(text) and not vector, f"AVX: {where}")
        x87 = text.startswith("f") and not SAVE_AND_RESTORE.match(text)
        expect(not X87_OR_MMX.search(text) and not x87, f"x87 or MMX: {where}")
        expect(allow_sse or not SSE.search(text), f"SSE: {where}")


def check_code(image, parts, guest):
    enclave = disassemble(["-d", str(parts / (guest["enclave"] + ".elf"))])
    runtime = disassemble(["-d", str(parts / (guest["runtime"] + ".elf"))])
    check_instructions("kernel", image.kernel_code(), False)
    check_instructions("runtime", runtime, True)
    check_instructions("enclave", enclave, True)
    expect(sum(bool(SSE.search(text)) for _, text in enclave) > 20, "the enclave uses no SSE2")
    for name, code, count in (("enclave", enclave, 1), ("runtime", runtime, guest["enclu"])):
        found = sum(text == "enclu" for _, text in code)
        expect(found == count, f"{name} has {found} times ENCLU, not {count}")


def check_signature(image, key, guest):
    """OpenSSL's own verification; the quotients and the measurement are sgx_by_debugger.py's."""
    sigstruct = image.part("enclave_sigstruct", 1808)
    expect(int.from_bytes(sigstruct[928:936], "little") == guest["attributes"], "ATTRIBUTES")
    expect(int.from_bytes(sigstruct[900:904], "little") == guest["miscselect"], "MISCSELECT")
    with tempfile.TemporaryDirectory() as directory:
        at = Path(directory)
        (at / "message").write_bytes(sigstruct[0:128] + sigstruct[900:1028])
        (at / "signature").write_bytes(sigstruct[516:900][::-1])
        run("openssl", "pkey", "-in", key, "-pubout", "-out", str(at / "public"))
        verdict = run("openssl", "dgst", "-sha256", "-verify", str(at / "public"), "-signature",
                      str(at / "signature"), str(at / "message"))
        expect(verdict == "Verified OK\n", f"openssl says {verdict!r}")
        modulus = run("openssl", "rsa", "-pubin", "-in", str(at / "public"), "-noout", "-modulus")
    modulus = bytes.fromhex(modulus.strip().split("=")[1])
    expect(sigstruct[128:512] == modulus[::-1], "SIGSTRUCT.MODULUS is not the key's")


def check_signer(image, parts, key, sign, guest):
    plan, code = guest["plan"], str(parts / (guest["enclave"] + ".bin"))
    with tempfile.TemporaryDirectory() as directory:
        again = [str(Path(directory) / name) for name in ("sigstruct", "signer")]
        run(sign, plan, key, code, *again)
        for path, name, size in zip(again, ("enclave_sigstruct", "enclave_signer"), (1808, 32)):
            expect(Path(path).read_bytes() == image.part(name, size), f"{name} is not reproducible")
        for arguments in ([plan, "none.pem", code], [plan, key, "none.bin"], [plan, code, code],
                          ["none", key, code]):
            done = subprocess.run([sign, *arguments, *again], capture_output=True, text=True)
            expect(done.returncode == 2, f"sign_enclave {arguments}: status {done.returncode}")
            expect(done.stderr.count("\n") == 1, f"sign_enclave says {done.stderr!r}")


def main():
    path, parts, key, sign = sys.argv[1:]
    image, parts, guest = Image(path), Path(parts), GUESTS[Path(path).stem]
    check_elf(image)
    check_pvh_note(image)
    check_code(image, parts, guest)
    check_signature(image, key, guest)
    check_signer(image, parts, key, sign, guest)
    print("ok")


main()

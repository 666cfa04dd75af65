#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What first_light.elf is made of, read with binutils and OpenSSL's command line.

    first_light_image.py FIRST_LIGHT.elf PARTS_DIR KEY.pem SIGN_ENCLAVE
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
        expect(not WIDE.search(text) and not text.startswith("v"), f"AVX: {where}")
        expect(not X87_OR_MMX.search(text) and not text.startswith("f"), f"x87 or MMX: {where}")
        expect(allow_sse or not SSE.search(text), f"SSE: {where}")


def check_code(image, parts):
    enclave = disassemble(["-d", str(parts / "enclave.elf")])
    runtime = disassemble(["-d", str(parts / "runtime.elf")])
    check_instructions("kernel", image.kernel_code(), False)
    check_instructions("runtime", runtime, True)
    check_instructions("enclave", enclave, True)
    expect(sum(bool(SSE.search(text)) for _, text in enclave) > 20, "the enclave uses no SSE2")
    for name, code, count in (("enclave", enclave, 1), ("runtime", runtime, 2)):
        found = sum(text == "enclu" for _, text in code)
        expect(found == count, f"{name} has {found} times ENCLU, not {count}")


def check_signature(image, key):
    """OpenSSL's own verification; the quotients and the measurement are sgx_by_debugger.py's."""
    sigstruct = image.part("enclave_sigstruct", 1808)
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


def check_signer(image, parts, key, sign):
    with tempfile.TemporaryDirectory() as directory:
        again = [str(Path(directory) / name) for name in ("sigstruct", "signer")]
        run(sign, key, str(parts / "enclave.bin"), *again)
        for path, name, size in zip(again, ("enclave_sigstruct", "enclave_signer"), (1808, 32)):
            expect(Path(path).read_bytes() == image.part(name, size), f"{name} is not reproducible")
        for arguments in (["none.pem", str(parts / "enclave.bin")], [key, "none.bin"],
                          [str(parts / "enclave.bin"), str(parts / "enclave.bin")]):
            done = subprocess.run([sign, *arguments, *again], capture_output=True, text=True)
            expect(done.returncode == 2, f"sign_enclave {arguments}: status {done.returncode}")
            expect(done.stderr.count("\n") == 1, f"sign_enclave says {done.stderr!r}")


def main():
    path, parts, key, sign = sys.argv[1:]
    image, parts = Image(path), Path(parts)
    check_elf(image)
    check_pvh_note(image)
    check_code(image, parts)
    check_signature(image, key)
    check_signer(image, parts, key, sign)
    print("ok")


main()

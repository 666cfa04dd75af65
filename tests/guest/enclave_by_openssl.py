#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""An enclave measured by hashlib and signed by OpenSSL's command line, built on our processor:
MRENCLAVE, MRSIGNER and EINIT's answer must be what they say.

    enclave_by_openssl.py BUILD_ENCLAVE KEY.pem ENCLAVE

ENCLAVE: a guest of ours, whose SIGSTRUCT must be the one made here; or test_encl.elf of Linux's SGX
selftests, laid out as their loader does it."""
import hashlib
import re
import struct
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from machine import Image, expect, run

SKIPPED = 77
PAGE = 4096
EADD_TCS, EADD_REG = 0x100, 0x200
R, W, X = 1, 2, 4
TCS_OENTRY = 32
DATE = 0x20260101
SUCCESS, INVALID_ATTRIBUTE, INVALID_MEASUREMENT, INVALID_SIGNATURE = 0, 2, 4, 8


@dataclass
class Page:
    offset: int
    flags: int
    content: bytes
    measured: bool = True


@dataclass
class Enclave:
    size: int
    attributes: int
    miscselect: int
    pages: list = field(default_factory=list)
    product: int = 0
    version: int = 0

    def add(self, offset, flags, content, measured=True):
        for at in range(0, len(content), PAGE):
            page = content[at:at + PAGE].ljust(PAGE, b"\0")
            self.pages.append(Page(offset + at, flags, page, measured))

    def mrenclave(self):
        """SDM 3D, "ECREATE", "EADD", "EEXTEND": blocks of 64 bytes."""
        digest = hashlib.sha256(struct.pack("<8sIQ44x", b"ECREATE", 1, self.size))
        for page in self.pages:
            digest.update(struct.pack("<8sQQ40x", b"EADD", page.offset, page.flags))
            for at in range(0, PAGE if page.measured else 0, 256):
                digest.update(struct.pack("<8sQ48x", b"EEXTEND", page.offset + at))
                digest.update(page.content[at:at + 256])
        return digest.digest()


def thread(ssa, entry):
    """A TCS: three SSA frames, both segments' limits FFFH."""
    fields = {16: (ssa, 8), 28: (3, 4), TCS_OENTRY: (entry, 8), 64: (0xfff, 4), 68: (0xfff, 4)}
    content = bytearray(PAGE)
    for at, (value, size) in fields.items():
        content[at:at + size] = value.to_bytes(size, "little")
    return bytes(content)


def our_enclave(image, attributes, miscselect, threads):
    """guests/enclave_layout.h, told again."""
    enclave = Enclave(0x40000, attributes, miscselect, product=1, version=1)
    code = image.part("enclave_image")
    enclave.add(0, EADD_REG | R | X, code.ljust(4 * PAGE, b"\0"))
    enclave.add(0x8000, EADD_REG | R | W, bytes((n * 7 + 3) & 0xff for n in range(PAGE)))
    for offset, count in ((0x9000, 1), (0xb000, 2), (0xe000, 1)):
        enclave.add(offset, EADD_REG | R | W, bytes(count * PAGE))
    for ssa, tcs in threads:
        enclave.add(ssa, EADD_REG | R | W, bytes(3 * PAGE))
        enclave.add(tcs, EADD_TCS, thread(ssa, 0))
    return enclave


def linux_enclave(path):
    """As the selftests' load.c: a TCS segment, the others, and a page of heap that nobody
    measures."""
    content = Path(path).read_bytes()
    enclave = Enclave(PAGE, 0x4, 0)
    first, end = None, 0
    for line in run("readelf", "-lW", path).splitlines():
        found = re.match(r"\s*LOAD\s+(\w+) \w+ \w+ (\w+) \w+ (...)", line)
        if not found:
            continue
        start, size = int(found[1], 16) & -PAGE, -(-int(found[2], 16) // PAGE) * PAGE
        access = sum(bit for bit, letter in ((R, "R"), (W, "W"), (X, "E")) if letter in found[3])
        flags = EADD_TCS if first is None else EADD_REG | access
        first = start if first is None else first
        enclave.add(start - first, flags, content[start:start + size].ljust(size, b"\0"))
        end = start - first + size
    enclave.add(end, EADD_REG | R | W, bytes(PAGE), measured=False)
    while enclave.size < end + PAGE:
        enclave.size *= 2
    return enclave


def openssl(*arguments):
    return run("openssl", *(str(argument) for argument in arguments))


def modulus_of(key):
    return int(openssl("rsa", "-in", key, "-noout", "-modulus").strip().split("=")[1], 16)


def little(number):
    return number.to_bytes(384, "little")


def make_sigstruct(work, key, enclave):
    """SDM 3D, "Enclave Signature Structure (SIGSTRUCT)": the signature is OpenSSL's, the quotients
    are Python's."""
    head = struct.pack("<4I2I4I88x", 6, 0xe1, 0x10000, 0, 0, DATE, 0x101, 0x60, 0x60, 1)
    body = struct.pack("<2I20x4Q32s32x2H", enclave.miscselect, 0xffffffff, enclave.attributes, 3,
                       2 ** 64 - 2, 2 ** 64 - 1, enclave.mrenclave(), enclave.product,
                       enclave.version)
    expect(len(head) == 128 and len(body) == 128, "the signed message is not 256 bytes")
    (work / "message").write_bytes(head + body)
    openssl("dgst", "-sha256", "-sign", key, "-out", work / "signature", work / "message")
    signature = int.from_bytes((work / "signature").read_bytes(), "big")
    modulus = modulus_of(key)
    q1 = signature ** 2 // modulus
    q2 = (signature ** 3 - q1 * signature * modulus) // modulus
    return (head + little(modulus) + struct.pack("<I", 3) + little(signature) + body + bytes(12) +
            little(q1) + little(q2))


def check_sigstruct(work, sigstruct):
    """Verified with a public key made of nothing but SIGSTRUCT's modulus."""
    modulus = int.from_bytes(sigstruct[128:512], "little")
    signature = int.from_bytes(sigstruct[516:900], "little")
    (work / "key.conf").write_text(
        "asn1=SEQUENCE:key\n[key]\nalgorithm=SEQUENCE:rsa\nbits=BITWRAP,SEQUENCE:numbers\n"
        "[rsa]\nname=OID:rsaEncryption\nnone=NULL\n"
        f"[numbers]\nn=INTEGER:{modulus:#x}\ne=INTEGER:3\n")
    openssl("asn1parse", "-genconf", work / "key.conf", "-noout", "-out", work / "key.der")
    (work / "signature").write_bytes(sigstruct[516:900][::-1])
    (work / "message").write_bytes(sigstruct[:128] + sigstruct[900:1028])
    verdict = openssl("dgst", "-sha256", "-verify", work / "key.der", "-keyform", "DER",
                      "-signature", work / "signature", work / "message")
    expect(verdict == "Verified OK\n", f"openssl says {verdict!r}")
    q1, q2 = (int.from_bytes(sigstruct[at:at + 384], "little") for at in (1040, 1424))
    expect(q1 == signature ** 2 // modulus, "Q1")
    expect(q2 == (signature ** 3 - q1 * signature * modulus) // modulus, "Q2")


def mrsigner_of(work, sigstruct):
    (work / "modulus").write_bytes(sigstruct[128:512])
    return bytes.fromhex(openssl("dgst", "-sha256", "-r", work / "modulus").split()[0])


def build(work, tool, enclave, sigstruct, signer):
    """EINIT's answer, MRENCLAVE and MRSIGNER of our processor."""
    lines = [(enclave.size, 1, enclave.attributes, 3, enclave.miscselect)]
    lines += [(page.offset, page.flags, page.measured) for page in enclave.pages]
    (work / "plan").write_text("".join(" ".join(f"{n:x}" for n in line) + "\n" for line in lines))
    (work / "content").write_bytes(b"".join(page.content for page in enclave.pages))
    (work / "sigstruct").write_bytes(sigstruct)
    (work / "signer").write_bytes(signer)
    said = run(tool, *(str(work / name) for name in ("plan", "content", "sigstruct", "signer")))
    words = dict(line.split() for line in said.splitlines())
    return int(words["einit"]), bytes.fromhex(words["mrenclave"]), bytes.fromhex(words["mrsigner"])


def flip(data, at):
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1:]


def check_on_processor(work, tool, enclave, sigstruct, signer):
    answer = build(work, tool, enclave, sigstruct, signer)
    expect(answer == (SUCCESS, enclave.mrenclave(), signer), f"the processor says {answer}")
    for at in (20, 516, 1424):          # DATE, SIGNATURE, Q2
        status_found, *_ = build(work, tool, enclave, flip(sigstruct, at), signer)
        expect(status_found == INVALID_SIGNATURE, f"byte {at} of SIGSTRUCT changed: EINIT says {status_found}")
    enclave.attributes ^= 2
    status_found, *_ = build(work, tool, enclave, sigstruct, signer)
    expect(status_found == INVALID_ATTRIBUTE, f"DEBUG changed: EINIT says {status_found}")
    enclave.attributes ^= 2
    for page in enclave.pages:
        content = page.content
        page.content = flip(content, TCS_OENTRY if page.flags == EADD_TCS else PAGE - 1)
        status_found, *_ = build(work, tool, enclave, sigstruct, signer)
        page.content = content
        expect(status_found == (INVALID_MEASUREMENT if page.measured else SUCCESS),
               f"page {page.offset:#x} changed: EINIT says {status_found}")


def main():
    tool, key, path = sys.argv[1:]
    if not Path(path).is_file():
        print(f"skipped: there is no {path}; tools/sgx_selftests.sh builds it")
        sys.exit(SKIPPED)
    ours = {"first_light": (0x4, 0, [(0x10000, 0x14000)]),
            "every_exit": (0x6, 1, [(0x10000, 0x14000), (0x18000, 0x1c000)])}.get(Path(path).stem)
    image = Image(path) if ours else None
    enclave = our_enclave(image, *ours) if ours else linux_enclave(path)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        sigstruct = make_sigstruct(work, key, enclave)
        signer = mrsigner_of(work, sigstruct)
        if ours:
            expect(image.part("enclave_sigstruct", 1808) == sigstruct, "the guest's SIGSTRUCT")
            expect(image.part("enclave_signer", 32) == signer, "the guest's MRSIGNER")
        check_sigstruct(work, sigstruct)
        check_on_processor(work, tool, enclave, sigstruct, signer)
    print(f"ok: {len(enclave.pages)} pages, MRENCLAVE {enclave.mrenclave().hex()}")


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""refuse.py COMPILER CASE [FLAG...]: the case must compile with -DCONTROL and must not without,
for the reason that its "// refuse:" lines give. README.md describes a case."""

import re
import subprocess
import sys
from pathlib import Path

flags = ["-std=gnu++23", "-fsyntax-only", "-Wall", "-Wextra", "-Werror=unused-result",
         "-Werror=unused-value"]


def compile_case(compiler: str, case: str, extra: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run([compiler, *flags, *extra, case], capture_output=True, text=True,
                          check=False, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"})


def expected_texts(compiler: str, case: str) -> list[str]:
    mine = "clang++" if "clang" in compiler else "g++"
    texts = []
    for line in Path(case).read_text(encoding="utf-8").splitlines():
        match = re.match(r"\s*// refuse: (.*?)\s*(?:\((clang\+\+|g\+\+)\))?$", line)
        if match and match[2] in (None, mine):
            texts.append(match[1])
    return texts


def main() -> int:
    compiler, case, *extra = sys.argv[1:]
    texts = expected_texts(compiler, case)
    if not texts:
        print(f"{case} does not say what {compiler} should refuse")
        return 1

    control = compile_case(compiler, case, [*extra, "-DCONTROL"])
    if control.returncode != 0:
        print(f"the control does not compile:\n{control.stderr}")
        return 1

    mistake = compile_case(compiler, case, extra)
    if mistake.returncode == 0:
        print("the mistake compiles")
        return 1
    # A line of source that a compiler echoes ("   12 | ...") is not its message.
    message = "\n".join(line for line in mistake.stderr.splitlines()
                        if not re.match(r"\s*\d* \| ", line))
    missing = [text for text in texts if text not in message]
    for text in missing:
        print(f"refused, but not with: {text}\n{mistake.stderr}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""exec_programs.py POSTERN KERNELS CACHE: programs of the host in the guest: their status, their
arguments, their streams byte for byte, their files; and one clear line for each that fails."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from exec_run import Exec, compile_c, line

ODD = ["", "a b", "it's", '"', "*", "$HOME", "--", "-n", "--timeout", "\ttab", "line\nline", "é"]
PRINT_ARGUMENTS = """
#include <stdio.h>
int main(int argc, char **argv) {
    for (int n = 0; n < argc; n++) printf("[%s]\\n", argv[n]);
}"""
CRASH = """
#include <stdio.h>
int main(void) { puts("before"); fflush(stdout); *(volatile int *)8 = 1; }"""
BYTES = bytes(range(256)) * 700 + b"\r\n\0end without a newline"


def statuses(run):
    run.expect("own status", run("/bin/sh", "-c", "exit 7"), 7)
    run.expect("found in PATH", run("true"), 0)
    run.expect("status 255", run("sh", "-c", "exit 255"), 255)
    run.expect("a signal", run("/bin/sh", "-c", "kill -TERM $$"), 143,
               err=b"postern: /bin/sh was ended by signal 15 (SIGTERM)\n")
    run.expect("a hang", run("sleep", "1000000000", options=["--timeout", 5]), 124,
               err=b"postern: the limit of --timeout was reached\n")
    run.expect("a busy hang", run("sh", "-c", "while :; do :; done",
                                  options=["--max-instructions", "50000000"]), 124,
               err=b"postern: the limit of --max-instructions was reached\n")


def kernels_ends(run):
    """The kernel's own end is not the program's: 125, and what the kernel said last."""
    run.expect("a panic", run("sh", "-c", "echo before; echo c >/proc/sysrq-trigger"), 125,
               b"before\n", lambda text: b"Kernel panic - not syncing: sysrq triggered crash\n"
               b"postern: the guest's kernel gave up\n" in text)
    run.expect("a power-off", run("sh", "-c", "echo o >/proc/sysrq-trigger; while :; do :; done"),
               125, err=lambda text: text.endswith(b"postern: the guest switched itself off\n"))
    run.expect("no memory left", run("sh", "-c", "x=1234567890; while :; do x=$x$x; done",
                                     options=["--memory", "256M"]), 137,
               err=b"postern: sh was ended by signal 9 (SIGKILL)\n")


def streams(run):
    with open("/dev/full", "wb") as full:
        run.expect("no room for output", run("echo", "x", stdout=full), 125, out=None,
                   err=b"postern: standard output cannot be written\n")
    run.expect("two streams", run("sh", "-c", "printf out; printf err >&2"), 0, b"out", b"err")
    run.expect("binary input and output", run("cat", given=BYTES), 0, BYTES)
    with tempfile.TemporaryFile() as file:
        file.write(BYTES)
        file.seek(0)
        run.expect("a file as input", run("cat", given=file), 0, BYTES)
    run.expect("binary on standard error", run("sh", "-c", "cat >&2", given=BYTES,
                                             options=["--file", "/bin/cat"]), 0, err=BYTES)
    with subprocess.Popen(["sh", "-c", "sleep 2; echo late; sleep 1; echo later"],
                          stdout=subprocess.PIPE) as slow:
        run.expect("late input", run("cat", given=slow.stdout), 0, b"late\nlater\n")
    run.expect("input that nobody reads", run("true", given=BYTES), 0)
    run.expect("input to its end", run("sh", "-c", "read a; read b || echo end", given=b"one\n"), 0,
               b"end\n")
    counted = "".join(f"out {n}\nerr {n}\n" for n in range(20)).encode()
    numbers = " ".join(map(str, range(20)))
    script = f"for n in {numbers}; do echo out $n; echo err $n >&2; done"
    run.expect("the order of two streams", run("sh", "-c", script, stderr=subprocess.STDOUT), 0,
               counted, err=None)


def surroundings(run, directory):
    run.expect("environment and directory",
               run("sh", "-c", 'echo "$PWD $HOME $A $B<$SECRET>"',
                   options=["--env", "A=1 2", "--env", "B=x=y"], environment={"SECRET": "no"}), 0,
               b"/ /root 1 2 x=y<>\n")
    data = Path(directory, "data", "deep")
    data.mkdir(parents=True)
    Path(data, "file").write_bytes(BYTES)
    run.expect("a directory of files", run("cat", "/there/deep/file",
                                           options=["--file", f"{directory}/data=/there"]), 0, BYTES)
    run.expect("a file under its own name", run("cat", "data/deep/file", cwd=directory,
                                                options=["--file", "data/deep/file"]), 0, BYTES)
    run.expect("a file under its own path", run("cat", data / "file",
                                                options=["--file", data / "file"]), 0, BYTES)
    run.expect("a further program", run("sh", "-c", "head -c 3 /in",
                                        options=["--file", "/usr/bin/head", "--file",
                                                 f"{data}/file=in"]), 0, bytes(range(3)))
    run.expect("devices", run("sh", "-c", "test -c /dev/sgx_enclave && test -c /dev/sgx_provision "
                              "&& test -d /proc/1 && test -d /sys/kernel && test -w /tmp "
                              "&& echo x >/dev/shm/x && echo fine"), 0, b"fine\n")
    run.expect("no SGX", run("sh", "-c", "test -e /dev/sgx_enclave", options=["--epc", "0"]), 1)
    run.expect("two processors", run("cat", "/sys/devices/system/cpu/online",
                                     options=["--cpus", 2]), 0, b"0-1\n")


def programs(run, directory):
    shown = compile_c(directory, "show arguments", PRINT_ARGUMENTS)
    listed = "".join(f"[{word}]\n" for word in [shown, *ODD]).encode()
    run.expect("arguments, and a path with a space", run(shown, *ODD), 0, listed)
    run.expect("a path of the working directory", run("./show arguments", cwd=directory), 0,
               b"[./show arguments]\n")
    Path(directory, "link").symlink_to("show arguments")
    run.expect("a link", run("./link", "x", cwd=directory), 0, b"[./link]\n[x]\n")
    compile_c(directory, "static", PRINT_ARGUMENTS, "-static")
    run.expect("a static program", run("./static", cwd=directory), 0, b"[./static]\n")
    compile_c(directory, "crash", CRASH)
    run.expect("a crash", run("./crash", cwd=directory), 139, b"before\n",
               b"postern: ./crash was ended by signal 11 (SIGSEGV)\n")
    script = Path(directory, "script")
    script.write_text('#!/usr/bin/env sh\necho "script $0 $1"\n')
    script.chmod(0o755)
    run.expect("a script", run("./script", "x y", cwd=directory), 0,
               f"script {directory}/script x y\n".encode())


def libraries(run, directory):
    place = Path(directory, "lib")
    place.mkdir()
    inner = compile_c(place, "libinner.so", "int two(void) { return 2; }", "-shared", "-fPIC")
    compile_c(place, "libouter.so", "int two(void); int four(void) { return 2 * two(); }",
              "-shared", "-fPIC", f"-L{place}", "-linner", f"-Wl,-rpath,{place}")
    main = "int four(void); int main(void) { return four(); }"
    origin = compile_c(directory, "origin", main, f"-L{place}", "-louter", "-linner",
                       "-Wl,-rpath,$ORIGIN/lib", "-Wl,--no-as-needed")
    plain = compile_c(directory, "plain", main, f"-L{place}", "-louter",
                      f"-Wl,-rpath-link,{place}")
    run.expect("libraries by $ORIGIN", run(origin), 4)
    run.expect("libraries by LD_LIBRARY_PATH",
               run(plain, environment={"LD_LIBRARY_PATH": "lib"}, cwd=directory), 4)
    run.expect("a library that is not found", run(plain), 127,
               err=line("libouter.so is missing", f"which {plain} needs"))
    inner.unlink()
    run.expect("a library's library that is not there", run(plain, environment={
        "LD_LIBRARY_PATH": str(place)}), 127,
        err=line("libinner.so is missing", f"which {place}/libouter.so needs"))


def refusals(run, directory):
    run.expect("not found", run("no-such-program"), 127, err=line("no such program"))
    run.expect("a directory", run(directory), 126, err=line("it is a directory"))
    text = Path(directory, "text")
    text.write_text("x")
    run.expect("not executable", run(text), 126, err=line("it may not be executed"))
    text.chmod(0o755)
    run.expect("no program", run(text), 126, err=line("neither an ELF file nor a script"))
    for option, value in (("--memory", "1X"), ("--cpus", "0"), ("--cpu", "z80"), ("--epc", "5"),
                          ("--timeout", "soon"), ("--env", "A"), ("--file", "/no/such/file"),
                          ("--log", "all"), ("--stats", "/no/such/file"), ("--bad", "x"),
                          ("--max-instructions", "-1"), ("--kernel", "/no/such/kernel"),
                          ("--sgx-seed", "x")):
        run.expect(f"{option} {value}", run("true", options=[option, value]), 125, err=line())
    run.expect("a kernel that is none", run("true", options=["--kernel", "/bin/true"]), 125,
               err=line("/bin/true"))
    run.expect("files beyond memory", run("true", options=["--memory", "64M", "--file",
                                                           f"{directory}/big"]), 125, err=line())
    run.expect("nothing to run", run(), 125, err=line("postern exec [options] -- PROGRAM ARGS"))


def main():
    run = Exec(*sys.argv[1:4])
    with tempfile.TemporaryDirectory() as directory:
        directory = os.path.realpath(directory)
        with open(Path(directory, "big"), "wb") as file:
            file.truncate(40 << 20)
        statuses(run)
        kernels_ends(run)
        streams(run)
        surroundings(run, directory)
        programs(run, directory)
        libraries(run, directory)
        refusals(run, directory)
    run.verdict()


if __name__ == "__main__":
    main()

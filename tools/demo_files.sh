#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What `make run` boots: Debian's kernel, Linux's SGX selftests and our scenarios in
# build/demo.cpio. What is there already is left alone.
set -eu

cd "$(dirname "$0")/.."
tools/kernels.sh
tools/sgx_selftests.sh
tools/initramfs.py --output build/demo.cpio --add guests/linux/demo=bin/demo \
    --add build/sgx-selftests/bin/test_sgx=sgx/test_sgx \
    --add build/sgx-selftests/bin/test_encl.elf=sgx/test_encl.elf:644 \
    --add build/release/guests/linux_scenarios=bin/linux_scenarios

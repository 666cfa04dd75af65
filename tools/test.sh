#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Everything `make test` does: set up, build, run every suite, print the ledger.
set -eu

cd "$(dirname "$0")/.."
start=$(date +%s)
tools/setup.sh run test
{ tools/kernels.sh && tools/initramfs.py; } ||
    echo "test: without Debian's kernels the tests that boot them are skipped" >&2
tools/kvm_selftests.sh || echo "test: without Linux's KVM selftests their test is skipped" >&2
tools/sgx_selftests.sh || echo "test: without Linux's SGX selftests their tests are skipped" >&2
tools/build.sh release -DPOSTERN_TESTS=ON
tools/build.sh loop postern
tools/build.sh asan -DPOSTERN_TESTS=ON
exec python3 tools/run_suites.py --build-seconds $(($(date +%s) - start))

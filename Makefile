# SPDX-License-Identifier: Apache-2.0
# The commands of a user. Each sets up what it needs and then does its work; what is done
# already is not done again. Developers may as well use the presets of CMakePresets.json.
PREFIX ?= /usr/local

.PHONY: all run test test-long lint format bench install clean
.NOTPARALLEL:

all:
	@tools/setup.sh run
	@tools/build.sh release postern

run: all
	@tools/demo_files.sh
	@build/release/postern demo --guest debian --kernel build/kernels/cloud/vmlinuz \
	    --initrd build/demo.cpio

test:
	@tools/test.sh

test-long:
	@tools/setup.sh run test
	@tools/kernels.sh
	@tools/initramfs.py
	@tools/kvm_selftests.sh
	@tools/sgx_selftests.sh
	@tools/build.sh release -DPOSTERN_TESTS=ON
	@ctest --test-dir build/release -L '^long$$' --output-on-failure

lint:
	@tools/setup.sh run test lint
	@tools/lint.sh

format:
	@tools/setup.sh lint
	@tools/lint.sh --format

bench:
	@tools/setup.sh run bench
	@tools/build.sh release postern postern_bench postern_bench_hv
	@build/release/postern_bench
	@build/release/postern_bench_hv
	@tools/kernels.sh
	@bench/guest.py
	@tools/build.sh release guests
	@bench/kvm.py

install: all
	@cmake --install build/release --prefix $(PREFIX)

clean:
	@rm -rf build

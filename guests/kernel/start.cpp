// SPDX-License-Identifier: Apache-2.0
#include "guests/kernel/start.h"

#include "guests/abi.h"
#include "guests/kernel/console.h"
#include "guests/kernel/paging.h"
#include "guests/kernel/processor.h"
#include "guests/kernel/sgx.h"

namespace postern::guests {
namespace {

constexpr u32 ia32_efer = 0xc000'0080;
constexpr u64 efer_nxe = 1 << 11;
constexpr u64 cr0_mp = 1 << 1;
constexpr u64 cr0_em = 1 << 2;
constexpr u64 cr0_ts = 1 << 3;
constexpr u64 cr0_ne = 1 << 5;
constexpr u64 cr0_wp = 1 << 16;
constexpr u64 cr4_osfxsr = 1 << 9;
constexpr u64 cr4_osxmmexcpt = 1 << 10;

}  // namespace

void set_control_registers() {
    write_cr0((read_cr0() | cr0_mp | cr0_ne | cr0_wp) & ~(cr0_em | cr0_ts));
    write_cr4(read_cr4() | cr4_osfxsr | cr4_osxmmexcpt);
    wrmsr(ia32_efer, rdmsr(ia32_efer) | efer_nxe);
}

void map_runtime() {
    const u64 image = reinterpret_cast<u64>(runtime_image);
    constexpr u64 size = runtime_code_size + runtime_data_size;
    if (runtime_image_end - runtime_image != size)
        fail(Line{} << "the runtime's image is not as large as abi.h says");
    for (u64 at = 0; at < size; at += 4096)
        map_page(runtime_base + at, image + at,
                 at < runtime_code_size ? page_user_code : page_user_data);
    map_page(doorbell_address, doorbell_physical, page_user_device);
}

void require_enclave(const layout::Plan& plan) {
    if (!has_sgx()) {
        print(Line{} << "@sgx=0");
        fail(Line{} << "this processor has no SGX: nothing to show", ExitCode::no_sgx);
    }
    build_enclave(plan);
}

}  // namespace postern::guests

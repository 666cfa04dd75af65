// SPDX-License-Identifier: Apache-2.0
#include "guests/linux_scenarios/enclave.h"

#include <fcntl.h>
#include <unistd.h>

#include "guests/linux_scenarios/machine.h"
#include "guests/sgx/enclave.h"

extern "C" const sgx::u8 probe_image[], probe_image_end[], probe_sigstruct[];

namespace sgx {

Files files_of(const layout::Plan&) {
    return {.image = probe_image,
            .image_size = static_cast<u64>(probe_image_end - probe_image),
            .sigstruct = probe_sigstruct,
            .base = layout::base};
}

}  // namespace sgx

namespace postern::guests {
namespace {

sgx::Enclave enclave{layout::probe};

/// As a debugger does, by the memory of this process. SDM 3D, "TCS.FLAGS": DBGOPTIN.
void opt_in_to_debugging() {
    constexpr u64 tcs_flags = 8, debug_opt_in = 1;
    const int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    const auto at = static_cast<off_t>(layout::start_of(layout::debug_tcs) + tcs_flags);
    const u64 flags = debug_opt_in;
    if (memory < 0 || pwrite(memory, &flags, sizeof flags, at) != sizeof flags)
        fail("TCS.FLAGS cannot be written");
    close(memory);
}

}  // namespace

void build_probe() {
    if (!enclave.build().fine()) fail("the enclave cannot be built");
    opt_in_to_debugging();
}

void protect_data_page() {
    if (!enclave.restrict_page(layout::data.offset, layout::readable).fine())
        fail("the data page cannot be restricted");
}

}  // namespace postern::guests

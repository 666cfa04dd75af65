// SPDX-License-Identifier: Apache-2.0
// A virtual processor's part of SGX.
#include "hv/vcpu.h"
#include "arch/msr.h"

namespace postern::hv {

/// The launch key of a processor that is switched on: Intel's, or where software cannot change it
/// what the processor has. Another guest's is never seen.
bool Vcpu::start_sgx() {
    write_encls_bitmap();
    if (vm_.config().epc.size == 0) return true;
    for (u32 i = 0; i < sgx_.launch_key.size(); ++i)
        sgx_.launch_key[i] = vm_.sgx().has_launch_key()
                                 ? sgxlepubkeyhash_reset[i]
                                 : port_.rdmsr(static_cast<u32>(Msr::sgxlepubkeyhash0) + i);
    for (u64& page : sgx_.pages) {
        if (page != 0) continue;
        const Result<Hpa> taken = vm_.pages().take();
        if (!taken.ok()) {
            stop(StopReason::out_of_table_pages);
            vm_.watcher().stopped(stop_);
            return false;
        }
        page = taken.value().raw();
    }
    return true;
}

bool Vcpu::write_encls_bitmap() {
    sgx_.generation = vm_.sgx().generation();
    const auto controls =
        SecondaryControls::from_raw(read32(VmcsField::secondary_processor_based_controls));
    if (!controls.has(SecondaryControl::enable_encls_exiting)) return false;
    const u64 bitmap = nested_.encls_bitmap(vm_.sgx().encls_bitmap());
    if (port_.vmread(VmcsField::encls_exiting_bitmap) == bitmap) return false;
    port_.vmwrite(VmcsField::encls_exiting_bitmap, bitmap);
    return true;
}

}  // namespace postern::hv

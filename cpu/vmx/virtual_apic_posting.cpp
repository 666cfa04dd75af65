// SPDX-License-Identifier: Apache-2.0
// Posted interrupts: a descriptor in memory into which others put interrupts for the guest. SDM
// 3C, "Posted-Interrupt Processing".
#include <bit>

#include "cpu/event/controls.h"
#include "cpu/vmx/virtual_apic.h"

namespace postern::cpu::vmx {
namespace {

// The descriptor: 256 bits of requests, then "outstanding notification".
constexpr unsigned request_words = 8;  // of 32 bits
constexpr u64 notification_byte = 32;

/// The processors of a machine take turns: whatever one instruction does here is atomic.
void clear_notification(Cpu& c, Hpa descriptor) {
    const Hpa at = descriptor + notification_byte;
    write_physical(c, at, 1, read_physical(c, at, 1) & ~u64{1});
}

/// Moves the `n`th word of the requests into VIRR.
void take_requests(Cpu& c, Hpa descriptor, unsigned n) {
    const Hpa at = descriptor + 4 * n;
    const auto posted = static_cast<u32>(read_physical(c, at, 4));
    if (posted == 0) return;
    write_physical(c, at, 4, 0);
    const auto offset = static_cast<u16>(virr + 16 * n);
    write_physical(c, virtual_apic_address(c, offset), 4,
                   read_virtual_register(c, offset) | posted);
    const unsigned highest = 32 * n + 31 - static_cast<u32>(std::countl_zero(posted));
    request_virtual_interrupt(c, static_cast<u8>(highest));
}

}  // namespace

bool is_posted_notification(const Cpu& c, u8 vector) {
    return wants(c, PinControl::process_posted_interrupts) &&
           c.vmx.vmcs.get<VmcsField::posted_interrupt_notification_vector>() == vector;
}

void process_posted_interrupts(Cpu& c) {
    const Hpa descriptor{c.vmx.vmcs.get<VmcsField::posted_interrupt_descriptor_address>()};
    clear_notification(c, descriptor);
    c.interrupts->end_of_interrupt();
    for (unsigned n = 0; n < request_words; ++n) take_requests(c, descriptor, n);
    evaluate_virtual_interrupts(c);
}

}  // namespace postern::cpu::vmx

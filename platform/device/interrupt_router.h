// SPDX-License-Identifier: Apache-2.0
// Where the interrupt wires of a PC lead: ISA requests to both the 8259s and the I/O APIC, PCI's
// to the I/O APIC only. ISA request 0 is the I/O APIC's pin 2, as the MADT says.
#pragma once

#include "platform/device/ioapic.h"
#include "platform/device/pic.h"

namespace postern::platform {

class InterruptRouter final : public InterruptLines {
public:
    static constexpr unsigned isa_lines = 16;
    static constexpr unsigned timer_pin = 2;

    InterruptRouter(Pic& pic, IoApic& ioapic) : pic_{&pic}, ioapic_{&ioapic} {}

    static constexpr unsigned pin_of(unsigned line) { return line == 0 ? timer_pin : line; }

    void set(unsigned line, bool level) override {
        if (line < isa_lines) pic_->set_line(line, level);
        ioapic_->set_pin(pin_of(line), level);
    }

private:
    Pic* pic_;
    IoApic* ioapic_;
};

}  // namespace postern::platform

// SPDX-License-Identifier: Apache-2.0
#include "guests/every_exit/trouble.h"

#include "guests/kernel/descriptors.h"
#include "guests/kernel/paging.h"
#include "guests/kernel/processor.h"
#include "guests/kernel/sgx.h"

namespace postern::guests {
namespace {

constexpr u32 divide_error = 0;
constexpr u64 rflags_if = 1 << 9;
constexpr u64 rflags_iopl_3 = 3 << 12;

// Where the stack of #DE is when it is not memory, and where no stack is.
constexpr u64 device_stack = 0xffff'a000'0000'0000;
constexpr u64 no_stack = 0xffff'a000'1000'0000;

struct alignas(4096) Page {
    u8 bytes[4096];
};

// Nothing else lies in this page: nobody touches it between its loss and the event.
Page event_stack;

void have_stack_taken_back() {
    use_stack(divide_error, reinterpret_cast<u64>(&event_stack + 1));
    event_stack.bytes[0] = 1;  // there is something to take
    out_dword(mark_port, static_cast<u32>(reinterpret_cast<u64>(&event_stack) >> 12));
}

}  // namespace

void prepare_trouble() { map_page(device_stack, doorbell_physical, page_kernel_data); }

void make_trouble(Registers& registers, Trouble trouble) {
    switch (trouble) {
        case Trouble::none: return;
        case Trouble::stack_taken_back: return have_stack_taken_back();
        case Trouble::stack_on_device: return use_stack(divide_error, device_stack + 0x1000);
        case Trouble::stack_not_mapped: return use_ring_0_stack(no_stack);
        case Trouble::no_idt: return take_idt_away();
        case Trouble::interrupts_enabled: registers.rflags |= rflags_if; return;
        case Trouble::io_privilege: registers.rflags |= rflags_iopl_3; return;
        case Trouble::debugging: return opt_in_to_debugging();
    }
}

void end_trouble(Registers& registers, Trouble trouble) {
    switch (trouble) {
        case Trouble::stack_taken_back:
        case Trouble::stack_on_device: return use_stack(divide_error, 0);
        case Trouble::stack_not_mapped: return use_ring_0_stack(0);
        case Trouble::interrupts_enabled: registers.rflags &= ~rflags_if; return;
        case Trouble::io_privilege: registers.rflags &= ~rflags_iopl_3; return;
        default: return;
    }
}

}  // namespace postern::guests

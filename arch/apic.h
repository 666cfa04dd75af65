// SPDX-License-Identifier: Apache-2.0
// The local APIC as the manual defines it: its registers and which of their bits software sets,
// vectors and priorities, destinations, commands, the timer. For whoever implements one. SDM 3A,
// "Advanced Programmable Interrupt Controller (APIC)".
#pragma once

#include <array>
#include <bit>

#include "arch/apic_message.h"
#include "base/types.h"

namespace postern::apic {

/// Registers by their offset in the xAPIC page, divided by 16; an x2APIC MSR is 800H plus this.
/// SDM 3A, "Local APIC Register Address Map".
enum Register : u32 {
    reg_id = 0x02,
    reg_version = 0x03,
    reg_task_priority = 0x08,
    reg_arbitration_priority = 0x09,
    reg_processor_priority = 0x0a,
    reg_end_of_interrupt = 0x0b,
    reg_remote_read = 0x0c,
    reg_logical_destination = 0x0d,
    reg_destination_format = 0x0e,
    reg_spurious = 0x0f,
    reg_in_service = 0x10,
    reg_trigger_mode = 0x18,
    reg_requested = 0x20,
    reg_error_status = 0x28,
    reg_command_low = 0x30,
    reg_command_high = 0x31,
    reg_lvt_timer = 0x32,
    reg_lvt_thermal = 0x33,
    reg_lvt_performance = 0x34,
    reg_lvt_lint0 = 0x35,
    reg_lvt_lint1 = 0x36,
    reg_lvt_error = 0x37,
    reg_initial_count = 0x38,
    reg_current_count = 0x39,
    reg_divide = 0x3e,
    reg_self_ipi = 0x3f,
};

inline constexpr u32 version = 0x0005'0015;  // version 15H, LVT entries 0 to 5
inline constexpr u32 lvt_masked = 1u << 16;
inline constexpr u32 spurious_writable = 0x1ff;
inline constexpr u32 software_enable = 1u << 8;
inline constexpr u32 logical_destination_writable = 0xff00'0000;
inline constexpr u32 destination_format_fixed = 0x0fff'ffff;  // always 1
inline constexpr u32 divide_writable = 0xb;

// Error status. SDM 3A, "Error Handling".
inline constexpr u32 send_illegal_vector = 1u << 5;
inline constexpr u32 received_illegal_vector = 1u << 6;
inline constexpr u32 illegal_register = 1u << 7;

constexpr DeliveryMode delivery_mode_of(u64 word) {
    return static_cast<DeliveryMode>(word >> 8 & 7);
}
constexpr bool is_external(u32 entry) { return delivery_mode_of(entry) == DeliveryMode::external; }

// A bit for each vector.

using Vectors = std::array<u32, 8>;

constexpr bool is_set(const Vectors& vectors, unsigned vector) {
    return (vectors[vector / 32] >> (vector % 32) & 1) != 0;
}
constexpr void assign(Vectors& vectors, unsigned vector, bool on) {
    const u32 mask = 1u << (vector % 32);
    vectors[vector / 32] = on ? vectors[vector / 32] | mask : vectors[vector / 32] & ~mask;
}
/// -1: none is set.
constexpr int highest(const Vectors& vectors) {
    for (int word = 7; word >= 0; --word)
        if (vectors[static_cast<unsigned>(word)] != 0)
            return word * 32 + 31 - std::countl_zero(vectors[static_cast<unsigned>(word)]);
    return -1;
}

/// `in_service`: the highest vector, or -1. SDM 3A, "Task and Processor Priorities".
constexpr u32 processor_priority(u32 task_priority, int in_service) {
    const u32 service_class = in_service < 0 ? 0 : static_cast<u32>(in_service) & 0xf0;
    return (task_priority & 0xf0) >= service_class ? task_priority : service_class;
}
static_assert(processor_priority(0x23, 0x2f) == 0x23 && processor_priority(0x23, 0x31) == 0x30);
static_assert(processor_priority(0x0f, -1) == 0x0f && processor_priority(0, 0x41) == 0x40);

/// Only the classes are compared.
constexpr bool is_above(int vector, u32 priority) {
    return vector >= 0 && (static_cast<u32>(vector) & 0xf0) > (priority & 0xf0);
}
static_assert(is_above(0x30, 0x2f) && !is_above(0x3f, 0x30) && !is_above(-1, 0));

// Registers.

/// Bits of an entry of the local vector table that software sets. SDM 3A, "Local Vector Table".
constexpr u32 lvt_writable(u32 index) {
    switch (index) {
        case reg_lvt_timer: return 0x0007'00ff;
        case reg_lvt_lint0:
        case reg_lvt_lint1: return 0x0001'a7ff;
        case reg_lvt_error: return 0x0001'00ff;
        default: return 0x0001'07ff;
    }
}
constexpr bool is_local_vector(u32 index) {
    return index >= reg_lvt_timer && index <= reg_lvt_error;
}

inline constexpr u64 not_writable = ~u64{0};

/// Bits that a WRMSR may set, or not_writable. SDM 3A, "x2APIC Register Address Space".
constexpr u64 writable_bits(u32 index) {
    switch (index) {
        case reg_task_priority: return 0xff;
        case reg_end_of_interrupt:
        case reg_error_status: return 0;
        case reg_spurious: return spurious_writable;
        case reg_command_low: return 0xffff'ffff'000c'cfff;
        case reg_lvt_timer: return 0x0007'10ff;
        case reg_lvt_thermal:
        case reg_lvt_performance: return 0x0001'17ff;
        case reg_lvt_lint0:
        case reg_lvt_lint1: return 0x0001'f7ff;
        case reg_lvt_error: return 0x0001'10ff;
        case reg_initial_count: return 0xffff'ffff;
        case reg_divide: return divide_writable;
        case reg_self_ipi: return 0xff;
        default: return not_writable;
    }
}

/// By RDMSR.
constexpr bool is_readable(u32 index) {
    const bool vectors = index >= reg_in_service && index < reg_error_status;
    const bool local_vectors = index >= reg_lvt_timer && index <= reg_current_count;
    switch (index) {
        case reg_id:
        case reg_version:
        case reg_task_priority:
        case reg_processor_priority:
        case reg_logical_destination:
        case reg_spurious:
        case reg_error_status:
        case reg_command_low:
        case reg_divide: return true;
        default: return vectors || local_vectors;
    }
}

/// In the xAPIC page, whether to read or to write.
constexpr bool exists(u32 index) {
    return is_readable(index) || writable_bits(index) != not_writable || index == reg_remote_read ||
           index == reg_arbitration_priority || index == reg_destination_format ||
           index == reg_command_high;
}

// Destinations and commands.

/// What a local APIC answers to.
struct Identity {
    u32 id;
    u32 logical_destination;  // in xAPIC mode
    u32 destination_format;   // in xAPIC mode
    bool x2apic;
};

/// In x2APIC mode the logical destination follows from the ID. SDM 3A, "Deriving Logical x2APIC
/// ID from the Local x2APIC ID".
constexpr u32 x2apic_logical_destination(u32 id) { return (id >> 4) << 16 | 1u << (id & 15); }

/// SDM 3A, "Determining IPI Destination".
constexpr bool is_addressed(const ApicMessage& message, const Identity& apic) {
    const u32 destination = message.destination;
    if (destination == ApicMessage::everybody) return true;
    if (!message.logical) return destination == apic.id;
    if (apic.x2apic)
        return destination >> 16 == apic.id >> 4 && (destination >> (apic.id & 15) & 1) != 0;
    const u32 own = apic.logical_destination >> 24;
    const bool flat = apic.destination_format >> 28 == 0xf;
    if (flat || destination > 0xff) return destination <= 0xff && (own & destination) != 0;
    const u32 cluster = destination >> 4;
    return (cluster == 0xf || cluster == own >> 4) && (own & destination & 0xf) != 0;
}

enum class Shorthand : u8 { none, self, all, all_but_self };

/// What a write of the ICR asks for. SDM 3A, "Interrupt Command Register (ICR)". IPIs are edges.
struct Command {
    ApicMessage message;
    Shorthand shorthand;
    bool fixed;    // or lowest priority: the vector counts
    bool nothing;  // the de-assertion of INIT only told old processors their arbitration IDs
};
constexpr Command command_of(u64 command, bool x2apic) {
    constexpr u64 assert_level = 1u << 14;
    constexpr u64 level_triggered = 1u << 15;
    const DeliveryMode mode = delivery_mode_of(command);
    const bool logical = (command >> 11 & 1) != 0;
    const auto high = static_cast<u32>(command >> 32);
    const u32 destination =
        x2apic ? high : ApicMessage::widened(static_cast<u8>(high >> 24), logical);
    return {{destination, logical, false, mode, static_cast<u8>(command)},
            static_cast<Shorthand>(command >> 18 & 3),
            mode == DeliveryMode::fixed || mode == DeliveryMode::lowest_priority,
            mode == DeliveryMode::init && (command & level_triggered) != 0 &&
                (command & assert_level) == 0};
}
inline constexpr u64 command_status = 1u << 12;  // of delivery: always idle

// The timer.

inline constexpr u64 timer_tick = 40;  // nanoseconds of the 25 MHz crystal

enum class TimerMode : u8 { one_shot, periodic, tsc_deadline, reserved };

constexpr TimerMode timer_mode_of(u32 lvt_timer) {
    return static_cast<TimerMode>(lvt_timer >> 17 & 3);
}

/// A change to or from TSC-deadline mode disarms the timer. SDM 3A, "TSC-Deadline Mode".
constexpr bool disarms_timer(TimerMode before, TimerMode after) {
    return before != after &&
           (before == TimerMode::tsc_deadline || after == TimerMode::tsc_deadline);
}

/// Nanoseconds of a count. SDM 3A, "APIC Timer", figure "Divide Configuration Register".
constexpr u64 timer_tick_length(u32 divide) {
    const u32 code = (divide & 3) | (divide >> 1 & 4);
    return timer_tick << (code == 7 ? 0 : code + 1);
}
static_assert(timer_tick_length(0xb) == 40 && timer_tick_length(0) == 80);
static_assert(timer_tick_length(3) == 640 && timer_tick_length(0xa) == 5120);

}  // namespace postern::apic

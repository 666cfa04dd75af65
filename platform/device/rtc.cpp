// SPDX-License-Identifier: Apache-2.0
// Motorola, MC146818A data sheet, "Registers"; the meaning of the CMOS bytes is the PC AT's.
#include "platform/device/rtc.h"

#include <algorithm>
#include <chrono>

namespace postern::platform {

namespace {

enum Index : u8 {
    seconds_index = 0,
    seconds_alarm = 1,
    minutes_index = 2,
    minutes_alarm = 3,
    hours_index = 4,
    hours_alarm = 5,
    weekday_index = 6,
    day_index = 7,
    month_index = 8,
    year_index = 9,
    register_a = 0xa,
    register_b = 0xb,
    register_c = 0xc,
    register_d = 0xd,
};

constexpr u8 update_in_progress = 0x80;  // A
constexpr u8 divider_running = 0x20;
constexpr u8 divider_mask = 0x70;
constexpr u8 set_mode = 0x80;  // B
constexpr u8 binary = 0x04;
constexpr u8 hours_24 = 0x02;
constexpr u8 periodic_flag = 0x40;  // enabled in B, flagged in C
constexpr u8 alarm_flag = 0x20;
constexpr u8 update_flag = 0x10;
constexpr u8 request_flag = 0x80;
constexpr u8 square_wave = 0x08;   // B
constexpr u8 valid_memory = 0x80;  // D
constexpr u8 any_value = 0xc0;     // of an alarm register

constexpr u64 second = Oscillator::second;
constexpr u64 update_warning = 244'000;  // from UIP to the update
constexpr u64 update_length = 1'984'000;
constexpr u64 day = 86'400;

/// Seconds, their alarm, ... year, century: what update mode owns.
constexpr bool is_time(u8 index) {
    return index == seconds_index || index == minutes_index || index == hours_index ||
           (index >= weekday_index && index <= year_index) || index == Rtc::century_index;
}
constexpr bool is_alarm_register(u8 index) {
    return index == seconds_alarm || index == minutes_alarm || index == hours_alarm;
}

}  // namespace

Rtc::Rtc(const Clock& clock, InterruptLines& lines, const Layout& layout, u64 start)
    : clock_{&clock}, lines_{&lines} {
    state_.seconds = start;
    state_.memory[register_a] = 0x26;  // 32768 Hz, 1024 Hz periodic
    state_.memory[register_b] = hours_24;
    const auto put16 = [this](size_t index, u64 value) {
        const u64 most = std::min<u64>(value, 0xffff);
        state_.memory[index] = static_cast<u8>(most);
        state_.memory[index + 1] = static_cast<u8>(most >> 8);
    };
    const u64 above_16m = layout.low_size > 16 * mib ? layout.low_size - 16 * mib : 0;
    put16(0x15, 640);
    put16(0x17, (layout.low_size - mib) / kib);
    put16(0x30, (layout.low_size - mib) / kib);
    put16(0x34, above_16m / (64 * kib));
    put16(0x5b, layout.high_size / (64 * kib));
    plan_alarm(0);
}

bool Rtc::runs() const { return state_.held == 0 && (state_.memory[register_b] & set_mode) == 0; }

u64 Rtc::seconds_at(u64 now) const { return state_.seconds + (now - state_.second_zero) / second; }

u64 Rtc::next_second(u64 now) const {
    return now < state_.second_zero
               ? state_.second_zero
               : state_.second_zero + ((now - state_.second_zero) / second + 1) * second;
}

bool Rtc::updating(u64 now) const {
    return runs() && next_second(now) - now <= update_warning + update_length;
}

/// Rates 1 and 2 are those of 8 and 9. MC146818A, "Periodic Interrupt Rate".
u64 Rtc::next_period(u64 now) const {
    const unsigned code = state_.memory[register_a] & 0xf;
    if (code == 0 || state_.held != 0) return never;
    const unsigned shift = code < 3 ? code + 6 : code - 1;
    const u64 since = now < state_.second_zero ? 0 : now - state_.second_zero;
    const u64 turn = (crystal_.ticks_at(since) >> shift) + 1;
    return state_.second_zero + crystal_.time_of(turn << shift);
}

u8 Rtc::encode(u32 value) const {
    if ((state_.memory[register_b] & binary) != 0) return static_cast<u8>(value);
    return static_cast<u8>(value / 10 << 4 | value % 10);
}

u32 Rtc::decode(u8 value) const {
    if ((state_.memory[register_b] & binary) != 0) return value;
    return (value >> 4) * 10u + (value & 15u);
}

u8 Rtc::encode_hour(u32 hour) const {
    if ((state_.memory[register_b] & hours_24) != 0) return encode(hour);
    const u32 twelve = hour % 12 == 0 ? 12 : hour % 12;
    return static_cast<u8>(encode(twelve) | (hour >= 12 ? 0x80 : 0));
}

u32 Rtc::decode_hour(u8 value) const {
    if ((state_.memory[register_b] & hours_24) != 0) return decode(value);
    return decode(value & 0x7f) % 12 + ((value & 0x80) != 0 ? 12 : 0);
}

void Rtc::store_time(u64 seconds) {
    using namespace std::chrono;
    const sys_days date{days{static_cast<int>(seconds / day)}};
    const year_month_day ymd{date};
    const auto year = static_cast<u32>(static_cast<int>(ymd.year()));
    const auto of_day = static_cast<u32>(seconds % day);
    auto& memory = state_.memory;
    memory[seconds_index] = encode(of_day % 60);
    memory[minutes_index] = encode(of_day / 60 % 60);
    memory[hours_index] = encode_hour(of_day / 3600);
    memory[weekday_index] = encode(weekday{date}.c_encoding() + 1);
    memory[day_index] = encode(static_cast<unsigned>(ymd.day()));
    memory[month_index] = encode(static_cast<unsigned>(ymd.month()));
    memory[year_index] = encode(year % 100);
    memory[century_index] = encode(year / 100);
}

u64 Rtc::stored_time() const {
    using namespace std::chrono;
    const auto& memory = state_.memory;
    const u32 year_number = decode(memory[century_index]) * 100 + decode(memory[year_index]);
    const sys_days date{year{static_cast<int>(year_number)} /
                        month{std::clamp(decode(memory[month_index]), 1u, 12u)} /
                        std::chrono::day{std::clamp(decode(memory[day_index]), 1u, 31u)}};
    const auto whole_days = std::max(date.time_since_epoch().count(), days::rep{0});
    return static_cast<u64>(whole_days) * day + decode_hour(memory[hours_index]) * 3600 +
           decode(memory[minutes_index]) * 60 + decode(memory[seconds_index]);
}

bool Rtc::is_alarm(u64 seconds) const {
    const auto matches = [](u8 alarm, u8 value) {
        return (alarm & any_value) == any_value || alarm == value;
    };
    const auto of_day = static_cast<u32>(seconds % day);
    const auto& memory = state_.memory;
    return matches(memory[seconds_alarm], encode(of_day % 60)) &&
           matches(memory[minutes_alarm], encode(of_day / 60 % 60)) &&
           matches(memory[hours_alarm], encode_hour(of_day / 3600));
}

/// Looks one day ahead; an alarm repeats every day, or never matches.
void Rtc::plan_alarm(u64 now) {
    state_.alarm_due = never;
    if (!runs()) return;
    const u64 first = next_second(now);
    const u64 seconds = seconds_at(first);
    for (u64 n = 0; n < day; ++n) {
        if (!is_alarm(seconds + n)) continue;
        state_.alarm_due = first + n * second;
        return;
    }
}

/// Sets the flags of what came due, whether enabled or not.
void Rtc::catch_up(u64 now) {
    if (next_period(state_.seen) <= now) state_.flags |= periodic_flag;
    if (runs() && next_second(state_.seen) <= now) state_.flags |= update_flag;
    if (state_.alarm_due <= now) {
        state_.flags |= alarm_flag;
        plan_alarm(now);
    }
    state_.seen = now;
    update_line();
}

void Rtc::update_line() { lines_->set(line, (state_.flags & state_.memory[register_b]) != 0); }

u64 Rtc::next_event() const {
    const u8 waited = static_cast<u8>(state_.memory[register_b] & ~state_.flags);
    u64 due = never;
    if ((waited & periodic_flag) != 0) due = std::min(due, next_period(state_.seen));
    if ((waited & update_flag) != 0 && runs()) due = std::min(due, next_second(state_.seen));
    if ((waited & alarm_flag) != 0) due = std::min(due, state_.alarm_due);
    return due;
}

/// MC146818A, "RESET": the enable bits of register B and the flags of register C.
void Rtc::reset() {
    catch_up(clock_->now());
    u8& control = state_.memory[register_b];
    control = static_cast<u8>(control & ~(periodic_flag | alarm_flag | update_flag | square_wave));
    state_.flags = 0;
    update_line();
}

void Rtc::advance(u64 now) {
    if (now >= next_event()) catch_up(now);
}

u8 Rtc::read_register(u64 now) {
    const u8 index = state_.index;
    if (is_time(index) && runs()) store_time(seconds_at(now));
    switch (index) {
        case register_a:
            return static_cast<u8>(state_.memory[register_a] |
                                   (updating(now) ? update_in_progress : 0));
        case register_c: {
            const u8 flags = state_.flags;
            const bool asks = (flags & state_.memory[register_b]) != 0;
            state_.flags = 0;
            update_line();
            return static_cast<u8>(flags | (asks ? request_flag : 0));
        }
        case register_d: return valid_memory;
        default: return state_.memory[index];
    }
}

/// Let go, the divider makes its first update half a second later.
void Rtc::write_divider(u8 value, u64 now) {
    if (runs()) store_time(seconds_at(now));
    const bool holds = (value & divider_mask) != divider_running;
    if (holds && state_.held == 0) state_.seconds = stored_time();
    if (!holds && state_.held != 0) {
        state_.seconds = stored_time();
        state_.second_zero = now - std::min(now, second / 2);
    }
    state_.held = holds ? 1 : 0;
    state_.memory[register_a] = value & 0x7f;
    plan_alarm(now);
}

/// While SET is set the registers stand still; the divider goes on.
void Rtc::write_control(u8 value, u64 now) {
    const bool ran = runs();
    if (ran) store_time(seconds_at(now));
    const u64 time = stored_time();
    const bool changes_form = ((value ^ state_.memory[register_b]) & (binary | hours_24)) != 0;
    // The data sheet: after a change of form all registers are to be written anew.
    state_.memory[register_b] = (value & set_mode) != 0 ? value & ~update_flag : value;
    if (changes_form && ran) store_time(time);
    if (!ran && runs()) {
        state_.seconds = stored_time();
        state_.second_zero += (now - state_.second_zero) / second * second;
    }
    plan_alarm(now);
}

void Rtc::write_register(u8 value, u64 now) {
    const u8 index = state_.index;
    if (index == register_a) return write_divider(value, now);
    if (index == register_b) return write_control(value, now);
    if (index == register_c || index == register_d) return;
    const bool sets_running_time = is_time(index) && runs();
    if (sets_running_time) store_time(seconds_at(now));
    state_.memory[index] = value;
    if (sets_running_time) {
        state_.seconds = stored_time();
        state_.second_zero += (now - state_.second_zero) / second * second;
    }
    if (is_time(index) || is_alarm_register(index)) plan_alarm(now);
}

u32 Rtc::port_read(u16 offset, unsigned size) {
    const u64 now = clock_->now();
    catch_up(now);
    const u32 rest = static_cast<u32>(all_ones(size));
    if (offset == 1) return (rest & ~u32{0xff}) | read_register(now);
    if (size == 1) return rest;  // the index cannot be read
    return (rest & ~u32{0xff00}) | u32{read_register(now)} << 8;
}

void Rtc::port_write(u16 offset, unsigned size, u32 value) {
    const u64 now = clock_->now();
    catch_up(now);
    if (offset == 0) state_.index = value & 0x7f;  // bit 7 masks NMI, of which there is none
    if (offset == 1) write_register(static_cast<u8>(value), now);
    if (offset == 0 && size > 1) write_register(static_cast<u8>(value >> 8), now);
    update_line();
}

}  // namespace postern::platform

// SPDX-License-Identifier: Apache-2.0
// What the counters of an 8254 hold at any time, without counting. Intel, 8254 data sheet, "Mode
// Definitions".
#include "platform/device/pit.h"

#include <algorithm>

namespace postern::platform {

namespace {

constexpr u32 full_count = 0x1'0000;
constexpr u32 full_count_bcd = 10'000;
constexpr u32 least_period = 2;  // 1 is not allowed there

constexpr u32 from_bcd(u32 bcd) {
    return (bcd >> 12 & 15) * 1000 + (bcd >> 8 & 15) * 100 + (bcd >> 4 & 15) * 10 + (bcd & 15);
}

constexpr u32 to_bcd(u32 number) {
    return (number / 1000 % 10) << 12 | (number / 100 % 10) << 8 | (number / 10 % 10) << 4 |
           number % 10;
}
static_assert(from_bcd(0x1234) == 1234 && to_bcd(1234) == 0x1234);

}  // namespace

/// A count loaded at a tick is counted down from the next.
u64 TimerChannel::elapsed(u64 tick) const {
    const u64 at = std::min(tick, state_.stopped_at);
    return at > state_.start ? at - state_.start : 0;
}

/// A new count of a periodic mode begins with a period.
void TimerChannel::settle(u64 tick) {
    if (state_.next_start > tick) return;
    state_.start = state_.next_start;
    state_.count = state_.next_count;
    state_.next_start = never;
}

void TimerChannel::write_control(u8 word) {
    const u8 mode = word >> 1 & 7;
    state_.mode = mode > 5 ? mode & 3 : mode;
    state_.access = word >> 4 & 3;
    state_.bcd = word & 1;
    state_.start = never;
    state_.next_start = never;
    state_.stopped_at = never;
    state_.writes_high = 0;
    state_.reads_high = 0;
    state_.latched_bytes = 0;
    state_.status_latched = 0;
}

void TimerChannel::load(u32 value, u64 tick) {
    const u32 count = state_.bcd != 0 ? from_bcd(value) : value;
    const u32 nonzero = count != 0 ? count : (state_.bcd != 0 ? full_count_bcd : full_count);
    const u32 real = periodic() ? std::max(nonzero, least_period) : nonzero;
    const bool triggered = state_.mode == 1 || state_.mode == 5;
    if (periodic() && state_.start != never && state_.gate != 0) {
        state_.next_count = real;
        state_.next_start = tick + state_.count - elapsed(tick) % state_.count;
        return;
    }
    state_.count = real;
    if (triggered) return;  // its gate starts it
    state_.start = tick + 1;
    state_.stopped_at = state_.gate != 0 ? never : state_.start;
}

void TimerChannel::write_count(u8 byte, u64 tick) {
    settle(tick);
    switch (state_.access) {
        case 1: return load(byte, tick);
        case 2: return load(u32{byte} << 8, tick);
        default: break;
    }
    if (state_.writes_high == 0) {
        state_.written_low = byte;
        state_.writes_high = 1;
        if (state_.mode == 0) state_.start = never;  // the first byte stops it
        return;
    }
    state_.writes_high = 0;
    load(u32{byte} << 8 | state_.written_low, tick);
}

void TimerChannel::set_gate(bool gate, u64 tick) {
    settle(tick);
    const bool rises = gate && state_.gate == 0;
    const bool falls = !gate && state_.gate != 0;
    state_.gate = gate ? 1 : 0;
    const bool triggered = state_.mode == 1 || state_.mode == 5;
    if (falls && !triggered && state_.start != never) state_.stopped_at = tick;
    if (!rises) return;
    if (triggered || periodic()) {
        if (state_.count != 0) state_.start = tick + 1;
    } else if (state_.start != never && state_.stopped_at != never) {
        state_.start += tick - state_.stopped_at;
    }
    state_.stopped_at = never;
}

bool TimerChannel::output(u64 tick) const {
    if (state_.next_start <= tick) {
        TimerChannel then{*this};
        then.settle(tick);
        return then.output(tick);
    }
    if (state_.start == never) return state_.mode != 0;
    const u64 passed = elapsed(tick);
    switch (state_.mode) {
        case 0:
        case 1: return passed >= state_.count;
        case 2: return state_.gate == 0 || passed % state_.count != state_.count - 1;
        case 3: return state_.gate == 0 || passed % state_.count < (state_.count + 1) / 2;
        default: return passed != state_.count;
    }
}

u64 TimerChannel::next_change(u64 tick) const {
    if (state_.next_start <= tick) {
        TimerChannel then{*this};
        then.settle(tick);
        return then.next_change(tick);
    }
    if (state_.start == never || state_.stopped_at <= tick) return never;
    const u64 passed = elapsed(tick);
    const u64 base = std::max(tick, state_.start) - passed % state_.count;  // of this period
    switch (state_.mode) {
        case 0:
        case 1: return passed < state_.count ? state_.start + state_.count : never;
        case 2: {
            const u64 low = base + state_.count - 1;
            return tick < low ? low : low + 1;
        }
        case 3: {
            const u64 low = base + (state_.count + 1) / 2;
            return tick < low ? low : base + state_.count;
        }
        default:
            if (passed > state_.count) return never;
            return state_.start + state_.count + (passed == state_.count ? 1 : 0);
    }
}

u16 TimerChannel::counter(u64 tick) const {
    if (state_.count == 0) return 0;
    const u64 passed = elapsed(tick);
    const u32 wrap = state_.bcd != 0 ? full_count_bcd : full_count;
    u64 left = 0;
    if (state_.start == never)
        left = state_.count;
    else if (state_.mode == 3)  // counts by two, in two halves
        left = state_.count - passed * 2 % state_.count;
    else if (state_.mode == 2)
        left = state_.count - passed % state_.count;
    else
        left = state_.count + wrap - passed % wrap;
    const auto value = static_cast<u32>(left % wrap);
    return static_cast<u16>(state_.bcd != 0 ? to_bcd(value) : value);
}

void TimerChannel::latch_count(u64 tick) {
    if (state_.latched_bytes != 0) return;
    settle(tick);
    state_.latched = counter(tick);
    state_.latched_bytes = state_.access == 3 ? 2 : 1;
}

void TimerChannel::latch_status(u64 tick) {
    if (state_.status_latched != 0) return;
    constexpr unsigned null_count = 0x40;
    const unsigned waits = state_.start == never || state_.next_start != never ? null_count : 0;
    state_.status =
        static_cast<u8>((output(tick) ? 0x80u : 0u) | waits | unsigned{state_.access} << 4 |
                        unsigned{state_.mode} << 1 | state_.bcd);
    state_.status_latched = 1;
}

u8 TimerChannel::read(u64 tick) {
    settle(tick);
    if (state_.status_latched != 0) {
        state_.status_latched = 0;
        return state_.status;
    }
    const u16 value = state_.latched_bytes != 0 ? state_.latched : counter(tick);
    if (state_.latched_bytes != 0) --state_.latched_bytes;
    const bool high = state_.access == 2 || (state_.access == 3 && state_.reads_high != 0);
    if (state_.access == 3) state_.reads_high ^= 1;
    return static_cast<u8>(high ? value >> 8 : value);
}

Pit::Pit(const Clock& clock, InterruptLines& lines) : clock_{&clock}, lines_{&lines} {
    constexpr u8 square_wave = 0x36;
    channels_[0].write_control(square_wave);
    channels_[2].set_gate(false, 0);
    catch_up(0);
}

bool Pit::attach(Bus& bus) {
    bool complete = true;
    for (PortWindow<Pit>& window : windows_) complete = bus.attach(window, "pit") && complete;
    return complete;
}

void Pit::plan() {
    const u64 change = channels_[0].next_change(seen_);
    next_event_ = change == TimerChannel::never ? change : crystal_.time_of(change);
}

/// The line follows the output, edge by edge.
void Pit::catch_up(u64 tick) {
    for (u64 at = channels_[0].next_change(seen_); at <= tick; at = channels_[0].next_change(at)) {
        lines_->set(line, channels_[0].output(at));
        seen_ = at;
    }
    seen_ = tick;
    lines_->set(line, channels_[0].output(tick));
    plan();
}

void Pit::advance(u64 now) {
    if (now >= next_event_) catch_up(crystal_.ticks_at(now));
}

u8 Pit::speaker(u64 tick) const {
    constexpr u64 refresh_ticks = 18;  // 15 microseconds
    const unsigned refresh = tick / refresh_ticks % 2 != 0 ? 0x10 : 0;
    const unsigned output = channels_[2].output(tick) ? 0x20 : 0;
    return static_cast<u8>(speaker_ | refresh | output);
}

void Pit::read_back(u8 word, u64 tick) {
    for (unsigned n = 0; n < channels_.size(); ++n) {
        if ((word >> (n + 1) & 1) == 0) continue;
        if ((word & 0x20) == 0) channels_[n].latch_count(tick);
        if ((word & 0x10) == 0) channels_[n].latch_status(tick);
    }
}

u8 Pit::read_byte(u16 port, u64 tick) {
    if (port == speaker_port) return speaker(tick);
    if (port == control_port) return 0xff;
    return channels_[port - first_port].read(tick);
}

void Pit::write_byte(u16 port, u8 value, u64 tick) {
    if (port == speaker_port) {
        speaker_ = value & 0xf;
        channels_[2].set_gate((value & 1) != 0, tick);
        return;
    }
    if (port != control_port) return channels_[port - first_port].write_count(value, tick);
    const unsigned channel = value >> 6;
    if (channel == 3) return read_back(value, tick);
    if ((value & 0x30) == 0)
        channels_[channel].latch_count(tick);
    else
        channels_[channel].write_control(value);
}

u32 Pit::read_port(u16 port, unsigned size) {
    const u64 tick = crystal_.ticks_at(clock_->now());
    u32 value = static_cast<u32>(all_ones(size));
    const unsigned last = port == speaker_port ? 1u : 4u - (port & 3u);
    for (unsigned i = 0; i < size && i < last; ++i) {
        value &= ~(u32{0xff} << (8 * i));
        value |= u32{read_byte(static_cast<u16>(port + i), tick)} << (8 * i);
    }
    return value;
}

void Pit::write_port(u16 port, unsigned size, u32 value) {
    const u64 tick = crystal_.ticks_at(clock_->now());
    catch_up(tick);
    const unsigned last = port == speaker_port ? 1u : 4u - (port & 3u);
    for (unsigned i = 0; i < size && i < last; ++i)
        write_byte(static_cast<u16>(port + i), static_cast<u8>(value >> (8 * i)), tick);
    catch_up(tick);
}

Pit::State Pit::state() const {
    State state;
    for (size_t n = 0; n < channels_.size(); ++n) state.channels[n] = channels_[n].state();
    state.seen = seen_;
    state.speaker = speaker_;
    return state;
}

void Pit::restore(const State& state) {
    for (size_t n = 0; n < channels_.size(); ++n) channels_[n].restore(state.channels[n]);
    seen_ = state.seen;
    speaker_ = state.speaker;
    plan();
}

}  // namespace postern::platform

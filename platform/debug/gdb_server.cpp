// SPDX-License-Identifier: Apache-2.0
// The session: transport, running and why it stopped. What only looks or changes is in
// gdb_commands.cpp.
#include "platform/debug/gdb_server.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "cpu/mode.h"

namespace postern::platform {

namespace {

using namespace std::chrono_literals;
using Kind = PacketEvent::Kind;

/// Instructions between two looks at the socket.
constexpr u64 longest_run = 1'000'000;

enum Signal : u8 { sigint = 2, sigtrap = 5, sigabrt = 6 };

u8 signal_of(DebugStop stop) {
    switch (stop) {
        case DebugStop::interrupted:
        case DebugStop::halted: return sigint;
        case DebugStop::shutdown:
        case DebugStop::unimplemented: return sigabrt;
        default: return sigtrap;
    }
}

}  // namespace

GdbServer::GdbServer(DebugTarget& target, Channel channel, const Symbols* symbols)
    : target_{target}, channel_{std::move(channel)}, symbols_{symbols},
      debugger_{target.system().debugger}, owns_debugger_{debugger_ == nullptr},
      processor_{target.current()} {
    if (owns_debugger_) target_.system().debugger = debugger_ = &own_debugger_;
    outcome_.processor = processor_;
}

GdbServer::~GdbServer() {
    for (const Breakpoint& b : breakpoints_) cpu::remove_breakpoint(target_.system(), b.linear);
    for (const cpu::Watch& w : watches_) cpu::remove_watch(target_.system(), w);
    if (owns_debugger_) target_.system().debugger = nullptr;
}

void GdbServer::collect(std::chrono::milliseconds patience) {
    for (const char byte : channel_.read(patience))
        if (auto event = reader_.feed(static_cast<u8>(byte))) events_.push_back(std::move(*event));
}

PacketEvent GdbServer::next_event() {
    while (events_.empty() && channel_.is_open()) collect(1000ms);
    if (events_.empty()) return {Kind::interrupt, {}};
    PacketEvent event = std::move(events_.front());
    events_.pop_front();
    return event;
}

void GdbServer::send(std::string_view payload) {
    last_sent_ = framed(payload);
    channel_.write(last_sent_);
}

/// Text for the user, while the machine runs.
void GdbServer::say(std::string_view text) { send("O" + hex_of(text)); }

bool GdbServer::interrupt_wanted() {
    collect(0ms);
    const auto interrupt = std::ranges::find(events_, Kind::interrupt, &PacketEvent::kind);
    if (interrupt == events_.end()) return !channel_.is_open();
    events_.erase(interrupt);
    return true;
}

DebugSessionEnd GdbServer::serve() {
    while (!over_ && channel_.is_open()) {
        const PacketEvent event = next_event();
        switch (event.kind) {
            case Kind::packet:
                if (acks_) channel_.write("+");
                handle_packet(event.payload);
                break;
            case Kind::damaged:
                if (acks_) channel_.write("-");
                break;
            case Kind::too_long:
                if (acks_) channel_.write("+");
                send("E22");
                break;
            case Kind::nak: channel_.write(last_sent_); break;
            case Kind::ack:
            case Kind::interrupt: break;
        }
    }
    channel_.finish();
    return {end_, outcome_};
}

/// Commands that make the machine run or end the session; false: it was another.
bool GdbServer::handle_packet(const std::string& packet) {
    std::string_view rest = packet;
    if (take(rest, "vCont;")) {
        run_and_report(rest);
    } else if (packet[0] == 'c' || packet[0] == 's' || packet[0] == 'C' || packet[0] == 'S') {
        // An address to go on at, or a signal: neither is offered.
        const bool step = packet[0] == 's' || packet[0] == 'S';
        const unsigned n = continue_processor_ < 0 ? outcome_.processor
                                                   : static_cast<unsigned>(continue_processor_);
        run_and_report(step ? fmt::format("s:{:x}", n + 1) : "c");
    } else if (packet == "k" || take(rest, "vKill")) {
        if (packet != "k") send("OK");
        over_ = true;
        end_ = DebugSessionEnd::Kind::killed;
    } else if (packet[0] == 'D') {
        send("OK");
        over_ = true;
        end_ = DebugSessionEnd::Kind::detached;
    } else {
        send(answer(packet));
        return false;
    }
    return true;
}

/// "s:2;c": the first thread that is to step does; else all go on.
void GdbServer::run_and_report(std::string_view actions) {
    std::optional<unsigned> stepping;
    bool goes_on = false;
    while (!actions.empty()) {
        const std::string_view action = actions.substr(0, actions.find(';'));
        actions.remove_prefix(std::min(action.size() + 1, actions.size()));
        if (action.empty() || std::string_view{"cCsS"}.find(action[0]) == std::string_view::npos)
            return send("E16");
        goes_on = true;
        if (action[0] == 'c' || action[0] == 'C' || stepping) continue;
        std::string_view thread = action.substr(std::min(action.find(':'), action.size()));
        take(thread, ":");
        const u64 number = take_hex(thread).value_or(outcome_.processor + 1);
        if (number == 0 || number > target_.processor_count()) return send("E16");
        stepping = static_cast<unsigned>(number - 1);
    }
    if (!goes_on) return send("E16");
    resume(stepping.value_or(outcome_.processor), stepping.has_value());
    if (!channel_.is_open()) return;
    tell_why();
    send(is_end(outcome_.stop) ? end_reply() : stop_reply());
}

void GdbServer::grant_pass(unsigned processor) {
    const u64 linear = cpu::code_linear(target_.processor(processor));
    if (std::ranges::binary_search(debugger_->breakpoints, linear))
        debugger_->pass[processor] = {linear, true};
}

void GdbServer::resume(unsigned processor, bool step) {
    if (is_end(outcome_.stop)) return;
    grant_pass(processor);
    outcome_ = step ? step_one(processor) : run_on();
    if (step && outcome_.stop == DebugStop::time) outcome_.stop = DebugStop::stepped;
    processor_ = outcome_.processor;
    if (!is_end(outcome_.stop)) return;
    over_ = true;
    end_ = DebugSessionEnd::Kind::machine_end;
}

/// A processor that waits takes its step when something has woken it.
DebugOutcome GdbServer::step_one(unsigned processor) {
    const cpu::Cpu& c = target_.processor(processor);
    if (c.event.activity == ActivityState::active) return target_.step(processor);
    for (unsigned turns = 0;; ++turns) {
        DebugOutcome outcome = target_.run(target_.now() + 1);
        outcome.processor = processor;
        if (outcome.stop != DebugStop::time || c.event.activity == ActivityState::active)
            return outcome;
        if (turns % 4096 != 0 || !interrupt_wanted()) continue;
        outcome.stop = DebugStop::interrupted;
        return outcome;
    }
}

DebugOutcome GdbServer::run_on() {
    for (;;) {
        DebugOutcome outcome = target_.run(target_.now() + longest_run);
        if (outcome.stop != DebugStop::time) return outcome;
        if (!interrupt_wanted()) continue;
        outcome.stop = DebugStop::interrupted;
        return outcome;
    }
}

std::string GdbServer::hit_words() const {
    const cpu::DebugHit& hit = debugger_->hit;
    if (outcome_.stop != DebugStop::breakpoint) return {};
    if (hit.kind == cpu::DebugHit::Kind::watch) {
        const char* const word = !hit.watch.reads    ? "watch"
                                 : !hit.watch.writes ? "rwatch"
                                                     : "awatch";
        return fmt::format("{}:{:x};", word, hit.address);
    }
    const bool hardware = std::ranges::any_of(
        breakpoints_, [&](const Breakpoint& b) { return b.linear == hit.address && b.hardware; });
    return hardware ? "hwbreak:;" : "swbreak:;";
}

std::string GdbServer::stop_reply() {
    return fmt::format("T{:02x}{}thread:{:x};", signal_of(outcome_.stop), hit_words(),
                       outcome_.processor + 1);
}

std::string GdbServer::end_reply() const {
    if (outcome_.stop == DebugStop::exit_port)
        return fmt::format("W{:02x}", (outcome_.value << 1 | 1) & 0xff);
    return outcome_.stop == DebugStop::limit ? "W7c" : "W00";
}

void GdbServer::tell_why() {
    switch (outcome_.stop) {
        case DebugStop::shutdown:
            return say(fmt::format("postern: triple fault of processor {}\n", outcome_.processor));
        case DebugStop::unimplemented:
            return say(fmt::format("postern: not implemented: {}\n", outcome_.what));
        case DebugStop::halted:
            return say("postern: every processor waits, and nothing will ever wake one\n");
        case DebugStop::power_off: return say("postern: the machine is off\n");
        case DebugStop::reset: return say("postern: a reset was asked for\n");
        case DebugStop::limit: return say("postern: the limit of this run\n");
        default: return;
    }
}

}  // namespace postern::platform

// SPDX-License-Identifier: Apache-2.0
// The commands that look at the machine or change it while it stands still.
#include <algorithm>

#include <fmt/format.h>

#include "platform/debug/gdb_server.h"
#include "platform/debug/memory.h"
#include "platform/debug/registers.h"
#include "platform/debug/report.h"
#include "platform/debug/target_xml.h"

namespace postern::platform {

namespace {

constexpr u64 watch_most = 0x1'0000;
constexpr size_t memory_most = packet_most / 2 - 16;

const char* const bad = "E16";          // EINVAL
const char* const unreachable = "E0e";  // EFAULT

/// "ADDRESS,LENGTH" at the front of `text`.
struct Range {
    u64 address = 0;
    u64 length = 0;
};
std::optional<Range> take_range(std::string_view& text) {
    const auto address = take_hex(text);
    if (!address || !take(text, ",")) return {};
    const auto length = take_hex(text);
    if (!length) return {};
    return Range{*address, *length};
}

std::span<const u8> as_bytes(std::string_view text) {
    return {reinterpret_cast<const u8*>(text.data()), text.size()};
}

std::string text_of(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) text += line + '\n';
    return text;
}

}  // namespace

const std::vector<GdbServer::Command>& GdbServer::commands() {
    static const std::vector<Command> table{
        {"?", &GdbServer::why},
        {"g", &GdbServer::read_registers},
        {"G", &GdbServer::write_registers},
        {"p", &GdbServer::read_register},
        {"P", &GdbServer::write_register},
        {"m", &GdbServer::read_memory},
        {"x", &GdbServer::read_memory_binary},
        {"M", &GdbServer::write_memory},
        {"X", &GdbServer::write_memory_binary},
        {"Z", &GdbServer::insert},
        {"z", &GdbServer::remove},
        {"Hg", &GdbServer::select_thread},
        {"Hc", &GdbServer::select_continue_thread},
        {"T", &GdbServer::is_alive},
        {"qfThreadInfo", &GdbServer::threads},
        {"qsThreadInfo", &GdbServer::no_more_threads},
        {"qThreadExtraInfo,", &GdbServer::thread_words},
        {"qC", &GdbServer::current_thread},
        {"qSupported", &GdbServer::supported},
        {"qXfer:features:read:target.xml:", &GdbServer::target_description},
        {"qAttached", &GdbServer::attached},
        {"qRcmd,", &GdbServer::monitor},
        {"vCont?", &GdbServer::actions_known},
        {"QStartNoAckMode", &GdbServer::start_no_acks},
    };
    return table;
}

/// An empty answer says that a command is not known.
std::string GdbServer::answer(std::string_view packet) {
    for (const Command& command : commands()) {
        std::string_view rest = packet;
        if (take(rest, command.prefix)) return (this->*command.run)(rest);
    }
    return {};
}

std::string GdbServer::why(std::string_view) { return stop_reply(); }

std::string GdbServer::read_registers(std::string_view) {
    std::string bytes;
    for (const DebugRegister& r : debug_registers()) bytes += register_bytes(processor(), r);
    return hex_of(bytes);
}

std::string GdbServer::write_registers(std::string_view rest) {
    const auto bytes = bytes_of_hex(rest);
    size_t size = 0;
    for (const DebugRegister& r : debug_registers()) size += r.bits / 8u;
    if (!bytes || bytes->size() != size) return bad;
    std::string_view left = *bytes;
    bool all = true;
    for (const DebugRegister& r : debug_registers()) {
        const std::string_view value = left.substr(0, r.bits / 8u);
        left.remove_prefix(value.size());
        if (register_bytes(processor(), r) != value)
            all = set_register(processor(), r, value) && all;
    }
    return all ? "OK" : bad;
}

std::string GdbServer::read_register(std::string_view rest) {
    const auto number = take_hex(rest);
    if (!number || *number >= debug_registers().size()) return bad;
    return hex_of(register_bytes(processor(), debug_registers()[*number]));
}

std::string GdbServer::write_register(std::string_view rest) {
    const auto number = take_hex(rest);
    if (!number || *number >= debug_registers().size() || !take(rest, "=")) return bad;
    const auto bytes = bytes_of_hex(rest);
    if (!bytes || !set_register(processor(), debug_registers()[*number], *bytes)) return bad;
    return "OK";
}

/// Fewer bytes than asked for where memory ends, none where there is none.
std::optional<std::string> GdbServer::bytes_at(std::string_view range_text) {
    const auto range = take_range(range_text);
    if (!range) return {};
    std::string bytes(std::min<u64>(range->length, memory_most), '\0');
    bytes.resize(
        peek(processor(), range->address, {reinterpret_cast<u8*>(bytes.data()), bytes.size()}));
    return bytes;
}

std::string GdbServer::read_memory(std::string_view rest) {
    const auto bytes = bytes_at(rest);
    if (!bytes) return bad;
    return bytes->empty() ? unreachable : hex_of(*bytes);
}

std::string GdbServer::read_memory_binary(std::string_view rest) {
    const auto bytes = bytes_at(rest);
    if (!bytes) return bad;
    return bytes->empty() ? unreachable : "b" + *bytes;
}

std::string GdbServer::write_memory(std::string_view rest) {
    const auto range = take_range(rest);
    if (!range || !take(rest, ":")) return bad;
    const auto bytes = bytes_of_hex(rest);
    if (!bytes || bytes->size() != range->length) return bad;
    return poke(processor(), range->address, as_bytes(*bytes)) ? "OK" : unreachable;
}

std::string GdbServer::write_memory_binary(std::string_view rest) {
    const auto range = take_range(rest);
    if (!range || !take(rest, ":") || rest.size() != range->length) return bad;
    return poke(processor(), range->address, as_bytes(rest)) ? "OK" : unreachable;
}

std::string GdbServer::insert(std::string_view rest) { return change_break(rest, true); }
std::string GdbServer::remove(std::string_view rest) { return change_break(rest, false); }

/// "TYPE,ADDRESS,KIND". Inserting twice is as inserting once.
std::string GdbServer::change_break(std::string_view rest, bool add) {
    const auto type = take_hex(rest);
    if (!type || !take(rest, ",")) return bad;
    const auto range = take_range(rest);
    if (!range) return bad;
    if (*type > 4) return {};
    if (*type >= 2) {
        if (range->length == 0 || range->length > watch_most) return bad;
        const cpu::Watch watch{range->address, range->length, *type != 2, *type != 3};
        const auto at = std::ranges::find(watches_, watch);
        if (add == (at != watches_.end())) return "OK";
        if (add)
            watches_.push_back(watch);
        else
            watches_.erase(at);
        (add ? cpu::add_watch : cpu::remove_watch)(target_.system(), watch);
        return "OK";
    }
    const bool hardware = *type == 1;
    const auto same = [&](const Breakpoint& b) {
        return b.linear == range->address && b.hardware == hardware;
    };
    const auto here = [&](const Breakpoint& b) { return b.linear == range->address; };
    std::erase_if(breakpoints_, same);
    if (add) breakpoints_.push_back({range->address, hardware});
    const bool wanted = std::ranges::any_of(breakpoints_, here);
    (wanted ? cpu::add_breakpoint : cpu::remove_breakpoint)(target_.system(), range->address);
    return "OK";
}

/// 0 is any thread, -1 all of them.
std::string GdbServer::select_thread(std::string_view rest) {
    if (rest == "0" || rest == "-1") return "OK";
    const auto number = take_hex(rest);
    if (!number || *number == 0 || *number > target_.processor_count()) return bad;
    processor_ = static_cast<unsigned>(*number - 1);
    return "OK";
}

std::string GdbServer::select_continue_thread(std::string_view rest) {
    continue_processor_ = -1;
    if (rest == "0" || rest == "-1") return "OK";
    const auto number = take_hex(rest);
    if (!number || *number == 0 || *number > target_.processor_count()) return bad;
    continue_processor_ = static_cast<int>(*number - 1);
    return "OK";
}

std::string GdbServer::is_alive(std::string_view rest) {
    const auto number = take_hex(rest);
    return number && *number != 0 && *number <= target_.processor_count() ? "OK" : bad;
}

std::string GdbServer::threads(std::string_view) {
    std::string list = "m1";
    for (unsigned n = 1; n < target_.processor_count(); ++n) list += fmt::format(",{:x}", n + 1);
    return list;
}

std::string GdbServer::no_more_threads(std::string_view) { return "l"; }

std::string GdbServer::thread_words(std::string_view rest) {
    const auto number = take_hex(rest);
    if (!number || *number == 0 || *number > target_.processor_count()) return bad;
    const auto n = static_cast<unsigned>(*number - 1);
    return hex_of(fmt::format("processor {}: {}", n, activity_words(target_.processor(n))));
}

std::string GdbServer::current_thread(std::string_view) {
    return fmt::format("QC{:x}", processor_ + 1);
}

std::string GdbServer::supported(std::string_view) {
    return fmt::format(
        "PacketSize={:x};qXfer:features:read+;swbreak+;hwbreak+;vContSupported+;"
        "QStartNoAckMode+",
        packet_most);
}

std::string GdbServer::target_description(std::string_view rest) {
    const auto range = take_range(rest);
    const std::string& xml = target_xml();
    if (!range || range->address > xml.size()) return bad;
    const std::string part = xml.substr(range->address, std::min<u64>(range->length, memory_most));
    return (range->address + part.size() < xml.size() ? "m" : "l") + part;
}

std::string GdbServer::attached(std::string_view) { return "1"; }

std::string GdbServer::actions_known(std::string_view) { return "vCont;c;C;s;S"; }

std::string GdbServer::start_no_acks(std::string_view) {
    acks_ = false;
    return "OK";
}

std::string GdbServer::monitor_text(std::string_view command) {
    if (command == "regs") return text_of(register_lines(processor(), symbols_));
    if (command == "sregs") return text_of(system_lines(processor()));
    if (command == "log") {
        const auto lines = branch_lines(*debugger_, processor_, symbols_);
        return lines.empty() ? "nothing is recorded\n" : text_of(lines);
    }
    if (take(command, "save ")) return target_.save(std::string{command});
    return "monitor regs, sregs, log or save FILE\n";
}

std::string GdbServer::monitor(std::string_view rest) {
    const auto command = bytes_of_hex(rest);
    if (!command) return bad;
    const std::string text = monitor_text(*command);
    for (size_t at = 0; at < text.size(); at += memory_most / 2)
        say(std::string_view{text}.substr(at, memory_most / 2));
    return "OK";
}

}  // namespace postern::platform

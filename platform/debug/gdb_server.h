// SPDX-License-Identifier: Apache-2.0
// One session of GDB's remote serial protocol: the debugger commands, the target runs.
// GDB manual, "Remote Protocol". Threads are processors: thread n + 1 is processor n.
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "platform/debug/channel.h"
#include "platform/debug/packet.h"
#include "platform/debug/symbols.h"
#include "platform/debug/target.h"

namespace postern::platform {

/// How a session ended.
struct DebugSessionEnd {
    enum class Kind : u8 {
        machine_end,  // outcome says how
        detached,     // the machine is to go on by itself
        killed,       // by the debugger
        lost,         // nobody is there any more
    } kind;
    DebugOutcome outcome;
};

class GdbServer {
public:
    /// `symbols`, if any, name addresses in what `monitor` shows. Both must outlive the server.
    GdbServer(DebugTarget& target, Channel channel, const Symbols* symbols = nullptr);
    ~GdbServer();
    GdbServer(const GdbServer&) = delete;
    GdbServer& operator=(const GdbServer&) = delete;

    DebugSessionEnd serve();

    /// The answer to one packet; for tests. Packets that make the machine run are not for this.
    std::string answer(std::string_view packet);

private:
    using Answer = std::string (GdbServer::*)(std::string_view rest);
    struct Command {
        std::string_view prefix;
        Answer run;
    };
    static const std::vector<Command>& commands();

    struct Breakpoint {
        u64 linear;
        bool hardware;
    };

    // Transport.
    void collect(std::chrono::milliseconds patience);
    PacketEvent next_event();
    void send(std::string_view payload);
    void say(std::string_view text);
    bool interrupt_wanted();

    // Running.
    bool handle_packet(const std::string& packet);
    void run_and_report(std::string_view actions);
    DebugOutcome run_on();
    DebugOutcome step_one(unsigned processor);
    void resume(unsigned processor, bool step);
    void grant_pass(unsigned processor);
    std::string stop_reply();
    std::string hit_words() const;
    void tell_why();
    [[nodiscard]] std::string end_reply() const;

    // Commands.
    std::string why(std::string_view);
    std::string read_registers(std::string_view);
    std::string write_registers(std::string_view rest);
    std::string read_register(std::string_view rest);
    std::string write_register(std::string_view rest);
    std::string read_memory(std::string_view rest);
    std::string read_memory_binary(std::string_view rest);
    std::string write_memory(std::string_view rest);
    std::string write_memory_binary(std::string_view rest);
    std::string insert(std::string_view rest);
    std::string remove(std::string_view rest);
    std::string change_break(std::string_view rest, bool add);
    std::string select_thread(std::string_view rest);
    std::string select_continue_thread(std::string_view rest);
    std::string is_alive(std::string_view rest);
    std::string threads(std::string_view);
    std::string no_more_threads(std::string_view);
    std::string thread_words(std::string_view rest);
    std::string current_thread(std::string_view);
    std::string supported(std::string_view);
    std::string target_description(std::string_view rest);
    std::string attached(std::string_view);
    std::string actions_known(std::string_view);
    std::string start_no_acks(std::string_view);
    std::string monitor(std::string_view rest);

    std::optional<std::string> bytes_at(std::string_view range_text);
    [[nodiscard]] cpu::Cpu& processor() { return target_.processor(processor_); }
    [[nodiscard]] std::string monitor_text(std::string_view command);

    DebugTarget& target_;
    Channel channel_;
    const Symbols* symbols_;
    cpu::Debugger own_debugger_;
    cpu::Debugger* debugger_;
    bool owns_debugger_;

    PacketReader reader_;
    std::deque<PacketEvent> events_;
    std::string last_sent_;
    bool acks_ = true;

    unsigned processor_ = 0;       // that g, m and the like are about
    int continue_processor_ = -1;  // of s and c without vCont; -1: whichever stopped
    std::vector<Breakpoint> breakpoints_;
    std::vector<cpu::Watch> watches_;
    DebugOutcome outcome_;
    bool over_ = false;
    DebugSessionEnd::Kind end_ = DebugSessionEnd::Kind::lost;
};

}  // namespace postern::platform

// SPDX-License-Identifier: Apache-2.0
// A scripted debugger on one end of a socket pair, the server with a bare processor on the other.
#include "platform/debug/gdb_server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <random>
#include <thread>

#include "platform/debug/memory.h"
#include "platform/debug/registers.h"
#include "platform/debug/target_xml.h"
#include "unit/platform/debug/machine_target.h"

namespace postern::platform {
namespace {

using namespace std::chrono_literals;
using test::code_base;
using test::data_base;
using test::MachineTarget;

constexpr u64 loop_inc = code_base + 12, loop_store = code_base + 14, loop_halt = code_base + 23;
constexpr std::array<u8, 24> loop_code{
    0x31, 0xc0,                    // xor eax, eax
    0xb9, 0x03, 0,    0,    0,     // mov ecx, 3
    0xbf, 0x00, 0x00, 0x02, 0x00,  // mov edi, data
    0xff, 0xc0,                    // again: inc eax
    0x48, 0x89, 0x07,              // mov [rdi], rax
    0x8b, 0x17,                    // mov edx, [rdi]
    0xff, 0xc9,                    // dec ecx
    0x75, 0xf3,                    // jnz again
    0xf4,                          // hlt
};
constexpr std::array<u8, 2> endless{0xeb, 0xfe};

/// The debugger's end.
class Client {
public:
    explicit Client(FileDescriptor socket) : channel_{std::move(socket)} {}

    void send_raw(std::string_view bytes) { channel_.write(bytes); }
    void send(std::string_view packet) { channel_.write(framed(packet)); }
    /// The next event that is not an acknowledgement; "nothing" after two seconds.
    std::string next() {
        for (int turns = 0; turns < 200; ++turns) {
            while (!events_.empty()) {
                const PacketEvent event = events_.front();
                events_.pop_front();
                if (event.kind == PacketEvent::Kind::ack) ++acks;
                if (event.kind == PacketEvent::Kind::nak) return "-";
                if (event.kind == PacketEvent::Kind::packet) return event.payload;
            }
            for (const char byte : channel_.read(10ms))
                if (auto event = reader_.feed(static_cast<u8>(byte))) events_.push_back(*event);
        }
        return "nothing";
    }
    std::string ask(std::string_view packet) {
        send(packet);
        return next();
    }
    unsigned acks = 0;

private:
    Channel channel_;
    PacketReader reader_;
    std::deque<PacketEvent> events_;
};

class GdbSession : public testing::Test {
protected:
    void start(std::span<const u8> code, void (*prepare)(cpu::Cpu&) = nullptr) {
        target = std::make_unique<MachineTarget>(code);
        if (prepare != nullptr) prepare(target->processor(0));
        int ends[2];
        ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        client = std::make_unique<Client>(FileDescriptor{ends[0]});
        server = std::make_unique<GdbServer>(*target, Channel{FileDescriptor{ends[1]}});
        thread = std::thread{[this] { end = server->serve(); }};
    }
    void finish() {
        client->send("k");
        client.reset();
        join();
    }
    void join() {
        thread.join();
        server.reset();
        client.reset();
    }
    void SetUp() override { start(loop_code); }
    void TearDown() override {
        if (thread.joinable()) finish();
    }
    std::string ask(std::string_view packet) { return client->ask(packet); }
    u64 register_value(std::string_view name) {
        const auto& all = debug_registers();
        const auto at = std::ranges::find(all, name, &DebugRegister::name);
        const auto bytes = bytes_of_hex(ask(fmt::format("p{:x}", at - all.begin())));
        u64 value = 0;
        std::memcpy(&value, bytes->data(), std::min<size_t>(8, bytes->size()));
        return value;
    }

    std::unique_ptr<MachineTarget> target;
    std::unique_ptr<Client> client;
    std::unique_ptr<GdbServer> server;
    std::thread thread;
    DebugSessionEnd end{};
};

TEST_F(GdbSession, TellsWhatItCanAndWhereItStands) {
    const std::string features = ask("qSupported:multiprocess+;swbreak+;hwbreak+");
    for (const char* const word : {"PacketSize=4000", "qXfer:features:read+", "swbreak+",
                                   "hwbreak+", "vContSupported+", "QStartNoAckMode+"})
        EXPECT_NE(features.find(word), std::string::npos) << word;
    EXPECT_EQ(features.find("multiprocess+"), std::string::npos);
    EXPECT_EQ(ask("?"), "T05thread:1;");
    EXPECT_EQ(ask("qfThreadInfo"), "m1");
    EXPECT_EQ(ask("qsThreadInfo"), "l");
    EXPECT_EQ(ask("qC"), "QC1");
    EXPECT_EQ(ask("T1"), "OK");
    EXPECT_EQ(ask("T2"), "E16");
    EXPECT_EQ(bytes_of_hex(ask("qThreadExtraInfo,1")), "processor 0: running");
    EXPECT_EQ(ask("vMustReplyEmpty"), "");
}

TEST_F(GdbSession, DescriptionComesInPieces) {
    std::string xml;
    std::string part;
    do {
        part = ask(fmt::format("qXfer:features:read:target.xml:{:x},100", xml.size()));
        ASSERT_FALSE(part.empty());
        xml += part.substr(1);
    } while (part[0] == 'm');
    EXPECT_EQ(xml, target_xml());
    EXPECT_NE(xml.find("<reg name=\"cr3\" bitsize=\"64\""), std::string::npos);
}

TEST_F(GdbSession, RegistersAreReadAndSetByNumberAndTogether) {
    EXPECT_EQ(register_value("rip"), code_base);
    EXPECT_EQ(register_value("cr3"), test::tables_base);
    EXPECT_EQ(register_value("efer"), 0xd00u);
    EXPECT_EQ(register_value("eflags"), 2u);
    EXPECT_EQ(ask("P0=8877665544332211"), "OK");
    EXPECT_EQ(register_value("rax"), 0x1122334455667788u);
    const std::string all = ask("g");
    EXPECT_EQ(all.substr(0, 16), "8877665544332211");
    EXPECT_EQ(ask("G" + all), "OK");
    EXPECT_EQ(ask("Gff"), "E16");
    EXPECT_EQ(ask("P0=88"), "E16");
    EXPECT_EQ(ask("pfff"), "E16");
}

TEST_F(GdbSession, ControlRegistersAreNotSetFromOutside) {
    const auto& all = debug_registers();
    const auto cr3 = std::ranges::find(all, "cr3", &DebugRegister::name) - all.begin();
    EXPECT_EQ(ask(fmt::format("P{:x}=0000000000000000", cr3)), "E16");
    EXPECT_EQ(register_value("cr3"), test::tables_base);
}

TEST_F(GdbSession, MemoryIsReadAndWritten) {
    EXPECT_EQ(ask("m10000,4"), "31c0b903");
    EXPECT_EQ(ask("M20000,2:abcd"), "OK");
    EXPECT_EQ(ask("m20000,3"), "abcd00");
    EXPECT_EQ(ask(std::string{"X20000,3:a#}", 12}), "OK");
    EXPECT_EQ(ask("x20000,3"), "ba#}");
    EXPECT_EQ(ask("m200000,1"), "E0e");  // above what is mapped
    EXPECT_EQ(ask("m1ffffe,8"), "0000");
    EXPECT_EQ(ask("M200000,1:00"), "E0e");
    EXPECT_EQ(ask("M20000,2:ab"), "E16");
    EXPECT_EQ(ask("m"), "E16");
    EXPECT_EQ(ask("mfffffffffffffff8,10"), "E0e");
}

TEST_F(GdbSession, LookingAtMemoryLeavesNoAccessedFlag) {
    ask("m20000,8");
    EXPECT_EQ(target->machine().ram()[test::tables_base], 3);
    ask("vCont;s:1");
    EXPECT_EQ(target->machine().ram()[test::tables_base], 0x23);
}

TEST_F(GdbSession, StepsOneInstruction) {
    EXPECT_EQ(ask("vCont?"), "vCont;c;C;s;S");
    EXPECT_EQ(ask("vCont;s:1;c"), "T05thread:1;");
    EXPECT_EQ(register_value("rip"), code_base + 2);
    EXPECT_EQ(ask("s"), "T05thread:1;");
    EXPECT_EQ(register_value("rip"), code_base + 7);
    EXPECT_EQ(ask("vCont;t"), "E16");
    EXPECT_EQ(ask("vCont;s:9"), "E16");
}

TEST_F(GdbSession, StopsAtBreakpointsOfBothKinds) {
    EXPECT_EQ(ask("Z0,10000e,1"), "OK");
    EXPECT_EQ(ask("z0,10000e,1"), "OK");
    EXPECT_EQ(ask(fmt::format("Z0,{:x},1", loop_store)), "OK");
    EXPECT_EQ(ask("c"), "T05swbreak:;thread:1;");
    EXPECT_EQ(register_value("rip"), loop_store);
    EXPECT_EQ(register_value("rax"), 1u);
    EXPECT_EQ(ask("vCont;c"), "T05swbreak:;thread:1;");
    EXPECT_EQ(register_value("rax"), 2u);
    EXPECT_EQ(ask(fmt::format("z0,{:x},1", loop_store)), "OK");
    EXPECT_EQ(ask(fmt::format("Z1,{:x},1", loop_inc)), "OK");
    EXPECT_EQ(ask("c"), "T05hwbreak:;thread:1;");
    EXPECT_EQ(register_value("rax"), 2u);
    EXPECT_EQ(ask("s"), "T05thread:1;");
    EXPECT_EQ(register_value("rip"), loop_store);
    EXPECT_EQ(ask("Z5,0,1"), "");
}

std::string monitor(Client& client, std::string_view command) {
    client.send("qRcmd," + hex_of(command));
    std::string text;
    std::string part = client.next();
    for (; part.starts_with("O") && part != "OK"; part = client.next())
        text += *bytes_of_hex(std::string_view{part}.substr(1));
    EXPECT_EQ(part, "OK");
    return text;
}

void enter_real_mode(cpu::Cpu& c) {
    c.cr0 = Cr0Word{Cr0::et};
    c.cr4 = {};
    c.efer = {};
    c.segment[cs] = {0xfff, 0, 0x9b, 0xffff, 0, 0xfff0};
    c.rip = 0x10;
}

TEST_F(GdbSession, AddressesOfRealModeCodeAreLinear) {
    finish();
    constexpr std::array<u8, 4> code{0x40, 0x40, 0x40, 0xf4};  // three times inc ax; hlt
    start(code, enter_real_mode);
    EXPECT_EQ(register_value("rip"), code_base);
    EXPECT_EQ(ask("Z0,10001,1"), "OK");
    EXPECT_EQ(ask("c"), "T05swbreak:;thread:1;");
    EXPECT_EQ(register_value("rip"), code_base + 1);
    EXPECT_EQ(register_value("rax"), 1u);
    EXPECT_NE(monitor(*client, "regs").find("eip 00000011  at 0000000000010001"),
              std::string::npos);
    EXPECT_EQ(ask("s"), "T05thread:1;");
    EXPECT_EQ(register_value("rip"), code_base + 2);
    EXPECT_EQ(ask("P10=0000010000000000"), "OK");
    EXPECT_EQ(target->processor(0).rip, 0x10u);
    EXPECT_EQ(ask("c"), "T05swbreak:;thread:1;");
    EXPECT_EQ(register_value("rax"), 3u);
}

TEST_F(GdbSession, StopsAfterWatchedAccesses) {
    EXPECT_EQ(ask("Z2,20000,8"), "OK");
    EXPECT_EQ(ask("c"), "T05watch:20000;thread:1;");
    EXPECT_EQ(register_value("rip"), loop_store + 3);
    EXPECT_EQ(ask("z2,20000,8"), "OK");
    EXPECT_EQ(ask("Z3,20000,4"), "OK");
    EXPECT_EQ(ask("c"), "T05rwatch:20000;thread:1;");
    EXPECT_EQ(register_value("rip"), loop_store + 5);
    EXPECT_EQ(ask("z3,20000,4"), "OK");
    EXPECT_EQ(ask("Z4,20004,2"), "OK");
    EXPECT_EQ(ask("c"), "T05awatch:20004;thread:1;");
    EXPECT_EQ(register_value("rip"), loop_store + 3);
    EXPECT_EQ(ask("Z2,20000,0"), "E16");
    EXPECT_EQ(ask("Z2,20000,10001"), "E16");
}

TEST_F(GdbSession, HaltForEverIsTold) {
    EXPECT_EQ(ask("c").substr(0, 1), "O");
    EXPECT_EQ(client->next(), "T02thread:1;");
    EXPECT_EQ(register_value("rip"), loop_halt + 1);
    EXPECT_EQ(bytes_of_hex(ask("qThreadExtraInfo,1")), "processor 0: halted");
}

TEST_F(GdbSession, CtrlCStopsWhatNeverEnds) {
    finish();
    start(endless);
    client->send("vCont;c");
    std::this_thread::sleep_for(50ms);
    client->send_raw("\x03");
    EXPECT_EQ(client->next(), "T02thread:1;");
    EXPECT_EQ(register_value("rip"), code_base);
    EXPECT_EQ(ask("s"), "T05thread:1;");
}

TEST_F(GdbSession, ConnectionThatIsLostEndsTheRun) {
    finish();
    start(endless);
    client->send("c");
    std::this_thread::sleep_for(20ms);
    client.reset();
    join();
    EXPECT_EQ(end.kind, DebugSessionEnd::Kind::lost);
}

TEST_F(GdbSession, DetachesAndIsKilled) {
    EXPECT_EQ(ask("Z0,10000,1"), "OK");
    EXPECT_EQ(ask("D"), "OK");
    join();
    EXPECT_EQ(end.kind, DebugSessionEnd::Kind::detached);
    EXPECT_EQ(target->system().debugger, nullptr);
    EXPECT_EQ(target->run(~u64{0}).stop, DebugStop::halted);
    start(loop_code);
    finish();
    EXPECT_EQ(end.kind, DebugSessionEnd::Kind::killed);
}

TEST_F(GdbSession, NotImplementedIsASignalWithItsName) {
    finish();
    start(std::array<u8, 7>{0xb8, 0, 0, 0x20, 0, 0xff, 0xe0});  // mov eax, 2 MiB; jmp rax
    const u64 device = local_apic_base | 0x83;
    std::memcpy(target->machine().ram() + test::tables_base + 0x2008, &device, sizeof device);
    const std::string told = ask("c");
    EXPECT_EQ(bytes_of_hex(told.substr(1)),
              "postern: not implemented: instruction fetch from a device\n");
    EXPECT_EQ(client->next(), "T06thread:1;");
}

TEST_F(GdbSession, DamagedAndOversizedPacketsAreRefused) {
    client->send_raw("$g#00");
    EXPECT_EQ(client->next(), "-");
    client->send_raw(framed(std::string(packet_most + 1, 'm')));
    EXPECT_EQ(client->next(), "E22");
    EXPECT_EQ(ask("qC"), "QC1");
    client->send_raw("-");  // the answer was lost
    EXPECT_EQ(client->next(), "QC1");
}

TEST_F(GdbSession, WithoutAcknowledgementsNoneIsSent) {
    EXPECT_EQ(ask("QStartNoAckMode"), "OK");
    const unsigned before = client->acks;
    ask("qC");
    ask("?");
    EXPECT_EQ(client->acks, before);
}

TEST_F(GdbSession, MonitorShowsRegisters) {
    EXPECT_NE(monitor(*client, "regs").find("rip 0000000000010000"), std::string::npos);
    EXPECT_NE(monitor(*client, "sregs").find("cr3 0000000000040000"), std::string::npos);
    EXPECT_EQ(monitor(*client, "log"), "nothing is recorded\n");
    EXPECT_EQ(monitor(*client, "save x"), "not implemented: save\n");
    EXPECT_NE(monitor(*client, "help").find("monitor regs"), std::string::npos);
    EXPECT_EQ(client->ask("qRcmd,4"), "E16");
}

TEST_F(GdbSession, AnyPacketGetsAnAnswerAndNoneACrash) {
    finish();
    constexpr unsigned seed = 7, count = 20'000;
    std::mt19937 random{seed};
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    const FileDescriptor other{ends[0]};
    GdbServer alone{*target, Channel{FileDescriptor{ends[1]}}};
    constexpr std::array<std::string_view, 24> beginnings{
        "?",      "g",
        "G",      "p",
        "P",      "m",
        "x",      "M",
        "X",      "Z",
        "z",      "Hg",
        "T",      "q",
        "v",      "qfThread",
        "qC",     "qXfer:features:read:target.xml:",
        "QStart", "qThreadExtraInfo,",
        "Z2,",    "vCont",
        "Hc",     "m1000"};
    constexpr std::string_view letters = "0123456789abcdef,:;=-$#*}\x80\xff";
    const std::string registers = alone.answer("g");
    for (unsigned n = 0; n < count; ++n) {
        std::string packet{beginnings[random() % beginnings.size()]};
        for (size_t left = random() % 40; left != 0; --left)
            packet.push_back(letters[random() % letters.size()]);
        const std::string answer = alone.answer(packet);
        ASSERT_LE(answer.size(), packet_most) << "seed " << seed << ", packet " << n;
    }
    EXPECT_EQ(alone.answer("g").size(), registers.size()) << "seed " << seed;
}

}  // namespace
}  // namespace postern::platform

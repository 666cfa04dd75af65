// SPDX-License-Identifier: Apache-2.0
// A virtual processor on the software processor, without devices or a loader: the modes it starts
// in, how a further one is brought up, and that what was saved goes on as if it had not been.
#include <algorithm>
#include <memory>

#include <gtest/gtest.h>

#include "cpu/model.h"
#include "host/fake_processor.h"
#include "host/software_port.h"
#include "host/ticks.h"
#include "hv/vcpu.h"
#include "platform/firmware/memory_types.h"
#include "platform/machine.h"
#include "platform/snapshot/snapshot.h"

namespace postern::host {
namespace {

using Code = std::vector<u8>;

constexpr u64 guest_ram = 4 * platform::mib;  // where it lies in the machine
constexpr u64 guest_ram_size = 2 * platform::mib;

struct Stopped final : platform::Clock {
    [[nodiscard]] u64 now() const override { return 0; }
};

/// Two processors, a virtual one on each, and 2 MiB of the guest's memory.
class Rig {
public:
    explicit Rig(const hv::Config& policy = {})
        : machine_{std::move(
              *platform::Machine::create(platform::layout_of(16 * platform::mib, 2 * platform::mib),
                                         &cpu::default_model(), 2))} {
        for (unsigned n = 0; n < 2; ++n) {
            machine_->processor(n).interrupts = &ticks_[n];
            platform::set_memory_types(machine_->processor(n));
            const SoftwarePort::Pages pages{Hpa{(1 + n) * page_size}, Hpa{3 * page_size}};
            ports_.push_back(std::make_unique<SoftwarePort>(
                SoftwarePort::Surroundings{*machine_, clock_, ticks_}, pages, n));
            EXPECT_TRUE(ports_.back()->start()) << ports_.back()->failure();
        }
        hv::Config config = policy;
        config.pool = {Hpa{4 * page_size}, 256};
        config.host = ports_.front()->host_state();
        config.vcpus = 2;
        vm_ = std::make_unique<hv::Vm>(*ports_.front(), devices_, watcher, config);
        EXPECT_TRUE(vm_->add_memory({Gpa{0}, guest_ram_size, hv::SlotKind::ram, Hpa{guest_ram}}));
        for (unsigned n = 0; n < 2; ++n)
            vcpus_.push_back(std::make_unique<hv::Vcpu>(*ports_[n], *vm_, n));
    }
    ~Rig() {
        for (const auto& port : ports_) {
            EXPECT_EQ(port->failure(), "");
            EXPECT_TRUE(port->missing_fields().empty());
        }
    }
    Rig(const Rig&) = delete;
    Rig& operator=(const Rig&) = delete;

    void put(u64 address, const Code& bytes) {
        std::ranges::copy(bytes, machine_->ram() + guest_ram + address);
    }
    void put64(u64 address, u64 value) {
        for (unsigned i = 0; i < 8; ++i)
            machine_->ram()[guest_ram + address + i] = static_cast<u8>(value >> 8 * i);
    }
    /// The first 2 MiB, identity-mapped: the root is at 1000H.
    void put_page_tables() {
        put64(0x1000, 0x2003);
        put64(0x2000, 0x3003);
        put64(0x3000, 0x83);
    }

    /// Until it halts, stops, or has exited `most` times.
    hv::Next run(unsigned n, unsigned most = 50) {
        hv::Next next = hv::Next::resume;
        for (unsigned i = 0; i < most && (next == hv::Next::resume || next == hv::Next::paused);
             ++i) {
            next = vcpus_[n]->run_once();
            ticks_[n].taken(cpu::now(machine_->processor(n)));
        }
        return next;
    }

    [[nodiscard]] hv::Vcpu& vcpu(unsigned n = 0) { return *vcpus_[n]; }
    [[nodiscard]] hv::Vm& vm() { return *vm_; }
    [[nodiscard]] SoftwarePort& port(unsigned n = 0) { return *ports_[n]; }
    [[nodiscard]] u64 gpr(Gpr which, unsigned n = 0) { return vcpus_[n]->registers().gpr[which]; }
    [[nodiscard]] platform::Machine& machine() { return *machine_; }

    fake::FakeWatcher watcher;

private:
    std::unique_ptr<platform::Machine> machine_;
    std::array<HostTicks, 2> ticks_;
    Stopped clock_;
    fake::FakeDevices devices_;
    std::vector<std::unique_ptr<SoftwarePort>> ports_;
    std::unique_ptr<hv::Vm> vm_;
    std::vector<std::unique_ptr<hv::Vcpu>> vcpus_;
};

TEST(StartInRealMode, SegmentsLieWhereTheirSelectorsSay) {
    Rig rig;
    hv::StartState start;
    start.mode = hv::StartMode::real_16;
    start.rip = 0x100;
    start.code_selector = 0x1000;
    start.data_selector = 0x2000;
    start.gpr[rsp] = 0xfff0;
    rig.put(0x1'0100, {
                          0x8c, 0xc8,              // mov ax, cs
                          0x66, 0x8b, 0x1e, 0, 0,  // mov ebx, [0]
                          0x0f, 0x20, 0xc1,        // mov ecx, cr0
                          0xe8, 0x00, 0x00,        // call $+3
                          0x66, 0x0f, 0xb7, 0xd4,  // movzx edx, sp
                          0xf4,                    // hlt
                      });
    rig.put64(0x2'0000, 0x1122'3344'5566'7788);
    ASSERT_TRUE(rig.vcpu().start(start));
    EXPECT_EQ(rig.run(0), hv::Next::halt);
    EXPECT_EQ(rig.gpr(rax), 0x1000u);
    EXPECT_EQ(rig.gpr(rbx), 0x5566'7788u);
    EXPECT_EQ(rig.gpr(rcx), 0x10u) << "NE is as the guest left it";
    EXPECT_EQ(rig.gpr(rdx), 0xffeeu);
}

TEST(StartInProtectedMode, SegmentsAreFlatAndThereIsNoPaging) {
    Rig rig;
    hv::StartState start;
    start.mode = hv::StartMode::protected_32;
    start.rip = 0x1'0000;
    start.gpr[rbx] = 0x2'0000;
    start.code_selector = 0x10;
    start.data_selector = 0x18;
    rig.put(0x1'0000, {
                          0x8b, 0x03,        // mov eax, [ebx]
                          0x0f, 0x20, 0xc1,  // mov ecx, cr0
                          0x8c, 0xda,        // mov edx, ds
                          0x0f, 0x20, 0xe6,  // mov esi, cr4
                          0xf4,              // hlt
                      });
    rig.put64(0x2'0000, 0x1234'5678);
    ASSERT_TRUE(rig.vcpu().start(start));
    EXPECT_EQ(rig.run(0), hv::Next::halt);
    EXPECT_EQ(rig.gpr(rax), 0x1234'5678u);
    EXPECT_EQ(rig.gpr(rcx), 0x31u);
    EXPECT_EQ(rig.gpr(rdx), 0x18u);
    EXPECT_EQ(rig.gpr(rsi), 0u) << "VMXE is not to be seen";
}

TEST(StartInLongMode, PagingIsOn) {
    Rig rig;
    rig.put_page_tables();
    hv::StartState start;
    start.rip = 0x1'0000;
    start.cr3 = 0x1000;
    rig.put(0x1'0000, {
                          0x0f, 0x20, 0xc0,              // mov rax, cr0
                          0x0f, 0x20, 0xe3,              // mov rbx, cr4
                          0xb9, 0x80, 0x00, 0x00, 0xc0,  // mov ecx, IA32_EFER
                          0x50, 0x0f, 0x32,              // push rax; rdmsr
                          0x89, 0xc6, 0x58,              // mov esi, eax; pop rax
                          0xf4,                          // hlt
                      });
    start.gpr[rsp] = 0x8000;
    ASSERT_TRUE(rig.vcpu().start(start));
    EXPECT_EQ(rig.run(0), hv::Next::halt);
    EXPECT_EQ(rig.gpr(rax), 0x8000'0031u);
    EXPECT_EQ(rig.gpr(rbx), 0x20u);
    EXPECT_EQ(rig.gpr(rsi), 0x500u);
}

/// From real mode at 9A00:0000 to 64-bit mode, as a trampoline does it. MOV CR0 changes NE, which
/// is ours, and so exits in the middle of the climb.
const Code climb{
    0x66, 0xb8, 0x20, 0,    0,    0,           // mov eax, CR4.PAE
    0x0f, 0x22, 0xe0,                          // mov cr4, eax
    0x66, 0xb8, 0x00, 0x10, 0,    0,           // mov eax, 1000H
    0x0f, 0x22, 0xd8,                          // mov cr3, eax
    0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0,        // mov ecx, IA32_EFER
    0x66, 0xb8, 0x00, 0x01, 0,    0,           // mov eax, LME
    0x66, 0x31, 0xd2, 0x0f, 0x30,              // xor edx, edx; wrmsr
    0x2e, 0x66, 0x0f, 0x01, 0x16, 0x80, 0,     // lgdt cs:[80H]
    0x66, 0xb8, 0x31, 0,    0,    0x80,        // mov eax, PG + NE + ET + PE
    0x0f, 0x22, 0xc0,                          // mov cr0, eax
    0x66, 0xea, 0x60, 0xa0, 0x09, 0,    8, 0,  // jmp 8:9A060H
};
const Code in_64_bit_mode{
    0x0f, 0x20, 0xc0,                    // mov rax, cr0
    0x48, 0x8d, 0x1d, 0,    0,    0, 0,  // lea rbx, [rip]
    0xb8, 0x01, 0x00, 0x00, 0x00,        // mov eax, 1
    0x53, 0x0f, 0xa2,                    // push rbx; cpuid
    0x89, 0xde, 0x5b,                    // mov esi, ebx; pop rbx
    0xf4,                                // hlt
};

void put_climb(Rig& rig) {
    rig.put_page_tables();
    rig.put(0x9'a000, climb);
    rig.put(0x9'a060, in_64_bit_mode);
    rig.put64(0x9'a080, 0x0009'a0a0'000f);
    rig.put64(0x9'a0a0, 0);
    rig.put64(0x9'a0a8, 0x00af'9b00'0000'ffff);
}

TEST(StartUp, AFurtherProcessorClimbsFromRealModeTo64BitMode) {
    Rig rig;
    put_climb(rig);
    ASSERT_TRUE(rig.vcpu(1).start_waiting());
    EXPECT_EQ(rig.run(1), hv::Next::halt);
    EXPECT_TRUE(rig.watcher.records.empty()) << "it was not entered";
    ASSERT_TRUE(rig.vm().deliver({1, false, false, DeliveryMode::start_up, 0x9a}));
    // RSP is 0 after INIT, and the climb has no stack of its own.
    rig.port(1).vmwrite(VmcsField::guest_rsp, 0x8000);
    EXPECT_EQ(rig.run(1), hv::Next::halt);
    EXPECT_EQ(rig.gpr(rsi, 1) >> 24, 1u) << "its APIC ID";
    EXPECT_EQ(rig.gpr(rbx, 1), 0x9'a06au);
    const auto climbs = [](const hv::ExitRecord& record) {
        return record.raw_reason == static_cast<u32>(BasicReason::control_register_access);
    };
    EXPECT_TRUE(std::ranges::any_of(rig.watcher.records, climbs));
    EXPECT_TRUE(rig.watcher.stops.empty());
    EXPECT_EQ(rig.watcher.anomalies.size(), 0u);
}

TEST(StartUp, InitBringsItBackAndItClimbsAgain) {
    Rig rig;
    put_climb(rig);
    ASSERT_TRUE(rig.vcpu(1).start_waiting());
    ASSERT_TRUE(rig.vm().deliver({1, false, false, DeliveryMode::start_up, 0x9a}));
    rig.port(1).vmwrite(VmcsField::guest_rsp, 0x8000);
    ASSERT_EQ(rig.run(1), hv::Next::halt);
    ASSERT_TRUE(rig.vm().deliver({1, false, false, DeliveryMode::init, 0}));
    EXPECT_EQ(rig.run(1), hv::Next::halt);
    ASSERT_TRUE(rig.vm().deliver({1, false, false, DeliveryMode::start_up, 0x9a}));
    rig.port(1).vmwrite(VmcsField::guest_rsp, 0x8000);
    rig.vcpu(1).registers().gpr[rbx] = 0;
    EXPECT_EQ(rig.run(1), hv::Next::halt);
    EXPECT_EQ(rig.gpr(rbx, 1), 0x9'a06au);
    EXPECT_TRUE(rig.watcher.stops.empty());
}

/// The processor's own exits of these instructions: what it reports of their operands is what the
/// hypervisor takes them to be.
TEST(VmxOfAGuest, RunsItsInstructionsUpToVmEntry) {
    hv::Config policy;
    policy.nested = true;
    Rig rig{policy};
    rig.put_page_tables();
    rig.put(0x1'0000, {
                          0x0f, 0x20, 0xe0, 0x0d, 0,    0x20, 0,    0,     // mov rax, cr4; or VMXE
                          0x0f, 0x22, 0xe0,                                // mov cr4, rax
                          0xb9, 0x80, 0x04, 0,    0,    0x0f, 0x32,        // IA32_VMX_BASIC
                          0x89, 0x04, 0x25, 0,    0,    2,    0,           // mov [20000H], eax
                          0x89, 0x04, 0x25, 0,    0x10, 2,    0,           // mov [21000H], eax
                          0xf3, 0x0f, 0xc7, 0x34, 0x25, 0,    0,    3, 0,  // vmxon [30000H]
                          0x66, 0x0f, 0xc7, 0x35, 0xd7, 0xff, 1,    0,     // vmclear [rip: 30008H]
                          0x0f, 0xc7, 0x34, 0x25, 8,    0,    3,    0,     // vmptrld [30008H]
                          0xba, 0x20, 0x68, 0,    0,                       // mov edx, 6820H
                          0x0f, 0x79, 0x14, 0xdd, 0x10, 0,    3,    0,  // vmwrite rdx, [8*rbx+...]
                          0x0f, 0x78, 0xd6,                             // vmread rsi, rdx
                          0x0f, 0x01, 0xc3, 0x9c, 0x5f,                 // vmresume; pushf; pop rdi
                          0xba, 0,    0x44, 0,    0,                    // mov edx, 4400H
                          0x0f, 0x78, 0xd1,                             // vmread rcx, rdx
                          0x0f, 0xc7, 0x3c, 0x25, 0x28, 0,    3,    0,  // vmptrst [30028H]
                          0x0f, 0x01, 0xc4, 0xf4,                       // vmxoff; hlt
                      });
    rig.put64(0x3'0000, 0x2'0000);
    rig.put64(0x3'0008, 0x2'1000);
    rig.put64(0x3'0020, 0x1234'5678'9abc'def0);
    hv::StartState start;
    start.rip = 0x1'0000;
    start.cr3 = 0x1000;
    start.gpr[rbx] = 2;
    start.gpr[rsp] = 0x8000;
    ASSERT_TRUE(rig.vcpu().start(start));
    EXPECT_EQ(rig.run(0), hv::Next::halt);
    EXPECT_EQ(rig.gpr(rsi), 0x1234'5678'9abc'def0u);
    EXPECT_EQ(rig.gpr(rdi) & 0x8d5, 0x40u) << "VMRESUME of a VMCS that is clear: VMfailValid";
    EXPECT_EQ(rig.gpr(rcx), 5u);
    EXPECT_EQ(rig.machine().ram()[guest_ram + 0x3'0029], 0x10u) << "VMPTRST of 21000H";
    EXPECT_EQ(rig.machine().ram()[guest_ram + 0x3'002a], 0x02u);
    EXPECT_FALSE(rig.vcpu().nested().in_vmx_operation());
    EXPECT_TRUE(rig.watcher.stops.empty());
    EXPECT_TRUE(rig.watcher.anomalies.empty());
}

/// Exits of all kinds, for ever; RDI counts, and every value read goes into R8.
const Code restless{
    0x89, 0xf8, 0x83, 0xe0, 0x07,  // mov eax, edi; and eax, 7
    0x31, 0xc9, 0x0f, 0xa2,        // xor ecx, ecx; cpuid
    0x49, 0x01, 0xc0,              // add r8, rax
    0xb9, 0xa0, 0x01, 0x00, 0x00,  // mov ecx, IA32_MISC_ENABLE
    0x0f, 0x32, 0x49, 0x01, 0xc0,  // rdmsr; add r8, rax
    0x83, 0xf0, 0x08, 0x0f, 0x30,  // xor eax, 8; wrmsr
    0xb9, 0x3b, 0x00, 0x00, 0x00,  // mov ecx, IA32_TSC_ADJUST
    0x0f, 0x32, 0x83, 0xc0, 0x11,  // rdmsr; add eax, 17
    0x0f, 0x30,                    // wrmsr
    0x0f, 0x31, 0x49, 0x01, 0xc0,  // rdtsc; add r8, rax
    0x0f, 0x20, 0xc0,              // mov rax, cr0
    0x48, 0x0f, 0xba, 0xf8, 0x1e,  // btc rax, 30 (CD)
    0x0f, 0x22, 0xc0,              // mov cr0, rax
    0xe4, 0x60, 0x49, 0x01, 0xc0,  // in al, 60h; add r8, rax
    0xff, 0xc7,                    // inc edi
    0xeb, 0xc0,                    // jmp restless
};

hv::StartState start_of_restless(Rig& rig) {
    rig.put_page_tables();
    rig.put(0x1'0000, restless);
    hv::StartState start;
    start.rip = 0x1'0000;
    start.cr3 = 0x1000;
    return start;
}

TEST(Snapshot, WhatWasSavedGoesOnIdentically) {
    constexpr unsigned before = 61, after = 97;
    Rig first;
    ASSERT_TRUE(first.vcpu().start(start_of_restless(first)));
    ASSERT_TRUE(first.vcpu(1).start_waiting());
    ASSERT_EQ(first.run(0, before), hv::Next::resume);
    const auto file = platform::snapshot_bytes(platform::subject_of(first.machine()));
    const auto vm_state = std::make_unique<hv::Vm::State>();
    std::array<hv::Vcpu::State, 2> states{};
    first.vm().save(*vm_state);
    for (unsigned n = 0; n < 2; ++n) first.vcpu(n).save(states[n]);
    ASSERT_EQ(first.run(0, after), hv::Next::resume);

    Rig second;
    const auto loaded = platform::load_snapshot(platform::subject_of(second.machine()), file, "it");
    ASSERT_TRUE(loaded.has_value()) << loaded.error().what;
    ASSERT_TRUE(second.vm().restore(*vm_state));
    for (unsigned n = 0; n < 2; ++n) ASSERT_TRUE(second.vcpu(n).restore(states[n]));
    ASSERT_EQ(second.run(0, after), hv::Next::resume);

    ASSERT_EQ(first.watcher.records.size(), before + after);
    ASSERT_EQ(second.watcher.records.size(), after);
    for (unsigned i = 0; i < after; ++i)
        EXPECT_EQ(second.watcher.records[i], first.watcher.records[before + i]) << i;
    EXPECT_EQ(second.gpr(r8), first.gpr(r8));
    EXPECT_EQ(second.vcpu().guest_tsc(), first.vcpu().guest_tsc());
    EXPECT_EQ(platform::state_digest(platform::subject_of(second.machine())),
              platform::state_digest(platform::subject_of(first.machine())));
    EXPECT_EQ(second.run(1), hv::Next::halt) << "still waits for its start-up message";
}

TEST(Snapshot, AnotherProcessorsStateAndAnImpossibleOneAreRefused) {
    Rig rig;
    ASSERT_TRUE(rig.vcpu().start(start_of_restless(rig)));
    ASSERT_EQ(rig.run(0, 5), hv::Next::resume);
    hv::Vcpu::State state;
    rig.vcpu().save(state);
    const u64 sum = rig.gpr(r8);
    hv::Vcpu::State other = state;
    other.number = 1;
    other.registers.gpr[r8] = 0;
    EXPECT_FALSE(rig.vcpu().restore(other));
    other = state;
    other.launched = 2;
    EXPECT_FALSE(rig.vcpu().restore(other));
    other = state;
    other.apic.page = ~u64{0xfff};
    EXPECT_FALSE(rig.vcpu().restore(other));
    other = state;
    other.current = static_cast<hv::ExitKind>(9);
    EXPECT_FALSE(rig.vcpu().restore(other));
    EXPECT_EQ(rig.gpr(r8), sum);
    EXPECT_TRUE(rig.vcpu().restore(state));
    EXPECT_EQ(rig.run(0, 5), hv::Next::resume);
}

}  // namespace
}  // namespace postern::host

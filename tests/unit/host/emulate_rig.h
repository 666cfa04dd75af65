// SPDX-License-Identifier: Apache-2.0
// A guest of one instruction at a time, whose window of memory is RAM or a device that behaves as
// RAM: with RAM the processor executes the instruction, with the device the hypervisor does.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "arch/regs/segment.h"
#include "cpu/decode/block_cache.h"
#include "cpu/model.h"
#include "host/fake_processor.h"
#include "host/software_port.h"
#include "hv/vcpu.h"
#include "platform/machine.h"

namespace postern::host::test {

enum class Window : u8 { ram, device };

/// Where things are. Linear pages from 4 MiB on: RAM, two of the window, RAM, read-only RAM,
/// nothing, a supervisor's of the window, a read-only one of the window.
inline constexpr u64 code_at = 0x1'0000;
inline constexpr u64 handlers_at = 0x1'1000;
inline constexpr u64 stack_top = 0x1'3000;
inline constexpr u64 tss_at = 0x1'4000;
inline constexpr u64 idt_at = 0x1'5000;
inline constexpr u64 idt32_at = 0x1'6000;
inline constexpr u64 tables_at = 0x1000;    // to 0x7000
inline constexpr u64 tables32_at = 0x7000;  // to 0xa000
inline constexpr u64 first_linear = 0x40'0000;
inline constexpr u64 end_linear = 0x40'8000;
inline constexpr u64 data_at = 0x20'0000;  // guest-physical, of the RAM pages
inline constexpr u64 window_at = 0xd000'0000;
inline constexpr u64 window_size = 4 * page_size;
inline constexpr u8 end_port = 0xf4;

/// The window's bytes, and the ports: one ends the run, all others read as a function of what was
/// read before.
class RamDevices final : public hv::Devices {
public:
    bool mmio_read(Gpa address, unsigned size, u64& value) override {
        if (!holds(address, size)) return false;
        ++touches;
        value = 0;
        std::memcpy(&value, &bytes[address.raw() - window_at], size);
        return true;
    }
    bool mmio_write(Gpa address, unsigned size, u64 value) override {
        if (!holds(address, size)) return false;
        ++touches;
        std::memcpy(&bytes[address.raw() - window_at], &value, size);
        return true;
    }
    bool port_read(u16, unsigned, u32& value) override {
        value = next_read += 0x0101'0107;
        return true;
    }
    bool port_write(u16 port, unsigned, u32 value) override {
        if (port == end_port)
            ended = true;
        else
            written.push_back(value);
        return true;
    }
    void end_of_interrupt(u8) override {}
    u8 acknowledge_external() override { return 0xff; }

    std::array<u8, window_size> bytes{};
    size_t touches = 0;
    bool ended = false;
    u32 next_read = 0;
    std::vector<u32> written;

private:
    static bool holds(Gpa address, unsigned size) {
        return address.raw() >= window_at && address.raw() - window_at <= window_size - size;
    }
};

enum class Mode : u8 { bits64, pae, bits32 };

/// What a run begins with. Outside 64-bit mode DS and ES have bases and limits of their own.
struct Start {
    std::vector<u8> code;
    std::array<u64, gpr_count> gpr{};
    u64 rflags = rflags_fixed_one;
    bool user = false;
    Mode mode = Mode::bits64;
    u64 ds_base = 0, es_base = 0;
    u32 ds_limit = ~u32{0}, es_limit = ~u32{0};
};

/// What it ends with; the instruction's own effects and, after a fault or trap, the handler's.
struct End {
    std::array<u64, gpr_count> gpr{};
    u64 rip = 0, rflags = 0, cr2 = 0, dr6 = 0;
    friend bool operator==(const End&, const End&) = default;
};

class RigClock final : public platform::Clock {
public:
    [[nodiscard]] u64 now() const override { return 0; }
};

class Rig {
public:
    static constexpr u64 reserve = 4 * platform::mib;
    static constexpr u64 ram_size = 4 * platform::mib;
    static constexpr u64 window_host = reserve + ram_size;
    static constexpr u64 exits_at_most = 20'000;

    explicit Rig(Window window) : window_{window} {
        auto made = platform::Machine::create(platform::layout_of(16 * platform::mib, 0),
                                              &cpu::default_model());
        EXPECT_TRUE(made.has_value());
        machine = std::move(*made);
        machine->processor().interrupts = &ticks[0];
        port = std::make_unique<SoftwarePort>(SoftwarePort::Surroundings{*machine, clock, ticks},
                                              SoftwarePort::Pages{Hpa{0x1000}, Hpa{0x2000}});
        EXPECT_TRUE(port->start());
        hv::Config config;
        config.pool = {Hpa{0x3000}, 256};
        config.host = port->host_state();
        vm = std::make_unique<hv::Vm>(*port, devices, watcher, config);
        EXPECT_TRUE(vm->add_memory({Gpa{0}, ram_size, hv::SlotKind::ram, Hpa{reserve}}));
        if (window == Window::ram) {
            EXPECT_TRUE(
                vm->add_memory({Gpa{window_at}, window_size, hv::SlotKind::ram, Hpa{window_host}}));
        }
        vcpu = std::make_unique<hv::Vcpu>(*port, *vm);
        EXPECT_TRUE(vcpu->start({.cr0 = Cr0Word{Cr0::wp, Cr0::am}.to_raw(), .cr3 = tables_at}));
        build_tables();
        build_handlers();
    }

    [[nodiscard]] u8* ram() { return machine->ram() + reserve; }
    /// Wherever they are kept.
    [[nodiscard]] u8* window() {
        return window_ == Window::ram ? machine->ram() + window_host : devices.bytes.data();
    }

    void write(u64 gpa, const void* bytes, size_t count) {
        cpu::about_to_write(machine->system(), ram() + gpa, count);
        std::memcpy(ram() + gpa, bytes, count);
    }

    /// False: it did not end; why() says how.
    [[nodiscard]] bool run(const Start& start) {
        prepare(start);
        for (u64 n = 0; n < exits_at_most; ++n) {
            const hv::Next next = vcpu->run_once();
            if (next == hv::Next::stop) {
                const hv::StopReport& report = vcpu->stop_report();
                why_ = report.what != nullptr ? report.what : port->failure();
                return false;
            }
            if (devices.ended) return true;
        }
        why_ = "it goes on for ever";
        return false;
    }
    [[nodiscard]] const std::string& why() const { return why_; }

    [[nodiscard]] End end() {
        End end;
        end.gpr = vcpu->registers().gpr;
        end.gpr[rsp] = port->vmread(VmcsField::guest_rsp);
        end.rip = port->vmread(VmcsField::guest_rip);
        end.rflags = port->vmread(VmcsField::guest_rflags);
        end.cr2 = vcpu->registers().cr2;
        end.dr6 = port->read_dr(6);
        return end;
    }

    std::array<HostTicks, 1> ticks{};
    RigClock clock;
    RamDevices devices;
    fake::FakeWatcher watcher;
    std::unique_ptr<platform::Machine> machine;
    std::unique_ptr<SoftwarePort> port;
    std::unique_ptr<hv::Vm> vm;
    std::unique_ptr<hv::Vcpu> vcpu;

private:
    void put64(u64 gpa, u64 value) { write(gpa, &value, sizeof value); }
    void put32(u64 gpa, u64 value) { write(gpa, &value, sizeof(u32)); }

    void build_tables() {
        put64(tables_at, 0x2007);
        put64(0x2000, 0x3007);
        put64(0x3000, 0x4007);
        put64(0x3010, 0x5007);
        for (u64 i = 0; i < 512; ++i) put64(0x4000 + 8 * i, i << 12 | 7);
        const std::array<u64, 8> pages{data_at | 7,
                                       window_at | 7,
                                       window_at | 0x1007,
                                       (data_at + 0x1000) | 7,
                                       (data_at + 0x2000) | 5,
                                       0,
                                       (window_at + 0x2000) | 3,
                                       (window_at + 0x3000) | 5};
        for (u64 i = 0; i < pages.size(); ++i) put64(0x5000 + 8 * i, pages[i]);
        put32(tables32_at, 0x8007);
        put32(tables32_at + 4, 0x9007);
        for (u64 i = 0; i < 1024; ++i) put32(0x8000 + 4 * i, i << 12 | 7);
        for (u64 i = 0; i < pages.size(); ++i) put32(0x9000 + 4 * i, pages[i]);
    }

    /// Each handler writes to the end port: RIP then tells the vector.
    void build_handlers() {
        const std::array<u8, 2> out{0xe6, end_port};
        for (u64 i = 0; i < 32; ++i) {
            const u64 handler = handlers_at + 16 * i;
            write(handler, out.data(), out.size());
            put64(idt_at + 16 * i,
                  (handler & 0xffff) | 0x08'0000 | u64{0x8e00} << 32 | handler >> 16 << 48);
            put64(idt_at + 16 * i + 8, 0);
            put64(idt32_at + 8 * i,
                  (handler & 0xffff) | 0x18'0000 | u64{0x8e00} << 32 | handler >> 16 << 48);
        }
        put64(tss_at + 4, stack_top);
        port->vmwrite(VmcsField::guest_tr_base, tss_at);
        port->vmwrite(VmcsField::guest_tr_limit, 0x67);
        // The code segments that handlers run in: 64-bit and 32-bit.
        put64(0x6000 + 8, 0x00af'9b00'0000'ffff);
        put64(0x6000 + 0x18, 0x00cf'9b00'0000'ffff);
        port->vmwrite(VmcsField::guest_gdtr_base, 0x6000);
        port->vmwrite(VmcsField::guest_gdtr_limit, 0x3f);
    }

    void prepare(const Start& start) {
        std::vector<u8> code = start.code;
        code.insert(code.end(), {0xe6, end_port});
        write(code_at, code.data(), code.size());
        devices.ended = false;
        devices.next_read = 0;
        devices.written.clear();
        const u64 dpl = start.user ? 0x60 : 0;
        for (unsigned i = es; i <= gs; ++i) {
            port->vmwrite(segment_field(VmcsField::guest_es_selector, i),
                          (i == cs ? 0x08 : 0x10) | (start.user ? 3 : 0));
            port->vmwrite(segment_field(VmcsField::guest_es_access_rights, i),
                          (i == cs ? 0xa09b : 0xc093) | dpl);
            port->vmwrite(segment_field(VmcsField::guest_es_base, i), 0);
            port->vmwrite(segment_field(VmcsField::guest_es_limit, i), 0xffff'ffff);
        }
        if (start.mode != Mode::bits64) prepare_segments(start);
        prepare_mode(start.mode);
        port->vmwrite(VmcsField::guest_rip, code_at);
        port->vmwrite(VmcsField::guest_rflags, start.rflags | (start.user ? 0x3000 : 0));
        port->vmwrite(VmcsField::guest_rsp, start.gpr[rsp]);
        port->vmwrite(VmcsField::guest_pending_debug_exceptions, 0);
        port->vmwrite(VmcsField::guest_interruptibility_state, 0);
        port->write_dr(6, 0xffff'0ff0);
        vcpu->registers().gpr = start.gpr;
        vcpu->registers().cr2 = 0;
    }

    void prepare_segments(const Start& start) {
        port->vmwrite(VmcsField::guest_cs_access_rights, 0xc09b);
        port->vmwrite(VmcsField::guest_ds_base, start.ds_base);
        port->vmwrite(VmcsField::guest_es_base, start.es_base);
        port->vmwrite(VmcsField::guest_ds_limit, start.ds_limit);
        port->vmwrite(VmcsField::guest_es_limit, start.es_limit);
        for (const VmcsField rights :
             {VmcsField::guest_ds_access_rights, VmcsField::guest_es_access_rights}) {
            const bool ds_here = rights == VmcsField::guest_ds_access_rights;
            const u32 limit = ds_here ? start.ds_limit : start.es_limit;
            // A limit whose low bits are not ones has byte granularity.
            const bool pages = (limit & 0xfff) == 0xfff;
            port->vmwrite(rights, pages ? 0xc093 : 0x4093);
        }
    }

    void prepare_mode(Mode mode) {
        const bool long_mode = mode == Mode::bits64;
        const auto lma = EferWord{Efer::lme, Efer::lma};
        const u64 efer = port->vmread(VmcsField::guest_ia32_efer) & ~lma.to_raw();
        port->vmwrite(VmcsField::guest_ia32_efer, long_mode ? efer | lma.to_raw() : efer);
        const auto entry =
            EntryControls::from_raw(static_cast<u32>(port->vmread(VmcsField::vm_entry_controls)));
        port->vmwrite(VmcsField::vm_entry_controls,
                      entry.with(EntryControl::ia32e_mode_guest, long_mode).to_raw());
        const auto cr4 = Cr4Word::from_raw(port->vmread(VmcsField::guest_cr4));
        port->vmwrite(VmcsField::guest_cr4, cr4.with(Cr4::pae, mode != Mode::bits32).to_raw());
        port->vmwrite(VmcsField::guest_cr3, mode == Mode::bits32 ? tables32_at : tables_at);
        port->vmwrite(VmcsField::guest_pdpte0, 0x3001);
        port->vmwrite(VmcsField::guest_idtr_base, long_mode ? idt_at : idt32_at);
        port->vmwrite(VmcsField::guest_idtr_limit, long_mode ? 0x1ff : 0xff);
        port->invvpid(static_cast<u16>(port->vmread(VmcsField::virtual_processor_identifier)));
    }

    Window window_;
    std::string why_;
};

}  // namespace postern::host::test

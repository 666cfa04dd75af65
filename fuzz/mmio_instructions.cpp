// SPDX-License-Identifier: Apache-2.0
// Any bytes at RIP of an exit onto a device, with any registers, page tables, segments and mode:
// whatever they are, the exit ends, nothing but the guest's memory and the hypervisor's own pages
// is touched, ROM stays as it was, and what is injected is one event.
// iterations: 20000
#include "fuzz/input.h"
#include "host/decode.h"
#include "host/fake_processor.h"

namespace {

using namespace postern;
using namespace postern::host::fake;

using fuzz::broken;
using fuzz::hold;

class Input : public fuzz::Input {
public:
    using fuzz::Input::Input;
    /// Where something is, near an edge of it, small, or anything.
    u64 value() {
        constexpr std::array<u64, 8> places{0,
                                            doorbell.raw(),
                                            doorbell.raw() + 0xff8,
                                            0x20'0ffc,
                                            rom_base.raw(),
                                            epc_base.raw(),
                                            nowhere.raw(),
                                            guest_ram_size - 4};
        const u8 kind = byte();
        if (kind < 0x80) return places[kind % places.size()] + (kind >= 0x40 ? byte() : 0);
        if (kind < 0xa0) return kind & 0x1f;
        return kind < 0xc0 ? word(4) : word();
    }
};

constexpr u64 ram_end = guest_ram_host + guest_ram_size;
constexpr u64 rom_host = 5u << 20;
constexpr u64 pool_host = 6u << 20;
constexpr u64 pool_end = pool_host + 128 * page_size;

/// Memory is watched; bytes are decoded as on the software processor.
class Watchful final : public FakeProcessor {
public:
    u8* page(Hpa address) override {
        const u64 at = address.page().raw();
        const bool allowed = (at >= guest_ram_host && at < ram_end) || at == rom_host ||
                             (at >= pool_host && at < pool_end);
        hold(allowed, "only the guest's memory and the pool are asked for", at);
        return ram.data() + at;
    }
    void about_to_write(Hpa address, size_t count) override {
        const u64 at = address.raw();
        hold(at >= guest_ram_host && at + count <= ram_end, "only RAM is written", at);
    }
    hv::DecodedAccess decode(const u8* bytes, size_t count, hv::CodeSize size) override {
        hold(count >= 1 && count <= 15, "an instruction has up to 15 bytes", count);
        return cache_.decode(bytes, count, size);
    }

private:
    host::DecodeCache cache_;
};

class CountingDevices final : public hv::Devices {
public:
    bool mmio_read(Gpa address, unsigned size, u64& value) override {
        look(address, size);
        value = address.raw() * 0x9e37'79b9'7f4a'7c15;
        return true;
    }
    bool mmio_write(Gpa address, unsigned size, u64) override {
        look(address, size);
        return true;
    }
    bool port_read(u16, unsigned size, u32& value) override {
        hold(size == 1 || size == 2 || size == 4, "a port's size", size);
        value = 0x1234'5678;
        return ++touches % 2 == 0;
    }
    bool port_write(u16, unsigned size, u32) override {
        hold(size == 1 || size == 2 || size == 4, "a port's size", size);
        ++touches;
        return true;
    }
    void end_of_interrupt(u8) override {}
    u8 acknowledge_external() override { return 0xff; }

    size_t touches = 0;

private:
    void look(Gpa address, unsigned size) {
        hold(size == 1 || size == 2 || size == 4 || size == 8, "a device's size", size);
        hold(address.offset() + size <= page_size, "an access lies in one page", address.raw());
        hold(address.raw() >= guest_ram_size, "memory is no device", address.raw());
        ++touches;
    }
};

class Run {
public:
    explicit Run(Input& input) : input_{input}, vm_{processor_, devices_, watcher_, config()} {
        using hv::MemorySlot;
        using hv::SlotKind;
        hold(vm_.add_memory({Gpa{0}, guest_ram_size, SlotKind::ram, Hpa{guest_ram_host}}) &&
                 vm_.add_memory({epc_base, 1u << 20, SlotKind::epc, Hpa{0x4000'0000}}) &&
                 vm_.add_memory({rom_base, page_size, SlotKind::rom, Hpa{rom_host}}) &&
                 vm_.add_mmio({doorbell, page_size}),
             "the guest is built");
        write64(0x1000, 0x2007);
        for (u64 i = 0; i < 4; ++i) write64(0x2000 + 8 * i, i << 30 | 0x87);
        write64(0x2000, 0x3007);
        for (u64 i = 0; i < 512; ++i) write64(0x3000 + 8 * i, i << 21 | 0x87);
        hold(vcpu_.start({.rip = kernel_rip, .cr3 = 0x1000}), "the guest starts");
    }

    void to_its_end() {
        for (unsigned exits = 0; exits < 32 && !input_.empty(); ++exits)
            if (!step()) return;
    }

private:
    static hv::Config config() {
        hv::Config config = default_config();
        config.pool = {Hpa{pool_host}, 128};
        return config;
    }
    void write64(u64 gpa, u64 value) {
        for (unsigned i = 0; i < 8; ++i)
            processor_.ram.at(guest_ram_host + gpa + i) = static_cast<u8>(value >> 8 * i);
    }

    /// Mostly an instruction that accesses memory; its operand's registers are anything.
    void put_instruction() {
        constexpr std::array<u8, 40> likely{
            0x00, 0x01, 0x03, 0x0b, 0x13, 0x21, 0x29, 0x31, 0x39, 0x3b, 0x63, 0x80, 0x81, 0x83,
            0x84, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0xa1, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xaa,
            0xab, 0xac, 0xad, 0xae, 0xaf, 0xc1, 0xc6, 0xc7, 0xd3, 0xf6, 0xf7, 0xff};
        constexpr std::array<u8, 16> after_0f{0xa3, 0xab, 0xb3, 0xbb, 0xba, 0xb0, 0xb1, 0xb6,
                                              0xbe, 0xbf, 0xc0, 0xc1, 0xc3, 0xc7, 0x44, 0x94};
        constexpr std::array<u8, 8> prefixes{0x66, 0x67, 0xf2, 0xf3, 0xf0, 0x65, 0x48, 0x49};
        std::vector<u8> code;
        const u8 kind = input_.byte();
        for (unsigned i = 0; i < kind % 4; ++i) code.push_back(prefixes[input_.byte() % 8]);
        if (kind < 0x90) {
            code.push_back(likely[input_.byte() % likely.size()]);
        } else if (kind < 0xe0) {
            code.insert(code.end(), {0x0f, after_0f[input_.byte() % after_0f.size()]});
        }
        while (code.size() < 15) code.push_back(input_.byte());
        const u64 at = guest_ram_host + (rip_ & (guest_ram_size - 1));
        for (size_t i = 0; i < code.size() && at + i < ram_end; ++i)
            processor_.ram.at(at + i) = code[i];
    }

    void any_mode(u8 kind) {
        if (kind % 4 != 0) return;
        const auto any = [&](VmcsField field) { processor_.at(field) = input_.value(); };
        any(VmcsField::guest_cr0);
        any(VmcsField::guest_cr3);
        any(VmcsField::guest_cr4);
        any(VmcsField::guest_ia32_efer);
        any(VmcsField::guest_pdpte0);
        any(VmcsField::guest_cs_access_rights);
        for (unsigned i = 0; i < 6; ++i) {
            any(segment_field(VmcsField::guest_es_base, i));
            any(segment_field(VmcsField::guest_es_limit, i));
            any(segment_field(VmcsField::guest_es_access_rights, i));
        }
    }

    bool step() {
        const u8 kind = input_.byte();
        rip_ = kind % 8 == 0 ? input_.value() : kernel_rip;
        put_instruction();
        any_mode(input_.byte());
        for (const unsigned gpr : {rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9})
            vcpu_.registers().gpr[gpr] = input_.value();
        ExitInfo info;
        info.gpa = Gpa{kind < 0xa0 ? doorbell.raw() : input_.value()};
        info.qualification = input_.byte() % 8 == 0 ? input_.word() : 0x180 | input_.byte() % 8;
        info.instruction_information = static_cast<u32>(input_.word(4));
        info.length = input_.byte() % 16;
        info.cpl = input_.byte() % 2 == 0 ? 0 : 3;
        info.rip = rip_;
        info.rflags = 2 | (input_.word(4) & 0x25'0cd5);
        constexpr std::array reasons{BasicReason::ept_violation, BasicReason::ept_misconfiguration,
                                     BasicReason::ept_violation, BasicReason::io_instruction};
        processor_.exits_with(ExitReason{reasons[input_.byte() % reasons.size()]}, info);
        const size_t touches = devices_.touches;
        const hv::Next next = vcpu_.run_once();
        hold(devices_.touches - touches <= 16 * hv::Emulator::iterations_at_most,
             "an exit carries out so many iterations and no more", devices_.touches - touches);
        for (size_t i = 0; i < page_size; ++i)
            hold(processor_.ram.at(rom_host + i) == 0, "ROM is not written", i);
        for (const std::string& complaint : processor_.complaints) broken(complaint.c_str(), 0);
        return next != hv::Next::stop;
    }

    Input& input_;
    u64 rip_ = kernel_rip;
    Watchful processor_;
    CountingDevices devices_;
    FakeWatcher watcher_;
    hv::Vm vm_;
    hv::Vcpu vcpu_{processor_, vm_};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input{{data, size}};
    // A guest that was stopped is followed by another.
    while (!input.empty()) Run{input}.to_its_end();
    return 0;
}

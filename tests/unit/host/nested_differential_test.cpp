// SPDX-License-Identifier: Apache-2.0
// The bare processor is the oracle: a small hypervisor and its guest, both by chance, leave the
// same log of exits, the same registers and the same memory whether the hypervisor runs on the
// processor itself or on ours.
#include <algorithm>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "arch/regs/cr0.h"
#include "arch/regs/rflags.h"
#include "arch/regs/segment.h"
#include "arch/vmx/exit_reason.h"
#include "cpu/model.h"
#include "host/guest.h"
#include "platform/computer.h"
#include "support/nested_kernel.h"

namespace postern::host {
namespace {

using F = VmcsField;
using test::nested::Op;
using test::nested::OpCode;
using test::nested::Program;
using test::nested::Record;
using test::nested::RecordKind;
namespace l1 = test::nested::at;
namespace l2 = test::hosted::at;

constexpr u64 patience = 300'000;
constexpr u64 slots = 40;

constexpr std::array logged{F::exit_reason,
                            F::exit_qualification,
                            F::guest_linear_address,
                            F::guest_physical_address,
                            F::vm_exit_interruption_information,
                            F::vm_exit_interruption_error_code,
                            F::idt_vectoring_information,
                            F::idt_vectoring_error_code,
                            F::vm_exit_instruction_length,
                            F::vm_exit_instruction_information,
                            F::vm_instruction_error,
                            F::vm_entry_interruption_information,
                            F::vm_entry_controls,
                            F::guest_rip,
                            F::guest_rsp,
                            F::guest_rflags,
                            F::guest_cr0,
                            F::guest_cr3,
                            F::guest_cr4,
                            F::guest_dr7,
                            F::guest_ia32_efer,
                            F::guest_ia32_pat,
                            F::guest_ia32_debugctl,
                            F::guest_interruptibility_state,
                            F::guest_activity_state,
                            F::guest_pending_debug_exceptions,
                            F::guest_cs_selector,
                            F::guest_cs_access_rights,
                            F::guest_cs_base,
                            F::guest_cs_limit,
                            F::guest_ss_selector,
                            F::guest_ss_access_rights,
                            F::guest_ds_selector,
                            F::guest_ds_access_rights,
                            F::guest_es_access_rights,
                            F::guest_fs_selector,
                            F::guest_fs_base,
                            F::guest_fs_access_rights,
                            F::guest_gs_base,
                            F::guest_gs_access_rights,
                            F::guest_ldtr_access_rights,
                            F::guest_tr_access_rights,
                            F::guest_tr_base,
                            F::guest_gdtr_base,
                            F::guest_gdtr_limit,
                            F::guest_idtr_base,
                            F::guest_idtr_limit,
                            F::guest_ia32_sysenter_cs,
                            F::guest_ia32_sysenter_eip};

class Silent final : public hv::Watcher {
public:
    void exit(const hv::ExitRecord&) override {}
    void anomaly(hv::Anomaly, const hv::ExitRecord&) override {}
    void stopped(const hv::StopReport&) override {}
};

/// What a run leaves.
struct Left {
    std::string ending;
    std::vector<u8> memory;
};

platform::Layout machine() {
    return platform::layout_of(l1::memory, test::hosted::epc_pages * page_size);
}

Left run_bare(const std::vector<u8>& kernel) {
    platform::StringSink nowhere;
    platform::ComputerConfig config;
    config.layout = machine();
    config.model = &cpu::default_model();
    config.kernel.name = "test";
    config.kernel.file = kernel;
    auto made = platform::Computer::create(std::move(config), {nowhere, nowhere, [](u32) {}});
    if (!made) return {made.error().what, {}};
    const platform::ComputerOutcome outcome = (*made)->run_until(patience);
    static constexpr std::array names{"time",          "off",        "port",
                                      "reset",         "shutdown",   "halted",
                                      "unimplemented", "breakpoint", "interrupted"};
    const u8* const ram = (*made)->machine().ram();
    return {names[static_cast<size_t>(outcome.stop)], {ram, ram + l1::memory}};
}

Left run_hosted(const std::vector<u8>& kernel) {
    platform::StringSink nowhere;
    Silent silent;
    GuestConfig config;
    config.layout = machine();
    config.model = &cpu::default_model();
    config.nested = true;
    config.kernel.name = "test";
    config.kernel.file = kernel;
    auto made = Guest::create(std::move(config), {nowhere, nowhere, silent, [](u32) {}});
    if (!made) return {made.error().what, {}};
    Guest& guest = **made;
    const RunResult result = guest.run({patience, 0});
    static constexpr std::array names{"port",    "reset",         "off",  "halted",
                                      "stopped", "unimplemented", "time", "time"};
    std::string ending = names[static_cast<size_t>(result.ending)];
    if (result.ending == Ending::stopped)
        ending = result.stop.reason == hv::StopReason::triple_fault
                     ? "shutdown"
                     : "stopped: " + std::to_string(static_cast<int>(result.stop.reason)) + " " +
                           (result.stop.what != nullptr ? result.stop.what : "") +
                           ", exit reason " + std::to_string(result.stop.exit.raw_reason);
    if (result.ending == Ending::processor) ending += result.what;
    if (guest.counters().entry_failures != 0) ending += ", an entry failed late";
    const u8* const ram = guest.vm().bytes_at(Gpa{0});
    return {ending, {ram, ram + l1::memory}};
}

class Programs {
public:
    explicit Programs(u64 seed) : random_{seed} {}

    Program next();

private:
    u64 below(u64 limit) { return random_() % limit; }
    bool once_in(u64 n) { return below(n) == 0; }
    template <class T>
    T one_of(std::initializer_list<T> choices) {
        return *(choices.begin() + below(choices.size()));
    }
    void put(std::initializer_list<int> bytes) {
        for (const int byte : bytes) code_.push_back(static_cast<u8>(byte));
    }
    void put_number(u64 number, unsigned size) {
        for (unsigned i = 0; i < size; ++i) code_.push_back(static_cast<u8>(number >> 8 * i));
    }
    void load_rax(u64 value) {
        put({0x48, 0xb8});
        put_number(value, 8);
    }
    u64 place();
    void instruction(bool kernel);
    void kernel_instruction();
    test::hosted::Slot slot();
    void field(F field, u64 value) { script(OpCode::write_field, static_cast<u64>(field), value); }
    void script(OpCode code, u64 a = 0, u64 b = 0, u64 c = 0) {
        program_.script.push_back({code, a, b, c});
    }
    u64 some_slot() { return l2::code + below(slots) * test::hosted::slot_size; }
    void choose_controls();
    void between_entries();

    std::mt19937_64 random_;
    std::vector<u8> code_;
    Program program_;
};

u64 Programs::place() {
    switch (below(8)) {
        case 0: return l2::kernel + 8 * below(512);
        case 1: return 0xfee0'0300;
        case 2: return random_();
        case 3: return l2::code + below(page_size);
        default: return l2::data + (below(64) << 12) + 8 * below(500);
    }
}

void Programs::instruction(bool kernel) {
    if (kernel && !once_in(3)) return kernel_instruction();
    switch (below(26)) {
        case 0: return put({0x0f, 0xa2});  // CPUID
        case 1: return put({0x0f, 0x0b});  // UD2
        case 2: return put({0xcc});        // INT3
        case 3: return put({0xcd, static_cast<int>(below(256))});
        case 4: return put({0xf1});                                                  // INT1
        case 5: return put({0x0f, 0x01, 0xc1});                                      // VMCALL
        case 6: return put({0xf3, 0x90});                                            // PAUSE
        case 7: return put({0x0f, 0x01, 0xd0});                                      // XGETBV
        case 8: return put({0xf4});                                                  // HLT
        case 9: return put({0x9c, 0x80, 0x4c, 0x24, 0x01, 0x01, 0x9d, 0x90, 0x90});  // TF
        case 10: return put({0x9c, 0x80, 0x4c, 0x24, 0x02, 0x04, 0x9d, 0x90});       // AC
        case 11: return put({0x31, 0xd2, 0xf7, 0xf2});                               // DIV by 0
        case 12: return put({0xe4, static_cast<int>(below(16) + 0x80)});             // IN
        case 13: return put({0xe6, static_cast<int>(0x80)});                         // OUT
        case 14: load_rax(place()); return put({0x48, 0x89, 0x08});        // MOV [RAX], RCX
        case 15: load_rax(place()); return put({0x48, 0x8b, 0x08});        // MOV RCX, [RAX]
        case 16: load_rax(place()); return put({0xf0, 0x48, 0x01, 0x08});  // LOCK ADD
        case 17: load_rax(place()); return put({0xff, 0xe0});              // JMP RAX
        case 18:
            load_rax(place());
            return put({0x48, 0x89, 0xc7, 0xb9, 5, 0, 0, 0, 0xf3, 0xaa});      // REP STOSB
        case 19: return put({0x8e, 0xd8 | static_cast<int>(below(8))});        // MOV DS, r
        case 20: return put({0x0f, 0x05});                                     // SYSCALL
        case 21: return put({0x0f, 0x01, 0xe0 | static_cast<int>(below(8))});  // SMSW
        case 22: return put({0x0f, 0xc7, 0x37});                               // VMPTRLD [RDI]
        case 23:
            load_rax(place());
            return put({0x0f, 0x01, static_cast<int>(below(4) << 3)});  // SGDT to LIDT
        case 24: return put({0xba, 0xf8 - static_cast<int>(below(2)), 3, 0, 0, 0x6e});  // OUTSB
        default: return put({0x48, 0x01, 0xc0 | static_cast<int>(below(64))});          // ADD
    }
}

void Programs::kernel_instruction() {
    const int gpr = static_cast<int>(below(8));
    switch (below(24)) {
        case 0: return put({0x0f, 0x20, 0xc0 | gpr});              // from CR0
        case 1: return put({0x0f, 0x20, 0xd8 | gpr});              // from CR3
        case 2: return put({0x0f, 0x20, 0xe0 | gpr});              // from CR4
        case 3: return put({0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8});  // CR3 to itself
        case 4:
            put({0x0f, 0x20, 0xc0, 0x48, 0x0f, 0xba, 0xf8});  // BTC RAX, n
            put({one_of({1, 2, 3, 5, 16, 18, 30, 29, 40})});
            return put({0x0f, 0x22, 0xc0});
        case 5:
            put({0x0f, 0x20, 0xe0, 0x48, 0x0f, 0xba, 0xf8});
            put({one_of({0, 1, 2, 3, 4, 7, 9, 13, 16, 17, 20, 21, 14})});
            return put({0x0f, 0x22, 0xe0});
        case 6: return put({0x0f, 0x06});                                // CLTS
        case 7: return put({0x0f, 0x01, 0xf0 | gpr});                    // LMSW
        case 8: return put({0x0f, 0x21, 0xf8 | gpr});                    // from DR7
        case 9: return put({0xb8, 0x01, 0x04, 0, 0, 0x0f, 0x23, 0xf8});  // DR7
        case 10: return put({0x0f, 0x08});                               // INVD
        case 11: return put({0x0f, 0x09});                               // WBINVD
        case 12: return put({0x0f, 0x01, 0x38});                         // INVLPG [RAX]
        case 13: return put({0xfb});                                     // STI
        case 14: return put({0xfb, 0xf4});                               // STI, HLT
        case 15: return put({0x8e, 0xd0, 0x90});                         // MOV SS, EAX
        case 16: return put({0xfa});
        case 17:  // RDMSR
            put({0xb9});
            put_number(one_of<u32>({0x1b, 0x174, 0x175, 0x176, 0x277, 0xc000'0080, 0xc000'0082,
                                    0xc000'0100, 0xc000'0101, 0xc000'0102, 0x1d9, 0x123}),
                       4);
            return put({0x0f, 0x32});
        case 18:  // WRMSR
            put({0xb9});
            put_number(one_of<u32>({0x174, 0x175, 0x176, 0x277, 0xc000'0080, 0xc000'0082,
                                    0xc000'0084, 0xc000'0100, 0xc000'0101, 0xc000'0102, 0x1d9}),
                       4);
            put({0xb8});
            put_number(one_of<u32>({0, 1, 0x500, 0x501, 0xd01, 0x0007'0406, 0x8000, 8}), 4);
            return put({0x31, 0xd2, 0x0f, 0x30});
        case 19: return put({0x44, 0x0f, 0x20, 0xc0});                      // from CR8
        case 20: return put({0xb8, gpr, 0, 0, 0, 0x44, 0x0f, 0x22, 0xc0});  // CR8
        case 21: return put({0x0f, 0x00, 0xc8 | (gpr & 1) << 4 | gpr});     // STR and the like
        case 22:  // 16 bytes on the stack, IRET to 32-bit code
            return put({0x48, 0xcf});
        default: {  // the local APIC: a message to itself
            put({0xbf, 0x00, 0x03, 0xe0, 0xfe, 0xc7, 0x07});
            put_number(one_of<u32>({0x4'4031, 0x4'4400, 0x4'4051}), 4);
            return;
        }
    }
}

test::hosted::Slot Programs::slot() {
    test::hosted::Slot made;
    made.kernel = !once_in(3);
    code_.clear();
    while (code_.size() < 40 && !once_in(6)) instruction(made.kernel);
    made.code = code_;
    for (u64& value : made.gpr) value = once_in(2) ? place() : below(64);
    made.gpr[rsp] = l2::stack + 8 * below(64);
    if (once_in(3)) made.rflags |= 0x200;
    if (once_in(8)) made.rflags |= 0x100;
    if (once_in(4)) made.rflags |= 0x3000;
    return made;
}

/// Of the controls that both offer.
void Programs::choose_controls() {
    constexpr u32 pin_bits = 0x29, primary_bits = 0x71f9'9e84 & ~0x0840'1804u;
    constexpr u32 secondary_bits = 0x44;
    u64 pin = 0x16 | (random_() & pin_bits);
    if ((pin & 8) == 0) pin &= ~u64{0x20};
    u64 primary = 0x8400'6172 | (random_() & random_() & primary_bits);
    if (once_in(2)) primary |= 1 << 28;
    if (once_in(8)) primary |= 1 << 27;
    u64 secondary = 0x10aa | (random_() & secondary_bits);
    if (once_in(5)) secondary &= ~u64{0x82};
    if (once_in(3)) secondary &= ~u64{0x20};
    if ((secondary & 2) == 0) secondary &= ~u64{0x80};
    field(F::pin_based_controls, pin);
    field(F::primary_processor_based_controls, primary);
    field(F::secondary_processor_based_controls, secondary);
    field(F::exception_bitmap, random_() & random_());
    if (once_in(3)) field(F::page_fault_error_code_mask, below(32));
    if (once_in(3)) field(F::page_fault_error_code_match, below(32));
    field(F::vm_exit_controls, 0x0003'6dfb | 0x200 | (random_() & 0x003c'8004));
    field(F::vm_entry_controls, 0x13fb | (random_() & 0xc004));
    field(F::cr0_guest_host_mask, random_() & random_() & 0xe005'003f);
    field(F::cr0_read_shadow, 0x8005'0033 ^ (random_() & random_() & 0xe005'003f));
    field(F::cr4_guest_host_mask, random_() & random_() & 0x37'ffff);
    field(F::cr4_read_shadow, 0x5'0620 ^ (random_() & random_() & 0x3'27ff));
    if (once_in(3)) {
        field(F::cr3_target_count, 1);
        field(F::cr3_target_value_0, l2::tables);
    }
    for (unsigned i = 0; i < 12; ++i) {
        const u64 ports = l1::io_bitmaps + 8 * below(16);
        script(OpCode::poke64, ports, random_() & random_());
        const u64 msrs = l1::msr_bitmap + 8 * below(512);
        script(OpCode::poke64, msrs, random_());
    }
    script(OpCode::poke64, l1::virtual_apic + 0x80, below(16) << 4);
}

void Programs::between_entries() {
    switch (below(22)) {
        case 0: return field(F::guest_rip, some_slot());
        case 1: {
            const u64 vector = below(32);
            const u64 type = one_of<u64>({0, 2, 3, 3, 3, 4, 6, 5});
            const u64 code = (0x27d00u >> vector & 1) << 11;
            field(F::vm_entry_interruption_information,
                  0x8000'0000 | type << 8 | (type == 3 ? code : 0) | (type == 2 ? 2 : vector));
            field(F::vm_entry_exception_error_code, below(8));
            return field(F::vm_entry_instruction_length, below(4));
        }
        case 2:
            return script(OpCode::flip_field, static_cast<u64>(F::guest_interruptibility_state),
                          u64{1} << below(5));
        case 3:
            return script(OpCode::flip_field, static_cast<u64>(F::guest_rflags),
                          u64{1} << one_of({8, 9, 9, 16, 14, 18}));
        case 4:
            return script(
                OpCode::flip_field, static_cast<u64>(F::primary_processor_based_controls),
                u64{1} << one_of({2, 22, 27, 7, 15, 16, 24, 25, 28, 30, 23, 9, 19, 20, 21}));
        case 5:
            return script(OpCode::flip_field, static_cast<u64>(F::pin_based_controls),
                          u64{1} << one_of({0, 3, 5}));
        case 6:
            return script(OpCode::flip_field,
                          static_cast<u64>(F::secondary_processor_based_controls),
                          u64{1} << one_of({1, 2, 5, 6, 7, 12, 3}));
        case 7:
            return script(OpCode::flip_field, static_cast<u64>(F::exception_bitmap),
                          u64{1} << below(32));
        case 8: {  // an EPT entry
            const u64 at = l1::ept_small + 8 * below(512);
            const u64 page = (l2::code + (below(512) << 12)) & ~u64{0xfff};
            const auto access = one_of<u64>({0, 0x31, 0x35, 0x37, 0x33, 0x34, 0x32, 0x36});
            script(OpCode::poke64, at, page | access);
            return script(OpCode::invept, 1 + below(2), l1::ept | 0x1e, 0);
        }
        case 9:  // an interrupt of its own waits
            return script(OpCode::poke32, 0xfee0'0300, 0x4'4030 + below(64));
        case 10:
            return script(OpCode::vmclear, test::nested::vmcs_at(0)),
                   script(OpCode::vmptrld, test::nested::vmcs_at(0));
        case 11: return script(OpCode::invvpid, below(4), 1, l2::code);
        case 12: {  // no start in shutdown, which is not offered
            const auto state =
                one_of({ActivityState::active, ActivityState::hlt, ActivityState::wait_for_sipi});
            return field(F::guest_activity_state, static_cast<u64>(state));
        }
        case 13:
            return field(F::guest_pending_debug_exceptions,
                         one_of<u64>({0, 0x1001, 0x4000, 0x5002, 0x10000}));
        case 14: return field(F::guest_dr7, one_of<u64>({0x400, 0x401, 0x2401, 0x703}));
        case 15: {
            const F changed = test::nested::usual_fields()[below(100)].field;
            return script(OpCode::flip_field, static_cast<u64>(changed), u64{1} << below(64));
        }
        case 16: {
            const u64 n = below(3);
            script(OpCode::poke64, l1::msr_lists + n * l1::msr_list_size,
                   one_of<u64>({0x174, 0x175, 0x277, 0xc000'0080, 0xc000'0082, 0xc000'0102, 0x1b,
                                0xc000'0100, 0x800, 0x79}));
            script(OpCode::poke64, l1::msr_lists + n * l1::msr_list_size + 8,
                   one_of<u64>({0, 1, 0x500, 0x501, 0x0007'0406'0007'0406}));
            const F count = one_of({F::vm_entry_msr_load_count, F::vm_exit_msr_store_count});
            return field(count, below(2));
        }
        case 17:
            return script(OpCode::vmptrld, test::nested::vmcs_at(below(2))),
                   script(OpCode::write_fields);
        case 18:
            return script(OpCode::vmxoff, l1::vmxon),
                   script(OpCode::vmptrld, test::nested::vmcs_at(0));
        case 19: return field(F::tpr_threshold, below(16));
        default: return;
    }
}

Program Programs::next() {
    program_ = {};
    program_.logged = {logged.begin(), logged.end()};
    for (u64 n = 0; n < slots; ++n) program_.l2.slots.push_back(slot());
    script(OpCode::vmclear, test::nested::vmcs_at(1));
    script(OpCode::vmclear, test::nested::vmcs_at(0));
    script(OpCode::vmptrld, test::nested::vmcs_at(0));
    script(OpCode::write_fields);
    // The APIC is enabled, so that messages to itself wait.
    script(OpCode::poke32, 0xfee0'00f0, 0x1ff);
    choose_controls();
    if (!once_in(8)) field(F::guest_rip, some_slot()), field(F::guest_rsp, l2::stack);
    for (unsigned n = 0; n < 40; ++n) {
        script(OpCode::enter);
        script(OpCode::handle, some_slot());
        while (once_in(2)) between_entries();
    }
    return program_;
}

/// Of the VMCS regions each of the two has its own format.
bool may_differ(u64 page) {
    return page >= l1::log ||
           (page >= l1::vmxon && page <= test::nested::vmcs_at(test::nested::vmcs_count - 1));
}

std::string name_of(size_t word) {
    if (word < test::nested::before_fields) return "word " + std::to_string(word);
    return std::string{
        vmcs_field_rows[vmcs_index(logged[word - test::nested::before_fields])].name};
}

std::string hexadecimal(u64 value) {
    char text[32];
    std::snprintf(text, sizeof text, "%#llx", static_cast<unsigned long long>(value));
    return text;
}

std::string describe(const Record& record) {
    std::string text = record.kind == RecordKind::exit    ? "exit"
                       : record.kind == RecordKind::fault ? "fault"
                                                          : "vmfail";
    const size_t first = record.kind == RecordKind::exit ? test::nested::before_fields : 0;
    const size_t end = std::min(record.words.size(), first + 14);
    for (size_t i = first; i < end; ++i) text += " " + hexadecimal(record.words[i]);
    return text;
}

/// Of an unusable segment's access rights only DPL of SS is defined. SDM 3C, "Saving Segment
/// Registers and Descriptor-Table Registers".
u64 defined(size_t word, const Record& record) {
    const u64 value = record.words[word];
    if (record.kind != RecordKind::exit || word < test::nested::before_fields) return value;
    const F field = logged[word - test::nested::before_fields];
    // That the fetch of its instruction met an EPT violation of ours stays in RF, as it would.
    const bool tripled =
        record.words[test::nested::before_fields] == static_cast<u64>(BasicReason::triple_fault);
    if (tripled && field == F::guest_rflags) return value & ~Rflags{Rflag::rf}.to_raw();
    const bool rights = field >= F::guest_es_access_rights && field <= F::guest_tr_access_rights;
    return rights && (value & access_rights_unusable) != 0 ? access_rights_unusable : value;
}

std::string difference(const Record& bare, const Record& hosted) {
    if (bare.kind != hosted.kind) return "bare " + describe(bare) + ", hosted " + describe(hosted);
    for (size_t i = 0; i < bare.words.size() && i < hosted.words.size(); ++i)
        if (defined(i, bare) != defined(i, hosted))
            return describe(bare) + "\n   hosted " + describe(hosted) + ":\n   " +
                   (bare.kind == RecordKind::exit ? name_of(i) : "word " + std::to_string(i)) +
                   " bare " + hexadecimal(bare.words[i]) + ", hosted " +
                   hexadecimal(hosted.words[i]);
    return bare.words.size() == hosted.words.size() ? "" : "lengths";
}

u64 word_at(const Left& left, u64 address) {
    u64 value = 0;
    std::memcpy(&value, &left.memory[address], sizeof value);
    return value;
}

/// "": none.
std::string difference(const Left& bare, const Left& hosted) {
    const auto of_bare = test::nested::read_log(bare.memory.data());
    const auto of_hosted = test::nested::read_log(hosted.memory.data());
    for (size_t i = 0; i < of_bare.size() && i < of_hosted.size(); ++i)
        if (const auto found = difference(of_bare[i], of_hosted[i]); !found.empty())
            return "record " + std::to_string(i) + ": " + found +
                   (i == 0 ? "" : "\n   after " + describe(of_bare[i - 1]));
    const std::string last = of_bare.empty() ? "" : describe(of_bare.back());
    // What is not implemented is said, and ends the comparison; so does a loop without an exit.
    if (bare.ending == "time" || bare.ending == "unimplemented" ||
        hosted.ending.starts_with("unimplemented") || hosted.ending.starts_with("stopped: 14"))
        return "";
    if (bare.ending != hosted.ending) return bare.ending + " / " + hosted.ending + " after " + last;
    if (of_bare.size() != of_hosted.size()) return "lengths of the logs, after " + last;
    for (u64 page = 0; page < l1::memory; page += page_size)
        if (!may_differ(page) &&
            std::memcmp(&bare.memory[page], &hosted.memory[page], page_size) != 0)
            for (u64 at = page; at < page + page_size; at += 8)
                if (std::memcmp(&bare.memory[at], &hosted.memory[at], 8) != 0)
                    return "memory at " + hexadecimal(at) + ": bare " +
                           hexadecimal(word_at(bare, at)) + ", hosted " +
                           hexadecimal(word_at(hosted, at)) + " of " +
                           std::to_string(of_bare.size()) + " records, after " + last;
    return "";
}

constexpr u64 first_seed = 1, programs = 200;

TEST(NestedDifferential, ProgramsOfTwoLevelsRunOnUsAsOnTheProcessor) {
    u64 exits = 0;
    for (u64 seed = first_seed; seed < first_seed + programs; ++seed) {
        const std::vector<u8> kernel = make_kernel(Programs{seed}.next());
        const Left bare = run_bare(kernel), hosted = run_hosted(kernel);
        ASSERT_FALSE(bare.memory.empty()) << bare.ending;
        ASSERT_FALSE(hosted.memory.empty()) << hosted.ending;
        exits += test::nested::read_log(bare.memory.data()).size();
        EXPECT_EQ(difference(bare, hosted), "") << "seed " << seed;
    }
    EXPECT_GT(exits, 5 * programs);
}

/// One slot of L2's at CPL 0, entered once with a VMCS that `changes` were made to.
class OneEntry : public ::testing::Test {
protected:
    void run(const std::vector<u8>& code, const std::vector<Op>& changes) {
        Program program;
        program.l2.slots.push_back({.code = code, .kernel = true});
        // So that the kernel goes on after a fault.
        for (unsigned n = 0; n < 8; ++n) program.l2.slots.push_back({.kernel = true});
        program.logged = {logged.begin(), logged.end()};
        program.script = {{OpCode::vmclear, test::nested::vmcs_at(0)},
                          {OpCode::vmptrld, test::nested::vmcs_at(0)},
                          {OpCode::write_fields},
                          {OpCode::poke32, 0xfee0'00f0, 0x1ff},
                          set(F::guest_rip, l2::code),
                          set(F::guest_rsp, l2::stack)};
        program.script.insert(program.script.end(), changes.begin(), changes.end());
        program.script.push_back({OpCode::enter});
        const std::vector<u8> kernel = make_kernel(program);
        const Left bare = run_bare(kernel), hosted = run_hosted(kernel);
        EXPECT_EQ(difference(bare, hosted), "");
        EXPECT_EQ(hosted.ending, "port");
        const auto records = test::nested::read_log(hosted.memory.data());
        ASSERT_EQ(records.size(), 1u);
        ASSERT_EQ(records[0].kind, RecordKind::exit);
        exit_ = records[0].words;
    }
    static Op set(F field, u64 value) {
        return {OpCode::write_field, static_cast<u64>(field), value};
    }
    [[nodiscard]] u64 exit(F field) const {
        const auto found = std::ranges::find(logged, field);
        return exit_[test::nested::before_fields + static_cast<size_t>(found - logged.begin())];
    }
    [[nodiscard]] BasicReason reason() const {
        return ExitReason::from_vmcs(static_cast<u32>(exit(F::exit_reason))).basic();
    }
    [[nodiscard]] u64 cr0_of_l1() const { return exit_[18]; }
    [[nodiscard]] u64 dr6_of_l1() const { return exit_[22]; }
    [[nodiscard]] u64 rax_of_l2() const { return exit_[0]; }

    static constexpr u64 resume_flag = Rflags{Rflag::rf}.to_raw(), blocked_by_nmi = 8;

private:
    std::vector<u64> exit_ = std::vector<u64>(test::nested::before_fields + logged.size());
};

TEST_F(OneEntry, AFaultThatWeRaiseHasRf) {
    // mov rax, 1 << 11; mov cr4, rax: a reserved bit
    run({0xb8, 0, 0, 0, 0x80, 0x0f, 0x22, 0xe0},
        {set(F::exception_bitmap, 1u << 13), set(F::cr4_guest_host_mask, 0)});
    EXPECT_EQ(reason(), BasicReason::exception_or_nmi);
    EXPECT_EQ(exit(F::guest_rflags) & resume_flag, resume_flag);
}

TEST_F(OneEntry, Int3HasNoRfAlthoughItsFetchWasAnEptViolationOfOurs) {
    run({0xcc}, {set(F::exception_bitmap, 1u << 3)});
    EXPECT_EQ(reason(), BasicReason::exception_or_nmi);
    EXPECT_EQ(exit(F::guest_rflags) & resume_flag, 0u);
}

TEST_F(OneEntry, TheReadShadowOfCacheBitsIsNotWhatL1GoesOnWith) {
    constexpr u64 cache = Cr0Word{Cr0::nw, Cr0::cd}.to_raw();
    run({0x0f, 0xa2}, {set(F::cr0_guest_host_mask, cache), set(F::cr0_read_shadow, cache)});
    EXPECT_EQ(reason(), BasicReason::cpuid);
    EXPECT_EQ(cr0_of_l1() & cache, 0u);
}

TEST_F(OneEntry, AnInjectionWithoutALengthOutlivesAnEptViolationOfOurs) {
    // INT3 of length 0; its handler comes to LGDT, which exits.
    run({0x90}, {set(F::vm_entry_interruption_information, 0x8000'0603),
                 set(F::secondary_processor_based_controls, 0x10ae)});
    EXPECT_EQ(reason(), BasicReason::access_to_gdtr_or_idtr);
}

TEST_F(OneEntry, IretEndsNoBlockingByNmiWithoutVirtualNmis) {
    // mov ecx, cs; push ss; push rsp; pushf; push cs; push next; iretq; cpuid
    run({0x8c, 0xd0, 0x54, 0x59, 0x50, 0x51, 0x9c, 0x8c, 0xc8, 0x50, 0x48,
         0x8d, 0x05, 3,    0,    0,    0,    0x50, 0x48, 0xcf, 0x0f, 0xa2},
        {set(F::pin_based_controls, 0x1e), set(F::guest_interruptibility_state, blocked_by_nmi)});
    EXPECT_EQ(reason(), BasicReason::cpuid);
    EXPECT_EQ(exit(F::guest_interruptibility_state), blocked_by_nmi);
}

TEST_F(OneEntry, AnNmiIsInjectedWhileNmisAreBlockedWithoutVirtualNmis) {
    run({0x90}, {set(F::vm_entry_interruption_information, 0x8000'0202),
                 set(F::guest_interruptibility_state, blocked_by_nmi),
                 set(F::secondary_processor_based_controls, 0x10ae)});
    EXPECT_EQ(reason(), BasicReason::access_to_gdtr_or_idtr);
}

TEST_F(OneEntry, APendingBreakpointGoesBeforeAnInterruptThatWaits) {
    run({0x90}, {set(F::guest_pending_debug_exceptions, 0x1001),
                 set(F::guest_rflags, 0x202),
                 {OpCode::poke32, 0xfee0'0300, 0x4'4031}});
    EXPECT_EQ(dr6_of_l1() & 0xf, 1u);
}

TEST_F(OneEntry, TheWindowThatL1AsksForGoesBeforeAnInterruptThatWaits) {
    run({0x90}, {set(F::primary_processor_based_controls, 0x8400'6176),
                 set(F::guest_rflags, 0x202),
                 {OpCode::poke32, 0xfee0'0300, 0x4'4031}});
    EXPECT_EQ(reason(), BasicReason::interrupt_window);
}

TEST_F(OneEntry, AWriteToCr0ThatWeCarryOutLeavesL1sShadowAlone) {
    // mov rax, cr0; btc rax, 30; mov cr0, rax; smsw eax; cpuid, with ET L1's and shown as 0
    run({0x0f, 0x20, 0xc0, 0x48, 0x0f, 0xba, 0xf8, 0x1e, 0x0f, 0x22, 0xc0, 0x0f, 0x01, 0xe0, 0x0f,
         0xa2},
        {set(F::cr0_guest_host_mask, 0x10), set(F::cr0_read_shadow, 0x8005'0023)});
    EXPECT_EQ(reason(), BasicReason::cpuid);
    EXPECT_EQ(rax_of_l2() & Cr0Word{Cr0::et}.to_raw(), 0u);
}

TEST_F(OneEntry, TheTimeStampCounterIsScaledOnlyWithAnOffset) {
    for (const u64 offsetting : {0u, 1u << 3}) {
        // rdtsc; test eax, eax; setnz al; movzx eax, al; xor edx, edx; cpuid
        run({0x0f, 0x31, 0x85, 0xc0, 0x0f, 0x95, 0xc0, 0x0f, 0xb6, 0xc0, 0x31, 0xd2, 0x0f, 0xa2},
            {set(F::secondary_processor_based_controls, 0x10aa | 1u << 25),
             set(F::primary_processor_based_controls, 0x8400'6172 | offsetting),
             set(F::tsc_multiplier, 1)});  // 2^-48: scaled it is 0
        EXPECT_EQ(reason(), BasicReason::cpuid);
        EXPECT_EQ(rax_of_l2(), offsetting != 0 ? 0u : 1u);
    }
}

/// The lists are zeros: the processor has an MSR 0 that can be written.
TEST_F(OneEntry, AnMsrListOfTheRecommendedMaximumIsLoaded) {
    run({0x0f, 0xa2}, {set(F::vm_entry_msr_load_count, 512)});
    EXPECT_EQ(reason(), BasicReason::cpuid);
}

TEST_F(OneEntry, AnMsrListBeyondItFailsTheEntry) {
    run({0x0f, 0xa2}, {set(F::vm_entry_msr_load_count, 513)});
    EXPECT_EQ(reason(), BasicReason::entry_failure_msr_loading);
    EXPECT_EQ(exit(F::exit_qualification), 513u);
}

TEST_F(OneEntry, AnInterruptForL1WaitsForTheEndOfADelivery) {
    // #UD is injected; its delivery meets EPT violations of ours.
    run({0x90}, {set(F::vm_entry_interruption_information, 0x8000'0306),
                 set(F::pin_based_controls, 0x17),
                 {OpCode::poke32, 0xfee0'0300, 0x4'4031}});
    EXPECT_EQ(reason(), BasicReason::external_interrupt);
    EXPECT_EQ(exit(F::idt_vectoring_information), 0u);
}

}  // namespace
}  // namespace postern::host

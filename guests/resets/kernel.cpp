// SPDX-License-Identifier: Apache-2.0
// A kernel that builds an enclave and resets the machine, boot after boot. It counts its boots in a
// page of RAM that no loader writes. Its enclave lies in the same pages of the EPC each time.
#include "guests/abi.h"
#include "guests/kernel/console.h"
#include "guests/kernel/descriptors.h"
#include "guests/kernel/paging.h"
#include "guests/kernel/processor.h"
#include "guests/kernel/start.h"
#include "guests/kernel/start_info.h"
#include "guests/kernel/traps.h"
#include "guests/kernel/words.h"

namespace postern::guests {
namespace {

constexpr const char* right_words = "boots=N, by=port or by=fault";

struct Options {
    u64 boots = 2;
    bool by_fault = false;
};

u64 parse_boots(Word digits, Word whole) {
    u64 boots = 0;
    for (u64 i = 0; i < digits.length; ++i) {
        const u64 digit = static_cast<u64>(digits.text[i] - '0');
        if (digit > 9 || boots > 1'000'000) refuse(whole, "is no number of boots", right_words);
        boots = boots * 10 + digit;
    }
    if (boots == 0) refuse(whole, "is no number of boots", right_words);
    return boots;
}

Options parse_command_line(const char* text) {
    Options options;
    for_each_word(text, [&](Word word) {
        const Word boots = after(word, "boots=");
        if (boots.text != nullptr)
            options.boots = parse_boots(boots, word);
        else if (equal(word, "by=fault"))
            options.by_fault = true;
        else if (!equal(word, "by=port"))
            refuse(word, "is not known", right_words);
    });
    return options;
}

u64 count_boot(const StartInfo& info) {
    map_page(untrusted_page_address, find_untouched_page(info), page_kernel_data);
    reload_cr3();
    auto& boots = *reinterpret_cast<volatile u64*>(untrusted_page_address);
    boots = boots + 1;
    return boots;
}

/// Without an IDT the first fault is the third. Else by the chipset's reset control.
[[noreturn]] void reset(const Options& options) {
    constexpr u16 reset_control = 0xcf9;
    constexpr u8 system_reset = 6;
    if (options.by_fault) {
        lidt({.limit = 0, .base = 0});
        asm volatile("ud2");
    }
    out_byte(reset_control, system_reset);
    fail(Line{} << "the machine goes on after its reset");
}

}  // namespace

bool take_own_trap(Registers&) { return false; }
bool serve_own_call(Registers&) { return false; }

extern "C" [[noreturn]] void kernel_main(u64 start_info) {
    start_serial_port();
    load_descriptor_tables();
    const StartInfo& info = checked_start_info(start_info);
    const Options options = parse_command_line(reinterpret_cast<const char*>(info.command_line));
    set_control_registers();
    const u64 boot = count_boot(info);
    print(Line{} << "@boot=" << boot);
    require_enclave(layout::first_light);
    print(Line{} << "@boot" << boot << ".enclave=1");
    if (boot < options.boots) reset(options);
    print(Line{} << "@done=1");
    end(ExitCode::ok);
}

}  // namespace postern::guests

// SPDX-License-Identifier: Apache-2.0
// first_light's kernel from its first C++ line to ring 3, and what it alone does for ring 3: it
// counts #UDs and has the data page taken back.
#include "guests/abi.h"
#include "guests/kernel/console.h"
#include "guests/kernel/descriptors.h"
#include "guests/kernel/paging.h"
#include "guests/kernel/processor.h"
#include "guests/kernel/sgx.h"
#include "guests/kernel/start.h"
#include "guests/kernel/start_info.h"
#include "guests/kernel/traps.h"
#include "guests/kernel/words.h"

namespace postern::guests {
namespace {

constexpr u64 row_count = 3;
constexpr const char* right_words = "rows=1,2,3 or selftest";

struct Options {
    u64 rows;  // bit n: row n
    bool selftest;
};

u64 parse_rows(Word list, Word whole) {
    u64 rows = 0;
    for (u64 i = 0; i < list.length; ++i) {
        const u64 row = static_cast<u64>(list.text[i] - '0');
        const bool ends = i + 1 == list.length || list.text[i + 1] == ',';
        if (row < 1 || row > row_count || !ends)
            refuse(whole, "names a row that does not exist", right_words);
        rows |= u64{1} << row;
        ++i;
    }
    if (rows == 0) refuse(whole, "names no row", right_words);
    return rows;
}

Options parse_command_line(const char* text) {
    Options options{.rows = 0, .selftest = false};
    for_each_word(text, [&](Word word) {
        const Word rows = after(word, "rows=");
        if (rows.text != nullptr)
            options.rows = parse_rows(rows, word);
        else if (equal(word, "selftest"))
            options.selftest = true;
        else
            refuse(word, "is not known", right_words);
    });
    if (options.rows == 0) options.rows = (2 << row_count) - 2;
    return options;
}

void prepare_rows(const StartInfo& info, const Options& options) {
    Shared& with = shared();
    with.rows = options.rows;
    with.selftest = options.selftest ? 1 : 0;
    with.data_page = enclave_data_page();
    with.untrusted_page = find_untouched_page(info);
    with.kernel_address = reinterpret_cast<u64>(&runtime_image);
    map_page(untrusted_page_address, with.untrusted_page, page_user_data);
}

struct {
    u64 aep;
    u64 count;
    bool all_at_aep;
} invalid_opcodes;

void begin_row(u64 row) {
    invalid_opcodes = {.aep = 0, .count = 0, .all_at_aep = true};
    print(Line{} << "@row" << row << ".start=1");
    out_dword(mark_port, mark_row_starts | static_cast<u32>(row));
}

void report_invalid_opcodes(u64 row) {
    print(Line{} << "@row" << row << ".ud_count=" << invalid_opcodes.count);
    print(Line{} << "@row" << row << ".ud_rip_is_aep="
                 << u64{invalid_opcodes.count != 0 && invalid_opcodes.all_at_aep});
}

}  // namespace

bool take_own_trap(Registers& registers) {
    constexpr u64 invalid_opcode = 6;
    constexpr u64 eresume = 3;
    if (registers.vector != invalid_opcode || (registers.cs & 3) != 3) return false;
    ++invalid_opcodes.count;
    if (registers.rip != invalid_opcodes.aep || registers.rax != eresume)
        invalid_opcodes.all_at_aep = false;
    return false;
}

bool serve_own_call(Registers& registers) {
    const u64 row = registers.rdi;
    switch (static_cast<Call>(registers.rax)) {
        case Call::begin_row: begin_row(row); return true;
        case Call::end_row:
            out_dword(mark_port, mark_row_ends | static_cast<u32>(row));
            return true;
        case Call::set_aep: invalid_opcodes.aep = registers.rdi; return true;
        case Call::report_ud: report_invalid_opcodes(row); return true;
        case Call::take_back_data_page:
            out_dword(mark_port, static_cast<u32>(enclave_data_page() >> 12));
            return true;
        default: return false;
    }
}

extern "C" [[noreturn]] void kernel_main(u64 start_info) {
    start_serial_port();
    print(Line{} << "first light: a kernel that builds an enclave");
    load_descriptor_tables();
    const StartInfo& info = checked_start_info(start_info);
    const Options options = parse_command_line(reinterpret_cast<const char*>(info.command_line));
    set_control_registers();
    map_runtime();
    if (!options.selftest) require_enclave(layout::first_light);
    prepare_rows(info, options);
    reload_cr3();
    enter_ring_3(runtime_base);
}

}  // namespace postern::guests

// SPDX-License-Identifier: Apache-2.0
// The ring-3 program: runs the rows that the command line asks for and prints what came out, as
// "@row<N>.<key>=<value>" lines. It does not know the right digests; whoever reads it does.
#include "guests/abi.h"
#include "guests/enclave_layout.h"
#include "guests/runtime/enclu.h"
#include "guests/runtime/selftest.h"
#include "guests/runtime/system.h"

namespace postern::guests {
namespace {

constexpr u64 accesses_to_refuse = 4;

// A row that makes no progress ends by itself. Hashing may be interrupted at every instruction;
// the four accesses are a few dozen instructions long.
constexpr u64 limit_for_hashing = 5'000'000;
constexpr u64 limit_for_touching = 1'000;

u64 current_row;

EnclaveStatus call_enclave(EnclaveFunction function, EnclaveCall& call, Aep* aep, u64 limit) {
    resume_count = 0;
    resume_limit = limit;
    return enter_enclave(static_cast<u64>(function), &call, layout::start_of(layout::tcs), aep);
}

void expect_ok(EnclaveStatus status) {
    if (status == EnclaveStatus::ok) return;
    print(Line{} << "row " << current_row << ": the enclave answers " << static_cast<u64>(status)
                 << ", not 0");
    leave(ExitCode::row_failed);
}

Line row_key(const char* key) {
    Line line;
    line << "@row" << current_row << "." << key << "=";
    return line;
}

void print_number(const char* key, u64 number) { print(row_key(key) << number); }
void print_hex(const char* key, u64 number) { print(row_key(key).hex(number)); }

/// `resumes_key` is for how often the enclave was interrupted meanwhile.
void hash_in_enclave(EnclaveFunction function, Aep* aep, const char* key, const char* resumes_key) {
    EnclaveCall call{.address = untrusted_page_address, .digest = {}, .refused = 0};
    expect_ok(call_enclave(function, call, aep, limit_for_hashing));
    print(row_key(key).bytes(call.digest, sizeof call.digest));
    print_number(resumes_key, resume_count);
}

void row_1() {
    print("row 1: SHA-256 of the enclave's data page, in the enclave");
    hash_in_enclave(EnclaveFunction::hash_data, aep_plain, "digest", "resumes");
}

void row_2() {
    print("row 2: the enclave's own first touch of a page outside, and of an EPC page taken back");
    print_hex("untrusted_page", shared().untrusted_page);
    print_hex("data_page", shared().data_page);
    hash_in_enclave(EnclaveFunction::hash_untrusted, aep_plain, "untrusted_digest",
                    "untrusted_resumes");
    system_call(Call::take_back_data_page);
    hash_in_enclave(EnclaveFunction::hash_data, aep_plain, "epc_digest", "epc_resumes");
}

u64 refusals[accesses_to_refuse + 1];

[[noreturn]] void one_access_faulted_twice(u64 access) {
    print_number("ud_again", 1);
    print(Line{} << "row 3: more than one #UD for one access (number " << access
                 << "; 0: the enclave does not stand at an access)");
    system_call(Call::report_ud, current_row);
    leave(ExitCode::row_failed);
}

void expect_ud_at_aep(const Registers& signal) {
    constexpr u64 invalid_opcode = 6;
    constexpr u64 eresume = 3;
    const bool at_aep = signal.rip == reinterpret_cast<u64>(aep_that_stores);
    if (signal.vector == invalid_opcode && at_aep && signal.rax == eresume) return;
    print((Line{} << "row 3: exception " << signal.vector << " at ").hex(signal.rip)
          << " with RAX " << signal.rax << ", not a #UD at the AEP with RAX 3");
    leave(ExitCode::row_failed);
}

/// The kernel's signal: an access of the enclave raised #UD outside. The enclave itself refuses
/// the access, then resumes from where the signal found this program: the AEP.
void ask_enclave_to_refuse() {
    expect_ud_at_aep(shared().signal);
    EnclaveCall call{};
    const EnclaveStatus status =
        enter_enclave(static_cast<u64>(EnclaveFunction::handle_signal), &call,
                      layout::start_of(layout::tcs), aep_that_stores);
    const u64 access = static_cast<u64>(status);
    if (access == 0 || access > accesses_to_refuse) one_access_faulted_twice(0);
    if (++refusals[access] > 1) one_access_faulted_twice(access);
}

u32 load_outside(u64 offset) {
    u32 value;
    asm volatile("mov %0, dword ptr [%1]"
                 : "=a"(value)
                 : "D"(doorbell_address + offset)
                 : "memory");
    return value;
}

void store_outside(u64 offset, u32 value) {
    asm volatile("mov dword ptr [%1], %0"
                 :
                 : "a"(value), "D"(doorbell_address + offset)
                 : "memory");
}

void touch_from_enclave() {
    set_signal_handler(ask_enclave_to_refuse);
    system_call(Call::set_aep, reinterpret_cast<u64>(aep_that_stores));
    EnclaveCall call{.address = doorbell_address, .digest = {}, .refused = 0};
    expect_ok(
        call_enclave(EnclaveFunction::touch_doorbell, call, aep_that_stores, limit_for_touching));
    set_signal_handler(nullptr);
    system_call(Call::report_ud, current_row);
    print_number("refused", call.refused);
    if (call.refused == accesses_to_refuse) return;
    print("row 3: not every access was refused");
    leave(ExitCode::row_failed);
}

void touch_from_outside() {
    print_hex("outside_load0", load_outside(0));
    print_hex("outside_load40", load_outside(0x40));
    store_outside(0, outside_store_0);
    store_outside(0x40, outside_store_40);
}

void row_3() {
    print("row 3: the doorbell, touched from the enclave and from outside");
    touch_from_enclave();
    hash_in_enclave(EnclaveFunction::hash_data, aep_that_stores, "digest", "resumes");
    touch_from_outside();
}

using Row = void();
constexpr Row* rows[] = {nullptr, row_1, row_2, row_3};

}  // namespace

extern "C" void resumed_too_often() {
    print_number("livelock", 1);
    print(Line{} << "row " << current_row << ": the enclave was resumed " << resume_count
                 << " times and did not come to an end");
    system_call(Call::report_ud, current_row);
    leave(ExitCode::livelock);
}

extern "C" [[noreturn]] void runtime_main() {
    if (shared().selftest != 0) run_selftest();
    for (u64 row = 1; row < sizeof rows / sizeof *rows; ++row) {
        if ((shared().rows >> row & 1) == 0) continue;
        current_row = row;
        system_call(Call::begin_row, row);
        rows[row]();
        system_call(Call::end_row, row);
    }
    print("@done=1");
    leave(ExitCode::ok);
}

}  // namespace postern::guests

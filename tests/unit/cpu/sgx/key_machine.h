// SPDX-License-Identifier: Apache-2.0
// An enclave that asks for reports and keys: operands of EREPORT and EGETKEY in three of its pages,
// and AES-CMAC written from RFC 4493.
#pragma once

#include <array>
#include <cstring>
#include <span>

#include "arch/sgx/keyrequest.h"
#include "arch/sgx/report.h"
#include "arch/sgx/targetinfo.h"
#include "unit/cpu/sgx/enclave_machine.h"

namespace postern::cpu::sgx {

using Bytes16 = std::array<u8, 16>;

/// AES-CMAC of RFC 4493, on nothing but AES of one block.
Bytes16 reference_cmac(const Bytes16& key, std::span<const u8> message);

template <class T>
std::span<const u8> bytes_of(const T& object) {
    return {reinterpret_cast<const u8*>(&object), sizeof object};
}

// Operands, each in a page of its own. The SSA pages serve as ordinary memory here.
inline constexpr u64 input_page = data_page, second_page = ssa_page, output_page = ssa_page + 1;
inline constexpr u64 input_linear = elrange + data_offset;
inline constexpr u64 second_linear = elrange + ssa_offset;
inline constexpr u64 output_linear = elrange + ssa_offset + page_size;
inline constexpr u64 input_offset = 0x200;   // TARGETINFO, KEYREQUEST: aligned to 512
inline constexpr u64 second_offset = 0x80;   // REPORTDATA: aligned to 128
inline constexpr u64 report_offset = 0x400;  // aligned to 512
inline constexpr u64 key_offset = 0x30;      // aligned to 16
inline constexpr u64 targetinfo_at = input_linear + input_offset;
inline constexpr u64 keyrequest_at = input_linear + input_offset;
inline constexpr u64 reportdata_at = second_linear + second_offset;
inline constexpr u64 report_at = output_linear + report_offset;
inline constexpr u64 key_at = output_linear + key_offset;

struct NotYet {};

/// Inside an initialised enclave.
struct KeyMachine : EnclaveMachine {
    /// Whoever says so builds and enters the enclave.
    explicit KeyMachine(NotYet) {}
    explicit KeyMachine(u64 seed = 1) {
        system.sgx_seed = seed;
        go_inside();
    }

    template <class T>
    T& operand(u64 page, u64 offset) {
        return epc.at<T>(page * page_size + offset);
    }
    Targetinfo& target() { return operand<Targetinfo>(input_page, input_offset); }
    Keyrequest& request() { return operand<Keyrequest>(input_page, input_offset); }
    std::array<u8, 64>& data() { return operand<std::array<u8, 64>>(second_page, second_offset); }
    Report& report() { return operand<Report>(output_page, report_offset); }
    Bytes16& key() { return operand<Bytes16>(output_page, key_offset); }

    /// TARGETINFO and REPORTDATA; the registers of an EREPORT that succeeds.
    void prepare_ereport(const Targetinfo& for_whom);
    Report ereport(const Targetinfo& for_whom);

    /// KEYREQUEST and the registers of an EGETKEY that succeeds.
    void prepare_egetkey(const Keyrequest& what);
    /// RAX.
    u64 egetkey(const Keyrequest& what);
    Bytes16 key_for(const Keyrequest& what);

    /// What others must put into TARGETINFO for this enclave to be able to verify the report.
    Targetinfo own_target();
};

/// A request for a key of this name, everything else zero.
Keyrequest request_for(KeyName name);

/// Was the report made for the enclave that runs in `m`?
bool verifies(KeyMachine& m, const Report& report);

/// Something in the EPCM that forbids the enclave to use the page.
struct EpcmFlaw {
    const char* name;
    void (*arrange)(EpcmEntry&);
};
inline constexpr EpcmFlaw epcm_flaws[] = {
    {"NotValid", [](EpcmEntry& e) { e.valid = false; }},
    {"Blocked", [](EpcmEntry& e) { e.blocked = true; }},
    {"NotARegularPage", [](EpcmEntry& e) { e.page_type = PageType::tcs; }},
    {"Trimmed", [](EpcmEntry& e) { e.page_type = PageType::trim; }},
    {"OfAnotherEnclave", [](EpcmEntry& e) { e.enclave_secs = 9; }},
    {"Pending", [](EpcmEntry& e) { e.pending = true; }},
    {"Modified", [](EpcmEntry& e) { e.modified = true; }},
    {"AtAnotherAddress", [](EpcmEntry& e) { e.enclave_address += page_size; }},
};

}  // namespace postern::cpu::sgx

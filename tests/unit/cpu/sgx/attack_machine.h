// SPDX-License-Identifier: Apache-2.0
// A processor that runs code (support/guest_code.h) with an EPC and an initialised enclave whose
// data page holds a secret, for attempts on it. Every attempt is a few instructions; where they
// end is what GuestCode says.
#pragma once

#include <vector>

#include "arch/sgx/leaf.h"
#include "cpu/sgx/epc.h"
#include "cpu/sgx/sgx.h"
#include "support/guest_code.h"

namespace postern::cpu::sgx::attack {

inline constexpr u64 epc_physical = 0x1'4000'0000;
inline constexpr u64 epc_pages = 24;
inline constexpr u64 range = 0x4000'0000, range_size = 0x1'0000;
inline constexpr u64 window = 0x4020'0000;  // EPC page n is at window + n * 4096
constexpr u64 window_of(u64 page) { return window + page * page_size; }
constexpr u64 physical_of(u64 page) { return epc_physical + page * page_size; }

// EPC pages and offsets in ELRANGE of the enclave.
inline constexpr u64 secs_page = 0, tcs_page = 1, code_page = 2, ssa_page = 3, data_page = 5,
                     both_page = 6, second_tcs_page = 7, second_ssa_page = 8;
inline constexpr u64 va_page = 10, free_page = 11;
inline constexpr u64 other_secs_page = 12, other_data_page = 13;  // another enclave's
inline constexpr u64 tcs_at = range, code_at = range + 0x1000, ssa_at = range + 0x2000,
                     data_at = range + 0x4000, both_at = range + 0x5000,
                     second_tcs_at = range + 0x6000, second_ssa_at = range + 0x7000,
                     unused_at = range + 0xa000;
inline constexpr u64 other_range = 0x4010'0000;

/// Every byte of the data page, and of the page that may be read, written and executed.
inline constexpr u8 secret = 0x5e;
inline constexpr u64 secret_word = 0x5e5e'5e5e'5e5e'5e5e;
/// What everybody else reads.
inline constexpr u64 ones = ~u64{0};

// Outside code.
inline constexpr u64 outside = guest_at::code, aep = guest_at::code + 0x800,
                     second_aep = guest_at::code + 0x900, after_exit = guest_at::code + 0xa00;
inline constexpr u64 device = 0xfee0'0000'0;  // physical: neither RAM nor EPC

using Bytes = std::vector<u8>;

// Instructions.
Bytes join(std::initializer_list<Bytes> parts);
Bytes mov(Gpr to, u64 value);
/// MOV EAX, leaf; MOV RBX; MOV RCX; ENCLU.
Bytes enclu_bytes(EncluLeaf leaf, u64 rbx, u64 rcx);
/// EENTER with the AEP at `aep`.
Bytes enter_bytes();
Bytes resume_bytes();
/// EEXIT to `after_exit`, where the program ends. RAX, RBX and RCX are lost.
Bytes exit_bytes();

class AttackMachine : public GuestCode {
    struct Page {
        alignas(page_size) std::array<u8, page_size> byte;
    };
    std::vector<Page> epc_memory_ = std::vector<Page>(epc_pages);

public:
    /// `inside`: the enclave's code, in its code page and at its entry point.
    explicit AttackMachine(const Bytes& inside = {});

    Epc epc{epc_physical, static_cast<u8*>(static_cast<void*>(epc_memory_.data())),
            epc_pages* page_size};

    EpcmEntry& entry_of(u64 page) { return epc.entries[page]; }
    [[nodiscard]] Bytes epc_bytes() const { return {epc.bytes, epc.bytes + epc.size}; }

    /// As the operating system does it; false if it faults or reports an error.
    bool encls(EnclsLeaf leaf, u64 rbx_value, u64 rcx_value, u64 rdx_value = 0);

    /// Runs `code` from outside at a privilege level, until INT 80H, HLT or a fault.
    GuestStop run_outside(u32 cpl, const Bytes& code, u64 limit = 2000);
    /// Goes on at RIP, whatever it is.
    GuestStop go_on(u64 limit = 2000) { return GuestCode::run(limit); }
    /// EENTER by code, at CPL 3; RIP is the enclave's first instruction.
    void go_inside();

    /// A page of the enclave before EINIT.
    void add(u64 secs, u64 page, u64 linear, u64 secinfo_flags, const Bytes& content);

private:
    void create(u64 page, u64 base);
    void build(const Bytes& inside);
};

}  // namespace postern::cpu::sgx::attack

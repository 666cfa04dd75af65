// SPDX-License-Identifier: Apache-2.0
// A processor with 2 MiB of RAM, 16 EPC pages and 4-level paging, for the tests of SGX: an
// identity map of the RAM, an ELRANGE of 16 pages and a window in which the operating system
// sees every EPC page. Operands of leaves lie at fixed addresses in RAM.
#pragma once

#include <openssl/evp.h>

#include <array>
#include <memory>
#include <vector>

#include "arch/sgx/einittoken.h"
#include "arch/sgx/error.h"
#include "arch/sgx/leaf.h"
#include "arch/sgx/pageinfo.h"
#include "arch/sgx/sigstruct.h"
#include "arch/sgx/ssa.h"
#include "cpu/cpu.h"
#include "cpu/decode/block_cache.h"
#include "cpu/event/event.h"
#include "cpu/model.h"
#include "cpu/sgx/epc.h"
#include "cpu/sgx/sgx.h"
#include "unit/cpu/sgx/signing_key.h"

namespace postern::cpu::sgx {

inline constexpr u64 elrange = 0x4000'0000;
inline constexpr u64 elrange_size = 0x1'0000;
inline constexpr u64 window = 0x4020'0000;  // EPC page n is at window + n * 4096
inline constexpr u64 epc_physical = 0x1'4000'0000;
inline constexpr u64 epc_pages = 16;

// Operands in RAM.
inline constexpr u64 pageinfo_at = 0x1'0000;
inline constexpr u64 secinfo_at = 0x1'0040;
inline constexpr u64 source_at = 0x1'1000;
inline constexpr u64 sigstruct_at = 0x1'2000;
inline constexpr u64 token_at = 0x1'3000;
inline constexpr u64 unmapped = 0x5000'0000;
inline constexpr u64 not_canonical = 0x8000'0000'0000;

// Bits of a page-table entry.
inline constexpr u64 pte_p = 1, pte_w = 2, pte_u = 4;

// The enclave of build(): EPC page, offset in ELRANGE.
inline constexpr u64 tcs_page = 1, tcs_offset = 0x0000;
inline constexpr u64 code_page = 2, code_offset = 0x1000;
inline constexpr u64 ssa_page = 3, ssa_offset = 0x2000;  // two frames of one page
inline constexpr u64 data_page = 5, data_offset = 0x4000;
inline constexpr u64 secs_page = 6;
inline constexpr u64 outside_rip = 0x8000;  // of the ENCLU that enters
inline constexpr u64 aep = 0x9000;

constexpr u64 window_of(u64 page) { return window + page * page_size; }

/// #PF's error code: P, W, U, SGX.
constexpr u32 sgx_fault(bool write, bool user) {
    return 0x8001u | u32{write} << 1 | u32{user} << 2;
}

struct AlignedPages {
    alignas(page_size) std::array<u8, epc_pages * page_size> bytes{};
};

class EnclaveMachine {
    // First: the references below are bound to these.
    static constexpr u64 ram_size = 2 << 20;
    std::unique_ptr<Cpu> cpu_ = std::make_unique<Cpu>();
    struct AlignedRam {
        alignas(page_size) std::array<u8, ram_size> bytes{};
    };
    std::unique_ptr<AlignedRam> ram_ = std::make_unique<AlignedRam>();
    std::unique_ptr<AlignedPages> epc_memory_ = std::make_unique<AlignedPages>();
    std::unique_ptr<BlockCache> blocks_ = std::make_unique<BlockCache>();
    std::vector<u8> measured_;

public:
    EnclaveMachine();
    EnclaveMachine(const EnclaveMachine&) = delete;
    EnclaveMachine& operator=(const EnclaveMachine&) = delete;

    Cpu& c = *cpu_;
    Epc epc{epc_physical, epc_memory_->bytes.data(), epc_pages* page_size};
    System system;
    Model model = default_model();  // with XSAVE and AVX, without SGX2
    /// Of the enclave of build().
    SgxAttributeFlags attributes{SgxAttribute::mode64bit, SgxAttribute::debug};

    template <class T>
    T& at(u64 physical) {
        return *reinterpret_cast<T*>(ram_->bytes.data() + physical);
    }
    Secs& secs() { return epc.secs(secs_page); }
    Tcs& tcs() { return epc.tcs(tcs_page); }
    EpcmEntry& entry(u64 page) { return epc.entries[page]; }
    Gprsgx& gprsgx(u64 frame = 0) { return epc.at<Gprsgx>(frame_end(frame) - sizeof(Gprsgx)); }
    Exinfo& exinfo(u64 frame = 0) {
        return epc.at<Exinfo>(frame_end(frame) - sizeof(Gprsgx) - sizeof(Exinfo));
    }
    template <class T>
    T& xsave(u64 offset, u64 frame = 0) {
        return epc.at<T>((ssa_page + frame) * page_size + offset);
    }

    /// Maps one 4 KiB page in [1 GiB, 1 GiB + 4 MiB).
    void map(u64 linear, u64 physical, u64 flags);

    // The instructions, at the right privilege level.
    Result<> encls(EnclsLeaf leaf, u64 rbx_value, u64 rcx_value, u64 rdx_value = 0);
    Result<> enclu(EncluLeaf leaf, u64 rbx_value, u64 rcx_value);
    void as_kernel() { set_cpl(0); }
    void as_user() { set_cpl(3); }

    // Operands of a leaf that succeeds, and the leaf.
    void prepare_ecreate();
    Result<> ecreate() { return encls(EnclsLeaf::ecreate, pageinfo_at, window_of(secs_page)); }
    void prepare_eadd(u64 offset, u64 secinfo_flags);
    Result<> eadd(u64 page) { return encls(EnclsLeaf::eadd, pageinfo_at, window_of(page)); }
    Result<> eextend(u64 page, u64 chunk) {
        return encls(EnclsLeaf::eextend, window_of(secs_page), window_of(page) + chunk);
    }
    void prepare_einit();
    Result<> einit() {
        return encls(EnclsLeaf::einit, sigstruct_at, window_of(secs_page), token_at);
    }

    /// A source page for the TCS of the enclave.
    void fill_tcs_source();
    /// ECREATE, EADDs and EEXTENDs of the enclave described above; not initialised.
    void build();
    void build_and_initialise();
    Result<> eenter() { return enclu(EncluLeaf::eenter, elrange + tcs_offset, aep); }
    Result<> eresume() { return enclu(EncluLeaf::eresume, elrange + tcs_offset, aep); }
    /// build_and_initialise(), EENTER, and Cpu::rip at the enclave's first instruction.
    void go_inside();

    /// What the manual says MRENCLAVE is, from the leaves that were used so far.
    std::array<u8, 32> expected_mrenclave();

private:
    void set_cpl(u32 cpl);
    static u64 frame_end(u64 frame) { return (ssa_page + frame + 1) * page_size; }
    void hash(const void* bytes, size_t size);
};

/// Signs bytes 0 to 127 and 900 to 1027, and fills in modulus, exponent, Q1 and Q2.
void sign(Sigstruct& sigstruct, const char* pem = test_signing_key);

/// IA32_SGXLEPUBKEYHASH0-3 for a key that signs.
std::array<u64, 4> signer_hash(const char* pem = test_signing_key);

/// Everything software could tell apart: processor, EPC and EPCM, the pending fault left out.
struct State {
    explicit State(EnclaveMachine& m);
    friend bool operator==(const State&, const State&) = default;

    std::vector<u8> processor, pages, entries;
};

/// The fault that is pending.
struct Fault {
    Vector vector;
    bool has_error_code = false;
    u32 error_code = 0;
    u64 address = 0;
    friend bool operator==(const Fault&, const Fault&) = default;
};
inline constexpr Fault gp0{Vector::general_protection, true, 0, 0};
inline constexpr Fault ud{Vector::invalid_opcode};
constexpr Fault pf(u64 address, u32 code) { return {Vector::page_fault, true, code, address}; }

Fault pending_fault(const Cpu& c);
void PrintTo(const Fault& fault, std::ostream* os);

/// A case in which one check, and no other, is violated.
struct Violation {
    const char* name;
    void (*arrange)(EnclaveMachine&);
    Fault fault;
};

}  // namespace postern::cpu::sgx

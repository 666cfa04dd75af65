// SPDX-License-Identifier: Apache-2.0
// The machine of the SGX tests. Measurement and signature are computed here from the manual, not
// by the code under test.
#include "unit/cpu/sgx/enclave_machine.h"

#include <openssl/bn.h>
#include <openssl/pem.h>

#include <algorithm>
#include <cstring>
#include <ostream>

#include "arch/msr.h"
#include "cpu/flags.h"

namespace postern::cpu::sgx {
namespace {

constexpr u64 pml4_at = 0x1000, pdpt_at = 0x2000, low_pd_at = 0x3000, pd_at = 0x4000;
constexpr u64 elrange_table_at = 0x5000, window_table_at = 0x6000;
constexpr u64 pte_large = 0x80;

struct KeyDeleter {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Key = std::unique_ptr<EVP_PKEY, KeyDeleter>;

Key signing_key(const char* pem) {
    BIO* const bio = BIO_new_mem_buf(pem, -1);
    Key key{PEM_read_bio_PrivateKey(bio, nullptr, nullptr, nullptr)};
    BIO_free(bio);
    return key;
}

struct Number {
    BIGNUM* n = BN_new();
    Number() = default;
    Number(const Number&) = delete;
    Number& operator=(const Number&) = delete;
    ~Number() { BN_free(n); }
    void store(std::array<u8, 384>& to) const { BN_bn2lebinpad(n, to.data(), 384); }
};

std::array<u8, 384> modulus(const char* pem) {
    std::array<u8, 384> bytes;
    Number n;
    EVP_PKEY_get_bn_param(signing_key(pem).get(), "n", &n.n);
    n.store(bytes);
    return bytes;
}

Segment flat(u16 selector, u32 access_rights) {
    return {selector, 0, access_rights, 0xffff'ffff, 0, 0};
}

template <class T>
void append(std::vector<u8>& to, const T* from, size_t count) {
    const auto* const bytes = reinterpret_cast<const u8*>(from);
    to.insert(to.end(), bytes, bytes + count * sizeof(T));
}

}  // namespace

EnclaveMachine::EnclaveMachine() {
    system.memory = {ram_->bytes.data(), ram_size, 0, epc_physical, epc_pages * page_size};
    system.epc = &epc;
    model.features.set(Feature::xsave);
    model.features.set(Feature::avx);
    model.features.set(Feature::sgx2, false);
    system.model = &model;
    c.system = &system;
    c.blocks = blocks_.get();
    c.code_epoch = 1;
    reset_tlbs(c);
    c.cr0 = {Cr0::pe, Cr0::mp, Cr0::et, Cr0::ne, Cr0::wp, Cr0::pg};
    c.cr4 = {Cr4::pae, Cr4::osfxsr, Cr4::osxmmexcpt, Cr4::osxsave, Cr4::fsgsbase};
    c.efer = {Efer::sce, Efer::lme, Efer::lma, Efer::nxe};
    c.cr3 = pml4_at;
    c.xcr0 = 7;
    c.vector.mxcsr = 0x1f80;
    c.vector.x87.fcw = 0x37f;
    c.vmx.current = no_vmcs;
    c.vmx.preemption_deadline = ~u64{0};
    c.msr.feature_control =
        FeatureControlWord{FeatureControl::lock, FeatureControl::sgx_lc, FeatureControl::sgx_enable}
            .to_raw();
    static const auto signer = signer_hash();
    c.msr.sgx_le_pubkey_hash = signer;

    at<u64>(pml4_at) = pdpt_at | pte_p | pte_w | pte_u;
    at<u64>(pdpt_at) = low_pd_at | pte_p | pte_w | pte_u;
    at<u64>(pdpt_at + 8) = pd_at | pte_p | pte_w | pte_u;
    at<u64>(low_pd_at) = pte_large | pte_p | pte_w | pte_u;
    at<u64>(pd_at) = elrange_table_at | pte_p | pte_w | pte_u;
    at<u64>(pd_at + 8) = window_table_at | pte_p | pte_w | pte_u;
    for (u64 n = 0; n < epc_pages; ++n)
        map(window_of(n), epc_physical + n * page_size, pte_p | pte_w | pte_u);
    as_kernel();
}

void EnclaveMachine::map(u64 linear, u64 physical, u64 flags) {
    const u64 table = linear < window ? elrange_table_at : window_table_at;
    at<u64>(table + 8 * (linear >> 12 & 511)) = physical | flags;
    flush_translations(c);
}

void EnclaveMachine::set_cpl(u32 cpl) {
    c.cpl = cpl;
    c.segment[cs] = flat(cpl == 3 ? 0x33 : 0x10, cpl == 3 ? 0xa0fb : 0xa09b);
    c.segment[ss] = c.segment[ds] = flat(cpl == 3 ? 0x2b : 0x18, cpl == 3 ? 0xc0f3 : 0xc093);
    flush_translations(c);
}

Result<> EnclaveMachine::encls(EnclsLeaf leaf, u64 rbx_value, u64 rcx_value, u64 rdx_value) {
    c.gpr[rax] = static_cast<u64>(leaf);
    c.gpr[rbx] = rbx_value;
    c.gpr[rcx] = rcx_value;
    c.gpr[rdx] = rdx_value;
    c.pending = {};
    return sgx::encls(c);
}

Result<> EnclaveMachine::enclu(EncluLeaf leaf, u64 rbx_value, u64 rcx_value) {
    c.gpr[rax] = static_cast<u64>(leaf);
    c.gpr[rbx] = rbx_value;
    c.gpr[rcx] = rcx_value;
    c.pending = {};
    if (!c.enclave.active) c.rip = outside_rip;
    c.next_rip = c.rip + 3;
    return sgx::enclu(c);
}

void EnclaveMachine::prepare_ecreate() {
    at<Pageinfo>(pageinfo_at) = {0, source_at, secinfo_at, 0};
    at<Secinfo>(secinfo_at) = {};
    Secs& source = at<Secs>(source_at);
    source = {};
    source.size = elrange_size;
    source.baseaddr = elrange;
    source.ssaframesize = 1;
    source.miscselect = {SgxMiscselect::exinfo};
    source.attributes.flags = attributes;
    source.attributes.xfrm = {Xcr0::x87, Xcr0::sse};
}

void EnclaveMachine::prepare_eadd(u64 offset, u64 secinfo_flags) {
    at<Pageinfo>(pageinfo_at) = {elrange + offset, source_at, secinfo_at, window_of(secs_page)};
    at<Secinfo>(secinfo_at) = {};
    at<Secinfo>(secinfo_at).flags = SecinfoFlags::from_raw(secinfo_flags);
    for (u64 n = 0; n < page_size; ++n)
        at<u8>(source_at + n) = static_cast<u8>(n * 7 + offset / page_size);
}

void EnclaveMachine::fill_tcs_source() {
    Tcs& tcs = at<Tcs>(source_at);
    tcs = {};
    tcs.ossa = ssa_offset;
    tcs.nssa = 2;
    tcs.oentry = code_offset + 0x10;
    tcs.ofsbase = 0x5000;
    tcs.ogsbase = 0x6000;
    tcs.fslimit = 0xffff;
    tcs.gslimit = 0x1'ffff;
}

void EnclaveMachine::hash(const void* bytes, size_t size) {
    append(measured_, static_cast<const u8*>(bytes), size);
}

/// SDM 3D, "MRENCLAVE": the blocks, written here byte for byte.
void EnclaveMachine::build() {
    prepare_ecreate();
    if (!ecreate()) std::abort();
    measured_.clear();
    u8 block[64] = "ECREATE";
    const u32 frame_size = 1;
    const u64 size = elrange_size;
    std::memcpy(block + 8, &frame_size, 4);
    std::memcpy(block + 12, &size, 8);
    hash(block, 64);

    const auto add = [&](u64 page, u64 offset, u64 flags, bool measure) {
        prepare_eadd(offset, flags);
        if (page == tcs_page) fill_tcs_source();
        if (!eadd(page)) std::abort();
        map(elrange + offset, epc_physical + page * page_size, pte_p | pte_w | pte_u);
        u8 added[64] = "EADD";
        std::memcpy(added + 8, &offset, 8);
        std::memcpy(added + 16, &flags, 8);
        hash(added, 64);
        for (u64 chunk = 0; measure && chunk < page_size; chunk += 256) {
            if (!eextend(page, chunk)) std::abort();
            u8 extended[64] = "EEXTEND";
            const u64 place = offset + chunk;
            std::memcpy(extended + 8, &place, 8);
            hash(extended, 64);
            hash(&at<u8>(source_at + chunk), 256);
        }
    };
    add(tcs_page, tcs_offset, 0x100, true);
    add(code_page, code_offset, 0x205, true);
    add(ssa_page, ssa_offset, 0x203, false);
    add(ssa_page + 1, ssa_offset + page_size, 0x203, false);
    add(data_page, data_offset, 0x203, true);
}

std::array<u8, 32> EnclaveMachine::expected_mrenclave() {
    std::array<u8, 32> digest;
    EVP_Digest(measured_.data(), measured_.size(), digest.data(), nullptr, EVP_sha256(), nullptr);
    return digest;
}

void EnclaveMachine::prepare_einit() {
    Sigstruct& s = at<Sigstruct>(sigstruct_at);
    s = {};
    constexpr u8 header[16] = {6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0};
    constexpr u8 header2[16] = {1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1, 0, 0, 0};
    std::ranges::copy(header, s.header.begin());
    std::ranges::copy(header2, s.header2.begin());
    s.date = 0x2026'0101;
    s.miscselect = {SgxMiscselect::exinfo};
    s.miscmask = SgxMiscselectWord::from_raw(~0u);
    s.attributes = {attributes, {Xcr0::x87, Xcr0::sse}};
    s.attributemask = {SgxAttributeFlags::from_raw(~u64{0}), Xcr0Word::from_raw(~u64{0})};
    s.enclavehash = expected_mrenclave();
    s.isvprodid = 0x1234;
    s.isvsvn = 7;
    sign(s);
    std::memset(&at<u8>(token_at), 0, 512);
}

void EnclaveMachine::build_and_initialise() {
    build();
    prepare_einit();
    if (!einit() || c.gpr[rax] != 0) std::abort();
    as_user();
}

void EnclaveMachine::go_inside() {
    build_and_initialise();
    if (!eenter()) std::abort();
    c.rip = c.next_rip;
}

void sign(Sigstruct& sigstruct, const char* pem) {
    const Key key = signing_key(pem);
    sigstruct.modulus = modulus(pem);
    sigstruct.exponent = 3;
    u8 message[256];
    std::memcpy(message, &sigstruct, 128);
    std::memcpy(message + 128, reinterpret_cast<const u8*>(&sigstruct) + 900, 128);
    u8 signature[384];
    size_t size = sizeof signature;
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, key.get());
    EVP_DigestSign(context, signature, &size, message, sizeof message);
    EVP_MD_CTX_free(context);

    // q1 = floor(S^2 / M), q2 = floor((S^3 - q1 * S * M) / M).
    BN_CTX* const scratch = BN_CTX_new();
    Number s, m, square, q1, cube, part, q2;
    BN_bin2bn(signature, sizeof signature, s.n);
    BN_lebin2bn(sigstruct.modulus.data(), 384, m.n);
    BN_sqr(square.n, s.n, scratch);
    BN_div(q1.n, nullptr, square.n, m.n, scratch);
    BN_mul(cube.n, square.n, s.n, scratch);
    BN_mul(part.n, q1.n, s.n, scratch);
    BN_mul(part.n, part.n, m.n, scratch);
    BN_sub(cube.n, cube.n, part.n);
    BN_div(q2.n, nullptr, cube.n, m.n, scratch);
    BN_CTX_free(scratch);
    s.store(sigstruct.signature);
    q1.store(sigstruct.q1);
    q2.store(sigstruct.q2);
}

std::array<u64, 4> signer_hash(const char* pem) {
    std::array<u64, 4> digest{};
    const auto bytes = modulus(pem);
    EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<u8*>(digest.data()), nullptr,
               EVP_sha256(), nullptr);
    return digest;
}

State::State(EnclaveMachine& m) {
    const Pending pending = m.c.pending;
    std::memset(static_cast<void*>(&m.c.pending), 0, sizeof m.c.pending);
    append(processor, reinterpret_cast<const u8*>(&m.c), offsetof(Cpu, tlb));
    m.c.pending = pending;
    append(pages, m.epc.bytes, m.epc.size);
    append(entries, m.epc.entries.data(), m.epc.entries.size());
    append(entries, &m.epc.next_enclave_id, 1);
    append(entries, &m.epc.next_page_version, 1);
}

Fault pending_fault(const Cpu& c) {
    if (c.pending.kind != PendingKind::exception) return {Vector{0xff}};
    return {c.pending.vector, c.pending.has_error_code, c.pending.error_code, c.pending.address};
}

void PrintTo(const Fault& fault, std::ostream* os) {
    *os << mnemonic_of(fault.vector) << '(' << std::hex << fault.error_code << ") at "
        << fault.address;
}

}  // namespace postern::cpu::sgx

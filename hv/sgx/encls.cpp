// SPDX-License-Identifier: Apache-2.0
#include "hv/sgx/encls.h"

#include <cstring>

#include "arch/regs/rflags.h"
#include "arch/sgx/einittoken.h"
#include "arch/sgx/pageinfo.h"
#include "arch/sgx/secs.h"
#include "arch/sgx/sigstruct.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

// The windows, and what is where in the page of parameters.
constexpr unsigned source_window = 0, parameter_window = 1, epc_window = 2;
constexpr u64 pageinfo_offset = 0, secinfo_offset = 64, token_offset = 512;

constexpr u32 epc_fault =
    PageFaultError{PageFaultBit::p, PageFaultBit::wr, PageFaultBit::sgx}.to_raw();

}  // namespace

EnclsTrap::EnclsTrap(Vcpu& vcpu, const Capture& exit)
    : vcpu_{vcpu}, alignment_override_{Rflags::from_raw(exit.rflags).has(Rflag::ac)},
      paging_{vcpu.paging_registers()}, rip_{exit.rip} {
    const Segment code{0, 0, vcpu.read32(VmcsField::guest_cs_access_rights), 0, 0, 0};
    operand_rules_ = {.mode64 = paging_.efer.has(Efer::lma) && code.is_long(),
                      .linear_bits = paging_.cr4.has(Cr4::la57) ? 57u : 48u,
                      .ds = {0, 0, vcpu.read32(VmcsField::guest_ds_access_rights),
                             vcpu.read32(VmcsField::guest_ds_limit), 0,
                             vcpu.port_.vmread(VmcsField::guest_ds_base)}};
}

Failed EnclsTrap::refuse(const SgxVerdict& verdict) {
    vcpu_.vm_.sgx().note_refusal({.verdict = verdict,
                                  .leaf = leaf_,
                                  .vcpu = vcpu_.number(),
                                  .secs = secs_,
                                  .rip = rip_,
                                  .cr3 = paging_.cr3,
                                  .tsc = vcpu_.port_.tsc()});
    end_ = {.kind = EnclsEnd::Kind::fault, .vector = Vector::general_protection};
    return {};
}

Failed EnclsTrap::page_fault(Gva at, u32 error_code) {
    end_ = {.kind = EnclsEnd::Kind::fault,
            .vector = Vector::page_fault,
            .error_code = error_code,
            .address = at};
    return {};
}

Failed EnclsTrap::run_again() {
    end_ = {.kind = EnclsEnd::Kind::again};
    return {};
}

Failed EnclsTrap::refused(const SecondLevelFault& fault, Gva at) {
    end_ = {.kind = EnclsEnd::Kind::refused, .second_level = fault, .address = at};
    return {};
}

u8* EnclsTrap::page(unsigned window) { return vcpu_.port_.page(operands_.window[window]); }

Result<Gva> EnclsTrap::operand(u64 effective, u64 size, u64 alignment) {
    const Result<Gva> linear = operand_linear(operand_rules_, effective, size, alignment);
    if (linear.ok()) return linear;
    return refuse({SgxField::operand, effective, alignment});
}

/// An entry that lies in no memory reads as all ones, as from a bus that nobody answers on, and has
/// reserved bits set.
Result<Gpa> EnclsTrap::translate(Gva at, GuestAccess access) {
    using Outcome = WalkResult::Outcome;
    const WalkResult found =
        walk(vcpu_.vm_, paging_,
             {.address = at, .access = access, .alignment_override = alignment_override_});
    switch (found.outcome) {
        case Outcome::found: return found.address;
        case Outcome::page_fault: return page_fault(at, found.error_code.to_raw());
        case Outcome::not_canonical: return refuse({SgxField::operand, at.raw(), 0});
        case Outcome::changed: return run_again();
        case Outcome::second_level_fault: return refused(found.second_level, at);
        case Outcome::not_in_memory: break;
    }
    PageFaultError code{PageFaultBit::p, PageFaultBit::rsvd};
    code.set(PageFaultBit::wr, access == GuestAccess::write);
    return page_fault(at, code.to_raw());
}

/// What lies in no memory, EPC included, reads as all ones.
Result<> EnclsTrap::copy_in(Gva at, u8* to, u64 size) {
    const Gpa found = TRY(translate(at, GuestAccess::read));
    const u8* const from = vcpu_.vm_.bytes_at(found);
    if (from != nullptr)
        std::memcpy(to, from, size);
    else
        std::memset(to, 0xff, size);
    return Done{};
}

/// The guest's own EPC, or the fault that the processor raises for a page that is none.
Result<Hpa> EnclsTrap::epc_page(Gva at) {
    const Gpa found = TRY(translate(at, GuestAccess::write));
    const MemorySlot* const slot = vcpu_.vm_.memory().find(found);
    if (slot == nullptr || slot->kind != SlotKind::epc) return page_fault(at, epc_fault);
    secs_ = found.raw();
    vcpu_.record_.secs = secs_;
    return MemoryMap::host_address(*slot, found);
}

void EnclsTrap::remember(unsigned number, u16 window, u16 offset, u16 size, Gva guest) {
    origins_[number] = {guest, window, offset, size};
}

Result<> EnclsTrap::judge(const u8* secs) {
    if (!vcpu_.vm_.config().protections.has(Protection::sgx_policy)) return Done{};
    const CpuidResult states = vcpu_.port_.cpuid(static_cast<u32>(CpuidLeaf::xsave), 0);
    const SgxPolicy policy{vcpu_.vm_.sgx().capability(),
                           Xcr0Word::from_raw(states.eax | u64{states.edx} << 32)};
    const SgxVerdict verdict = judge_secs(*reinterpret_cast<const Secs*>(secs), policy);
    if (verdict.refused()) return refuse(verdict);
    return Done{};
}

/// The manual's checks, in its order; whether the EPC page is free only the processor knows, and
/// says so after all others have passed.
Result<> EnclsTrap::ecreate() {
    const auto& gpr = vcpu_.registers_.gpr;
    const Gva info_at = TRY(operand(gpr[rbx], sizeof(Pageinfo), alignof(Pageinfo)));
    const Gva secs_at = TRY(operand(gpr[rcx], 1, page_size));
    const Hpa epc = TRY(epc_page(secs_at));
    auto& info = *reinterpret_cast<Pageinfo*>(page(parameter_window) + pageinfo_offset);
    TRY(copy_in(info_at, page(parameter_window) + pageinfo_offset, sizeof info));
    const Gva source_at = TRY(operand(info.srcpge, page_size, page_size));
    const Gva secinfo_at = TRY(operand(info.secinfo, sizeof(Secinfo), alignof(Secinfo)));
    if (info.linaddr != 0) return refuse({SgxField::pageinfo, info.linaddr, 0});
    if (info.secs != 0) return refuse({SgxField::pageinfo, info.secs, 0});
    const auto& secinfo = *reinterpret_cast<Secinfo*>(page(parameter_window) + secinfo_offset);
    TRY(copy_in(secinfo_at, page(parameter_window) + secinfo_offset, sizeof secinfo));
    if (!secinfo.reserved_is_zero() || page_type(secinfo.flags) != PageType::secs)
        return refuse({SgxField::secinfo, secinfo.flags.to_raw(), 0});
    TRY(copy_in(source_at, page(source_window), page_size));
    TRY(judge(page(source_window)));

    info.srcpge = encls_window(source_window);
    info.secinfo = encls_window(parameter_window) + secinfo_offset;
    operands_.rbx = encls_window(parameter_window) + pageinfo_offset;
    remember(0, source_window, 0, page_size, source_at);
    remember(1, parameter_window, pageinfo_offset, sizeof info, info_at);
    remember(2, parameter_window, secinfo_offset, sizeof secinfo, secinfo_at);
    remember(3, epc_window, 0, page_size, secs_at);
    TRY(execute(EnclsLeaf::ecreate, epc));
    end_ = {};
    const auto& secs = *reinterpret_cast<const Secs*>(page(source_window));
    vcpu_.vm_.enclaves().created(Gpa{secs_}, Gva{secs.baseaddr}, secs.size, paging_.cr3);
    return Done{};
}

/// EINIT looks at the processor's registers, which are whoever's ran it last.
void EnclsTrap::write_launch_key() {
    if (!vcpu_.vm_.sgx().has_launch_key()) return;
    for (u32 i = 0; i < vcpu_.sgx_.launch_key.size(); ++i)
        static_cast<void>(vcpu_.port_.wrmsr(static_cast<u32>(Msr::sgxlepubkeyhash0) + i,
                                            vcpu_.sgx_.launch_key[i]));
}

/// ENCLAVEHASH is what the processor has just found MRENCLAVE to be.
void EnclsTrap::tell_who_it_is() {
    const auto& hash = reinterpret_cast<const Sigstruct*>(page(source_window))->enclavehash;
    u8 mrenclave[32];
    static_assert(sizeof mrenclave == sizeof hash);
    std::memcpy(mrenclave, hash.data(), sizeof mrenclave);
    vcpu_.vm_.enclaves().initialized(Gpa{secs_}, mrenclave);
}

Result<> EnclsTrap::einit() {
    const auto& gpr = vcpu_.registers_.gpr;
    const Gva signature_at = TRY(operand(gpr[rbx], sizeof(Sigstruct), sigstruct_alignment));
    const Gva secs_at = TRY(operand(gpr[rcx], 1, page_size));
    const Gva token_at = TRY(operand(gpr[rdx], sizeof(Einittoken), einittoken_alignment));
    const Hpa epc = TRY(epc_page(secs_at));
    TRY(copy_in(signature_at, page(source_window), sizeof(Sigstruct)));
    TRY(copy_in(token_at, page(parameter_window) + token_offset, sizeof(Einittoken)));

    operands_.rbx = encls_window(source_window);
    operands_.rdx = encls_window(parameter_window) + token_offset;
    remember(0, source_window, 0, sizeof(Sigstruct), signature_at);
    remember(1, parameter_window, token_offset, sizeof(Einittoken), token_at);
    remember(2, epc_window, 0, page_size, secs_at);
    write_launch_key();
    TRY(execute(EnclsLeaf::einit, epc));
    if (end_.rax == 0) tell_who_it_is();
    return Done{};
}

Result<> EnclsTrap::execute(EnclsLeaf leaf, Hpa epc) {
    operands_.window[epc_window] = epc;
    operands_.rcx = encls_window(epc_window);
    const EnclsResult result = vcpu_.port_.encls(leaf, operands_);
    if (result.faulted) return faulted(result);
    end_ = {.kind = EnclsEnd::Kind::status,
            .rax = result.rax,
            .status_flags = result.rflags & rflags_status_mask};
    return Done{};
}

bool EnclsTrap::find_origin(u64 host, Gva& guest) const {
    for (const Origin& origin : origins_) {
        const u64 start = encls_window(origin.window) + origin.offset;
        if (host - start >= origin.size) continue;
        guest = origin.guest + (host - start);
        return true;
    }
    return false;
}

/// A page fault is the guest's with the operand's own address and the processor's error code. Only
/// SGX can have refused a page that we mapped.
Failed EnclsTrap::faulted(const EnclsResult& result) {
    const auto vector = static_cast<Vector>(result.vector);
    const auto code = PageFaultError::from_raw(result.error_code);
    if (vector == Vector::page_fault) {
        Gva at;
        if (code.has(PageFaultBit::sgx) && find_origin(result.address, at))
            return page_fault(at, result.error_code);
        end_ = {.kind = EnclsEnd::Kind::broken};
        return {};
    }
    const Failed failed = refuse({SgxField::processor, result.vector, 0});
    end_.vector = vector;
    return failed;
}

EnclsEnd EnclsTrap::run(EnclsLeaf leaf) {
    leaf_ = leaf;
    for (unsigned i = 0; i < vcpu_.sgx_.pages.size(); ++i)
        operands_.window[i] = Hpa{vcpu_.sgx_.pages[i]};
    const Result<> ran = leaf == EnclsLeaf::ecreate ? ecreate() : einit();
    static_cast<void>(ran);  // end_ says
    return end_;
}

}  // namespace postern::hv

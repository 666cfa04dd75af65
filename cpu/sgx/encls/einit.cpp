// SPDX-License-Identifier: Apache-2.0
// ENCLS[EINIT].
#include <cstring>

#include "arch/sgx/einittoken.h"
#include "cpu/event/event.h"
#include "cpu/sgx/conflict.h"
#include "cpu/sgx/keys.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"
#include "cpu/sgx/reserved.h"
#include "cpu/sgx/signature.h"

namespace postern::cpu::sgx {
namespace {

/// Who the enclave turns out to be.
struct Identity {
    Digest mrenclave;
    Digest mrsigner;
    bool launch_authorised;  // MRSIGNER is IA32_SGXLEPUBKEYHASH
};

Identity identity_of(const Cpu& c, const SecsHidden& hidden, const Sigstruct& sigstruct) {
    Identity identity{finish_measurement(hidden.measurement), mrsigner_of(sigstruct), false};
    static_assert(sizeof c.msr.sgx_le_pubkey_hash == sizeof(Digest));
    identity.launch_authorised =
        std::memcmp(identity.mrsigner.data(), c.msr.sgx_le_pubkey_hash.data(), sizeof(Digest)) == 0;
    return identity;
}

bool attributes_match(const SgxAttributes& actual, const Sigstruct& s) {
    const SgxAttributes mask = s.attributemask;
    return (actual.flags & mask.flags) == (s.attributes.flags & mask.flags) &&
           (actual.xfrm & mask.xfrm) == (s.attributes.xfrm & mask.xfrm);
}

/// SIGSTRUCT against the enclave, in the manual's order.
SgxError compare(const Secs& secs, const Sigstruct& s, const Identity& identity) {
    if (s.enclavehash != identity.mrenclave) return SgxError::invalid_measurement;
    if (secs.attributes.flags.has_any(controlled_attributes) && !identity.launch_authorised)
        return SgxError::invalid_attribute;
    if (!attributes_match(secs.attributes, s)) return SgxError::invalid_attribute;
    if ((secs.miscselect & s.miscmask) != (s.miscselect & s.miscmask))
        return SgxError::invalid_attribute;
    return SgxError::success;
}

bool uses_kss(const Sigstruct& s) { return !is_zero(s.isvfamilyid) || !is_zero(s.isvextprodid); }

bool token_reserved_is_zero(const Einittoken& token) {
    return (token.valid & ~1u) == 0 && is_zero(token.reserved_4) && is_zero(token.reserved_96) &&
           is_zero(token.reserved_160) && is_zero(token.reserved_212);
}

/// Made by this processor's launch key, which only an enclave of IA32_SGXLEPUBKEYHASH's signer
/// can ask EGETKEY for.
bool is_authentic(const Cpu& c, const Einittoken& token) {
    const auto& signer = c.msr.sgx_le_pubkey_hash;
    LaunchIdentity launcher{.isvprodid = token.isvprodidle,
                            .isvsvn = token.isvsvnle,
                            .miscselect = token.maskedmiscselectle,
                            .attributes = token.maskedattributesle,
                            .mrsigner = {},
                            .keyid = token.keyid,
                            .cpusvn = token.cpusvnle};
    std::memcpy(launcher.mrsigner.data(), signer.data(), sizeof launcher.mrsigner);
    const Key key = derive_key(*c.system, launch_dependencies(*c.system, launcher));
    return cmac(key, &token, einittoken_maced_size) == token.mac;
}

/// A launch token that says it is valid, in the manual's order.
SgxError check_token(const Cpu& c, const Secs& secs, const Einittoken& token,
                     const Identity& identity) {
    const bool debug_launcher = token.maskedattributesle.flags.has(SgxAttribute::debug);
    if (debug_launcher && !secs.attributes.flags.has(SgxAttribute::debug))
        return SgxError::invalid_einittoken;
    if (!token_reserved_is_zero(token)) return SgxError::invalid_einittoken;
    if (!is_supported(token.cpusvnle)) return SgxError::invalid_cpusvn;
    if (!is_authentic(c, token)) return SgxError::invalid_einittoken;
    if (token.mrenclave != identity.mrenclave || token.mrsigner != identity.mrsigner)
        return SgxError::invalid_measurement;
    // SGX_INVALID_EINIT_ATTRIBUTE, which no table of the manual gives a number.
    if (token.attributes != secs.attributes) return SgxError::invalid_attribute;
    return SgxError::success;
}

/// May this enclave run on this processor? Either its signer or its token says so.
SgxError check_launch(const Cpu& c, const Secs& secs, const Einittoken& token,
                      const Identity& identity) {
    if ((token.valid & 1) != 0) return check_token(c, secs, token, identity);
    return identity.launch_authorised ? SgxError::success : SgxError::invalid_einittoken;
}

void initialise(Secs& secs, SecsHidden& hidden, const Sigstruct& s, const Identity& identity) {
    secs.mrenclave = identity.mrenclave;
    secs.mrsigner = identity.mrsigner;
    secs.isvprodid = s.isvprodid;
    secs.isvsvn = s.isvsvn;
    hidden.isvfamilyid = s.isvfamilyid;
    hidden.isvextprodid = s.isvextprodid;
    secs.attributes.flags.set(SgxAttribute::init);
}

struct Operands {
    Sigstruct sigstruct;
    Einittoken token;
    u64 secs;  // page in the EPC
};

Result<> load_operands(Cpu& c, Operands& o) {
    TRY(require_alignment(c, page_size, c.gpr[rbx], c.gpr[rcx]));
    TRY(require_alignment(c, einittoken_alignment, c.gpr[rdx]));
    o.secs = TRY(epc_operand(c, c.gpr[rcx], Access::write)) / page_size;
    TRY(load_operand(c, c.gpr[rbx], o.sigstruct));
    return load_operand(c, c.gpr[rdx], o.token);
}

}  // namespace

/// Ends the building of an enclave. SDM 3D, "EINIT", Operation.
/// In: RBX = SIGSTRUCT, RCX = the SECS, RDX = EINITTOKEN. Out: RAX.
Result<> einit(Cpu& c) {
    Operands o;
    TRY(load_operands(c, o));
    if (!is_well_formed(o.sigstruct)) return complete(c, SgxError::invalid_sig_struct);
    if (is_event_due(c) || meets_conflict(c, EnclsLeaf::einit))
        return complete(c, SgxError::unmasked_event);
    if (!is_signed(o.sigstruct)) return complete(c, SgxError::invalid_signature);

    Epc& epc = *c.system->epc;
    const EpcmEntry& entry = epc.entries[o.secs];
    if (!entry.valid || entry.page_type != PageType::secs)
        return raise_epc_fault(c, c.gpr[rcx], Access::write);
    Secs& secs = epc.secs(o.secs);
    SecsHidden& hidden = epc.hidden(o.secs);
    if (uses_kss(o.sigstruct) && !secs.attributes.flags.has(SgxAttribute::kss))
        return complete(c, SgxError::invalid_sig_struct);
    if (secs.attributes.flags.has(SgxAttribute::init)) return general_protection(c);

    const Identity identity = identity_of(c, hidden, o.sigstruct);
    const SgxError mismatch = compare(secs, o.sigstruct, identity);
    if (mismatch != SgxError::success) return complete(c, mismatch);
    const SgxError refusal = check_launch(c, secs, o.token, identity);
    if (refusal != SgxError::success) return complete(c, refusal);

    // From here on nothing can fail.
    initialise(secs, hidden, o.sigstruct, identity);
    return complete(c, SgxError::success);
}

}  // namespace postern::cpu::sgx

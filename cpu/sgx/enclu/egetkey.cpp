// SPDX-License-Identifier: Apache-2.0
// ENCLU[EGETKEY]: which values a key depends on, one function for each kind of key.
#include "cpu/event/event.h"
#include "cpu/sgx/enclave_operand.h"
#include "cpu/sgx/epc.h"
#include "cpu/sgx/keys.h"
#include "cpu/sgx/leaf.h"
#include "cpu/sgx/operand.h"
#include "cpu/sgx/reserved.h"

namespace postern::cpu::sgx {
namespace {

constexpr u64 output_alignment = 16;

/// Who asks, and for what.
struct Asker {
    const System& system;
    const Secs& secs;
    const SecsHidden& hidden;
    const Keyrequest& request;

    /// INIT and DEBUG always count.
    [[nodiscard]] SgxAttributes attributes() const {
        constexpr SgxAttributeFlags required{SgxAttribute::init, SgxAttribute::debug};
        return {(request.attributemask.flags | required) & secs.attributes.flags,
                request.attributemask.xfrm & secs.attributes.xfrm};
    }
    [[nodiscard]] SgxMiscselectWord miscselect() const {
        return request.miscmask & secs.miscselect;
    }
    [[nodiscard]] bool includes(KeyPolicy policy) const { return request.keypolicy.has(policy); }
};

KeyDependencies report_key(const Asker& a) {
    Targetinfo self{};
    self.measurement = a.secs.mrenclave;
    self.attributes = a.secs.attributes;
    self.configsvn = a.secs.configsvn;
    self.miscselect = a.secs.miscselect;
    self.configid = a.secs.configid;
    return report_dependencies(a.system, self, a.request.keyid);
}

KeyDependencies einittoken_key(const Asker& a) {
    return launch_dependencies(a.system,
                               {a.secs.isvprodid, a.request.isvsvn, a.miscselect(), a.attributes(),
                                a.secs.mrsigner, a.request.keyid, a.request.cpusvn});
}

/// What the other keys share: versions by request, attributes under a mask that counts itself.
KeyDependencies start(const Asker& a) {
    KeyDependencies d = start_dependencies(a.system, a.request.keyname);
    d.isvsvn = a.request.isvsvn;
    d.attributes = a.attributes();
    d.attributesmask = a.request.attributemask;
    d.cpusvn = a.request.cpusvn;
    d.miscselect = a.miscselect();
    d.miscmask = SgxMiscselectWord::from_raw(~a.request.miscmask.to_raw());
    return d;
}

/// The parts of an identity that KEYPOLICY chooses for sealing and provisioning seal keys alike.
void apply_policy(const Asker& a, KeyDependencies& d) {
    d.keypolicy = a.request.keypolicy;
    if (!a.includes(KeyPolicy::noisvprodid)) d.isvprodid = a.secs.isvprodid;
    if (a.includes(KeyPolicy::isvfamilyid)) d.isvfamilyid = a.hidden.isvfamilyid;
    if (a.includes(KeyPolicy::isvextprodid)) d.isvextprodid = a.hidden.isvextprodid;
    if (a.includes(KeyPolicy::configid)) {
        d.configid = a.secs.configid;
        d.configsvn = a.request.configsvn;
    }
}

KeyDependencies seal_key(const Asker& a) {
    KeyDependencies d = start(a);
    apply_policy(a, d);
    if (a.includes(KeyPolicy::mrenclave)) d.mrenclave = a.secs.mrenclave;
    if (a.includes(KeyPolicy::mrsigner)) d.mrsigner = a.secs.mrsigner;
    d.keyid = a.request.keyid;
    return d;
}

/// Silicon's maker can compute it too: it does not know what is in the fuses.
KeyDependencies provision_key(const Asker& a) {
    KeyDependencies d = start(a);
    d.seal_key_fuses = {};
    d.isvprodid = a.secs.isvprodid;
    d.mrsigner = a.secs.mrsigner;
    return d;
}

KeyDependencies provision_seal_key(const Asker& a) {
    KeyDependencies d = start(a);
    apply_policy(a, d);
    d.mrsigner = a.secs.mrsigner;
    return d;
}

struct KeyRow {
    KeyName name;
    SgxAttributeFlags needs;  // else SGX_INVALID_ATTRIBUTE
    bool versions_by_request;
    bool configsvn_by_request;
    KeyDependencies (*describe)(const Asker&);
};

constexpr SgxAttributeFlags provision{SgxAttribute::provisionkey};

constexpr std::array rows{
    KeyRow{KeyName::einittoken_key, {SgxAttribute::einittoken_key}, true, false, einittoken_key},
    KeyRow{KeyName::provision_key, provision, true, false, provision_key},
    KeyRow{KeyName::provision_seal_key, provision, true, true, provision_seal_key},
    KeyRow{KeyName::report_key, {}, false, false, report_key},
    KeyRow{KeyName::seal_key, {}, true, true, seal_key},
};

const KeyRow* row_of(KeyName name) {
    for (const KeyRow& row : rows)
        if (row.name == name) return &row;
    return nullptr;
}

/// The manual lets a processor make these checks in any order; this is its pseudo-code's.
SgxError check(const Asker& a, const KeyRow* row) {
    if (row == nullptr) return SgxError::invalid_keyname;
    if (!a.secs.attributes.flags.has_all(row->needs)) return SgxError::invalid_attribute;
    if (row->versions_by_request) {
        if (!is_supported(a.request.cpusvn)) return SgxError::invalid_cpusvn;
        if (a.request.isvsvn > a.secs.isvsvn) return SgxError::invalid_isvsvn;
    }
    if (row->configsvn_by_request && a.request.configsvn > a.secs.configsvn)
        return SgxError::invalid_isvsvn;
    return SgxError::success;
}

/// Reserved are, without CET, the mask for its attributes, and without KSS whatever it brought.
bool is_well_formed(const Keyrequest& r, bool kss) {
    constexpr u16 policies = (1u << 6) - 1;
    constexpr u16 needs_no_kss = policies & ~key_policy_needs_kss;
    const auto allowed = KeyPolicyWord::from_raw(kss ? policies : needs_no_kss);
    return r.cet_attributes_mask.to_raw() == 0 && r.reserved_7 == 0 && is_zero(r.reserved_78) &&
           allowed.has_all(r.keypolicy) && (kss || r.configsvn == 0);
}

}  // namespace

/// Gives the running enclave a key of its own. SDM 3D, "EGETKEY", Operation, with the "not" that
/// the manual lost in "DS:RBX is within CR_ELRANGE". In: RBX = KEYREQUEST, RCX = where the key
/// goes. Out: RAX.
Result<> egetkey(Cpu& c) {
    Keyrequest request;
    TRY(load_enclave_operand(c, c.gpr[rbx], keyrequest_alignment, request));
    const u64 output = TRY(enclave_operand(c, c.gpr[rcx], output_alignment, Access::write));
    const Epc& epc = *c.system->epc;
    const Asker asker{*c.system, epc.secs(c.enclave.secs_page), epc.hidden(c.enclave.secs_page),
                      request};
    if (!is_well_formed(request, asker.secs.attributes.flags.has(SgxAttribute::kss)))
        return general_protection(c);
    const KeyRow* const row = row_of(request.keyname);
    const SgxError refusal = check(asker, row);
    if (refusal != SgxError::success) return complete(c, refusal);

    // From here on nothing can fault.
    const Key key = derive_key(asker.system, row->describe(asker));
    store_found(c, c.gpr[rcx], output, key.data(), key.size());
    return complete(c, SgxError::success);
}

}  // namespace postern::cpu::sgx

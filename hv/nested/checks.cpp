// SPDX-License-Identifier: Apache-2.0
// The checks that a VM entry of L1 makes of its VMCS: those of the processor, on the processor
// that L1 sees. SDM 3C, "VM Entries".
#include <array>
#include <cstring>

#include "arch/vmx/entry_checks.h"
#include "hv/nested/guest_fields.h"
#include "hv/nested/nested.h"
#include "hv/vcpu.h"

namespace postern::hv {

/// Physical memory is L1's; what is none reads as all ones.
class Nested::View {
public:
    explicit View(const Nested& nested)
        : nested_{nested}, vcpu_{nested.vcpu_}, physical_bits_{nested.vcpu_.physical_bits()},
          ia32e_{EferWord::from_raw(nested.vcpu_.port_.vmread(VmcsField::guest_ia32_efer))
                     .has(Efer::lma)} {
        for (unsigned index = 0; index < segment_count; ++index)
            segments_[index] = read_segment(index);
    }

    template <VmcsField field>
    [[nodiscard]] VmcsValue<field> get() const {
        return nested_.vmcs12().get<field>();
    }
    [[nodiscard]] Segment segment(unsigned index) const { return segments_[index]; }
    [[nodiscard]] u64 current_vmcs() const { return nested_.state_.current; }

    template <ControlWord word>
    [[nodiscard]] ControlCapability capability() const {
        switch (word) {
            case ControlWord::pin: return offered().pin();
            case ControlWord::primary: return offered().primary();
            case ControlWord::secondary: return offered().secondary();
            case ControlWord::exit: return offered().exit();
            case ControlWord::entry: break;
        }
        return offered().entry();
    }
    [[nodiscard]] VmxBasic basic() const { return offered().basic(); }
    [[nodiscard]] VmxMisc misc() const { return offered().misc(); }
    [[nodiscard]] EptVpidCapabilities ept_vpid() const { return offered().ept_vpid(); }
    [[nodiscard]] u64 cr0_fixed0() const { return offered().cr0_fixed0(); }
    [[nodiscard]] u64 cr0_fixed1() const { return offered().cr0_fixed1(); }
    [[nodiscard]] u64 cr4_fixed0() const { return offered().cr4_fixed0(); }
    [[nodiscard]] u64 cr4_fixed1() const { return offered().cr4_fixed1(); }

    [[nodiscard]] unsigned physical_bits() const { return physical_bits_; }
    [[nodiscard]] bool has_sgx() const { return vcpu_.vm_.sgx().capability().present(); }
    [[nodiscard]] static u64 debugctl_reserved() { return hv::debugctl_reserved; }
    [[nodiscard]] bool is_in_ia32e_mode() const { return ia32e_; }

    [[nodiscard]] u32 read_u32(u64 address) const { return read<u32>(address); }
    [[nodiscard]] u64 read_u64(u64 address) const { return read<u64>(address); }

private:
    [[nodiscard]] const NestedCapabilities& offered() const { return nested_.capabilities_; }

    template <class Word>
    [[nodiscard]] Word read(u64 address) const {
        Word word = ~Word{0};
        if (const u8* const bytes = vcpu_.vm_.bytes_at(Gpa{address}))
            std::memcpy(&word, bytes, sizeof word);
        return word;
    }

    [[nodiscard]] Segment read_segment(unsigned index) const {
        const auto at = [&](VmcsField of_es) {
            return nested_.vmcs12().get(segment_field(of_es, index));
        };
        return {static_cast<u16>(at(VmcsField::guest_es_selector)),
                0,
                static_cast<u32>(at(VmcsField::guest_es_access_rights)),
                static_cast<u32>(at(VmcsField::guest_es_limit)),
                0,
                at(VmcsField::guest_es_base)};
    }

    const Nested& nested_;
    Vcpu& vcpu_;
    unsigned physical_bits_;
    bool ia32e_;
    std::array<Segment, segment_count> segments_{};  // each is asked for by many checks
};

VmInstructionError Nested::refused() const {
    const View view{*this};
    if (vm_entry::first_violated(vm_entry::EntryFailure::controls, view) != nullptr)
        return VmInstructionError::entry_invalid_control_fields;
    if (vm_entry::first_violated(vm_entry::EntryFailure::host, view) != nullptr)
        return VmInstructionError::entry_invalid_host_state;
    return VmInstructionError::none;
}

u64 Nested::bad_guest_state() const {
    const auto* const violated =
        vm_entry::first_violated(vm_entry::EntryFailure::guest, View{*this});
    return violated == nullptr ? none : static_cast<u64>(violated->qualification);
}

EptRules Nested::ept_rules() const {
    return {.execute_only_supported = capabilities_.ept_vpid().has(EptVpidCapability::execute_only),
            .max_physical_bits = vcpu_.physical_bits(),
            .one_gib_pages = capabilities_.ept_vpid().has(EptVpidCapability::pages_1g)};
}

const SecondLevel* Nested::second_level() {
    if (!in_l2() || !state_.vmcs12.has(SecondaryControl::enable_ept)) return nullptr;
    second_level_ = {Eptp::from_raw(l1<VmcsField::ept_pointer>()), ept_rules()};
    return &second_level_;
}

bool Nested::translate(Gpa& address) const {
    if (!in_l2() || !state_.vmcs12.has(SecondaryControl::enable_ept)) return true;
    const Ept12Result l1 = walk_ept12(vcpu_.vm_, Eptp::from_raw(this->l1<VmcsField::ept_pointer>()),
                                      address, {.read = true}, ept_rules());
    address = l1.address;
    return l1.found();
}

}  // namespace postern::hv

// SPDX-License-Identifier: Apache-2.0
// Typed views of the exit qualification, one for each exit reason that has a format of its own.
// SDM 3C, "Exit Qualification".
#pragma once

#include "arch/regs/gpr.h"
#include "arch/vmx/raw_view.h"

namespace postern {

/// SDM 3C, table "Exit Qualification for EPT Violations". The same bits are stored for
/// EPT-violation #VE.
class EptViolation : public RawView<EptViolation, u64> {
public:
    // The access.
    [[nodiscard]] constexpr bool read() const { return flag<0>(); }
    [[nodiscard]] constexpr bool write() const { return flag<1>(); }
    [[nodiscard]] constexpr bool fetch() const { return flag<2>(); }
    // The logical AND of the EPT entries used.
    [[nodiscard]] constexpr bool readable() const { return flag<3>(); }
    [[nodiscard]] constexpr bool writable() const { return flag<4>(); }
    [[nodiscard]] constexpr bool executable() const { return flag<5>(); }
    [[nodiscard]] constexpr bool user_executable() const { return flag<6>(); }
    [[nodiscard]] constexpr unsigned permissions() const { return field<5, 3>(); }
    [[nodiscard]] constexpr bool linear_address_valid() const { return flag<7>(); }
    /// Of the translated address; false: of a paging-structure entry. If linear_address_valid().
    [[nodiscard]] constexpr bool final_translation() const { return flag<8>(); }
    // Advanced information.
    [[nodiscard]] constexpr bool user_mode_address() const { return flag<9>(); }
    [[nodiscard]] constexpr bool page_writable() const { return flag<10>(); }
    [[nodiscard]] constexpr bool page_execute_disabled() const { return flag<11>(); }
    [[nodiscard]] constexpr bool nmi_unblocking_due_to_iret() const { return flag<12>(); }
    [[nodiscard]] constexpr bool shadow_stack_access() const { return flag<13>(); }
    [[nodiscard]] constexpr bool supervisor_shadow_stack() const { return flag<14>(); }
    [[nodiscard]] constexpr bool guest_paging_verification() const { return flag<15>(); }
    [[nodiscard]] constexpr bool asynchronous() const { return flag<16>(); }

    [[nodiscard]] constexpr EptViolation with_read() const { return with_flag<0>(true); }
    [[nodiscard]] constexpr EptViolation with_write() const { return with_flag<1>(true); }
    [[nodiscard]] constexpr EptViolation with_fetch() const { return with_flag<2>(true); }
    /// Bits 2:0 of the AND of the EPT entries.
    [[nodiscard]] constexpr EptViolation with_permissions(u64 rwx) const {
        return with_field<5, 3>(rwx);
    }
    [[nodiscard]] constexpr EptViolation with_user_executable(bool on = true) const {
        return with_flag<6>(on);
    }
    [[nodiscard]] constexpr EptViolation with_linear_address(bool on = true) const {
        return with_flag<7>(on);
    }
    [[nodiscard]] constexpr EptViolation with_final_translation(bool on = true) const {
        return with_flag<8>(on);
    }
    [[nodiscard]] constexpr EptViolation with_user_mode_address(bool on = true) const {
        return with_flag<9>(on);
    }
    [[nodiscard]] constexpr EptViolation with_page_writable(bool on = true) const {
        return with_flag<10>(on);
    }
    [[nodiscard]] constexpr EptViolation with_page_execute_disabled(bool on = true) const {
        return with_flag<11>(on);
    }
    [[nodiscard]] constexpr EptViolation with_nmi_unblocking(bool on = true) const {
        return with_flag<12>(on);
    }
};

/// SDM 3C, table "Exit Qualification for I/O Instructions".
class IoQualification : public RawView<IoQualification, u64> {
public:
    /// In bytes: 1, 2 or 4.
    [[nodiscard]] constexpr unsigned size() const { return field<2, 0>() + 1; }
    [[nodiscard]] constexpr bool is_in() const { return flag<3>(); }
    [[nodiscard]] constexpr bool is_string() const { return flag<4>(); }
    [[nodiscard]] constexpr bool is_rep() const { return flag<5>(); }
    [[nodiscard]] constexpr bool is_immediate() const { return flag<6>(); }
    [[nodiscard]] constexpr u16 port() const { return static_cast<u16>(field<31, 16>()); }

    [[nodiscard]] constexpr IoQualification with_size(unsigned bytes) const {
        return with_field<2, 0>(bytes - 1);
    }
    [[nodiscard]] constexpr IoQualification with_in(bool on = true) const {
        return with_flag<3>(on);
    }
    [[nodiscard]] constexpr IoQualification with_string(bool on = true) const {
        return with_flag<4>(on);
    }
    [[nodiscard]] constexpr IoQualification with_rep(bool on = true) const {
        return with_flag<5>(on);
    }
    [[nodiscard]] constexpr IoQualification with_immediate(bool on = true) const {
        return with_flag<6>(on);
    }
    [[nodiscard]] constexpr IoQualification with_port(u16 number) const {
        return with_field<31, 16>(number);
    }
};

enum class CrAccessType : u8 { mov_to_cr = 0, mov_from_cr = 1, clts = 2, lmsw = 3 };

/// SDM 3C, table "Exit Qualification for Control-Register Accesses".
class CrAccess : public RawView<CrAccess, u64> {
public:
    /// 0, 3, 4 or 8. 0 for CLTS and LMSW.
    [[nodiscard]] constexpr unsigned control_register() const { return field<3, 0>(); }
    [[nodiscard]] constexpr CrAccessType type() const {
        return static_cast<CrAccessType>(field<5, 4>());
    }
    [[nodiscard]] constexpr bool lmsw_from_memory() const { return flag<6>(); }
    [[nodiscard]] constexpr Gpr gpr() const { return static_cast<Gpr>(field<11, 8>()); }
    [[nodiscard]] constexpr u16 lmsw_source() const { return static_cast<u16>(field<31, 16>()); }

    static constexpr CrAccess mov_to(unsigned control_register, Gpr source) {
        return from_raw(control_register | u64{source} << 8);
    }
    static constexpr CrAccess mov_from(unsigned control_register, Gpr destination) {
        return from_raw(control_register | 1u << 4 | u64{destination} << 8);
    }
    static constexpr CrAccess clts() { return from_raw(2u << 4); }
    static constexpr CrAccess lmsw(u16 source, bool from_memory) {
        return from_raw(3u << 4).with_flag<6>(from_memory).with_field<31, 16>(source);
    }
};

/// SDM 3C, table "Exit Qualification for MOV DR".
class MovDr : public RawView<MovDr, u64> {
public:
    [[nodiscard]] constexpr unsigned debug_register() const { return field<2, 0>(); }
    [[nodiscard]] constexpr bool from_dr() const { return flag<4>(); }
    [[nodiscard]] constexpr Gpr gpr() const { return static_cast<Gpr>(field<11, 8>()); }

    static constexpr MovDr to(unsigned debug_register, Gpr source) {
        return from_raw(debug_register | u64{source} << 8);
    }
    static constexpr MovDr from(unsigned debug_register, Gpr destination) {
        return from_raw(debug_register | 1u << 4 | u64{destination} << 8);
    }
};

/// SDM 3C, table "Exit Qualification for Debug Exceptions". Bits as in DR6, all active high.
class DebugQualification : public RawView<DebugQualification, u64> {
public:
    /// B3 to B0.
    [[nodiscard]] constexpr unsigned breakpoints() const { return field<3, 0>(); }
    [[nodiscard]] constexpr bool bus_lock() const { return flag<11>(); }
    [[nodiscard]] constexpr bool register_access() const { return flag<13>(); }
    [[nodiscard]] constexpr bool single_step() const { return flag<14>(); }
    [[nodiscard]] constexpr bool rtm() const { return flag<16>(); }

    [[nodiscard]] constexpr DebugQualification with_breakpoints(unsigned b3_to_b0) const {
        return with_field<3, 0>(b3_to_b0);
    }
    [[nodiscard]] constexpr DebugQualification with_register_access(bool on = true) const {
        return with_flag<13>(on);
    }
    [[nodiscard]] constexpr DebugQualification with_single_step(bool on = true) const {
        return with_flag<14>(on);
    }
};

enum class ApicAccessType : u8 {
    linear_read = 0,
    linear_write = 1,
    linear_fetch = 2,
    linear_during_delivery = 3,
    physical_during_delivery = 10,
    physical_during_instruction = 15,
};

/// SDM 3C, table "Exit Qualification for APIC-Access VM Exits from Linear Accesses and
/// Guest-Physical Accesses".
class ApicAccess : public RawView<ApicAccess, u64> {
public:
    /// Undefined for guest-physical accesses; 0 if an enclave's instruction was interrupted.
    [[nodiscard]] constexpr u16 offset() const { return static_cast<u16>(field<11, 0>()); }
    [[nodiscard]] constexpr ApicAccessType type() const {
        return static_cast<ApicAccessType>(field<15, 12>());
    }
    [[nodiscard]] constexpr bool asynchronous() const { return flag<16>(); }

    static constexpr ApicAccess of(ApicAccessType type, u16 offset) {
        return from_raw((offset & 0xfffu) | u64{static_cast<u8>(type)} << 12);
    }
};

enum class TaskSwitchSource : u8 { call = 0, iret = 1, jmp = 2, task_gate = 3 };

/// SDM 3C, table "Exit Qualification for Task Switches".
class TaskSwitch : public RawView<TaskSwitch, u64> {
public:
    [[nodiscard]] constexpr u16 selector() const { return static_cast<u16>(field<15, 0>()); }
    [[nodiscard]] constexpr TaskSwitchSource source() const {
        return static_cast<TaskSwitchSource>(field<31, 30>());
    }

    static constexpr TaskSwitch of(TaskSwitchSource source, u16 selector) {
        return from_raw(selector | u64{static_cast<u8>(source)} << 30);
    }
};

/// For instructions with a memory operand described by the instruction information (INVEPT,
/// INVPCID, INVVPID, LGDT, LLDT, VMCLEAR, VMREAD, XSAVES, ...): the displacement. For INVLPG: the
/// linear address.
class AddressQualification : public RawView<AddressQualification, u64> {
public:
    [[nodiscard]] constexpr u64 value() const { return to_raw(); }
};

/// MWAIT.
class MwaitQualification : public RawView<MwaitQualification, u64> {
public:
    [[nodiscard]] constexpr bool monitor_armed() const { return flag<0>(); }
};

/// Reason 33's qualification. SDM 3C, "VM-Entry Failures During or After Loading Guest State".
enum class EntryFailureQualification : u64 {
    none = 0,
    pdpte = 2,
    nmi_injection = 3,
    vmcs_link_pointer = 4,
};

enum class SgxConflictCode : u16 {
    tracking_resource_conflict = 0,
    tracking_reference_conflict = 1,
    epc_page_conflict_exception = 2,
    epc_page_conflict_error = 3,
};

/// Reason 71. The codes are known; that the code is bits 15:0 and the error bits 31:16 is not
/// verified against the manual.
class SgxConflict : public RawView<SgxConflict, u64> {
public:
    [[nodiscard]] constexpr SgxConflictCode code() const {
        return static_cast<SgxConflictCode>(field<15, 0>());
    }
    [[nodiscard]] constexpr u16 error() const { return static_cast<u16>(field<31, 16>()); }

    static constexpr SgxConflict of(SgxConflictCode code, u16 error) {
        return from_raw(static_cast<u16>(code) | u64{error} << 16);
    }
};

}  // namespace postern

// SPDX-License-Identifier: Apache-2.0
// Everything the hypervisor asks of the processor it runs on. host/ answers it on the software
// processor, tests with a fake, one day metal with the real instructions. hv/ has no other way.
#pragma once

#include <array>

#include "arch/regs/gpr.h"
#include "arch/regs/segment.h"
#include "arch/sgx/leaf.h"
#include "arch/vmx/instruction_error.h"
#include "arch/vmx/vmcs_field.h"
#include "base/address.h"
#include "base/types.h"

namespace postern::hv {

/// What VM entry and exit leave to software. gpr[rsp] is unused: RSP is in the VMCS.
struct GuestRegisters {
    std::array<u64, gpr_count> gpr{};
    u64 cr2 = 0;
};

enum class EntryKind : u8 { launch, resume };

/// How VMLAUNCH/VMRESUME ended. Only after `exited` (a VM exit, or an entry that failed with
/// exit-reason bit 31) do the exit-information fields mean anything. `running`: there was no exit;
/// whoever runs several processors in turn gives this one's turn to another, and the next enter()
/// goes on where the guest is. Between the two the VMCS is the guest's and is not written.
enum class EntryOutcome : u8 { exited, vmfail_invalid, vmfail_valid, running };

struct CpuidResult {
    u32 eax = 0, ebx = 0, ecx = 0, edx = 0;
};

/// Pages that a leaf of ENCLS works on, and its registers. While the leaf runs, page n of `window`
/// (0: none) lies at linear address encls_window(n) of the address space that VM exits load:
/// writable, supervisor, write-back, EPC or RAM alike. Registers and structures hold such
/// addresses.
inline constexpr unsigned encls_window_count = 3;
constexpr u64 encls_window(unsigned number) { return 0xffff'ffff'ffe0'0000 + number * page_size; }
struct EnclsOperands {
    std::array<Hpa, encls_window_count> window{};
    u64 rbx = 0, rcx = 0, rdx = 0;
};

/// Result of an ENCLS leaf run on behalf of a guest. If `faulted`, vector, error code and the
/// faulting address (in a window) are the processor's own; otherwise rax and rflags are what the
/// leaf left.
struct EnclsResult {
    bool faulted = false;
    u8 vector = 0;
    u32 error_code = 0;
    u64 address = 0;
    u64 rax = 0;
    u64 rflags = 0;
};

enum class CodeSize : u8 { bits16, bits32, bits64 };

/// A memory operand as the instruction spells it. SDM 1, "Specifying an Offset".
struct MemoryOperand {
    static constexpr u8 none = 0xff;
    u8 address_size = 0;        // in bytes: 2, 4 or 8
    SegmentIndex segment = ds;  // override or default
    u8 base = none;             // rows of GuestRegisters::gpr
    u8 index = none;
    u8 scale = 1;
    bool rip_relative = false;  // to the next instruction; displacement is added
    u64 displacement = 0;       // sign-extended; of moffs the address itself

    friend constexpr bool operator==(const MemoryOperand&, const MemoryOperand&) = default;
};

/// What a byte of an instruction repeats it for. Outside CMPS and SCAS both mean the same.
enum class Repeat : u8 { none, while_equal, while_not_equal };

/// The arithmetic of instructions with a memory operand.
enum class Operation : u8 {
    add,
    or_,
    adc,
    sbb,
    and_,
    sub,
    xor_,
    cmp,
    test,  // two operands
    inc,
    dec,
    neg,
    not_,  // one
    rol,
    ror,
    rcl,
    rcr,
    shl,
    shr,
    sar,  // by a count of 8 bits
    bt,
    bts,
    btr,
    btc,  // by the number of a bit
};

/// One instruction with a memory operand, decoded far enough to be carried out on a device.
struct DecodedAccess {
    enum class Kind : u8 {
        unsupported,         // decodes, but is none of the kinds below
        undecodable,         // #UD, or more bytes are needed than were given
        load,                // register = memory (zero-extended as the operand size demands)
        load_zero_extended,  // MOVZX
        load_sign_extended,  // MOVSX, MOVSXD
        store_register,      // memory = register; MOVNTI too
        store_immediate,     // memory = immediate
        load_swapped,        // MOVBE
        store_swapped,
        load_if,                // CMOVcc; immediate: the condition's number
        set_if,                 // SETcc, likewise
        arithmetic,             // ADD to XOR, CMP, TEST, INC to NOT, shifts and rotations
        bit,                    // BT, BTS, BTR, BTC
        exchange,               // XCHG
        exchange_add,           // XADD
        compare_exchange,       // CMPXCHG
        compare_exchange_pair,  // CMPXCHG8B, CMPXCHG16B; memory_size is of both halves
        move_string,            // MOVS; `memory` is the source
        store_string,           // STOS
        load_string,            // LODS
        compare_strings,        // CMPS; `memory` is the first operand
        scan_string,            // SCAS
        input_string,           // INS and OUTS, which have an exit of their own and are never
        output_string,          // decoded
    };
    static constexpr unsigned kind_count = 24;

    Kind kind = Kind::undecodable;
    u8 length = 0;           // bytes of the instruction, 1 to 15
    u8 memory_size = 0;      // bytes accessed: 1, 2, 4, 8; 16 only by CMPXCHG16B
    u8 register_size = 0;    // bytes written to or read from the register
    u8 gpr = 0;              // row of GuestRegisters::gpr
    bool high_byte = false;  // AH, CH, DH, BH: gpr is then RAX to RBX
    u64 immediate = 0;
    Operation operation = Operation::add;
    bool by_register = false;  // the second operand is the register, else the immediate
    bool to_register = false;  // the register is the first operand, memory the second
    bool lock = false;
    Repeat repeat = Repeat::none;
    MemoryOperand memory{};

    friend constexpr bool operator==(const DecodedAccess&, const DecodedAccess&) = default;
};

class Port {
public:
    // VMX. Fields are named, so an access cannot fail but for a field the processor lacks,
    // which reads as 0 and ignores writes; host/ reports that as a bug.
    virtual u64 vmread(VmcsField field) = 0;
    virtual void vmwrite(VmcsField field, u64 value) = 0;
    virtual bool vmclear(Hpa region) = 0;  // false: VMfail
    virtual bool vmptrld(Hpa region) = 0;
    virtual EntryOutcome enter(GuestRegisters& registers, EntryKind kind) = 0;
    // On every processor that may run the guest. Single-context.
    virtual void invept(u64 ept_pointer) = 0;
    virtual void invvpid(u16 vpid) = 0;  // on this processor; single-context

    virtual EnclsResult encls(EnclsLeaf leaf, const EnclsOperands& operands) = 0;
    virtual CpuidResult cpuid(u32 leaf, u32 subleaf) = 0;
    virtual u64 rdmsr(u32 msr) = 0;
    virtual bool wrmsr(u32 msr, u64 value) = 0;   // false: #GP
    virtual bool xsetbv(u32 xcr, u64 value) = 0;  // false: #GP
    virtual u64 read_dr(unsigned number) = 0;     // 0 to 3, 6, 7
    virtual void write_dr(unsigned number, u64 value) = 0;
    virtual u64 tsc() = 0;
    /// PKRU, which no VM exit changes: the guest's.
    virtual u32 pkru() = 0;
    /// What XSAVE manages of the processor, but for XCR0 and IA32_XSS, becomes what RESET makes of
    /// it: x87, SSE, AVX, PKRU. No VM exit changes them: they are the guest's.
    virtual void reset_extended_state() = 0;

    /// The processor leaves its guest by an external interrupt when its TSC has reached
    /// `deadline`, or runs a halted virtual processor again; ~0: never. There is one deadline, and
    /// it is forgotten once met.
    virtual void set_timer(u64 deadline) = 0;
    /// The processor of virtual processor `vcpu` leaves its guest by an external interrupt as soon
    /// as it can, or runs it again if it was halted. It may be the caller's own.
    virtual void kick(unsigned vcpu) = 0;

    /// The 4096 bytes of the page of physical memory that holds `address`; null if there is
    /// no RAM. EPC has no such bytes.
    virtual u8* page(Hpa address) = 0;

    /// Bytes of guest memory are about to change through page(): for a processor that keeps what
    /// it has decoded of them.
    virtual void about_to_write(Hpa, size_t) {}

    virtual DecodedAccess decode(const u8* bytes, size_t count, CodeSize size) = 0;

protected:
    ~Port() = default;
};

/// The devices of a guest, as the hypervisor reaches them for a normal exit.
class Devices {
public:
    /// False: no device answers there; a read is then all ones. size: 1, 2, 4, 8 (ports: 1, 2, 4).
    virtual bool mmio_read(Gpa address, unsigned size, u64& value) = 0;
    virtual bool mmio_write(Gpa address, unsigned size, u64 value) = 0;
    virtual bool port_read(u16 port, unsigned size, u32& value) = 0;
    virtual bool port_write(u16 port, unsigned size, u32 value) = 0;

    /// A local APIC ends an interrupt that was triggered by level: for the I/O APICs.
    virtual void end_of_interrupt(u8 vector) = 0;
    /// The interrupt-acknowledge cycle of ExtINT: the 8259s' vector.
    virtual u8 acknowledge_external() = 0;

protected:
    ~Devices() = default;
};

}  // namespace postern::hv

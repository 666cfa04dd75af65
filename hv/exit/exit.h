// SPDX-License-Identifier: Apache-2.0
// The three views of an exit that handlers receive, and nothing else: what a view does not
// offer cannot be done with that exit. Only NormalExit has a RIP, an instruction, byte-exact
// addresses, skip() and emulate(). The services (memory, injection, counters) are the same for
// all; the port is never given.
#pragma once

#include "arch/msr.h"
#include "arch/vmx/controls.h"
#include "arch/vmx/exit_qualification.h"
#include "arch/vmx/exit_reason.h"
#include "arch/vmx/interruption_information.h"
#include "base/address.h"
#include "hv/config.h"
#include "hv/inject.h"
#include "hv/memory/memory_map.h"
#include "hv/port.h"
#include "hv/watch.h"

namespace postern::hv {

class Vcpu;
class VirtualApic;
struct Capture;
enum class EnclsAnswer : u8;
struct EnclsEnd;
struct SecondLevelFault;

/// A page, after an exit that lost the offset. It has none to ask for.
template <class Space>
class PageAddress {
public:
    explicit constexpr PageAddress(Address<Space> address) : page_{address.page()} {}
    [[nodiscard]] constexpr Address<Space> page() const { return page_; }
    friend constexpr bool operator==(PageAddress, PageAddress) = default;

private:
    Address<Space> page_;
};
using PageGpa = PageAddress<GuestPhysical>;
using PageGva = PageAddress<GuestLinear>;

/// What every kind of exit has.
class Exit {
public:
    Exit(const Exit&) = delete;
    Exit& operator=(const Exit&) = delete;

    [[nodiscard]] ExitReason reason() const;
    [[nodiscard]] BasicReason basic() const { return reason().basic(); }
    [[nodiscard]] InterruptionInformation interruption() const;
    [[nodiscard]] unsigned cpl() const;

    [[nodiscard]] const Config& config() const;
    [[nodiscard]] Counters& counters();
    [[nodiscard]] const MemoryMap& memory() const;

    void report(Anomaly anomaly);
    Next stop(StopReason reason, const char* what = nullptr);
    Next not_implemented(const char* what) { return stop(StopReason::not_implemented, what); }
    /// Nothing to do about this exit.
    Next acknowledge();
    /// Switches an intercept off. False: it was off.
    bool drop(PrimaryControl control);
    bool drop(SecondaryControl control);
    /// After a drop: the instruction runs again, now without exiting.
    Next retry_without_control();
    /// The timer has fired: it starts again from the configured period.
    void rearm_preemption_timer();

protected:
    Exit(Vcpu& vcpu, const Capture& capture) : vcpu_{&vcpu}, capture_{&capture} {}
    ~Exit() = default;

    /// Maps the page of `address` and lets the interrupted thing happen again.
    Next map_page(const MemorySlot& slot, Gpa address);
    Next inject(const Event& event, Action action);
    /// The exception that exited, injected as it came, its type included.
    Next inject_exception();

    Vcpu* vcpu_;
    const Capture* capture_;
};

/// An exit outside enclaves: everything the processor said is about one instruction at RIP.
class NormalExit : public Exit {
public:
    NormalExit(Vcpu& vcpu, const Capture& capture) : Exit{vcpu, capture} {}

    [[nodiscard]] Gva rip() const;
    [[nodiscard]] u32 instruction_length() const;
    [[nodiscard]] u32 instruction_information() const;
    [[nodiscard]] u64 qualification() const;
    [[nodiscard]] Gva guest_linear() const;
    [[nodiscard]] Gpa guest_physical() const;
    /// An event was being delivered; it is injected again when the handler resumes.
    [[nodiscard]] bool delivering() const;

    [[nodiscard]] u64 read(Gpr gpr) const;
    void write(Gpr gpr, u64 value);
    [[nodiscard]] Devices& devices();
    [[nodiscard]] VirtualApic& apic();
    [[nodiscard]] bool is_apic_on() const;

    /// Passes over the instruction; false: RIP stays.
    bool skip();
    /// HLT, which is passed over.
    Next halt();
    /// skip(), and on with the guest.
    Next done(Action action = Action::emulated);
    /// Carries out the instruction at RIP on the device at `address`.
    Next emulate(Gpa address);
    /// Carries out INS or OUTS, which the exit describes.
    Next string_io();
    Next map(const MemorySlot& slot, Gpa address) { return map_page(slot, address); }
    /// The exception that exited, injected as it came.
    Next reinject();
    /// A fault in the instruction's place, with error code 0 if it has one.
    Next fault(Vector vector);
    /// #PF in the instruction's place, by an access to `address`.
    Next page_fault(Gva address, u32 error_code);
    Next retry();
    /// L1's EPT refuses an access that is made for L2's instruction.
    Next refuse_access(const SecondLevelFault& fault, Gva linear);

    /// Also the APIC ID.
    [[nodiscard]] unsigned vcpu_number() const;
    [[nodiscard]] CpuidResult cpuid(u32 leaf, u32 subleaf) const;
    [[nodiscard]] bool read_msr(u32 msr, u64& value) const;
    [[nodiscard]] bool write_msr(u32 msr, u64 value);
    [[nodiscard]] bool set_xcr(u32 xcr, u64 value);
    [[nodiscard]] bool in_64_bit_mode() const;
    /// What the guest sees of its control registers, and what it gets when it moves to one. False:
    /// #GP(0).
    [[nodiscard]] u64 cr0() const;
    [[nodiscard]] u64 cr3() const;
    [[nodiscard]] u64 cr4() const;
    [[nodiscard]] bool set_cr0(u64 value);
    [[nodiscard]] bool set_cr3(u64 value);
    [[nodiscard]] bool set_cr4(u64 value);
    /// CF, PF, AF, ZF, SF and OF of the guest.
    void set_status_flags(u64 flags);
    /// What the guest's processor says of SGX.
    [[nodiscard]] CpuidResult sgx_leaf(u32 subleaf) const;
    [[nodiscard]] bool offers_sgx() const;
    [[nodiscard]] bool offers_launch_control() const;
    /// What a leaf of ENCLS meets first; ECREATE and EINIT carried out.
    [[nodiscard]] EnclsAnswer answer_encls(u32 leaf) const;
    [[nodiscard]] EnclsEnd run_encls(EnclsLeaf leaf);
    /// Writes the ENCLS-exiting bitmap that the guest is to have. False: it was that already.
    bool refresh_encls_bitmap();
    /// The guest may be a hypervisor.
    [[nodiscard]] bool offers_vmx() const;
    /// The VMX instruction that exited, carried out.
    Next run_vmx_instruction();
    /// MOV to and from debug registers. False: there is no such register (#UD).
    [[nodiscard]] bool read_dr(unsigned number, u64& value) const;
    [[nodiscard]] bool write_dr(unsigned number, u64 value);
};

/// An enclave's instruction was interrupted. Its RIP, bytes and registers are out of reach;
/// RIP is the AEP, and going on there runs ERESUME. SDM 3D, "Asynchronous Enclave Exits".
class EnclaveExit : public Exit {
public:
    EnclaveExit(Vcpu& vcpu, const Capture& capture) : Exit{vcpu, capture} {}

    [[nodiscard]] Gva aep() const;
    [[nodiscard]] Gva tcs() const;
    [[nodiscard]] PageGpa guest_physical() const;
    [[nodiscard]] PageGva guest_linear() const;
    [[nodiscard]] EptViolation ept_violation() const;

    /// Goes on at the AEP: the enclave's instruction runs again.
    Next retry();
    Next map(const MemorySlot& slot) { return map_page(slot, guest_physical().page()); }
    /// The exception that exited, injected as it came, its type included.
    Next deliver();
    /// What the processor would have raised at CPL 3 in place of this exit.
    Next fault(Vector vector);
    /// The end of every path that would decode, emulate or skip: exactly one fault, of the
    /// configured kind, and nothing else.
    Next guard();
    /// The guard with #UD, whatever is configured.
    Next undefined();
};

/// An event that interrupted an enclave, or was injected for one, exited while it was being
/// delivered: the accesses were the processor's own, to IDT, GDT, TSS and stack, and their
/// addresses are exact.
class EnclaveDelivery : public Exit {
public:
    EnclaveDelivery(Vcpu& vcpu, const Capture& capture) : Exit{vcpu, capture} {}

    [[nodiscard]] Gpa guest_physical() const;
    [[nodiscard]] Gva guest_linear() const;
    [[nodiscard]] EptViolation ept_violation() const;
    /// What was being delivered; not valid() for a triple fault and a #DF that exits.
    [[nodiscard]] Event original() const;

    Next map(const MemorySlot& slot);
    /// Injects the original event again.
    Next redeliver();
    /// The exception met during delivery exits: it is merged with the original event.
    Next deliver();
};

}  // namespace postern::hv

// SPDX-License-Identifier: Apache-2.0
// The frame of every emulated instruction: fetched, decoded, compared with what the exit said,
// carried out; then RIP, the trap of single-stepping, or a fault.
#include "hv/emulate/emulator.h"

#include <algorithm>

#include "arch/vmx/exit_qualification.h"
#include "arch/vmx/instruction_information.h"
#include "hv/vcpu.h"

namespace postern::hv {
namespace {

constexpr size_t longest_instruction = 15;

using Kind = DecodedAccess::Kind;

/// What the exit says about the access itself, if anything.
struct Reported {
    bool known = false;
    bool read = false;
    bool write = false;
};

Reported reported_by(const Capture& capture) {
    switch (capture.reason.basic()) {
        case BasicReason::ept_violation: {
            const auto violation = EptViolation::from_raw(capture.qualification);
            return {true, violation.read(), violation.write()};
        }
        case BasicReason::apic_access: {
            const ApicAccessType type = ApicAccess::from_raw(capture.qualification).type();
            return {true, type == ApicAccessType::linear_read,
                    type == ApicAccessType::linear_write};
        }
        default: return {};
    }
}

}  // namespace

void Emulator::begin(const Capture& capture) {
    capture_ = &capture;
    memory_.begin(capture);
    flags_ = Rflags::from_raw(capture.rflags);
}

Next Emulator::access_device(const Capture& capture, Gpa address) {
    begin(capture);
    device_ = address;
    if (!fetch_and_decode().ok()) return stumble();
    if (is_string()) return conclude(repeat());
    return carry_out().ok() ? finish() : stumble();
}

/// SDM 3C, "VM-Exit Instruction-Information Field as Used for INS and OUTS".
Next Emulator::string_io(const Capture& capture) {
    begin(capture);
    const auto io = IoQualification::from_raw(capture_->qualification);
    const auto information = StringIoInformation::from_raw(capture_->instruction_information);
    port_ = io.port();
    access_ = {};
    access_.kind = io.is_in() ? Kind::input_string : Kind::output_string;
    access_.length = static_cast<u8>(capture_->instruction_length);
    access_.memory_size = static_cast<u8>(io.size());
    access_.repeat = io.is_rep() ? Repeat::while_equal : Repeat::none;
    // The values above 2 are reserved.
    const auto width = std::min<u8>(static_cast<u8>(information.address_size()), 2);
    access_.memory.address_size = static_cast<u8>(2u << width);
    access_.memory.segment = information.segment();
    return conclude(repeat());
}

/// The processor has just fetched these bytes: where there are none, or none that it knows, they
/// have changed since.
Result<> Emulator::fetch_and_decode() {
    std::array<u8, longest_instruction> bytes{};
    const size_t count = memory_.fetch(capture_->rip, bytes.data(), bytes.size());
    if (count == 0) return memory_.retry("an instruction outside memory");
    access_ = vcpu_.port_.decode(bytes.data(), count, memory_.code_size());
    if (access_.kind == Kind::undecodable) return memory_.retry("these bytes as an instruction");
    if (access_.kind != Kind::unsupported) return Done{};
    if (access_.memory.address_size == 0) return memory_.retry("this instruction");
    TRY(find(true, true));
    return memory_.not_implemented("this access to a device");
}

/// The operand is where the exit's access was, and the access of the same kind. Else another
/// processor has changed the instruction, its registers' meaning or a page table meanwhile.
bool Emulator::is_the_access(const Operand& operand, bool reads, bool writes) const {
    if (!operand.is_in(device_.page())) return false;
    const Reported reported = reported_by(*capture_);
    if (!reported.known) return true;
    return (reported.read && reads) || (reported.write && writes);
}

Result<> Emulator::confirm(const Operand& operand, bool reads, bool writes) {
    if (is_the_access(operand, reads, writes)) return Done{};
    return memory_.retry("an instruction that changes meanwhile");
}

Next Emulator::conclude(Result<Progress> done) {
    if (!done.ok()) return stumble();
    return done.value() == Progress::finished ? finish() : stay();
}

Next Emulator::finish() {
    vcpu_.retries_ = {};
    vcpu_.act(Action::emulated);
    ++(capture_->reason.basic() == BasicReason::io_instruction ? vcpu_.counters_.emulated_io
                                                               : vcpu_.counters_.emulated_mmio);
    if (vcpu_.skip(access_.length, RipCause::emulation)) return Next::resume;
    return vcpu_.stop(StopReason::no_instruction_length);
}

/// Between two iterations: RIP stays, and RF keeps the instruction's breakpoint from firing again.
/// SDM 3B, "Instruction-Breakpoint Exception Condition", "Single-Step Exception Condition".
Next Emulator::stay() {
    vcpu_.retries_ = {};
    vcpu_.act(Action::emulated);
    vcpu_.end_interrupt_shadow();
    write_flags(flags_.with(Rflag::rf));
    vcpu_.trap_if_stepping(flags_);
    return Next::resume;
}

Next Emulator::stumble() {
    const Obstacle& obstacle = memory_.obstacle();
    switch (obstacle.kind) {
        case Obstacle::Kind::fault: return take_fault(obstacle);
        case Obstacle::Kind::retry: return try_again(obstacle);
        case Obstacle::Kind::refused:
            return vcpu_.nested_.refuse_access(obstacle.second_level, Gva{obstacle.cr2});
        default: return give_up(obstacle.what);
    }
}

/// RF is set in the image that a fault's delivery pushes. SDM 3B, "EFLAGS.RF".
Next Emulator::take_fault(const Obstacle& obstacle) {
    vcpu_.retries_ = {};
    if (obstacle.event.information.is_exception(Vector::page_fault))
        vcpu_.registers_.cr2 = obstacle.cr2;
    if (obstacle.event.information.is_exception(Vector::general_protection))
        ++vcpu_.counters_.injected_gp;
    write_flags(flags_.with(Rflag::rf));
    vcpu_.act(Action::faulted);
    return vcpu_.inject(obstacle.event);
}

/// The processor runs the instruction itself, without any translation it has kept.
Next Emulator::try_again(const Obstacle& obstacle) {
    if (!vcpu_.may_retry(capture_->rip, retries_at_most)) return give_up(obstacle.what);
    const u64 vpid = vcpu_.port_.vmread(VmcsField::virtual_processor_identifier);
    if (vpid != 0) vcpu_.port_.invvpid(static_cast<u16>(vpid));
    vcpu_.act(Action::retried);
    return Next::resume;
}

/// What cannot be carried out is CPL 3's own fault there; only the guest's kernel stops it.
Next Emulator::give_up(const char* what) {
    vcpu_.retries_ = {};
    if (capture_->cpl != 3) return vcpu_.stop(StopReason::not_implemented, what);
    ++vcpu_.counters_.injected_ud;
    vcpu_.act(Action::faulted);
    vcpu_.set_resume_flag();
    return vcpu_.inject(Event::exception(Vector::invalid_opcode));
}

}  // namespace postern::hv

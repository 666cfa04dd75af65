// SPDX-License-Identifier: Apache-2.0
// Looking from outside, and judging what is seen there.
#include "tests/sweep/outside.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

namespace postern::sweep {
namespace {

constexpr u64 small = 0x1'0000;

// RFLAGS: CF, PF, AF, ZF, SF, OF and RF are cleared; TF has a rule of its own.
constexpr u64 cleared_flags = 0x1'08d5;
constexpr u64 trap_flag = 0x100;

void expect(Complaints& complaints, const Outside& seen, size_t index, u64 wanted) {
    if (seen[index] == wanted) return;
    complaints.push_back(
        fmt::format("{} is {:#x}, not {:#x}", name_of_word(index), seen[index], wanted));
}

void expect_field(Complaints& complaints, const Outside& seen, VmcsField wanted, u64 value) {
    expect(complaints, seen, vmcs_index(wanted), value);
}

/// What an exit says about itself, checked by whoever knows which exit it is.
constexpr std::array told_by_exit{
    VmcsField::exit_reason,
    VmcsField::exit_qualification,
    VmcsField::guest_linear_address,
    VmcsField::guest_physical_address,
    VmcsField::vm_exit_interruption_information,
    VmcsField::guest_rflags,
    VmcsField::vmx_preemption_timer_value,
};

bool is_told_by_exit(size_t index) {
    return index < vmcs_field_count &&
           std::ranges::find(told_by_exit, vmcs_field_rows[index].field) != told_by_exit.end();
}

bool is_page_address_field(size_t index) {
    return index == vmcs_index(VmcsField::guest_linear_address) ||
           index == vmcs_index(VmcsField::guest_physical_address);
}

/// Timer, NMI and EPT violation: an enclave may compute such a number too.
bool is_expected_reason(size_t index, u64 value) {
    return index == vmcs_index(VmcsField::exit_reason) &&
           (value == 0x0800'0034 || value == 0x0800'0000 || value == 0x0800'0030);
}

/// The enclave's registers, without those values that prove nothing.
std::vector<u64> secrets_of(const SavedFrame& saved, const std::vector<u64>& known) {
    std::vector<u64> words;
    const auto add = [&](u64 value) {
        const bool proves =
            value >= small && value != ~u64{0} && std::ranges::find(known, value) == known.end();
        if (proves) words.push_back(value);
    };
    for (const u64 value : saved.general()) add(value);
    add(saved.gprsgx.rip);
    for (unsigned n = 0; n < 16; ++n)
        for (const unsigned half : {0u, 1u}) add(saved.xmm_half(n, half));
    return words;
}

void look_at_vectors(const cpu::VectorState& state, Outside& seen) {
    for (size_t n = 0; n < state.zmm.size(); ++n)
        std::memcpy(&seen[word::vector + n * 8], state.zmm[n].bytes.data(), 64);
    for (size_t n = 0; n < state.x87.st.size(); ++n)
        std::memcpy(&seen[word::x87 + n * 2], state.x87.st[n].data(), 16);
    seen[word::fcw] = state.x87.fcw;
    seen[word::fsw] = state.x87.fsw;
    seen[word::tag] = state.x87.tag;
    seen[word::mxcsr] = state.mxcsr;
}

}  // namespace

Outside look_outside(host::Guest& guest) {
    const cpu::Cpu& c = guest.machine().processor();
    const hv::GuestRegisters& registers = guest.vcpu().registers();
    Outside seen{};
    for (size_t i = 0; i < vmcs_field_count; ++i) seen[word::vmcs + i] = c.vmx.vmcs.slot[i];
    for (unsigned n = 0; n < gpr_count; ++n) {
        seen[word::general + n] = registers.gpr[n];
        seen[word::processor + n] = c.gpr[n];
    }
    seen[word::cr2] = registers.cr2;
    for (size_t n = 0; n < 4; ++n) seen[word::debug + n] = c.dr[n];
    seen[word::debug + 4] = c.dr6;
    seen[word::debug + 5] = c.dr7;
    look_at_vectors(c.vector, seen);
    return seen;
}

std::string name_of_word(size_t index) {
    if (index < word::general) return std::string{vmcs_field_rows[index].name};
    if (index < word::processor) return std::string{gpr_names[index - word::general]};
    if (index < word::cr2)
        return fmt::format("the processor's {}", gpr_names[index - word::processor]);
    if (index == word::cr2) return "cr2";
    if (index < word::vector) return fmt::format("debug register {}", index - word::debug);
    if (index < word::x87)
        return fmt::format("zmm{}, word {}", (index - word::vector) / 8,
                           (index - word::vector) % 8);
    if (index < word::fcw)
        return fmt::format("st{}, word {}", (index - word::x87) / 2, (index - word::x87) % 2);
    constexpr std::array last{"fcw", "fsw", "the x87 tag", "mxcsr"};
    return last[index - word::fcw];
}

Complaints check_synthetic(const Outside& seen, const SavedFrame& saved, u64 aep, u64 tcs) {
    Complaints complaints;
    const Gprsgx& frame = saved.gprsgx;
    for (const size_t at : {word::general, word::processor}) {
        expect(complaints, seen, at + rax, 3);
        expect(complaints, seen, at + rbx, tcs);
        expect(complaints, seen, at + rcx, aep);
        expect(complaints, seen, at + rbp, frame.urbp);
        for (const size_t zero : {rdx, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15})
            expect(complaints, seen, at + zero, 0);
    }
    expect_field(complaints, seen, VmcsField::guest_rip, aep);
    expect_field(complaints, seen, VmcsField::guest_rsp, frame.ursp);
    expect_field(complaints, seen, VmcsField::guest_rflags,
                 frame.rflags & ~(cleared_flags | trap_flag));
    for (size_t n = 0; n < 16; ++n)
        for (size_t half = 0; half < 2; ++half)
            expect(complaints, seen, word::vector + n * 8 + half, 0);
    for (size_t n = word::x87; n < word::fcw; ++n) expect(complaints, seen, n, 0);
    expect(complaints, seen, word::fcw, 0x37f);
    expect(complaints, seen, word::fsw, 0);
    expect(complaints, seen, word::tag, 0);
    expect(complaints, seen, word::mxcsr, 0x1fb0);
    expect_field(complaints, seen, VmcsField::vm_exit_instruction_length, 0);
    return complaints;
}

Complaints check_unchanged(const Outside& seen, const Outside& first) {
    Complaints complaints;
    for (size_t i = 0; i < word::count; ++i)
        if (seen[i] != first[i] && !is_told_by_exit(i)) expect(complaints, seen, i, first[i]);
    return complaints;
}

Complaints check_leaks(const Outside& seen, const SavedFrame& saved, const Outside& first,
                       const std::vector<u64>& known) {
    const std::vector<u64> secrets = secrets_of(saved, known);
    Complaints complaints;
    const bool is_first = &seen == &first;
    for (size_t i = 0; i < word::count; ++i) {
        if (seen[i] == first[i] && !is_first) continue;
        if (is_page_address_field(i) && seen[i] % page_size == 0) continue;
        if (is_expected_reason(i, seen[i])) continue;
        if (std::ranges::find(secrets, seen[i]) == secrets.end()) continue;
        complaints.push_back(
            fmt::format("{} holds a register of the enclave: {:#x}", name_of_word(i), seen[i]));
    }
    return complaints;
}

Complaints check_secret(const Outside& seen) {
    Complaints complaints;
    for (size_t i = 0; i < word::count; ++i)
        if (seen[i] >> 32 == secret_tag || (seen[i] & 0xffff'ffff) == secret_tag)
            complaints.push_back(
                fmt::format("{} holds the planted secret: {:#x}", name_of_word(i), seen[i]));
    return complaints;
}

}  // namespace postern::sweep

// SPDX-License-Identifier: Apache-2.0
// Running the guest, following where it is, and checking every exit from its enclave.
#include "tests/sweep/session.h"

#include <cstring>

#include <fmt/format.h>

#include "arch/vmx/interruption_information.h"
#include "cpu/model.h"
#include "guests/abi.h"
#include "platform/boot/file.h"

namespace postern::sweep {
namespace {

constexpr u64 memory_size = 64 * platform::mib;
constexpr u64 epc_size = 2 * platform::mib;
constexpr u64 instruction_limit = 1'000'000'000;
constexpr u32 as_good_as_never = 0xffff'ffff;
constexpr u64 most_complaints = 10;

// SDM 1, "Legacy Region of an XSAVE Area" and "XSAVE Header".
constexpr size_t area_fcw = 0, area_tag = 4, area_st = 32, area_xmm = 160, area_xstate_bv = 512;
constexpr u64 x87_and_sse = 3;

// The hash keeps its values below XMM12, and it does not know of the x87 registers.
constexpr unsigned first_free_xmm = 12;
constexpr unsigned xmm_count = 16, st_count = 8;

template <class T>
void put(u8* to, T value) {
    std::memcpy(to, &value, sizeof value);
}

bool holds_secret(const SavedFrame& saved) {
    for (unsigned n = first_free_xmm; n < xmm_count; ++n)
        for (const unsigned half : {0u, 1u})
            if (saved.xmm_half(n, half) != secret_word(2 * n + half)) return false;
    for (unsigned n = 0; n < st_count; ++n) {
        u64 mantissa = 0;
        std::memcpy(&mantissa, saved.xsave.data() + area_st + 16 * n, sizeof mantissa);
        if (mantissa != secret_word(n)) return false;
    }
    return true;
}

}  // namespace

Session::Session(Plan& plan, const SessionOptions& options) : plan_{plan} {
    host::GuestConfig config;
    config.layout = platform::layout_of(memory_size, epc_size);
    config.model = &cpu::default_model();
    config.kernel.name = POSTERN_SWEEP_GUEST;
    config.kernel.command_line = "rows=1";
    if (auto file = platform::read_file(POSTERN_SWEEP_GUEST, memory_size, "first_light.elf"))
        config.kernel.file = std::move(*file);
    config.preemption_timer = as_good_as_never;
    config.livelock_ticks = options.livelock_ticks;
    auto guest = host::Guest::create(
        std::move(config), {serial_, debug_, *this, [this](u32 value) { marked(value); }});
    if (!guest) {
        complain(guest.error().what);
        return;
    }
    guest_ = std::move(*guest);
    if (options.longest_run != 0) guest_->port().set_longest_run(options.longest_run);
}

void Session::run() {
    if (!guest_) return;
    result_ = guest_->run({instruction_limit, 0});
    if (result_.ending != host::Ending::exit_port || result_.value != 0)
        complain(fmt::format("the guest ends with status {} ({})", host::exit_status(result_),
                             result_.what));
    if (phase_ != Phase::over) complain("the enclave did not come to its end");
}

u64 Session::now() { return cpu::now(guest_->machine().processor()); }

void Session::set_timer(u32 instructions) {
    guest_->port().vmwrite(VmcsField::vmx_preemption_timer_value, instructions);
}

void Session::raise_nmi_after(u64 instructions) {
    guest_->port().raise_nmi_at(now() + instructions);
}

void Session::plant_secret() {
    u8* const area = enclave_->frame_bytes();
    put<u64>(area + area_xstate_bv, x87_and_sse);
    put<u16>(area + area_fcw, 0x37f);
    area[area_tag] = 0xff;
    for (unsigned n = 0; n < st_count; ++n) {
        put(area + area_st + 16 * n, secret_word(n));
        put<u16>(area + area_st + 16 * n + 8, 0x3fff);
    }
    for (unsigned n = first_free_xmm; n < xmm_count; ++n)
        for (const unsigned half : {0u, 1u})
            put(area + area_xmm + 16 * n + 8 * half, secret_word(2 * n + half));
}

bool Session::secret_in_memory() {
    const auto& layout = guest_->machine().layout();
    const u8* const ram = guest_->machine().ram();
    for (u64 at = 0; at + 8 <= layout.ram_size(); at += 8) {
        u64 value = 0;
        std::memcpy(&value, ram + at, sizeof value);
        if (value >> 32 == secret_tag || (value & 0xffff'ffff) == secret_tag) return true;
    }
    return false;
}

void Session::complain(std::string what) {
    if (++complaint_count_ <= most_complaints)
        complaints_ += fmt::format("exit {} from the enclave: {}\n", enclave_exits_, what);
}

void Session::note(const Complaints& complaints) {
    for (const std::string& complaint : complaints) complain(complaint);
}

void Session::marked(u32 value) {
    if (value == (guests::mark_row_starts | 1)) phase_ = Phase::entering;
}

void Session::exit(const hv::ExitRecord& record) {
    if (!guest_) return;
    set_timer(as_good_as_never);
    if (record.kind == hv::ExitKind::enclave) return enclave_exit(record);
    if (phase_ == Phase::entering) set_timer(1);
    if (phase_ == Phase::inside && enclave_->interrupted())
        return plan_.before_eresume(*this, record);
    if (phase_ == Phase::inside) phase_ = Phase::leaving;
    if (phase_ == Phase::leaving) count_software_interrupt(record);
    constexpr u32 io_instruction = 30;
    if (phase_ == Phase::leaving && record.raw_reason == io_instruction) {
        phase_ = Phase::over;
        end_ = now();
    }
}

/// Several exits can interrupt one delivery; all but the first follow an injection.
void Session::count_software_interrupt(const hv::ExitRecord& record) {
    const auto event = InterruptionInformation::from_raw(record.idt_vectoring);
    const bool software = event.valid() && event.type() == InterruptionType::software_interrupt;
    if (software && injected_before_ == 0) ++completed_by_entry_;
    injected_before_ = record.injected;
}

void Session::enclave_exit(const hv::ExitRecord& record) {
    const bool is_first = phase_ == Phase::entering;
    if (is_first) {
        phase_ = Phase::inside;
        start_ = now();
        aep_ = record.rip_or_aep;
        tcs_ = record.tcs;
        enclave_ = EnclaveMemory::find(*guest_->machine().system().epc, record.tcs);
    }
    if (!enclave_ || phase_ != Phase::inside) return complain("an exit from another enclave");
    ++enclave_exits_;
    const SavedFrame saved = enclave_->frame();
    check(saved, is_first);
    if (holds_secret(saved)) ++secrets_seen_;
    last_frame_ = saved;
    plan_.inside(*this, {record, saved, is_first});
}

void Session::check(const SavedFrame& saved, bool is_first) {
    seen_ = look_outside(*guest_);
    if (is_first) {
        first_ = seen_;
        known_ = {aep_, tcs_, saved.gprsgx.ursp, saved.gprsgx.urbp};
        for (const u64 value : saved.general()) known_.push_back(value);
    }
    note(check_synthetic(seen_, saved, aep_, tcs_));
    note(check_unchanged(seen_, first_));
    note(check_leaks(is_first ? first_ : seen_, saved, first_, known_));
    note(check_secret(seen_));
}

std::string Session::said(std::string_view key) const {
    const std::string text = serial();
    const std::string start = fmt::format("@row1.{}=", key);
    const size_t at = text.find(start);
    if (at == std::string::npos) return {};
    const size_t from = at + start.size();
    return text.substr(from, text.find_first_of("\r\n", from) - from);
}

u64 Session::livelocks() const { return guest_->vcpu().counters().of(hv::Anomaly::livelock); }

u64 Session::anomalies() const {
    u64 count = 0;
    for (const u64 one : guest_->vcpu().counters().anomalies) count += one;
    return count;
}

}  // namespace postern::sweep

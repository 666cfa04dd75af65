// SPDX-License-Identifier: Apache-2.0
// Checks that the rows share.
#include "app/demo/rows.h"

#include <openssl/evp.h>

#include <array>

#include <fmt/format.h>

#include "app/report.h"
#include "arch/vmx/exit_reason.h"

namespace postern::app {

u8 pattern_byte(u64 index) { return static_cast<u8>(index * 7 + 3); }
u8 zero_byte(u64) { return 0; }

std::string sha256_of_page(u8 (*byte_at)(u64 index)) {
    std::array<u8, page_size> bytes;
    for (u64 i = 0; i < page_size; ++i) bytes[i] = byte_at(i);
    std::array<u8, EVP_MAX_MD_SIZE> digest{};
    unsigned size = 0;
    if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1)
        return "OpenSSL gives no SHA-256";
    std::string text;
    for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
    return text;
}

void expect_clean_end(const Observation& seen, Account& account) {
    for (const std::string& line : ending_lines(seen.result)) account.wrong.push_back(line);
    const bool ended = seen.result.ending == host::Ending::exit_port && seen.result.value == 0;
    if (!account.expect(ended, fmt::format("the guest ends with exit code {}, not 0; its output:",
                                           seen.result.value)))
        account.wrong.push_back(seen.serial);
    account.expect(seen.said_once("start") == "1", "the guest does not say that the row starts");
    for (const SeenAnomaly& anomaly : seen.anomalies)
        account.wrong.push_back(
            fmt::format("anomaly at exit {}: {}", anomaly.exit, name_of(anomaly.anomaly)));
    for (const VmcsField field : seen.missing_fields)
        account.wrong.push_back(
            fmt::format("the processor has no VMCS field {}", postern::name_of(field)));
}

void expect_enclave_exit(const hv::ExitRecord& exit, Account& account) {
    constexpr u32 enclave_interruption = 1 << 4;
    const auto expect = [&](bool right, std::string_view what) {
        account.expect(right, fmt::format("exit {} ({}): {}", exit.sequence,
                                          reason_text(exit.raw_reason), what));
    };
    expect(ExitReason::from_vmcs(exit.raw_reason).from_enclave(), "bit 27 is not set");
    expect((exit.interruptibility_before & enclave_interruption) != 0,
           "interruptibility bit 4 is not set");
    expect(exit.kind == hv::ExitKind::enclave, "it is not typed as an enclave's");
    expect(exit.rax == 3, "RAX is not 3 (ERESUME)");
    expect(exit.rcx == exit.rip_or_aep, "RCX is not the AEP");
    expect(exit.cpl == 3, "CPL is not 3");
    expect(exit.instruction_length == 0, "the instruction length is not 0");
    // The linear address is meaningless after an EPT misconfiguration.
    const BasicReason basic = ExitReason::from_vmcs(exit.raw_reason).basic();
    const bool violation = basic == BasicReason::ept_violation;
    const bool by_address = violation || basic == BasicReason::ept_misconfiguration;
    expect(!by_address || exit.guest_physical % page_size == 0,
           "the physical address has its low 12 bits");
    expect(!violation || exit.guest_linear % page_size == 0,
           "the linear address has its low 12 bits");
    expect(exit.rip_after == exit.rip_or_aep, "RIP has moved");
}

void expect_unknown_reason(const Observation& seen, u32 raw_reason, Account& account) {
    const hv::StopReport& stop = seen.result.stop;
    const bool stopped = seen.result.ending == host::Ending::stopped &&
                         stop.reason == hv::StopReason::unknown_exit_reason;
    account.expect(stopped, "the guest was not stopped for an unknown exit reason");
    account.expect(stop.detail == raw_reason && stop.exit.raw_reason == raw_reason,
                   fmt::format("the number is {:#x}, not {:#x}", stop.detail, raw_reason));
    account.expect(seen.said_all("digest").empty() && seen.said_all("untrusted_digest").empty(),
                   "the enclave came to a result all the same");
    account.say({},
                fmt::format("{:#010x} is taken for the number, which matches no row of the table: "
                            "the guest was stopped at its enclave's first exit.",
                            stop.detail));
}

std::string check_digest(const std::string& said, const std::string& expected, Account& account) {
    const bool right =
        account.expect(said == expected, fmt::format("SHA-256 {} instead of {}", said, expected));
    return fmt::format("SHA-256 {}...{}: {}", said.substr(0, 16),
                       said.size() > 8 ? said.substr(said.size() - 8) : "",
                       right ? "right" : "WRONG");
}

}  // namespace postern::app

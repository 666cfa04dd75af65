// SPDX-License-Identifier: Apache-2.0
// How Linux's tracing names what a trace holds, and events and enclaves in words.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "hv/watch.h"

namespace postern::app {

/// "EPT_VIOLATION": as the symbols of the kernel's kvm_exit event. Empty: the kernel has none.
std::string_view kvm_name(u16 number);

/// A number, our name or the kernel's.
std::optional<u16> parse_reason(std::string_view text);

/// Our name of a basic exit reason, or its number.
std::string reason_name(u16 number);

/// "#UD", "#PF(0x14)", "NMI", "interrupt 0x20": an event's word with its error code.
std::string event_text(u32 information, u32 error_code);
/// The same without an error code.
std::string event_class(u32 information);

/// 64 hexadecimal digits, as sgx_sign and others print it; "not initialized" before EINIT.
std::string mrenclave_text(const hv::EnclaveIdentity& enclave);

}  // namespace postern::app

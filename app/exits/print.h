// SPDX-License-Identifier: Apache-2.0
// A summary as tables or JSON, and records one by one as text, CSV, JSON and lines of the kernel's
// tracing. An enclave's exit has an AEP and a TCS; nowhere has it a RIP.
#pragma once

#include <string>

#include "app/exits/summary.h"
#include "app/trace_reader.h"

namespace postern::app {

std::string summary_text(const Summary& summary, const trace::About& about);
std::string summary_json(const Summary& summary, const trace::About& about,
                         const TraceEnding& ending);

/// An exit's line, with its newline. `who` is its enclave, or null.
using RecordLine = std::string (*)(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who);
std::string list_line(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who);
std::string json_line(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who);
std::string csv_line(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who);
std::string kvm_line(const hv::ExitRecord& exit, const hv::EnclaveIdentity* who);
/// A reset among the lines of list_line.
std::string reset_line(const hv::ResetRecord& reset);
/// The names of csv_line's columns.
std::string csv_head();

}  // namespace postern::app

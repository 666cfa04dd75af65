// SPDX-License-Identifier: Apache-2.0
// A trace of a few chosen records, and files for tests to write them to.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "app/trace_format.h"

namespace postern::app::test {

using hv::Action;
using hv::ExitKind;
using trace::Record;

/// Tests run in processes side by side.
inline std::string temporary(const std::string& name) {
    return (std::filesystem::temp_directory_path() / (name + "-" + std::to_string(getpid())))
        .string();
}

inline std::vector<u8> bytes_of_file(const std::string& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, std::istreambuf_iterator<char>{}};
}

inline void write_file(const std::string& path, const std::vector<u8>& bytes) {
    std::ofstream file{path, std::ios::binary | std::ios::trunc};
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
}

inline const trace::About about{.model = "postern-v3",
                                .command_line = "postern run --kernel a.elf",
                                .processors = 2,
                                .ticks_per_second = 1'000'000'000};

/// MRENCLAVE is `first`, `first` + 1, ...
inline hv::EnclaveIdentity enclave(u64 number, u64 secs, u8 first = 0) {
    hv::EnclaveIdentity e;
    e.number = number;
    e.secs = secs;
    e.base = 0x7f00'0000'0000;
    e.size = 0x10'0000;
    if (first == 0) return e;
    e.initialized = 1;
    for (size_t n = 0; n < 32; ++n) e.mrenclave[n] = static_cast<u8>(first + n);
    return e;
}

/// CPUID, at 1000.
inline hv::ExitRecord cpuid_exit() {
    return {.sequence = 0,
            .tsc = 1000,
            .raw_reason = 10,
            .kind = ExitKind::normal,
            .action = Action::emulated,
            .rip_or_aep = 0xffff'ffff'8100'0000,
            .rip_after = 0xffff'ffff'8100'0002,
            .rax = 7,
            .instruction_length = 2,
            .rflags = 2};
}

/// A first touch of an enclave's page, at 2000.
inline hv::ExitRecord touch_exit() {
    return {.sequence = 1,
            .tsc = 2000,
            .raw_reason = 0x0800'0030,
            .kind = ExitKind::enclave,
            .action = Action::mapped,
            .cpl = 3,
            .interruptibility_before = 0x10,
            .interruptibility_after = 0x10,
            .rip_or_aep = 0x40'1000,
            .rip_after = 0x40'1000,
            .tcs = 0x7f00'0000'1000,
            .rax = 3,
            .rcx = 0x40'1000,
            .qualification = 0x182,
            .guest_linear = 0x7f00'0000'5000,
            .guest_physical = 0x8000'5000,
            .rflags = 0x202,
            .secs = 0x8000'0000};
}

/// An enclave that stores to a device, at 3500: the guard.
inline hv::ExitRecord guarded_exit() {
    hv::ExitRecord e = touch_exit();
    e.sequence = 2;
    e.tsc = 3500;
    e.raw_reason = 0x0800'0031;
    e.action = Action::guarded;
    e.qualification = 0;
    e.guest_linear = 0;
    e.guest_physical = 0xfe00'0000;
    e.injected = 0x8000'0306;
    return e;
}

/// An interrupt on its way to processor 1, delivered again, at 5000.
inline hv::ExitRecord delivery_exit() {
    hv::ExitRecord e = touch_exit();
    e.sequence = 0;
    e.tsc = 5000;
    e.kind = ExitKind::delivery;
    e.action = Action::redelivered;
    e.vcpu = 1;
    e.cpl = 0;
    e.idt_vectoring = 0x8000'00ec;
    e.injected = 0x8000'00ec;
    e.guest_physical = 0x20'0000;
    e.anomalies = 1;
    return e;
}

/// An exception with its error code, re-injected, at 9000.
inline hv::ExitRecord fault_exit() {
    return {.sequence = 3,
            .tsc = 9000,
            .raw_reason = 0,
            .kind = ExitKind::normal,
            .action = Action::reinjected,
            .cpl = 3,
            .rip_or_aep = 0x40'2000,
            .rip_after = 0x40'2000,
            .qualification = 0x1234,
            .interruption = 0x8000'0b0e,
            .interruption_error_code = 0x14,
            .injected = 0x8000'0b0e,
            .injected_error_code = 0x14,
            .rflags = 0x1'0202};
}

inline std::vector<Record> chosen_records() {
    return {Record{cpuid_exit()},
            Record{enclave(1, 0x8000'0000)},
            Record{enclave(1, 0x8000'0000, 0xa0)},
            Record{touch_exit()},
            Record{guarded_exit()},
            Record{delivery_exit()},
            Record{fault_exit()}};
}

inline void append(std::vector<u8>& bytes, const std::vector<u8>& more) {
    bytes.insert(bytes.end(), more.begin(), more.end());
}

/// The chosen records in two blocks of three and four.
inline std::vector<u8> chosen_trace() {
    const std::vector<Record> records = chosen_records();
    std::vector<u8> file = trace::encode_header(about);
    append(file, trace::encode_block(std::span{records}.first(3), 0, false));
    append(file, trace::encode_block(std::span{records}.subspan(3), 3, true));
    return file;
}

}  // namespace postern::app::test

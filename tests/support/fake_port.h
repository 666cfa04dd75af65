// SPDX-License-Identifier: Apache-2.0
// The processor and the machine of host/fake_processor.h for unit tests: each complaint of
// theirs is a failure of the test that used them.
#pragma once

#include <gtest/gtest.h>

#include "host/fake_processor.h"

namespace postern::hv::test {

using host::fake::aep;
using host::fake::default_config;
using host::fake::doorbell;
using host::fake::epc_base;
using host::fake::ExitInfo;
using host::fake::FakeDevices;
using host::fake::FakeWatcher;
using host::fake::guest_ram_host;
using host::fake::Injected;
using host::fake::kernel_rip;
using host::fake::nowhere;
using host::fake::rom_base;
using host::fake::tcs;

inline void expect_no_complaint(const host::fake::FakeProcessor& processor) {
    for (const std::string& complaint : processor.complaints) ADD_FAILURE() << complaint;
}

struct FakeProcessor : host::fake::FakeProcessor {
    ~FakeProcessor() { expect_no_complaint(*this); }
};

struct Machine : host::fake::Machine {
    using host::fake::Machine::Machine;
    ~Machine() { expect_no_complaint(processor); }
};

inline Config without(Protection protection, Config config = default_config()) {
    config.protections.set(protection, false);
    return config;
}

/// The event is the exception, of type 3, and nothing but it.
inline void expect_exception(const Injected& event, Vector vector, u32 error_code = 0) {
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event.information, InterruptionInformation::hardware_exception(vector));
    if (event.information.error_code_valid()) {
        EXPECT_EQ(event.error_code, error_code);
    }
}

}  // namespace postern::hv::test

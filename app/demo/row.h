// SPDX-License-Identifier: Apache-2.0
// What a row of the demo consists of: an experiment, what to say about it, what to check, and
// the controls, which leave one protection out and predict what then goes wrong.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/demo/observe.h"

namespace postern::app {

/// A label and what is to be said under it; the sentences are wrapped when printed.
struct Paragraph {
    std::string label;
    std::string text;
};

/// The outcome of a row or a control: what to say, and what is not as predicted.
struct Account {
    std::vector<Paragraph> paragraphs;
    std::vector<std::string> wrong;

    void say(std::string label, std::string text) {
        paragraphs.push_back({std::move(label), std::move(text)});
    }
    bool expect(bool right, std::string what) {
        if (!right) wrong.push_back(std::move(what));
        return right;
    }
};

/// A protection left out, and the harm that this is predicted to do.
struct Control {
    std::string_view label;
    Experiment experiment;
    hv::Protection left_out;
    void (*judge)(const Observation&, Account&);
};

struct Row {
    unsigned number;
    std::string_view title;
    Experiment experiment;
    void (*judge)(const Observation&, Account&);
    std::span<const Control> controls;
};

std::span<const Row> demo_rows();

// For the rows.

/// SHA-256 by OpenSSL of the 4096 bytes that byte_at gives, in hexadecimal.
std::string sha256_of_page(u8 (*byte_at)(u64 index));
u8 pattern_byte(u64 index);  // what the enclave's data page is filled with
u8 zero_byte(u64 index);

/// The guest ran to its end and said so; no anomaly, no field of the VMCS missing.
void expect_clean_end(const Observation& seen, Account& account);

/// What the manual says of every exit from an enclave: bits 27 and 4, RIP = AEP in RCX, RAX = 3,
/// CPL 3, length 0, page addresses; and RIP is where it was.
void expect_enclave_exit(const hv::ExitRecord& exit, Account& account);

/// "right: 3f...", or what it should be; wrong digests are noted.
std::string check_digest(const std::string& said, const std::string& expected, Account& account);

}  // namespace postern::app

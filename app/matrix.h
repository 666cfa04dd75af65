// SPDX-License-Identifier: Apache-2.0
// `postern matrix`: every exit reason as every kind of exit, given to the hypervisor's dispatcher
// on a processor of paper and held against expected_exits.h. What happened is read off the
// processor and the devices, not off the hypervisor's records.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "app/expected_exits.h"
#include "app/options.h"
#include "arch/vmx/exit_reason.h"
#include "host/fake_processor.h"

namespace postern::app {

/// How an exit comes about. injected_delivery: the event was injected by the entry before.
enum class Situation : u8 { normal, enclave, delivery, injected_delivery };
inline constexpr size_t situation_count = 4;

struct MatrixCell {
    Outcome got;
    Outcome expected;
    /// What happened beside the outcome, and should not have; empty: nothing.
    std::string beside;

    [[nodiscard]] bool right() const { return got == expected && beside.empty(); }
};

struct MatrixRow {
    BasicReason reason;
    std::array<MatrixCell, situation_count> cells;
};

/// Every intercept that is never ours is on, so that dropping it can be seen.
hv::Config matrix_config();

/// What the exit says beside its reason. Outside enclaves: operands with which the instruction
/// succeeds.
host::fake::ExitInfo matrix_exit(BasicReason reason, Situation situation);

/// Runs one cell for each row of `expected` and each situation.
std::vector<MatrixRow> run_matrix(std::span<const ExpectedExit> expected);

enum class MatrixFormat : u8 { text, markdown };

/// Prints the matrix of `expected`; wrong cells go to `terminal.err`. The status: 0 if there are
/// none and every exit reason has its row, 1 otherwise.
int matrix_command(MatrixFormat format, Terminal terminal,
                   std::span<const ExpectedExit> expected = expected_exits);

}  // namespace postern::app

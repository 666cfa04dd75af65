// SPDX-License-Identifier: Apache-2.0
// One scenario as it runs: entries of the enclave, the answer to each event, what is printed.
#pragma once

#include "guests/every_exit/abi.h"
#include "guests/every_exit/rows.h"
#include "guests/runtime/system.h"

namespace postern::guests {

struct Session {
    const char* name;       // of the scenario
    const char* side_mark;  // "" inside, "outside_" outside
    u64 tcs;                // of the enclave's thread that is entered
    u64 event_limit;        // more are events without end
    u64 patience;           // how often an event is answered by resuming the same instruction
    u64 interruptions;
    ProbeCall first;  // what the enclave said about its first interruption
};

#pragma GCC visibility push(hidden)
extern Session session;
#pragma GCC visibility pop

void ask(ScenarioCall call, u64 first = 0, u64 second = 0);

/// "@<scenario>.<side><text>=", to be gone on with.
Line key(const char* text);
void print_number(const char* text, u64 number);
void print_hex(const char* text, u64 number);
void print_digest(const char* text, const u8 (&digest)[32]);
[[noreturn]] void give_up(Line& why);
[[noreturn]] void give_up(const char* why);

/// Events of ring 3 are answered from now on.
void answer_events();

/// Forgets what happened before. From now on the enclave may be resumed as often as one instruction
/// is worth.
void begin_watching();

/// From now on the enclave may be resumed as often as hashing is worth.
void be_patient();

/// EENTER of the session's thread; `step`: with RFLAGS.TF set. Gives up if the enclave refuses.
void enter(ProbeFunction function, ProbeCall& call, bool step);

/// A call of the enclave to run `instruction` on `target`.
ProbeCall call_for(Instruction instruction, Target target);

}  // namespace postern::guests

// SPDX-License-Identifier: Apache-2.0
// What a hostile task does with its enclave, whatever kernel it runs on.
#include "guests/enclave_layout.h"
#include "guests/every_exit/hostile.h"
#include "guests/every_exit/session.h"
#include "guests/runtime/enclu.h"

namespace postern::guests {

void begin_hostile_calls() {
    session.tcs = layout::start_of(layout::tcs);
    begin_watching();
    session.event_limit = resume_limit = ~u64{0};  // cannot be reached
}

u64 hostile_calls() {
    constexpr u64 resumed_in_vain = 8;
    constexpr struct {
        Instruction instruction;
        Target target;
    } calls[] = {{Instruction::load, Target::doorbell},
                 {Instruction::int3, Target::scratch},
                 {Instruction::mov_dr, Target::scratch},
                 {Instruction::vmread, Target::scratch},
                 {Instruction::rdrand, Target::scratch}};
    for (const auto& [instruction, target] : calls) {
        ProbeCall call = call_for(instruction, target);
        session.patience = resumed_in_vain;
        enter(ProbeFunction::run, call, false);
    }
    return sizeof calls / sizeof *calls;
}

}  // namespace postern::guests

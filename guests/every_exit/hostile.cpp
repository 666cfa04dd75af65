// SPDX-License-Identifier: Apache-2.0
#include "guests/every_exit/hostile.h"

#include "guests/enclave_layout.h"
#include "guests/every_exit/session.h"
#include "guests/every_exit/step.h"

namespace postern::guests {

void run_hostile() {
    session.side_mark = "";
    begin_hostile_calls();
    u64 entries = 0;
    start_hashing_task();
    const volatile u64& over = orders().over;
    while (over == 0) {
        entries += hostile_calls();
        ask(ScenarioCall::yield);
    }
    const Hashed hashed = stop_hashing_task();
    print_number("entries", entries);
    print_number("count", orders().events.count);
    print_number("rip_is_aep", orders().events.all_at_aep);
    print_number("synthetic", orders().events.all_synthetic);
    print_number("xmm_clear", orders().events.vectors_clear);
    print_number("resumes", resume_count);
    print_number("a_ticks", orders().ticks[0]);
    print_number("b_ticks", orders().ticks[1]);
    print_number("switches", orders().switches);
    print_number("b_digests", hashed.digests);
    print_number("b_ok", hashed.right);
    ProbeCall call = call_for(Instruction::nothing, Target::scratch);
    enter(ProbeFunction::hash, call, false);
    print_digest("digest", call.digest);
}

}  // namespace postern::guests

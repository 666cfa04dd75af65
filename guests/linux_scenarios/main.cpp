// SPDX-License-Identifier: Apache-2.0
// every_exit's scenarios as a process of Linux, those that user space can cause.
//
//   linux_scenarios NAME inside|outside|both   runs one, and prints what it saw
//   linux_scenarios hostile                    keeps its enclave interrupted until SIGTERM
//   linux_scenarios hashing PAGES              only hashes, without an enclave
//   linux_scenarios                            does what the machine's owner answers to a mark,
//                                              if he does
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <initializer_list>

#include "guests/enclave_layout.h"
#include "guests/every_exit/hostile.h"
#include "guests/every_exit/session.h"
#include "guests/linux_scenarios/enclave.h"
#include "guests/linux_scenarios/hostile.h"
#include "guests/linux_scenarios/machine.h"
#include "guests/linux_scenarios/orders.h"
#include "guests/linux_scenarios/system.h"
#include "guests/runtime/enclu.h"
#include "guests/scenarios.h"

namespace postern::guests {

extern "C" [[noreturn]] void runtime_main();

namespace {

void map_orders() {
    void* const wanted = reinterpret_cast<void*>(&shared());
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
    if (mmap(wanted, 4096, PROT_READ | PROT_WRITE, flags, -1, 0) != wanted)
        fail("no memory for the orders");
}

/// Each page of the enclave and of this program that a scenario needs is mapped before it: an
/// event, answered by the enclave, by both of its threads.
void touch_everything() {
    for (const layout::Region& thread : {layout::tcs, layout::debug_tcs}) {
        session.name = "touch";
        session.tcs = layout::start_of(thread);
        begin_watching();
        ProbeCall call = call_for(Instruction::divide, Target::scratch);
        enter(ProbeFunction::run, call, false);
        enter(ProbeFunction::hash, call, false);
    }
    if (orders().events.count == 0) fail("the enclave is not interrupted");
}

u32 number_of(const char* name) {
    for (u32 i = 0; i < scenario_count; ++i)
        if (strcmp(scenario_names[i].name, name) == 0) return i;
    fail("there is no such scenario");
}

Side side_of(const char* word) {
    if (strcmp(word, "inside") == 0) return Side::inside;
    if (strcmp(word, "outside") == 0) return Side::outside;
    return Side::both;
}

void obey(u32 scenario, Side side) {
    orders().scenarios = u64{1} << scenario;
    orders().sides = side;
}

void obey_the_owner() {
    choose_output(Output::ports);
    mark(mark_ready);
    const u32 order = answer();
    if (!is_order(order)) exit(0);
    obey(scenario_of(order), static_cast<Side>(side_number_of(order)));
}

}  // namespace
}  // namespace postern::guests

int main(int count, char** words) {
    using namespace postern::guests;
    const bool hashing = count == 3 && strcmp(words[1], "hashing") == 0;
    const bool hostile = count == 2 && strcmp(words[1], "hostile") == 0;
    if (count > 3 || (count == 2 && !hostile)) {
        fprintf(stderr,
                "usage: linux_scenarios [NAME inside|outside|both | hostile | hashing N]\n");
        return 2;
    }
    map_orders();
    orders().pages = 1;
    if (hashing) return run_hashing(strtoul(words[2], nullptr, 10)), 0;
    orders().protected_address = layout::start_of(layout::data) + 0xff8;
    build_probe();
    map_doorbell();
    answer_events();
    if (hostile) return run_hostile(), 0;
    take_the_machine();
    touch_everything();
    if (count == 3)
        obey(number_of(words[1]), side_of(words[2]));
    else
        obey_the_owner();
    runtime_main();
}

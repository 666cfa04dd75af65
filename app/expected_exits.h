// SPDX-License-Identifier: Apache-2.0
// What must become of every exit: reason x kind -> outcome, written by hand from what the manual
// says can happen (can bit 27 be set with this reason; is the exit before or after #UD, #GP) and
// from the project's policy. It is the oracle for hv/exit/table.h and knows nothing of it; the
// dispatcher is held against it by `postern matrix` and by the unit tests.
#pragma once

#include <array>

#include "base/types.h"

namespace postern::app {

enum class Outcome : u8 {
    goes_on,          // nothing injected, RIP as it was
    goes_on_anomaly,  // and the exit is reported as impossible
    dropped,          // the intercept that brought it is off, RIP as it was
    mapped,           // the page is in EPT, RIP as it was
    passed_over,      // RIP behind the instruction
    halted,           // the same, and there is nothing to run
    emulated,         // carried out on the device, RIP behind it
    ud,               // #UD alone
    ud_anomaly,
    gp,  // #GP(0) alone
    gp_anomaly,
    same_exception,  // the exception that exited
    original,        // the event that was being delivered, once more
    original_anomaly,
    mapped_original,  // the page is in EPT, then the event once more
    first_exception,  // the exception; the interrupt that met it waits
    stops,            // with a report
};

struct ExpectedExit {
    u16 reason;
    Outcome normal;    // at CPL 0, outside enclaves
    Outcome enclave;   // an enclave's instruction was interrupted
    Outcome delivery;  // an event that interrupted an enclave, or was injected, was on its way
};

inline constexpr auto expected_exits = [] {
    using enum Outcome;
    return std::array{
        ExpectedExit{0, same_exception, same_exception, first_exception},
        ExpectedExit{1, goes_on, goes_on, original_anomaly},
        ExpectedExit{2, stops, stops, stops},
        ExpectedExit{3, stops, stops, stops},
        ExpectedExit{4, stops, goes_on_anomaly, original_anomaly},
        ExpectedExit{5, stops, goes_on_anomaly, original_anomaly},
        ExpectedExit{6, stops, stops, stops},
        ExpectedExit{7, goes_on, goes_on, original_anomaly},
        ExpectedExit{8, goes_on, goes_on, original_anomaly},
        ExpectedExit{9, stops, ud_anomaly, stops},
        ExpectedExit{10, passed_over, ud_anomaly, original_anomaly},
        ExpectedExit{11, ud, ud_anomaly, original_anomaly},
        ExpectedExit{12, halted, gp_anomaly, original_anomaly},
        ExpectedExit{13, passed_over, gp_anomaly, original_anomaly},
        ExpectedExit{14, dropped, gp_anomaly, original_anomaly},
        ExpectedExit{15, dropped, ud_anomaly, original_anomaly},
        ExpectedExit{16, dropped, dropped, original_anomaly},
        ExpectedExit{17, ud, ud_anomaly, original_anomaly},
        ExpectedExit{18, ud, ud_anomaly, original_anomaly},
        ExpectedExit{19, ud, ud, original_anomaly},
        ExpectedExit{20, ud, ud, original_anomaly},
        ExpectedExit{21, ud, ud, original_anomaly},
        ExpectedExit{22, ud, ud, original_anomaly},
        ExpectedExit{23, ud, ud, original_anomaly},
        ExpectedExit{24, ud, ud, original_anomaly},
        ExpectedExit{25, ud, ud, original_anomaly},
        ExpectedExit{26, ud, ud, original_anomaly},
        ExpectedExit{27, ud, ud, original_anomaly},
        ExpectedExit{28, passed_over, gp_anomaly, original_anomaly},
        ExpectedExit{29, passed_over, gp, original_anomaly},
        ExpectedExit{30, passed_over, ud_anomaly, original_anomaly},
        ExpectedExit{31, passed_over, gp_anomaly, original_anomaly},
        ExpectedExit{32, passed_over, gp_anomaly, original_anomaly},
        ExpectedExit{33, stops, ud_anomaly, original_anomaly},
        ExpectedExit{34, stops, ud_anomaly, original_anomaly},
        ExpectedExit{35, stops, ud_anomaly, original_anomaly},
        ExpectedExit{36, ud, ud_anomaly, original_anomaly},
        ExpectedExit{37, goes_on, goes_on, original_anomaly},
        ExpectedExit{38, stops, ud_anomaly, original_anomaly},
        ExpectedExit{39, ud, ud_anomaly, original_anomaly},
        ExpectedExit{40, dropped, dropped, original_anomaly},
        ExpectedExit{41, stops, ud_anomaly, original_anomaly},
        ExpectedExit{42, stops, ud_anomaly, original_anomaly},
        ExpectedExit{43, goes_on, goes_on_anomaly, original_anomaly},
        ExpectedExit{44, emulated, ud, stops},
        ExpectedExit{45, goes_on, goes_on_anomaly, original_anomaly},
        ExpectedExit{46, dropped, ud_anomaly, original_anomaly},
        ExpectedExit{47, dropped, ud_anomaly, original_anomaly},
        ExpectedExit{48, mapped, mapped, mapped_original},
        ExpectedExit{49, emulated, ud, stops},
        ExpectedExit{50, ud, ud, original_anomaly},
        ExpectedExit{51, dropped, dropped, original_anomaly},
        ExpectedExit{52, goes_on, goes_on, original_anomaly},
        ExpectedExit{53, ud, ud, original_anomaly},
        ExpectedExit{54, passed_over, gp_anomaly, original_anomaly},
        ExpectedExit{55, passed_over, gp_anomaly, original_anomaly},
        ExpectedExit{56, goes_on, goes_on_anomaly, original_anomaly},
        ExpectedExit{57, dropped, dropped, original_anomaly},
        ExpectedExit{58, dropped, gp_anomaly, original_anomaly},
        ExpectedExit{59, ud, ud_anomaly, original_anomaly},
        ExpectedExit{60, gp, ud_anomaly, original_anomaly},
        ExpectedExit{61, dropped, dropped, original_anomaly},
        ExpectedExit{62, goes_on, goes_on, original},
        ExpectedExit{63, stops, gp_anomaly, original_anomaly},
        ExpectedExit{64, stops, gp_anomaly, original_anomaly},
        ExpectedExit{65, ud, gp_anomaly, original_anomaly},
        ExpectedExit{66, stops, goes_on, original},
        ExpectedExit{67, dropped, dropped, original_anomaly},
        ExpectedExit{68, dropped, dropped, original_anomaly},
        ExpectedExit{69, ud, gp_anomaly, original_anomaly},
        ExpectedExit{70, ud, ud_anomaly, original_anomaly},
        ExpectedExit{71, stops, ud_anomaly, original_anomaly},
        ExpectedExit{72, ud, ud, original_anomaly},
        ExpectedExit{73, ud, gp_anomaly, original_anomaly},
        ExpectedExit{74, goes_on, goes_on, original},
        ExpectedExit{75, goes_on, goes_on, original},
        ExpectedExit{76, ud, ud_anomaly, original_anomaly},
        ExpectedExit{77, ud, ud_anomaly, original_anomaly},
        ExpectedExit{78, ud, gp_anomaly, original_anomaly},
        ExpectedExit{79, ud, gp_anomaly, original_anomaly},
        ExpectedExit{80, ud, ud, original_anomaly},
        ExpectedExit{81, ud, ud, original_anomaly},
        ExpectedExit{82, stops, ud_anomaly, original_anomaly},
        ExpectedExit{83, stops, ud_anomaly, original_anomaly},
        ExpectedExit{84, ud, gp_anomaly, original_anomaly},
        ExpectedExit{85, ud, gp_anomaly, original_anomaly},
    };
}();

}  // namespace postern::app

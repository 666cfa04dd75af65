// SPDX-License-Identifier: Apache-2.0
// A switch sees the basic reason only, so that no flag can turn a case into the default.
#include "arch/vmx/exit_reason.h"

using namespace postern;

#ifdef CONTROL
bool is_cpuid(ExitReason reason) {
    switch (reason.basic()) {
        case BasicReason::cpuid: return true;
        default: return false;
    }
}
#else
// refuse: switch quantity not an integer (g++)
// refuse: statement requires expression of integer type (clang++)
bool is_cpuid(ExitReason reason) {
    switch (reason) {
        case BasicReason::cpuid: return true;
        default: return false;
    }
}
#endif

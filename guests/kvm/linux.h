// SPDX-License-Identifier: Apache-2.0
// A Linux kernel as KVM's guest: one processor, the kernel's interrupt chips and PIT, a serial
// port.
#pragma once

#include "vmm.h"

namespace kvm {

struct LinuxPlan {
    const char* kernel = nullptr;  // a bzImage
    const char* initrd = nullptr;
    u64 memory = 256u << 20;
    const char* command_line = "console=ttyS0 earlyprintk=serial nokaslr panic=-1";
    char** more_words = nullptr;  // of the command line; a null one ends them
    const char* wanted = "postern: init reached";
};

/// 0 once the guest has printed the line that is wanted; 1 if it ends before.
int boot_linux(const LinuxPlan& plan);

}  // namespace kvm

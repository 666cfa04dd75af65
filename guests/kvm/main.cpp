// SPDX-License-Identifier: Apache-2.0
// Our virtual machine monitor, for /dev/kvm of a Linux under test.
//
//   kvm check [PART ...]                      checks whose name has one of these parts, or all
//   kvm linux KERNEL INITRD [MEGABYTES [UNTIL [WORD ...]]]
//                                             boots a kernel until it prints UNTIL, or the first
//                                             line of our /init; the words are for its command line
//   kvm measure                               what KVM's handling of exits costs, in instructions
//
// Each check is one line, "NAME: ok" or "NAME: FAILED WHY". Status: 0 all is well, 1 something
// failed, 2 bad usage or no KVM.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "linux.h"
#include "measure.h"

namespace {

bool is_wanted(const char* name, char** parts) {
    if (*parts == nullptr) return true;
    for (; *parts != nullptr; ++parts)
        if (strstr(name, *parts) != nullptr) return true;
    return false;
}

/// Returns how many failed.
unsigned run(const kvm::Check* checks, char** parts) {
    unsigned failed = 0;
    for (; checks->name != nullptr; ++checks) {
        if (!is_wanted(checks->name, parts)) continue;
        kvm::Verdict verdict;
        checks->run(verdict);
        if (verdict.fine())
            printf("%s: ok\n", checks->name);
        else
            printf("%s: FAILED %s\n", checks->name, verdict.text());
        fflush(stdout);
        if (!verdict.fine()) ++failed;
    }
    return failed;
}

int usage() {
    fputs(
        "kvm: usage: kvm check [PART ...] | "
        "kvm linux KERNEL INITRD [MEGABYTES [UNTIL [WORD ...]]] | kvm measure\n",
        stderr);
    return 2;
}

int run_linux(char** words) {
    kvm::LinuxPlan plan{.kernel = words[0], .initrd = words[1]};
    words += 2;
    if (*words != nullptr) plan.memory = strtoull(*words++, nullptr, 10) << 20;
    if (plan.memory < 64u << 20 || plan.memory > 2048ull << 20) return usage();
    if (*words != nullptr) plan.wanted = *words++;
    plan.more_words = words;
    return kvm::boot_linux(plan);
}

}  // namespace

int main(int count, char** words) {
    if (count >= 2 && strcmp(words[1], "check") == 0) {
        const unsigned failed =
            run(kvm::exit_checks, words + 2) + run(kvm::interrupt_checks, words + 2);
        // Threads of second processors wait in the kernel: no destructor may run.
        fflush(stdout);
        _exit(failed != 0);
    }
    if (count == 2 && strcmp(words[1], "measure") == 0) {
        kvm::measure();
        return 0;
    }
    if (count < 4 || strcmp(words[1], "linux") != 0) return usage();
    return run_linux(words + 2);
}

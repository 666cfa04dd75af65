// SPDX-License-Identifier: Apache-2.0
#include "guests/linux_scenarios/machine.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guests/abi.h"

namespace postern::guests {
namespace {

constexpr u16 debug_port = 0xe9;
constexpr u16 post_port = 0x80;
constexpr u16 line_status_port = 0x3fd;

// The doorbell as a PCI function: platform/device/doorbell.h.
constexpr unsigned long doorbell_vendor = 0x1234;
constexpr unsigned long doorbell_device = 0xbe11;
constexpr char functions[] = "/sys/bus/pci/devices";

void allow_ports() {
    constexpr struct {
        u16 first, count;
    } ports[] = {{debug_port, 1}, {exit_port, 5}, {post_port, 1}, {line_status_port, 1}};
    static_assert(mark_port == exit_port + 1, "both have 32 bits");
    for (const auto& [first, count] : ports)
        if (ioperm(first, count, 1) != 0) fail("ioperm");
}

/// A file of a PCI function's directory; -1: there is none.
int open_of(const char* function, const char* file, int flags) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s/%s", functions, function, file);
    return open(path, flags | O_CLOEXEC);
}

unsigned long number_of(const char* function, const char* file) {
    char text[32] = {};
    const int from = open_of(function, file, O_RDONLY);
    if (from < 0) return 0;
    const ssize_t length = read(from, text, sizeof text - 1);
    close(from);
    return length > 0 ? strtoul(text, nullptr, 16) : 0;
}

bool is_doorbell(const char* function) {
    return number_of(function, "vendor") == doorbell_vendor &&
           number_of(function, "device") == doorbell_device;
}

/// Nobody drives it: its memory is off until somebody asks for it.
void enable(const char* function) {
    const int to = open_of(function, "enable", O_WRONLY);
    if (to < 0 || write(to, "1", 1) != 1) fail("the doorbell cannot be enabled");
    close(to);
}

}  // namespace

void fail(const char* what) {
    perror(what);
    exit(2);
}

void take_the_machine() {
    allow_ports();
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) fail("mlockall");
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    const sched_param priority{.sched_priority = 50};
    if (sched_setaffinity(0, sizeof first, &first) != 0) fail("sched_setaffinity");
    if (sched_setscheduler(0, SCHED_FIFO, &priority) != 0) fail("sched_setscheduler");
}

void map_doorbell() {
    DIR* const all = opendir(functions);
    if (all == nullptr) fail(functions);
    const dirent* entry = readdir(all);
    while (entry != nullptr && !is_doorbell(entry->d_name)) entry = readdir(all);
    if (entry == nullptr) fail("there is no doorbell among the PCI functions");
    enable(entry->d_name);
    const int memory = open_of(entry->d_name, "resource0", O_RDWR);
    void* const wanted = reinterpret_cast<void*>(doorbell_address);
    if (memory < 0 || mmap(wanted, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE,
                           memory, 0) != wanted)
        fail("the doorbell cannot be mapped");
    close(memory);
    closedir(all);
}

void wait_for_tick() {
    timespec before, now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &before);
    do clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    while (now.tv_nsec == before.tv_nsec);
}

void mark(u32 value) { outl(value, mark_port); }
u32 answer() { return inl(mark_port); }

void put_debug_port(const char* text, u64 length) {
    for (u64 i = 0; i < length; ++i) outb(static_cast<u8>(text[i]), debug_port);
}

void write_exit_port(u32 value) {
    outl(value, exit_port);
    fail("nothing is at the exit port");
}

}  // namespace postern::guests

// SPDX-License-Identifier: Apache-2.0
// Steps of an enclave's life, each a line that says how it went. Between them they execute every
// leaf that the driver uses, so what a leaf that fails does to a program can be looked at.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guests/sgx/commands.h"
#include "guests/sgx/enclave.h"

namespace sgx {
namespace {

constexpr u64 restricted = layout::data.offset, trimmed = layout::variables.offset;
constexpr u64 dynamic = 0x2'0000;
constexpr u64 read_write = layout::readable | layout::writable;

/// An enclave to look at, and others that need its place in the EPC.
struct Life {
    Enclave enclave{layout::small};
    Enclave others[2] = {Enclave{layout::large}, Enclave{layout::large}};
};

Outcome accept(const Enclave& enclave, u64 offset, u64 flags) {
    Call call{.ask = Ask::accept, .address = enclave.address(offset), .count = flags};
    const Outcome outcome = enclave.ask(call);
    if (!outcome.fine() || call.value == 0) return outcome;
    return {.kind = Outcome::Kind::answer, .number = call.value};
}

using Way = Outcome (Enclave::*)(Call&) const;

Outcome load(const Enclave& enclave, Way ask) {
    Call call{.ask = Ask::load, .address = enclave.address(layout::data.offset + 8)};
    const Outcome outcome = (enclave.*ask)(call);
    u8 expected[8];
    for (u64 i = 0; i < sizeof expected; ++i) expected[i] = layout::pattern_byte(8 + i);
    if (!outcome.fine() || memcmp(&call.value, expected, sizeof expected) == 0) return outcome;
    return {.kind = Outcome::Kind::wrong, .number = call.value};
}

Outcome undefined(const Enclave& enclave, Way ask) {
    Call call{.ask = Ask::undefined};
    return (enclave.*ask)(call);
}

/// From address 0, where nothing is.
Outcome load_nothing(const Enclave& enclave, Way ask) {
    Call call{.ask = Ask::load};
    return (enclave.*ask)(call);
}

Outcome restrict_data(Life& life) {
    return life.enclave.restrict_page(restricted, layout::readable);
}

Outcome accept_restricted(Life& life) {
    return accept(life.enclave, restricted,
                  layout::page_type_reg | layout::readable | page_restricted);
}

/// The enclave gives itself back what it lost.
Outcome extend(Life& life) {
    Call call{.ask = Ask::extend,
              .address = life.enclave.address(restricted),
              .count = layout::page_type_reg | read_write};
    const Outcome extended = life.enclave.ask(call);
    if (!extended.fine()) return extended;
    u64 same = 0;
    for (u64 i = 0; i < sizeof same; ++i) same |= u64{layout::pattern_byte(8 + i)} << (8 * i);
    Call store{.ask = Ask::store, .address = life.enclave.address(restricted + 8), .value = same};
    return life.enclave.ask(store);
}

/// The enclave accepts a page that is not there: the driver adds it at the page fault.
Outcome augment(Life& life) {
    void* const page = reinterpret_cast<void*>(life.enclave.address(dynamic));
    if (mprotect(page, page_size, PROT_READ | PROT_WRITE) != 0)
        return {.kind = Outcome::Kind::refused, .number = static_cast<u64>(errno)};
    return accept(life.enclave, dynamic, layout::page_type_reg | read_write | page_pending);
}

Outcome trim(Life& life) { return life.enclave.change_type(trimmed, page_type_trim); }

Outcome accept_trimmed(Life& life) {
    return accept(life.enclave, trimmed, page_type_trim | page_modified);
}

Outcome remove_trimmed(Life& life) { return life.enclave.remove_page(trimmed); }

/// As a debugger does: the file is the memory of this process.
Outcome debug(Life& life, bool write) {
    const int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    const auto at = static_cast<off_t>(life.enclave.address(layout::data.offset));
    u64 word = 0;
    ssize_t done = pread(memory, &word, sizeof word, at);
    if (write && done == sizeof word) done = pwrite(memory, &word, sizeof word, at);
    const int reason = errno;
    close(memory);
    if (done == sizeof word) return {};
    return {.kind = Outcome::Kind::refused, .number = static_cast<u64>(reason)};
}

Outcome evict(Life& life) {
    for (Enclave& other : life.others)
        if (const Outcome built = other.build(); !built.fine()) return built;
    return {};
}

Outcome close_all(Life& life) {
    life.enclave.close();
    for (Enclave& other : life.others) other.close();
    return {};
}

struct Step {
    const char* name;
    Outcome (*run)(Life& life);
};

constexpr Step steps[] = {
    {"create", [](Life& life) { return life.enclave.create(); }},
    {"add", [](Life& life) { return life.enclave.add(); }},
    {"init", [](Life& life) { return life.enclave.init(); }},
    {"map", [](Life& life) { return life.enclave.map(); }},
    {"load", [](Life& life) { return load(life.enclave, &Enclave::ask); }},
    {"load-by-hand", [](Life& life) { return load(life.enclave, &Enclave::ask_by_hand); }},
    {"undefined", [](Life& life) { return undefined(life.enclave, &Enclave::ask); }},
    {"undefined-by-hand",
     [](Life& life) { return undefined(life.enclave, &Enclave::ask_by_hand); }},
    {"load-nothing", [](Life& life) { return load_nothing(life.enclave, &Enclave::ask); }},
    {"load-nothing-by-hand",
     [](Life& life) { return load_nothing(life.enclave, &Enclave::ask_by_hand); }},
    {"restrict", restrict_data},
    {"accept-restricted", accept_restricted},
    {"extend", extend},
    {"augment", augment},
    {"trim", trim},
    {"accept-trimmed", accept_trimmed},
    {"remove", remove_trimmed},
    {"debug-read", [](Life& life) { return debug(life, false); }},
    {"debug-write", [](Life& life) { return debug(life, true); }},
    {"evict", evict},
    {"close", close_all},
};

const Step* find(const char* name) {
    for (const Step& step : steps)
        if (strcmp(step.name, name) == 0) return &step;
    return nullptr;
}

}  // namespace

int walk(char** names) {
    for (char** name = names; *name != nullptr; ++name)
        if (find(*name) == nullptr) {
            fprintf(stderr, "sgx: there is no step called %s\n", *name);
            return 2;
        }
    Life life;
    for (; *names != nullptr; ++names) {
        const Outcome outcome = find(*names)->run(life);
        outcome.print(*names);
        fflush(stdout);
        if (!outcome.fine()) return 1;
    }
    return 0;
}

}  // namespace sgx

// SPDX-License-Identifier: Apache-2.0
// More pages in enclaves than the EPC has: the driver writes them out and loads them again, and
// what an enclave wrote has to be what it reads.
#include <stdio.h>
#include <stdlib.h>

#include <memory>

#include "guests/sgx/commands.h"
#include "guests/sgx/enclave.h"

namespace sgx {
namespace {

constexpr unsigned most_enclaves = 8;
constexpr u64 pages_at_once = 64;
static_assert(layout::heap.pages % pages_at_once == 0);

/// Where the pattern of a page begins; different for every page of every enclave in each round.
u64 first_word(unsigned enclave, unsigned round, u64 page) {
    return ((u64{enclave} * 1000 + round) * layout::heap.pages + page) * page_words;
}

u64 expected_digest(u64 first) {
    u64 digest = empty_digest;
    for (u64 i = 0; i < pages_at_once * page_words; ++i)
        digest = digest_word(digest, pattern_word(first, i));
    return digest;
}

struct Part {
    const Enclave& enclave;
    unsigned number;
    u64 page;

    [[nodiscard]] Call call(Ask ask, u64 value = 0) const {
        return {.ask = ask,
                .address = enclave.address(layout::heap.offset + page * page_size),
                .count = pages_at_once,
                .value = value};
    }
    [[nodiscard]] bool fill(unsigned round) const {
        Call asked = call(Ask::fill, first_word(number, round, page));
        const Outcome outcome = enclave.ask(asked);
        if (!outcome.fine()) outcome.print("fill");
        return outcome.fine();
    }
    [[nodiscard]] bool check(unsigned round) const {
        Call asked = call(Ask::digest);
        const Outcome outcome = enclave.ask(asked);
        const u64 expected = expected_digest(first_word(number, round, page));
        if (!outcome.fine()) outcome.print("digest");
        if (outcome.fine() && asked.value != expected)
            printf("digest of page %lu of enclave %u: %016lx, expected %016lx\n", page, number,
                   asked.value, expected);
        return outcome.fine() && asked.value == expected;
    }
};

using Enclaves = std::unique_ptr<Enclave>[most_enclaves];

/// Every part of every enclave, the enclaves in turns.
template <class Do>
bool for_all(const Enclaves& enclaves, unsigned count, Do run) {
    for (u64 page = 0; page < layout::heap.pages; page += pages_at_once)
        for (unsigned i = 0; i < count; ++i)
            if (!run(Part{*enclaves[i], i, page})) return false;
    return true;
}

}  // namespace

int oversubscribe(unsigned count, unsigned rounds) {
    if (count == 0 || count > most_enclaves) return 2;
    Enclaves enclaves;
    for (unsigned i = 0; i < count; ++i) {
        enclaves[i] = std::make_unique<Enclave>(layout::large);
        if (const Outcome built = enclaves[i]->build(); !built.fine()) {
            built.print("build");
            return 1;
        }
    }
    if (!for_all(enclaves, count, [](const Part& part) { return part.fill(0); })) return 1;
    for (unsigned round = 0; round < rounds; ++round) {
        const bool right = for_all(enclaves, count, [round](const Part& part) {
            return part.check(round) && part.fill(round + 1);
        });
        if (!right) return 1;
        printf("round %u: %lu pages ok\n", round, count * layout::heap.pages);
        fflush(stdout);
    }
    return 0;
}

}  // namespace sgx

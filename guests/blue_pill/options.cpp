// SPDX-License-Identifier: Apache-2.0
// blue_pill's command line, and the moment at which its kernel becomes a guest.
#include "guests/every_exit/options.h"

#include "guests/blue_pill/l1.h"
#include "guests/blue_pill/rows.h"
#include "guests/kernel/sgx.h"
#include "guests/kernel/words.h"

namespace postern::guests {
namespace {

constexpr const char* right_words = "row=NAME[,NAME...] encls=exit|pass";

bool encls_exits = true;

u64 row_bit(Word name) {
    for (u32 i = 0; i < l1_row_count; ++i)
        if (equal(name, l1_rows[i].name)) return u64{1} << i;
    refuse(name, "is no row", right_words);
}

u64 parse_rows(Word list) {
    u64 bits = 0;
    while (list.length != 0) bits |= row_bit(take_up_to(list, ','));
    return bits;
}

}  // namespace

const char* const title = "blue pill: a hypervisor below its own kernel";

void before_enclave() { become_guest(encls_exits); }

/// Without SGX there is only what runs outside of enclaves.
Orders parse_command_line(const char* text) {
    Orders result{};
    result.sides = has_sgx() ? Side::both : Side::outside;
    result.pages = 16;
    for_each_word(text, [&](Word word) {
        const Word rows = after(word, "row="), encls = after(word, "encls=");
        if (rows.text != nullptr)
            result.scenarios |= parse_rows(rows);
        else if (encls.text != nullptr && (equal(encls, "exit") || equal(encls, "pass")))
            encls_exits = equal(encls, "exit");
        else
            refuse(word, "is not known", right_words);
    });
    if (result.scenarios == 0) result.scenarios = (u64{1} << l1_row_count) - 1;
    return result;
}

}  // namespace postern::guests

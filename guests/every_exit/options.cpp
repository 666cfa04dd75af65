// SPDX-License-Identifier: Apache-2.0
#include "guests/every_exit/options.h"

#include "guests/kernel/words.h"
#include "guests/scenarios.h"

namespace postern::guests {
namespace {

constexpr const char* right_words =
    "scenario=NAME[,NAME...] mode=inside|outside|both pages=N instructions=N";

u64 scenario_bit(Word name) {
    for (u32 i = 0; i < scenario_count; ++i)
        if (equal(name, scenario_names[i].name)) return u64{1} << i;
    refuse(name, "is no scenario", right_words);
}

u64 parse_scenarios(Word list) {
    u64 bits = 0;
    while (list.length != 0) bits |= scenario_bit(take_up_to(list, ','));
    return bits;
}

u64 default_scenarios() {
    u64 bits = 0;
    for (u32 i = 0; i < scenario_count; ++i)
        if (scenario_names[i].needs == Needs::nothing) bits |= u64{1} << i;
    return bits;
}

Side parse_sides(Word word) {
    if (equal(word, "inside")) return Side::inside;
    if (equal(word, "outside")) return Side::outside;
    if (equal(word, "both")) return Side::both;
    refuse(word, "is no mode", right_words);
}

u64 parse_number(Word word, u64 most) {
    u64 number = 0;
    for (u64 i = 0; i < word.length && number <= most; ++i) {
        if (word.text[i] < '0' || word.text[i] > '9') refuse(word, "is no number", right_words);
        number = number * 10 + static_cast<u64>(word.text[i] - '0');
    }
    if (number == 0 || number > most) refuse(word, "is out of range", right_words);
    return number;
}

}  // namespace

Orders parse_command_line(const char* text) {
    Orders result{};
    result.sides = Side::both;
    result.pages = 16;
    result.instructions = 3'000'000;
    for_each_word(text, [&](Word word) {
        const Word scenarios = after(word, "scenario="), mode = after(word, "mode=");
        const Word pages = after(word, "pages="), count = after(word, "instructions=");
        if (scenarios.text != nullptr)
            result.scenarios |= parse_scenarios(scenarios);
        else if (mode.text != nullptr)
            result.sides = parse_sides(mode);
        else if (pages.text != nullptr)
            result.pages = parse_number(pages, 1 << 20);
        else if (count.text != nullptr)
            result.instructions = parse_number(count, u64{1} << 40);
        else
            refuse(word, "is not known", right_words);
    });
    if (result.scenarios == 0) result.scenarios = default_scenarios();
    return result;
}

}  // namespace postern::guests

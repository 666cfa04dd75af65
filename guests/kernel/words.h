// SPDX-License-Identifier: Apache-2.0
// The words of a command line.
#pragma once

#include "guests/kernel/console.h"

namespace postern::guests {

struct Word {
    const char* text;
    u64 length;
};

/// The part of `word` after `prefix`, or a null text.
inline Word after(Word word, const char* prefix) {
    for (; *prefix != '\0'; ++prefix, ++word.text, --word.length)
        if (word.length == 0 || *word.text != *prefix) return {nullptr, 0};
    return word;
}

inline bool equal(Word word, const char* text) {
    const Word rest = after(word, text);
    return rest.text != nullptr && rest.length == 0;
}

/// Takes the text up to the first `separator` off `rest`, and the separator too.
inline Word take_up_to(Word& rest, char separator) {
    Word word{rest.text, 0};
    while (word.length < rest.length && rest.text[word.length] != separator) ++word.length;
    const u64 taken = word.length + (word.length < rest.length ? 1 : 0);
    rest = {rest.text + taken, rest.length - taken};
    return word;
}

/// Ends the machine with one line.
[[noreturn]] inline void refuse(Word word, const char* why, const char* right) {
    Line line;
    line << "command line: \"";
    for (u64 i = 0; i < word.length && i < 64; ++i) {
        const char c[] = {word.text[i], '\0'};
        line << c;
    }
    fail(line << "\" " << why << "; right would be: " << right, ExitCode::bad_command_line);
}

/// Calls `take` with every word of the command line.
template <class Take>
void for_each_word(const char* text, Take take) {
    Word rest{text, 0};
    while (text != nullptr && text[rest.length] != '\0') ++rest.length;
    while (rest.length != 0) {
        const Word word = take_up_to(rest, ' ');
        if (word.length != 0) take(word);
    }
}

}  // namespace postern::guests

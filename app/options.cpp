// SPDX-License-Identifier: Apache-2.0
// Parsing of protections and models.
#include "app/options.h"

#include <algorithm>
#include <span>

#include <fmt/format.h>

#include "app/text.h"
#include "cpu/choices.h"
#include "cpu/simd/host_features.h"

namespace postern::app {

std::vector<std::string_view> split(std::string_view words, char separator) {
    std::vector<std::string_view> parts;
    for (;;) {
        const size_t end = words.find(separator);
        parts.push_back(words.substr(0, end));
        if (end == std::string_view::npos) return parts;
        words.remove_prefix(end + 1);
    }
}

platform::Expected<std::vector<hv::Protection>> parse_protections(std::string_view words) {
    std::vector<hv::Protection> protections;
    for (const std::string_view word : split(words, ',')) {
        const auto found = std::ranges::find(hv::protection_names, word);
        if (found == hv::protection_names.end())
            return platform::error(
                fmt::format("unknown protection \"{}\"", word), "--without",
                listed({hv::protection_names.begin(), hv::protection_names.end()}));
        protections.push_back(static_cast<hv::Protection>(found - hv::protection_names.begin()));
    }
    return protections;
}

platform::Expected<void> check_host(const cpu::Model& model, const cpu::FeatureSet& host) {
    cpu::Feature lacking{};
    if (!cpu::lacks_feature(host, model, lacking)) return {};
    const cpu::Model* const instead = cpu::best_model(host);
    return platform::error(
        fmt::format("this machine's processor has no {}", cpu::name_of(lacking)),
        fmt::format("--cpu {}", model.name),
        instead != nullptr ? std::string{instead->name} : "a processor of x86-64-v2 or later");
}

namespace {

platform::Expected<void> change_model(cpu::Model& model, std::string_view part) {
    constexpr std::string_view width = "phys-bits=";
    if (part.starts_with(width)) {
        const auto bits = parse_number(part.substr(width.size()));
        if (!bits || *bits < cpu::physical_bits_least || *bits > cpu::physical_bits_most)
            return platform::error(fmt::format("\"{}\" is not a width of addresses", part), "--cpu",
                                   fmt::format("phys-bits=N with N from {} to {}",
                                               cpu::physical_bits_least, cpu::physical_bits_most));
        model.physical_bits = static_cast<u8>(*bits);
        return {};
    }
    cpu::Feature feature{};
    const bool has_sign = part.starts_with('+') || part.starts_with('-');
    if (!has_sign || !cpu::find_feature(part.substr(1), feature))
        return platform::error(
            fmt::format("unknown feature \"{}\"", part), "--cpu",
            "MODEL,+feature,-feature,phys-bits=N with CPUID names in lower case");
    const bool wanted = part.front() == '+';
    if (wanted && !cpu::is_built(feature))
        return platform::error(fmt::format("the feature \"{}\" is not implemented", part.substr(1)),
                               "--cpu", "one that a model has");
    model.features.set(feature, wanted);
    return {};
}

}  // namespace

platform::Expected<cpu::Model> parse_model(std::string_view words) {
    const auto parts = split(words, ',');
    const cpu::Model* const found = cpu::find_model(parts[0]);
    if (found == nullptr)
        return platform::error(fmt::format("unknown model \"{}\"", parts[0]), "--cpu",
                               std::string{cpu::default_model().name});
    cpu::Model model = *found;
    for (const std::string_view part : std::span{parts}.subspan(1)) {
        if (auto changed = change_model(model, part); !changed)
            return std::unexpected{changed.error()};
    }
    const auto possible = check_host(model, cpu::host_features());
    if (!possible) return std::unexpected{possible.error()};
    return model;
}

platform::Expected<unsigned> parse_processors(const std::string& word) {
    const auto count = parse_number(word);
    if (!count || *count == 0 || *count > cpu::processors_most)
        return platform::error(fmt::format("\"{}\" is not a number of processors", word), "--cpus",
                               fmt::format("a number from 1 to {}", cpu::processors_most));
    return static_cast<unsigned>(*count);
}

platform::Expected<platform::Layout> parse_layout(const std::string& memory,
                                                  const std::string& epc) {
    const auto memory_size = parse_size(memory, "--memory");
    if (!memory_size) return std::unexpected{memory_size.error()};
    const auto epc_size = parse_size(epc, "--epc");
    if (!epc_size) return std::unexpected{epc_size.error()};
    return platform::checked_layout(*memory_size, *epc_size);
}

platform::Expected<cpu::Choices> parse_choices(const std::vector<std::string>& words) {
    cpu::Choices choices;
    for (const std::string& word : words) {
        const auto parts = split(word, '=');
        if (parts.size() == 2 && cpu::set_choice(choices, parts[0], parts[1])) continue;
        std::vector<std::string> known;
        for (const cpu::ChoiceRow& row : cpu::choice_rows())
            known.push_back(fmt::format("{}={}|{}", row.name, row.values[0], row.values[1]));
        return platform::error(fmt::format("unknown choice \"{}\"", word), "--choice",
                               listed(known));
    }
    return choices;
}

platform::Expected<u64> parse_count(const std::string& text, const char* option, u64 most) {
    if (text.empty()) return 0;
    const auto number = parse_number(text);
    if (!number || *number == 0 || *number > most)
        return platform::error(fmt::format("\"{}\" is not a count", text), option,
                               fmt::format("a number from 1 to {}", most));
    return *number;
}

int refuse(Terminal terminal, const platform::Error& error) {
    terminal.err << line_of(error) << '\n';
    return 2;
}

}  // namespace postern::app

// SPDX-License-Identifier: Apache-2.0
// Random instructions on the host's processor and on ours: every register, defined flag, MXCSR
// and memory byte must agree. silicon_test without valid options says which there are.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

#include "silicon/difference.h"
#include "silicon/generator.h"
#include "silicon/illegal.h"
#include "silicon/native.h"
#include "silicon/ours.h"

namespace postern::silicon {
namespace {

constexpr unsigned batch = 1000;
constexpr unsigned illegal_share = 16;                // one case in so many is no instruction
constexpr std::string_view illegal_name = "illegal";  // as a row: bytes that are no instruction
constexpr unsigned tries_for_absence = 6;
constexpr int no_fault = -1, invalid_opcode = 6;

struct Options {
    u64 count = 100'000;
    u64 seconds = 0;  // if not 0, instead of a count
    u64 least = 0;
    u64 seed = 20'240'501;
    u64 reports = 12;  // of differences, printed whole
    std::string row;
    bool list = false;
};

/// Per row of the instruction table.
struct Count {
    u64 compared = 0, faults = 0, vendor = 0, different = 0;
};

struct Candidate {
    const Row* row;
    Encoding encoding;
};

class Comparison {
public:
    explicit Comparison(const Options& options) : options_{options}, random_{options.seed} {}
    int run();

private:
    bool choose_rows();
    void drop_absent();
    void find_present(std::span<const Candidate> candidates, std::vector<bool>& present);
    void run_batch(unsigned count);
    Case next_case();
    void compare(const Case& k, const Outcome& native, u64 variant);
    void report(const Case& k, const std::string& text, u64 variant);
    void print_counts() const;
    void print_summary() const;
    [[nodiscard]] u64 fewest_compared() const;
    [[nodiscard]] bool is_wanted(const Row& row) const {
        return options_.row.empty() || options_.row == illegal_name ||
               options_.row == ZydisMnemonicGetString(row.mnemonic);
    }
    [[nodiscard]] bool goes_on(u64 done) const;

    Options options_;
    Random random_;
    std::vector<Row> rows_;
    size_t next_row_ = 0;
    std::vector<Case> cases_;
    Native native_{batch};
    Ours ours_;
    Outcome ours_outcome_{};
    std::map<u16, Count> counts_;
    std::map<std::string, u64> vendor_differences_;
    unsigned differences_ = 0;
    u64 compared_ = 0;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Known bytes as an instruction, others as they are.
std::string text_of(const Case& k) {
    Decoded d;
    if (k.row == ZYDIS_MNEMONIC_INVALID || !decode(k.bytes.data(), k.length, d)) return "(illegal)";
    return disassembly(d, k.before.rip);
}

void Comparison::report(const Case& k, const std::string& text, u64 variant) {
    ++counts_[k.row].different;
    if (++differences_ > options_.reports) return;
    std::printf("%s [", text_of(k).c_str());
    for (unsigned n = 0; n < k.length; ++n) std::printf("%s%02x", n == 0 ? "" : " ", k.bytes[n]);
    std::printf("] variant %llu\n%s", static_cast<unsigned long long>(variant), text.c_str());
}

const char* known_difference(const Case& k, const Outcome& native) {
    if (k.row == ZYDIS_MNEMONIC_INVALID) return legality_difference(k, native);
    Decoded d;
    decode(k.bytes.data(), k.length, d);
    return vendor_difference(k, d, native);
}

Open open_parts(const Case& k) {
    if (k.row == ZYDIS_MNEMONIC_INVALID) return {};
    Decoded d;
    decode(k.bytes.data(), k.length, d);
    return left_open(k, d);
}

void Comparison::compare(const Case& k, const Outcome& native, u64 variant) {
    Count& count = counts_[k.row];
    if (const char* why = known_difference(k, native)) {
        ++count.vendor;
        ++vendor_differences_[why];
        return;
    }
    ++compared_;
    ++count.compared;
    count.faults += native.vector != no_fault;
    if (!ours_.run(k, variant, ours_outcome_)) {
        const char* why = ours_.why();
        return report(k, std::string{"  not run: "} + (why != nullptr ? why : "no end") + "\n",
                      variant);
    }
    const Difference difference{k, native, ours_outcome_, open_parts(k)};
    if (!difference.agree()) report(k, difference.text(), variant);
}

Case Comparison::next_case() {
    const bool illegal =
        options_.row.empty() ? random_.one_in(illegal_share) : options_.row == illegal_name;
    if (illegal) return generate_illegal(rows_, random_);
    const Row& row = rows_[next_row_];
    next_row_ = (next_row_ + 1) % rows_.size();
    return generate(row, random_);
}

void Comparison::run_batch(unsigned count) {
    cases_.clear();
    for (unsigned n = 0; n < count; ++n) cases_.push_back(next_case());
    const unsigned done = native_.run(cases_);
    for (unsigned n = 0; n < done; ++n) compare(cases_[n], native_.outcome(n), random_.below(4));
    if (done != count) report(cases_[done], "  the child did not survive it\n", 0);
}

/// Which of a batch of encodings does the host run? One that is #UD whatever its operands are is
/// not there.
void Comparison::find_present(std::span<const Candidate> candidates, std::vector<bool>& present) {
    cases_.clear();
    for (const Candidate& candidate : candidates) {
        const Row only{candidate.row->mnemonic, {candidate.encoding}};
        for (unsigned n = 0; n < tries_for_absence; ++n) cases_.push_back(generate(only, random_));
    }
    const unsigned done = native_.run(cases_);
    for (size_t n = 0; n < candidates.size(); ++n) {
        bool found = false;
        for (size_t at = n * tries_for_absence; at < (n + 1) * tries_for_absence; ++at)
            found |=
                at >= done || native_.outcome(static_cast<unsigned>(at)).vector != invalid_opcode;
        present.push_back(found);
    }
}

void Comparison::drop_absent() {
    std::vector<Candidate> candidates;
    for (const Row& row : rows_)
        for (const Encoding& encoding : row.encodings) candidates.push_back({&row, encoding});
    std::vector<bool> present;
    constexpr size_t at_once = batch / tries_for_absence;
    for (std::span<const Candidate> left{candidates}; !left.empty();) {
        const size_t count = std::min(at_once, left.size());
        find_present(left.first(count), present);
        left = left.subspan(count);
    }
    size_t next = 0;
    for (Row& row : rows_)
        std::erase_if(row.encodings, [&](const Encoding&) { return !present[next++]; });
    std::erase_if(rows_, [](const Row& row) {
        if (row.encodings.empty())
            std::printf("not on this host: %s\n", ZydisMnemonicGetString(row.mnemonic));
        return row.encodings.empty();
    });
}

bool Comparison::choose_rows() {
    rows_ = find_rows();
    std::erase_if(rows_, [&](const Row& row) { return !is_wanted(row); });
    for (const Row& row : rows_) {
        if (!row.encodings.empty()) continue;
        std::fprintf(stderr, "silicon: no group makes cases of %s\n",
                     ZydisMnemonicGetString(row.mnemonic));
        return false;
    }
    if (rows_.empty()) std::fprintf(stderr, "silicon: no such row\n");
    drop_absent();
    return !rows_.empty();
}

void Comparison::print_counts() const {
    std::printf("%-16s %8s %8s %8s %8s\n", "row", "compared", "faults", "vendor", "differ");
    for (const auto& [row, n] : counts_)
        std::printf("%-16s %8llu %8llu %8llu %8llu\n",
                    ZydisMnemonicGetString(static_cast<ZydisMnemonic>(row)),
                    static_cast<unsigned long long>(n.compared),
                    static_cast<unsigned long long>(n.faults),
                    static_cast<unsigned long long>(n.vendor),
                    static_cast<unsigned long long>(n.different));
}

u64 Comparison::fewest_compared() const {
    u64 fewest = ~u64{0};
    for (const Row& row : rows_) {
        const auto found = counts_.find(static_cast<u16>(row.mnemonic));
        fewest = std::min(fewest, found == counts_.end() ? 0 : found->second.compared);
    }
    return fewest;
}

void Comparison::print_summary() const {
    for (const auto& [why, n] : vendor_differences_)
        std::printf("not compared, as vendors differ: %s (%llu)\n", why.c_str(),
                    static_cast<unsigned long long>(n));
    std::printf(
        "silicon: seed %llu, %zu rows, %llu instructions compared, at least %llu a row, "
        "%u differ\n",
        static_cast<unsigned long long>(options_.seed), rows_.size(),
        static_cast<unsigned long long>(compared_),
        static_cast<unsigned long long>(fewest_compared()), differences_);
}

bool Comparison::goes_on(u64 done) const {
    if (options_.seconds == 0) return done < options_.count;
    return std::chrono::steady_clock::now() - start_ < std::chrono::seconds{options_.seconds};
}

int Comparison::run() {
    if (!choose_rows()) return 1;
    for (u64 done = 0; goes_on(done); done += batch) {
        const u64 left = options_.seconds == 0 ? options_.count - done : batch;
        run_batch(static_cast<unsigned>(std::min<u64>(batch, left)));
    }
    if (options_.list) print_counts();
    print_summary();
    // A row that is hardly compared would look like one that agrees.
    if (fewest_compared() < options_.least) {
        std::printf("silicon: a row was compared less than %llu times\n",
                    static_cast<unsigned long long>(options_.least));
        return 1;
    }
    return differences_ == 0 ? 0 : 1;
}

bool parse(int argc, char** argv, Options& options) {
    for (int n = 1; n < argc; ++n) {
        const std::string_view name = argv[n];
        if (name == "--rows") {
            options.list = true;
            continue;
        }
        if (n + 1 == argc) return false;
        const char* value = argv[++n];
        const u64 number = std::strtoull(value, nullptr, 0);
        if (name == "--count")
            options.count = number;
        else if (name == "--seconds")
            options.seconds = number;
        else if (name == "--seed")
            options.seed = number;
        else if (name == "--least")
            options.least = number;
        else if (name == "--reports")
            options.reports = number;
        else if (name == "--row")
            options.row = value;
        else
            return false;
    }
    return true;
}

}  // namespace
}  // namespace postern::silicon

int main(int argc, char** argv) {
    postern::silicon::Options options;
    if (!postern::silicon::parse(argc, argv, options)) {
        std::fprintf(stderr,
                     "silicon_test [--count N | --seconds N] [--seed N] [--row MNEMONIC] [--rows]\n"
                     "             [--reports N: differences printed whole]\n"
                     "             [--least N: fail if a row was compared less often]\n");
        return 2;
    }
    return postern::silicon::Comparison{options}.run();
}

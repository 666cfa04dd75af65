// SPDX-License-Identifier: Apache-2.0
// Random instructions on the host's processor and on ours: every register, defined flag, MXCSR
// and memory byte must agree. silicon_test [--count N] [--seed N] [--row MNEMONIC] [--rows]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "silicon/difference.h"
#include "silicon/generator.h"
#include "silicon/native.h"
#include "silicon/ours.h"

namespace postern::silicon {
namespace {

constexpr unsigned batch = 1000;
constexpr unsigned most_reports = 12;
constexpr int no_fault = -1, invalid_opcode = 6;

struct Options {
    u64 count = 100'000;
    u64 seed = 20'240'501;
    std::string row;
    bool list = false;
};

/// Per row of the instruction table.
struct Count {
    u64 compared = 0, faults = 0, not_on_host = 0, vendor = 0, different = 0;
};

class Comparison {
public:
    explicit Comparison(const Options& options) : options_{options}, random_{options.seed} {}
    int run();

private:
    void run_batch(unsigned count);
    void compare(const Case& k, const Outcome& native, u64 variant);
    void report(const Case& k, const Decoded& d, const std::string& text, u64 variant);
    void print_counts() const;
    [[nodiscard]] u64 fewest_compared() const;
    [[nodiscard]] bool is_wanted(const Row& row) const {
        return options_.row.empty() || options_.row == ZydisMnemonicGetString(row.mnemonic);
    }

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
};

void Comparison::report(const Case& k, const Decoded& d, const std::string& text, u64 variant) {
    ++counts_[k.row].different;
    if (++differences_ > most_reports) return;
    std::printf("%s [", disassembly(d, k.before.rip).c_str());
    for (unsigned n = 0; n < k.length; ++n) std::printf("%s%02x", n == 0 ? "" : " ", k.bytes[n]);
    std::printf("] variant %llu\n%s", static_cast<unsigned long long>(variant), text.c_str());
}

void Comparison::compare(const Case& k, const Outcome& native, u64 variant) {
    Count& count = counts_[k.row];
    if (native.vector == invalid_opcode) {
        ++count.not_on_host;
        return;
    }
    Decoded d;
    decode(k.bytes.data(), k.length, d);
    if (const char* why = vendor_difference(k, d, native)) {
        ++count.vendor;
        ++vendor_differences_[why];
        return;
    }
    ++compared_;
    ++count.compared;
    count.faults += native.vector != no_fault;
    if (!ours_.run(k, variant, ours_outcome_)) {
        const char* why = ours_.why();
        return report(k, d, std::string{"  not run: "} + (why != nullptr ? why : "no end") + "\n",
                      variant);
    }
    const Difference difference{k, native, ours_outcome_, left_open(k, d)};
    if (!difference.agree()) report(k, d, difference.text(), variant);
}

void Comparison::run_batch(unsigned count) {
    cases_.clear();
    for (unsigned n = 0; n < count; ++n) {
        cases_.push_back(generate(rows_[next_row_], random_));
        next_row_ = (next_row_ + 1) % rows_.size();
    }
    const unsigned done = native_.run(cases_);
    for (unsigned n = 0; n < done; ++n) compare(cases_[n], native_.outcome(n), random_.below(4));
    if (done == count) return;
    Decoded d;
    decode(cases_[done].bytes.data(), cases_[done].length, d);
    report(cases_[done], d, "  the child did not survive it\n", 0);
}

void Comparison::print_counts() const {
    std::printf("%-16s %8s %8s %8s %8s %8s\n", "row", "compared", "faults", "no host", "vendor",
                "differ");
    for (const auto& [row, n] : counts_)
        std::printf("%-16s %8llu %8llu %8llu %8llu %8llu\n",
                    ZydisMnemonicGetString(static_cast<ZydisMnemonic>(row)),
                    static_cast<unsigned long long>(n.compared),
                    static_cast<unsigned long long>(n.faults),
                    static_cast<unsigned long long>(n.not_on_host),
                    static_cast<unsigned long long>(n.vendor),
                    static_cast<unsigned long long>(n.different));
}

/// Of the rows that this host has.
u64 Comparison::fewest_compared() const {
    u64 fewest = ~u64{0};
    for (const Row& row : rows_) {
        const auto found = counts_.find(static_cast<u16>(row.mnemonic));
        const Count n = found == counts_.end() ? Count{} : found->second;
        if (n.not_on_host == 0) fewest = std::min(fewest, n.compared);
    }
    return fewest;
}

int Comparison::run() {
    rows_ = find_rows();
    std::erase_if(rows_, [&](const Row& row) { return !is_wanted(row); });
    if (rows_.empty()) return std::fprintf(stderr, "silicon: no such row\n"), 1;
    for (const Row& row : rows_) {
        if (!row.encodings.empty()) continue;
        std::fprintf(stderr, "silicon: no group makes cases of %s\n",
                     ZydisMnemonicGetString(row.mnemonic));
        return 1;
    }
    for (u64 done = 0; done < options_.count; done += batch)
        run_batch(static_cast<unsigned>(std::min<u64>(batch, options_.count - done)));
    if (options_.list) print_counts();
    for (const auto& [why, n] : vendor_differences_)
        std::printf("not compared, as vendors differ: %s (%llu)\n", why.c_str(),
                    static_cast<unsigned long long>(n));
    const u64 fewest = fewest_compared();
    std::printf(
        "silicon: seed %llu, %zu rows, %llu instructions compared, at least %llu a row, "
        "%u differ\n",
        static_cast<unsigned long long>(options_.seed), rows_.size(),
        static_cast<unsigned long long>(compared_), static_cast<unsigned long long>(fewest),
        differences_);
    // A row that is hardly compared would look like one that agrees.
    return differences_ == 0 && fewest >= options_.count / rows_.size() / 4 ? 0 : 1;
}

bool parse(int argc, char** argv, Options& options) {
    for (int n = 1; n < argc; ++n) {
        const std::string name = argv[n];
        if (name == "--rows") {
            options.list = true;
            continue;
        }
        if (n + 1 == argc) return false;
        const char* value = argv[++n];
        if (name == "--count")
            options.count = std::strtoull(value, nullptr, 0);
        else if (name == "--seed")
            options.seed = std::strtoull(value, nullptr, 0);
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
        std::fprintf(stderr, "silicon_test [--count N] [--seed N] [--row MNEMONIC] [--rows]\n");
        return 2;
    }
    return postern::silicon::Comparison{options}.run();
}

// SPDX-License-Identifier: Apache-2.0
// Drives a fuzzer without libFuzzer: files named on the command line are replayed, and without
// any a fixed number of inputs is made from a printed seed, so that a failure comes again.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t longest_input = 512;

struct Options {
    std::uint64_t seed = 1;
    std::uint64_t iterations = 20000;
    std::vector<const char*> files;
};

Options parse(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        const bool has_value = i + 1 < argc;
        if (word == "--seed" && has_value)
            options.seed = std::strtoull(argv[++i], nullptr, 0);
        else if (word == "--iterations" && has_value)
            options.iterations = std::strtoull(argv[++i], nullptr, 0);
        else
            options.files.push_back(argv[i]);
    }
    return options;
}

int replay(const char* path) {
    std::ifstream file{path, std::ios::binary};
    if (!file) {
        std::fprintf(stderr, "%s: cannot be read\n", path);
        return 2;
    }
    const Bytes input{std::istreambuf_iterator<char>{file}, {}};
    LLVMFuzzerTestOneInput(input.data(), input.size());
    std::printf("%s: %zu bytes, survived\n", path, input.size());
    return 0;
}

class Inputs {
public:
    explicit Inputs(std::uint64_t seed) : random_{seed} {}

    /// Either fresh bytes or the previous input with a few of its bytes changed.
    const Bytes& next() {
        if (current_.empty() || random_() % 2 == 0)
            renew();
        else
            change();
        return current_;
    }

private:
    std::uint8_t byte() {
        constexpr std::uint8_t telling[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
        const std::uint64_t word = random_();
        if (word % 4 == 0) return telling[(word >> 8) % std::size(telling)];
        return static_cast<std::uint8_t>(word >> 32);
    }

    void renew() {
        current_.resize(1 + random_() % longest_input);
        std::ranges::generate(current_, [this] { return byte(); });
    }

    void change() {
        for (std::uint64_t left = 1 + random_() % 4; left != 0; --left)
            current_[random_() % current_.size()] = byte();
    }

    std::mt19937_64 random_;
    Bytes current_;
};

}  // namespace

int main(int argc, char** argv) {
    const Options options = parse(argc, argv);
    for (const char* path : options.files)
        if (const int status = replay(path)) return status;
    if (!options.files.empty()) return 0;

    std::printf("seed %llu, %llu inputs\n", static_cast<unsigned long long>(options.seed),
                static_cast<unsigned long long>(options.iterations));
    std::fflush(stdout);
    Inputs inputs{options.seed};
    for (std::uint64_t i = 0; i < options.iterations; ++i) {
        const Bytes& input = inputs.next();
        LLVMFuzzerTestOneInput(input.data(), input.size());
    }
}

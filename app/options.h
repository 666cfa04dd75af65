// SPDX-License-Identifier: Apache-2.0
// The words that several commands share: protections, processor models, the stream of a serial
// port.
#pragma once

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "cpu/model.h"
#include "cpu/system.h"
#include "hv/protections.h"
#include "platform/device/sink.h"
#include "platform/error.h"
#include "platform/layout.h"

namespace postern::app {

/// Where a command writes. Errors and reports go to `err`.
struct Terminal {
    std::ostream& out;
    std::ostream& err;
};

class StreamSink final : public platform::Sink {
public:
    explicit StreamSink(std::ostream& stream) : stream_{&stream} {}
    void put(u8 byte) override { stream_->put(static_cast<char>(byte)); }
    void flush() override { stream_->flush(); }

private:
    std::ostream* stream_;
};

/// "guard,capture".
platform::Expected<std::vector<hv::Protection>> parse_protections(std::string_view words);

/// A model that needs what `host` lacks is refused, with the name of one that would do.
platform::Expected<void> check_host(const cpu::Model& model, const cpu::FeatureSet& host);

/// "MODEL[,+feature,-feature,phys-bits=N]", checked against this machine.
platform::Expected<cpu::Model> parse_model(std::string_view words);

/// "4", as --cpus takes it.
platform::Expected<unsigned> parse_processors(const std::string& word);

/// Of --memory and --epc.
platform::Expected<platform::Layout> parse_layout(const std::string& memory,
                                                  const std::string& epc);

/// "NAME=VALUE", each; see cpu/choices.h.
platform::Expected<cpu::Choices> parse_choices(const std::vector<std::string>& words);

/// A number from 1 to `most`; of an empty text 0, which stands for no limit.
platform::Expected<u64> parse_count(const std::string& text, const char* option, u64 most);
inline constexpr u64 instructions_most = u64{1} << 60;
inline constexpr u64 seconds_most = 10'000'000;

std::vector<std::string_view> split(std::string_view words, char separator);

/// Prints the one line of an error and gives the status for bad usage.
int refuse(Terminal terminal, const platform::Error& error);

}  // namespace postern::app

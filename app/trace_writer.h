// SPDX-License-Identifier: Apache-2.0
// --trace FILE: every exit, enclave and reset into a file, block by block. What has been written is
// there whatever becomes of the program: a block goes out when it is full, and no record waits
// longer than `age_most`.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "app/trace_format.h"
#include "hv/enclave/enclaves.h"

namespace postern::app {

class TraceWriter final : public hv::Watcher {
public:
    static constexpr size_t block_records = 512;
    static constexpr std::chrono::milliseconds age_most{100};

    /// Writes the header. `next` hears everything, too, and must outlive the writer.
    static platform::Expected<std::unique_ptr<TraceWriter>> open(const std::string& path,
                                                                 const trace::About& about,
                                                                 hv::Watcher& next);
    ~TraceWriter();
    TraceWriter(const TraceWriter&) = delete;
    TraceWriter& operator=(const TraceWriter&) = delete;

    /// The enclaves that a snapshot brought.
    void begin(const hv::EnclaveTable& enclaves);
    void exit(const hv::ExitRecord& record) override;
    void anomaly(hv::Anomaly anomaly, const hv::ExitRecord& record) override;
    void stopped(const hv::StopReport& report) override;
    void enclave(const hv::EnclaveIdentity& enclave) override;
    void reset(const hv::ResetRecord& record) override;

    /// Writes the last block. The error of a file that could not be written to its end.
    platform::Expected<void> finish();

private:
    TraceWriter(int file, std::string path, hv::Watcher& next);

    void add(const trace::Record& record);
    void flush_when_old(const std::stop_token& stop);
    void flush(bool last);  // with the lock held
    void write(std::span<const u8> bytes);

    const int file_;
    const std::string path_;
    hv::Watcher& next_;
    std::mutex lock_;
    std::condition_variable_any ended_;
    std::vector<trace::Record> block_;
    u64 first_ = 0;  // number of the first record of block_
    int failure_ = 0;
    bool finished_ = false;
    std::jthread flusher_;  // last: it uses the others
};

}  // namespace postern::app

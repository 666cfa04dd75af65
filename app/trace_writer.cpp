// SPDX-License-Identifier: Apache-2.0
// From records to blocks to a file.
#include "app/trace_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace postern::app {

using platform::error;
using platform::Expected;

Expected<std::unique_ptr<TraceWriter>> TraceWriter::open(const std::string& path,
                                                         const trace::About& about,
                                                         hv::Watcher& next) {
    constexpr int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    const int file = path.empty() ? -1 : ::open(path.c_str(), flags, 0666);
    if (path.empty()) return error("nothing is named", "--trace", "a file that can be written");
    if (file < 0)
        return error(std::string{"cannot write: "} + std::strerror(errno), "--trace " + path,
                     "a file that can be written");
    std::unique_ptr<TraceWriter> writer{new TraceWriter{file, path, next}};
    writer->write(trace::encode_header(about));
    if (writer->failure_ != 0) return std::unexpected{writer->finish().error()};
    writer->flusher_ =
        std::jthread{[&self = *writer](const std::stop_token& stop) { self.flush_when_old(stop); }};
    return writer;
}

TraceWriter::TraceWriter(int file, std::string path, hv::Watcher& next)
    : file_{file}, path_{std::move(path)}, next_{next} {
    block_.reserve(block_records);
}

TraceWriter::~TraceWriter() {
    (void)finish();
    flusher_ = {};
    ::close(file_);
}

void TraceWriter::begin(const hv::EnclaveTable& enclaves) {
    for (const hv::EnclaveTable::Entry& entry : enclaves.entries())
        if (entry.lives) add(trace::Record{entry.enclave});
}

void TraceWriter::exit(const hv::ExitRecord& record) {
    add(trace::Record{record});
    next_.exit(record);
}

void TraceWriter::anomaly(hv::Anomaly anomaly, const hv::ExitRecord& record) {
    next_.anomaly(anomaly, record);
}

void TraceWriter::stopped(const hv::StopReport& report) { next_.stopped(report); }

void TraceWriter::enclave(const hv::EnclaveIdentity& enclave) {
    add(trace::Record{enclave});
    next_.enclave(enclave);
}

void TraceWriter::reset(const hv::ResetRecord& record) {
    add(trace::Record{record});
    next_.reset(record);
}

Expected<void> TraceWriter::finish() {
    const std::lock_guard held{lock_};
    if (!finished_) flush(true);
    finished_ = true;
    if (failure_ == 0) return {};
    return error(std::string{"the trace is not complete: "} + std::strerror(failure_),
                 "--trace " + path_, "a place with room for it");
}

void TraceWriter::add(const trace::Record& record) {
    const std::lock_guard held{lock_};
    block_.push_back(record);
    if (block_.size() == block_records) flush(false);
}

/// A record that came just after one look is written by the next but one at the latest.
void TraceWriter::flush_when_old(const std::stop_token& stop) {
    std::unique_lock held{lock_};
    while (!ended_.wait_for(held, stop, age_most / 2, [&] { return stop.stop_requested(); }))
        if (!block_.empty() && !finished_) flush(false);
}

void TraceWriter::flush(bool last) {
    write(trace::encode_block(block_, first_, last));
    first_ += block_.size();
    block_.clear();
}

/// After a failure nothing more is written: what is in the file stays readable.
void TraceWriter::write(std::span<const u8> bytes) {
    while (!bytes.empty() && failure_ == 0) {
        const ssize_t written = ::write(file_, bytes.data(), bytes.size());
        if (written >= 0)
            bytes = bytes.subspan(static_cast<size_t>(written));
        else if (errno != EINTR)
            failure_ = errno;
    }
}

}  // namespace postern::app

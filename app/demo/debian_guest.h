// SPDX-License-Identifier: Apache-2.0
// Debian's kernel as Postern's guest, with a process that waits for orders: it is booted once, and
// each run of a scenario goes on from there in a child of this process, which shares nothing with
// the others.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/demo/recorder.h"
#include "app/demo/scenarios.h"

namespace postern::app {

/// What a child tells of its run.
struct ScenarioReport {
    std::vector<std::string> wrong;
    // Of this run alone; the second of the process's enclave.
    hv::Counters counters;
    hv::EnclaveCounters enclave;
};

class DebianGuest {
public:
    /// A line of its console, and the guest's time in nanoseconds.
    using LineObserver = std::function<void(std::string_view line, u64 now)>;

    static platform::Expected<std::unique_ptr<DebianGuest>> create(platform::Kernel kernel,
                                                                   LineObserver observer);

    /// To where the process waits for an order. Nothing: it is there.
    [[nodiscard]] std::optional<host::RunResult> boot();
    /// Of a scenario; the guest itself stays where it is.
    [[nodiscard]] platform::Expected<ScenarioReport> run(const Scenario& scenario,
                                                         const ScenarioRun& which);
    /// To its end: there are no more orders.
    [[nodiscard]] host::RunResult finish();

    [[nodiscard]] host::Guest& guest() { return *guest_; }
    /// The process's: the newest. Null: there is none.
    [[nodiscard]] const hv::EnclaveTable::Entry* enclave() const;

private:
    /// Gives each whole line away.
    class Lines final : public platform::Sink {
    public:
        explicit Lines(DebianGuest& owner) : owner_{&owner} {}
        void put(u8 byte) override;

    private:
        DebianGuest* owner_;
        std::string line_;
    };
    /// Hands on to the recorder of the run, once there is one.
    class Watcher final : public hv::Watcher {
    public:
        void exit(const hv::ExitRecord& record) override {
            if (recorder != nullptr) recorder->exit(record);
        }
        void anomaly(hv::Anomaly anomaly, const hv::ExitRecord& record) override {
            if (recorder != nullptr) recorder->anomaly(anomaly, record);
        }
        void stopped(const hv::StopReport&) override {}
        Recorder* recorder = nullptr;
    };

    explicit DebianGuest(LineObserver observer) : observer_{std::move(observer)} {}
    void mark(u32 value);
    [[nodiscard]] ScenarioReport run_here(const Scenario& scenario, const ScenarioRun& which);
    [[nodiscard]] Observation observe_here(const ScenarioRun& which, Trial trial);

    LineObserver observer_;
    Lines serial_{*this};
    platform::StringSink debug_;
    Watcher watcher_;
    std::unique_ptr<host::Guest> guest_;
    bool ready_ = false;
};

}  // namespace postern::app

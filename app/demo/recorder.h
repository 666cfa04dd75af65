// SPDX-License-Identifier: Apache-2.0
// Writes down what happens while a guest runs.
#pragma once

#include "app/demo/observe.h"

namespace postern::app {

class Recorder final : public hv::Watcher {
public:
    /// Both must outlive it.
    Recorder(Observation& seen, const Trial& trial) : seen_{&seen}, trial_{&trial} {}
    /// Before the guest's first mark.
    void watch(host::Guest& guest) { guest_ = &guest; }

    void exit(const hv::ExitRecord& record) override;
    void anomaly(hv::Anomaly anomaly, const hv::ExitRecord& record) override;
    void stopped(const hv::StopReport&) override {}
    /// The guest writes `value` to the mark port.
    void mark(u32 value);

private:
    Observation* seen_;
    const Trial* trial_;
    host::Guest* guest_ = nullptr;
    bool inside_ = false;
};

/// What the guest said in lines "@name.key=value".
void read_lines(Observation& seen, const std::string& name);

}  // namespace postern::app

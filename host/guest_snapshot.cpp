// SPDX-License-Identifier: Apache-2.0
// What a snapshot of a hosted guest holds: hypervisor and guest together.
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "host/guest.h"
#include "platform/snapshot/part.h"

namespace postern::host {

namespace {

using platform::snapshot::Bytes;
using platform::snapshot::Part;
using platform::snapshot::View;

/// Of the hypervisor's objects, whose states are large and can be refused: `Owner` has
/// save(State&) and bool restore(const State&).
template <class Owner>
Part hypervisor_part(std::string name, Owner& owner) {
    using State = typename Owner::State;
    static_assert(platform::snapshot::Plain<State>, "a State has no padding");
    const auto read = [](View bytes) {
        auto state = std::make_unique<State>();
        std::memcpy(static_cast<void*>(state.get()), bytes.data(), sizeof(State));
        return state;
    };
    Part part;
    part.name = std::move(name);
    part.size = sizeof(State);
    part.save = [&owner] {
        const auto state = std::make_unique<State>();
        owner.save(*state);
        const View bytes = platform::snapshot::bytes_of(*state);
        return Bytes{bytes.begin(), bytes.end()};
    };
    // It is tried, and taken back.
    part.plausible = [&owner, read](View bytes) {
        const auto before = std::make_unique<State>();
        owner.save(*before);
        return owner.restore(*read(bytes)) && owner.restore(*before);
    };
    part.restore = [&owner, read](View bytes) { static_cast<void>(owner.restore(*read(bytes))); };
    return part;
}

}  // namespace

Guest::State Guest::state() const {
    State state{turns_, 0, timeless_exits_, latest_exit_, restart_at_, resets_};
    for (unsigned n = 0; n < processors_.size(); ++n)
        state.halted |= u64{processors_[n].halted} << n;
    return state;
}

void Guest::restore(const State& state) {
    turns_ = state.turns;
    timeless_exits_ = state.timeless_exits;
    latest_exit_ = state.latest_exit;
    restart_at_ = state.restart_at;
    resets_ = state.resets;
    for (unsigned n = 0; n < processors_.size(); ++n)
        processors_[n].halted = (state.halted >> n & 1) != 0;
}

bool Guest::plausible(const State& state) const {
    const bool restarts = state.restart_at != never;
    return state.turns.turn < processors_.size() && state.turns.now <= never / 4 &&
           (!restarts || (state.restart_at >= state.turns.now &&
                          state.restart_at - state.turns.now <= reset_time));
}

platform::SnapshotSubject Guest::subject() {
    using platform::snapshot::part;
    platform::SnapshotSubject s{&machine_->system(), {}, !config_.sgx_seed.has_value()};
    s.parts.push_back(part("bus", bus_));
    s.parts.push_back(part("devices", *devices_));
    s.parts.push_back(part("turns", *this));
    if (drive_) s.parts.push_back(part("drive", *drive_));
    if (console_) s.parts.push_back(part("console", *console_));
    if (auto* const bell = devices_->doorbell_function.get())
        s.parts.push_back(part("doorbell", *bell));
    if (test_device_) s.parts.push_back(part("test", *test_device_));
    s.parts.push_back(hypervisor_part("hv.vm", *vm_));
    for (unsigned n = 0; n < processors_.size(); ++n) {
        s.parts.push_back(part(fmt::format("ticks.{}", n), ticks_[n]));
        s.parts.push_back(hypervisor_part(fmt::format("hv.{}", n), *processors_[n].vcpu));
    }
    return s;
}

}  // namespace postern::host

// SPDX-License-Identifier: Apache-2.0
#include "app/run_plan.h"

#include <fmt/format.h>

#include "app/text.h"
#include "platform/computer.h"

namespace postern::app {
namespace {

constexpr u64 never = host::Guest::never;
static_assert(platform::Computer::never == never);

}  // namespace

RunWatch::RunWatch(const RunPlan& plan)
    : plan_{plan}, deadline_{Clock::now() + std::chrono::milliseconds{plan.limits.milliseconds}},
      save_{!plan.save.empty() && plan.save_at != 0 ? plan.save_at : never},
      last_{std::min(plan.limits.instructions != 0 ? plan.limits.instructions : never, save_)} {
    if (plan.input != RunPlan::Input::none) input_.emplace();
}

Limit RunWatch::reached(u64 now) const {
    if (now >= save_) return Limit::save;
    if (now >= last_) return Limit::instructions;
    if (plan_.limits.milliseconds != 0 && Clock::now() >= deadline_) return Limit::time;
    return Limit::none;
}

bool SaveAtMark::take() {
    const bool first = asked_ && !taken_;
    taken_ = asked_;
    return first;
}

void flush(const RunPlan& plan) {
    plan.serial->flush();
    if (plan.console) plan.console->flush();
}

int save(const platform::SnapshotSubject& subject, u64 now, const RunPlan& plan,
         Terminal terminal) {
    if (auto saved = save_snapshot(subject, plan.save); !saved)
        return refuse(terminal, saved.error());
    terminal.err << fmt::format("postern: saved to {} after {} instructions\n", plan.save, now);
    return 0;
}

platform::Expected<void> load(const platform::SnapshotSubject& subject, const RunPlan& plan) {
    if (plan.load.empty()) return {};
    return load_snapshot(subject, plan.load);
}

}  // namespace postern::app

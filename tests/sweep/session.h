// SPDX-License-Identifier: Apache-2.0
// One run of first_light.elf with a plan for what interrupts its enclave. Everything before the
// first EENTER and after the last EEXIT is left alone.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "host/guest.h"
#include "tests/sweep/outside.h"
#include "tests/sweep/saved_frame.h"

namespace postern::sweep {

class Session;

/// One exit from the enclave, after the hypervisor has handled it.
struct EnclaveStop {
    const hv::ExitRecord& record;
    const SavedFrame& saved;
    bool is_first;  // where EENTER arrived, nothing of the enclave executed
};

/// What is to happen between the first exit from the enclave and its end. Each call is the last
/// before the guest goes on; the timer is set to as good as never before it.
class Plan {
public:
    virtual ~Plan() = default;
    virtual void inside(Session& session, const EnclaveStop& stop) = 0;
    /// An exit between an asynchronous exit and the ERESUME that follows it.
    virtual void before_eresume(Session&, const hv::ExitRecord&) {}
};

struct SessionOptions {
    u64 livelock_ticks = 1;
    u64 longest_run = 0;  // of the processor, in instructions; 0: as long as it likes
};

class Session final : private hv::Watcher {
public:
    Session(Plan& plan, const SessionOptions& options);

    /// From power-on to the exit port. The session can be asked about it then.
    void run();

    // For a plan.
    void set_timer(u32 instructions);
    /// An NMI after so many instructions of the guest.
    void raise_nmi_after(u64 instructions);
    [[nodiscard]] host::Guest& guest() { return *guest_; }
    [[nodiscard]] const EnclaveMemory& enclave_memory() const { return *enclave_; }
    /// Puts a secret into the registers of the interrupted enclave that its code does not use.
    void plant_secret();

    void complain(std::string what);

    // What came out.
    [[nodiscard]] const host::RunResult& result() const { return result_; }
    [[nodiscard]] std::string serial() const { return serial_.text(); }
    /// What the guest said as "@row1.<key>=".
    [[nodiscard]] std::string said(std::string_view key) const;
    /// The first few complaints, one a line; empty: none.
    [[nodiscard]] const std::string& complaints() const { return complaints_; }
    [[nodiscard]] u64 enclave_exits() const { return enclave_exits_; }
    /// Instructions from the first exit from the enclave to the guest's next output. An INT n
    /// whose delivery exits is completed by VM entry: it does not retire, and is counted here.
    [[nodiscard]] u64 duration() const { return end_ - start_ + completed_by_entry_; }
    [[nodiscard]] u64 livelocks() const;
    [[nodiscard]] u64 anomalies() const;
    [[nodiscard]] const std::optional<SavedFrame>& last_frame() const { return last_frame_; }
    /// How often the planted secret was found where it belongs: in the saved frame.
    [[nodiscard]] u64 secrets_seen() const { return secrets_seen_; }
    [[nodiscard]] bool secret_in_memory();
    /// The words of the latest exit that was checked, for those who want to falsify them.
    [[nodiscard]] const Outside& outside() const { return seen_; }
    [[nodiscard]] const Outside& first_outside() const { return first_; }
    [[nodiscard]] const std::vector<u64>& known() const { return known_; }
    [[nodiscard]] u64 aep() const { return aep_; }
    [[nodiscard]] u64 tcs() const { return tcs_; }

private:
    enum class Phase : u8 { booting, entering, inside, leaving, over };

    void exit(const hv::ExitRecord& record) override;
    void anomaly(hv::Anomaly, const hv::ExitRecord&) override {}
    void stopped(const hv::StopReport&) override {}

    void marked(u32 value);
    void enclave_exit(const hv::ExitRecord& record);
    void count_software_interrupt(const hv::ExitRecord& record);
    void check(const SavedFrame& saved, bool is_first);
    void note(const Complaints& complaints);
    [[nodiscard]] u64 now();

    Plan& plan_;
    platform::StringSink serial_;
    platform::NullSink debug_;
    std::unique_ptr<host::Guest> guest_;
    Phase phase_ = Phase::booting;
    std::optional<EnclaveMemory> enclave_;
    host::RunResult result_;
    std::string complaints_;
    u64 complaint_count_ = 0;
    u64 enclave_exits_ = 0;
    u64 start_ = 0, end_ = 0;
    u64 completed_by_entry_ = 0;
    u32 injected_before_ = 0;
    u64 secrets_seen_ = 0;
    u64 aep_ = 0, tcs_ = 0;
    Outside seen_{}, first_{};
    std::vector<u64> known_;
    std::optional<SavedFrame> last_frame_;
};

}  // namespace postern::sweep

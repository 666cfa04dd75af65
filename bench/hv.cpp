// SPDX-License-Identifier: Apache-2.0
// What a VM exit costs in hv/, compiled as for bare metal (bench/CMakeLists.txt) and linked with
// host/. For each way to exit: round trips a second on the software processor, and the host's
// instructions in hv/ for one of them, from capture to entry. The processor's work, fields of the
// VMCS included, is not counted, nor are the devices' and this file's. Instructions are counted by
// stepping a child through a fixed number of exits, so that the number is the same on every run;
// a REP instruction counts its iterations. Where the guest is a hypervisor with a guest of its own
// (L2), a round trip is from L2 to L2, with all exits of the hypervisor's on the way.
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <variant>

#include "cpu/model.h"
#include "host/guest.h"
#include "support/hosted_kernel.h"
#include "support/nested_kernel.h"

// The bounds of hv/'s code: by the linker.
extern "C" const char __start_hv_text[], __stop_hv_text[];

namespace {

using namespace postern;
using namespace postern::test::hosted;
namespace nested = postern::test::nested;

[[noreturn]] void die(const std::string& why) {
    std::fprintf(stderr, "bench/hv: %s\n", why.c_str());
    std::exit(1);
}

// Between the two nothing is counted: what the row itself asks of the hypervisor.
[[gnu::noinline]] void counting_pauses() { asm volatile("" ::: "memory"); }
[[gnu::noinline]] void counting_goes_on() { asm volatile("nop" ::: "memory"); }

/// After each exit the row prepares the next.
class Row : public hv::Watcher {
public:
    using Prepare = void (*)(host::Guest&, u64 guest_physical);

    /// `exits`: of a round trip; one of them is of the reason and kind named.
    Row(const char* name, BasicReason reason, hv::ExitKind kind, Prepare prepare, u64 exits = 1)
        : name_{name}, reason_{reason}, kind_{kind}, prepare_{prepare}, exits_{exits} {}

    void exit(const hv::ExitRecord& record) override {
        if (prepare_ == nullptr || !guest) return;
        counting_pauses();
        prepare_(*guest, record.guest_physical);
        counting_goes_on();
    }
    void anomaly(hv::Anomaly, const hv::ExitRecord&) override {}
    void stopped(const hv::StopReport&) override {}

    void build(const Program& program) {
        host::GuestConfig config;
        config.layout = layout();
        config.kernel.file = make_kernel(program);
        build(std::move(config));
    }
    void build(const nested::Program& program) {
        host::GuestConfig config;
        config.layout = platform::layout_of(nested::at::memory, epc_pages * page_size);
        config.nested = true;
        config.kernel.file = make_kernel(program);
        build(std::move(config));
    }

    [[nodiscard]] u64 wanted() const { return guest->counters().of(reason_, kind_); }
    [[nodiscard]] u64 all() const { return guest->counters().exits; }
    [[nodiscard]] u64 exits_of_a_round_trip() const { return exits_; }

    /// So many round trips.
    void run(u64 exits) {
        const u64 end = wanted() + exits;
        while (wanted() < end)
            if (guest->run_until(guest->now() + 1))
                die(std::string{name_} + ": the guest has ended");
    }

    [[nodiscard]] const char* name() const { return name_; }
    std::unique_ptr<host::Guest> guest;

private:
    void build(host::GuestConfig config) {
        config.model = &cpu::default_model();
        config.kernel.name = name_;
        auto made = host::Guest::create(std::move(config), {nowhere_, nowhere_, *this, [](u32) {}});
        if (!made) die(made.error().what);
        guest = std::move(*made);
        if (prepare_ != nullptr) prepare_(*guest, 0);
        run(1000);  // every page is mapped, and the loop has begun
    }

    const char* name_;
    BasicReason reason_;
    hv::ExitKind kind_;
    Prepare prepare_;
    u64 exits_;
    platform::NullSink nowhere_;
};

double thread_seconds() {
    timespec t{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Of three runs the fastest: others use the machine.
double round_trips_a_second(Row& row) {
    constexpr u64 exits = 40'000;
    double best = 0;
    for (int repetition = 0; repetition < 3; ++repetition) {
        const double start = thread_seconds();
        row.run(exits);
        const double rate = static_cast<double>(exits) / (thread_seconds() - start);
        if (rate > best) best = rate;
    }
    return best;
}

constexpr u64 stepped_exits = 10;

void child(Row& row) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(2);
    std::raise(SIGSTOP);
    row.run(stepped_exits);
    _exit(0);
}

u64 rip_of(pid_t pid) {
    user_regs_struct registers{};
    if (ptrace(PTRACE_GETREGS, pid, nullptr, &registers) != 0) die("no registers of the child");
    return registers.rip;
}

template <class T>
u64 address(T* function) {
    return reinterpret_cast<u64>(function);
}

/// Instructions in hv/ until the child ends.
u64 step_to_the_end(pid_t pid) {
    const u64 from = address(__start_hv_text), size = address(__stop_hv_text) - from;
    u64 counted = 0;
    bool counts = true;
    for (;;) {
        if (ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) != 0)
            die("the child cannot be stepped");
        int status = 0;
        waitpid(pid, &status, 0);
        if (WIFEXITED(status)) {
            if (WEXITSTATUS(status) != 0) die("the child fails");
            return counted;
        }
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP) die("the child is interrupted");
        const u64 rip = rip_of(pid);
        if (rip == address(counting_pauses)) counts = false;
        if (rip == address(counting_goes_on)) counts = true;
        if (counts && rip - from < size) ++counted;
    }
}

double instructions_for_an_exit(Row& row) {
    const pid_t pid = fork();
    if (pid < 0) die("no child");
    if (pid == 0) child(row);
    int status = 0;
    waitpid(pid, &status, 0);
    if (!WIFSTOPPED(status)) die("the child cannot be traced");
    return static_cast<double>(step_to_the_end(pid)) / stepped_exits;
}

Slot slot(std::vector<u8> code) {
    Slot made{.code = std::move(code)};
    made.gpr[rdi] = platform::doorbell_base + 0x48;
    made.gpr[rsp] = at::stack;
    return made;
}

// EPC pages of the enclave's fifth and sixth page.
constexpr u64 one_page = at::epc + 5 * page_size, other_page = at::epc + 6 * page_size;

/// EENTER; what the enclave runs reads two of its pages in turn for ever.
Program enclave_program() {
    Slot enter = slot({0x0f, 0x01, 0xd7});
    enter.gpr[rax] = 2;
    enter.gpr[rbx] = at::elrange;
    enter.gpr[rcx] = at::aep;
    std::vector<u8> code{0x48, 0xb8};  // MOV RAX, the fifth page
    for (unsigned i = 0; i < 8; ++i)
        code.push_back(static_cast<u8>((at::elrange + 4 * page_size) >> 8 * i));
    // MOV RDX, [RAX]; MOV RDX, [RAX + 4096]; JMP
    code.insert(code.end(), {0x48, 0x8b, 0x10, 0x48, 0x8b, 0x90, 0, 0x10, 0, 0, 0xeb, 0xf4});
    return {.slots = {enter}, .enclave_code = code};
}

/// The page that it reads next, so that what has just exited gets done.
void take_the_next_page_back(host::Guest& guest, u64 guest_physical) {
    guest.vcpu().forget(Gpa{guest_physical == one_page ? other_page : one_page});
}

void interrupt_soon(host::Guest& guest, u64) { guest.ticks().arm(guest.now() + 20); }

struct Cost {
    double rate, instructions;
};

using F = VmcsField;

/// A hypervisor that answers its guest's exits with `handler`, and a guest in a loop of CPUID.
nested::Program hypervisor(std::vector<u8> handler) {
    nested::Program program;
    program.l2.slots = {slot({0x0f, 0xa2, 0xeb, 0xfc})};
    program.calls = {std::move(handler)};
    for (nested::FieldValue& value : program.fields) {
        if (value.field == F::guest_rip) value.value = at::code;
        if (value.field == F::host_rip) value.value = nested::at::code;
    }
    using nested::OpCode;
    program.script = {{OpCode::vmclear, nested::vmcs_at(0)},
                      {OpCode::vmptrld, nested::vmcs_at(0)},
                      {OpCode::write_fields},
                      {OpCode::enter}};
    return program;
}

/// VMRESUME: the guest is at its CPUID again.
const std::vector<u8> resumes{0x0f, 0x01, 0xc3};

/// MOV EAX, the instruction length; VMREAD RDX, RAX; MOV EAX, RIP; VMREAD RCX, RAX; ADD RCX, RDX;
/// VMWRITE RAX, RCX; VMRESUME.
const std::vector<u8> steps_over{0xb8, 0x0c, 0x44, 0,    0,    0x0f, 0x78, 0xc2, 0xb8,
                                 0x1e, 0x68, 0,    0,    0x0f, 0x78, 0xc1, 0x48, 0x01,
                                 0xd1, 0x0f, 0x79, 0xc1, 0x0f, 0x01, 0xc3};

template <class AnyProgram>
Cost measure(Row& row, const AnyProgram& program) {
    row.build(program);
    const u64 before = row.all(), wanted = row.wanted();
    const double rate = round_trips_a_second(row);
    if (row.all() - before != (row.wanted() - wanted) * row.exits_of_a_round_trip())
        die(std::string{row.name()} + ": other exits come in between");
    return {rate, instructions_for_an_exit(row)};
}

}  // namespace

int main() {
    using hv::ExitKind;
    Row cpuid{"CPUID", BasicReason::cpuid, ExitKind::normal, nullptr};
    Row violation{"EPT violation from an enclave", BasicReason::ept_violation, ExitKind::enclave,
                  take_the_next_page_back};
    Row mmio{"MMIO, a load", BasicReason::ept_misconfiguration, ExitKind::normal, nullptr};
    Row interrupt{"external interrupt", BasicReason::external_interrupt, ExitKind::normal,
                  interrupt_soon};
    Row passed_on{"CPUID of L2, passed on to L1: VMRESUME", BasicReason::cpuid, ExitKind::normal,
                  nullptr, 2};
    Row stepped_over{"the same: two VMREADs, VMWRITE, VMRESUME", BasicReason::cpuid,
                     ExitKind::normal, nullptr, 5};
    struct {
        Row& row;
        std::variant<Program, nested::Program> program;
    } const rows[] = {
        {cpuid, Program{.slots = {slot({0x0f, 0xa2, 0xeb, 0xfc})}}},
        {violation, enclave_program()},
        {mmio, Program{.slots = {slot({0x8b, 0x07, 0xeb, 0xfc})}}},
        {interrupt, Program{.slots = {slot({0xeb, 0xfe})}}},
        {passed_on, hypervisor(resumes)},
        {stepped_over, hypervisor(steps_over)},
    };
    std::printf(
        "| VM exit | round trips a second | times CPUID | instructions in hv/ | times CPUID |\n"
        "| --- | ---: | ---: | ---: | ---: |\n");
    Cost first{};
    for (const auto& [row, program] : rows) {
        const Cost result = std::visit([&](const auto& p) { return measure(row, p); }, program);
        if (first.rate == 0) first = result;
        std::printf("| %s | %.0f | %.2f | %.0f | %.2f |\n", row.name(), result.rate,
                    result.rate / first.rate, result.instructions,
                    result.instructions / first.instructions);
        std::fflush(stdout);
    }
    return 0;
}

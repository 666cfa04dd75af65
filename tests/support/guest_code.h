// SPDX-License-Identifier: Apache-2.0
// A bare processor for tests that run code: 64-bit mode, 4-level paging in its own RAM, an IDT
// whose every handler is a HLT on a stack of its own, so that a fault is found as it was raised.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "arch/exception.h"
#include "cpu/cpu.h"
#include "cpu/model.h"
#include "cpu/run.h"

namespace postern::cpu {

/// Physical and, but for holes, linear addresses of a test machine. Below 64 KiB are its tables.
namespace guest_at {
inline constexpr u64 gdt = 0x1000, tss = 0x1800, idt = 0x2000, handlers = 0x4000;
inline constexpr u64 handler_stack = 0x8000;  // the top of it
inline constexpr u64 ept_tables = 0x9000;     // free for tests of EPT, to code
inline constexpr u64 legacy_idt = 0x3000, legacy_tss = 0x1900;
inline constexpr u64 vector_table = 0;        // of real mode
inline constexpr u64 code = 0x1'0000;         // 64 KiB
inline constexpr u64 data = 0x2'0000;         // 64 KiB
inline constexpr u64 stack = 0x4'0000;        // the top of it; 64 KiB
inline constexpr u64 not_present = 0x5'0000;  // one page each
inline constexpr u64 read_only = 0x5'1000;
inline constexpr u64 supervisor = 0x5'2000;
inline constexpr u64 no_execute = 0x5'3000;
inline constexpr u64 spare = 0x6'0000;         // to page_tables
inline constexpr u64 page_tables = 0x10'0000;  // 1 MiB
}  // namespace guest_at

/// Where code starts.
enum class GuestMode : u8 {
    long64,       // 64-bit mode
    compat32,     // compatibility mode, 32-bit code and stack
    protected32,  // no paging, no IA-32e mode; flat segments
    protected16,  // the same with D = B = 0
    real16,       // CS = 1000H, DS = ES = FS = GS = 2000H, SS = 3000H
};

/// Bits of a page-table entry.
inline constexpr u64 pte_present = 1, pte_write = 2, pte_user = 4, pte_accessed = 0x20,
                     pte_dirty = 0x40, pte_large = 0x80;
inline constexpr u64 pte_no_execute = u64{1} << 63;

/// What a program sees of a processor, at the instruction that ended the run.
struct GuestState {
    std::array<u64, 16> gpr;
    u64 rip;
    u64 rflags;
    friend bool operator==(const GuestState&, const GuestState&) = default;
};

struct GuestFault {
    Vector vector;
    u32 error_code = 0;
    u64 cr2 = 0;  // of #PF
    friend bool operator==(const GuestFault&, const GuestFault&) = default;
};

struct GuestStop {
    RunOutcome outcome = RunOutcome::time;
    std::optional<GuestFault> fault;
    GuestState state{};
    u64 instructions = 0;  // retired by the code itself
};

class GuestCode {
    // First: the references below are bound to these.
    std::unique_ptr<Cpu> cpu_ = std::make_unique<Cpu>();
    struct Freed {
        void operator()(u8* p) const;
    };
    std::unique_ptr<u8, Freed> ram_;

public:
    static constexpr u64 ram_size = 4u << 20;

    explicit GuestCode(u32 cpl = 0);
    ~GuestCode();
    GuestCode(const GuestCode&) = delete;
    GuestCode& operator=(const GuestCode&) = delete;

    Cpu& c = *cpu_;
    System system;
    Model model = every_feature();  // whatever CPUID of the default model says

    [[nodiscard]] u8* ram(u64 physical = 0) const { return ram_.get() + physical; }
    template <class T>
    T& at(u64 physical) const {
        return *reinterpret_cast<T*>(ram(physical));
    }

    /// One 4 KiB page; tables are made as needed, with every right. Translations are flushed.
    void map(u64 linear, u64 physical, u64 flags);
    /// The entry of `level` (4 to 1) that translates `linear`; all levels above must exist.
    u64& entry(u64 linear, unsigned level) const;

    /// Bytes into RAM, as a device would write them: cached code is dropped.
    void write(u64 physical, std::span<const u8> bytes);
    /// General registers as nothing leaves them by chance; `rsp` in the stack; flags clear.
    void set_plain_state(u64 rip);
    void set_cpl(u32 cpl);
    /// Another mode than 64-bit mode; before set_plain_state().
    void set_mode(GuestMode mode);

    /// Runs at most `limit` instructions, `slice` at a time; ends early at HLT, INT 80H or a
    /// fault, whose handler has halted.
    GuestStop run(u64 limit, u64 slice = ~u64{0});

    static constexpr std::array<u8, 1> hlt{0xf4};
    static constexpr std::array<u8, 2> int80{0xcd, 0x80};

private:
    static Model every_feature();
    void build_tables();
    void build_descriptors();
    void load_registers(u32 cpl);
    [[nodiscard]] GuestState state() const;
    void build_legacy_tables();
    void load_real_segments();
    void take_fault(GuestStop& stop, u64 counted) const;
    [[nodiscard]] unsigned pushed_size() const;
    [[nodiscard]] u64 pushed(u64& at) const;
    struct Devices;
    std::unique_ptr<Devices> bus_;
    GuestMode mode_ = GuestMode::long64;
    u64 next_table_ = guest_at::page_tables + page_size;
};

}  // namespace postern::cpu

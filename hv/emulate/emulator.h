// SPDX-License-Identifier: Apache-2.0
// One instruction of a normal exit, carried out on guest memory and devices as the processor
// would have. Only NormalExit leads here. It is a part of its virtual processor so that its
// operands need no room on the stack; nothing in it outlives the exit.
#pragma once

#include "hv/emulate/operand_memory.h"

namespace postern::hv {

class Emulator {
public:
    /// Iterations of a repeated instruction that one exit carries out: interrupts wait for them.
    static constexpr unsigned iterations_at_most = 512;
    /// How often in a row an instruction that is not the one that exited is let run again.
    static constexpr unsigned retries_at_most = 8;

    explicit Emulator(Vcpu& vcpu) : vcpu_{vcpu}, memory_{vcpu} {}

    /// The instruction at RIP, which has accessed the device at `address`.
    [[nodiscard]] Next access_device(const Capture& capture, Gpa address);
    /// INS or OUTS, as the exit's own information describes it.
    [[nodiscard]] Next string_io(const Capture& capture);

private:
    /// Where a repeated instruction stands.
    enum class Progress : u8 { finished, unfinished };

    // emulator.cpp: the frame of every instruction
    void begin(const Capture& capture);
    [[nodiscard]] Result<> fetch_and_decode();
    [[nodiscard]] Next conclude(Result<Progress> done);
    [[nodiscard]] Next finish();
    [[nodiscard]] Next stay();
    [[nodiscard]] Next stumble();
    [[nodiscard]] Next take_fault(const Obstacle& obstacle);
    [[nodiscard]] Next try_again(const Obstacle& obstacle);
    [[nodiscard]] Next give_up(const char* what);
    [[nodiscard]] Result<> confirm(const Operand& operand, bool reads, bool writes);
    [[nodiscard]] bool is_the_access(const Operand& operand, bool reads, bool writes) const;
    [[nodiscard]] bool is_string() const {
        return access_.kind >= DecodedAccess::Kind::move_string;
    }

    // instructions.cpp: those with one memory operand
    [[nodiscard]] Result<> carry_out();
    [[nodiscard]] Result<> load();
    [[nodiscard]] Result<> store();
    [[nodiscard]] Result<> arithmetic();
    [[nodiscard]] Result<> bit();
    [[nodiscard]] Result<> exchange();
    [[nodiscard]] Result<> compare_exchange();
    [[nodiscard]] Result<> compare_exchange_pair();
    void compare_pair(u64& low, u64& high, unsigned bytes);
    [[nodiscard]] Result<> find(bool reads, bool writes, u64 displacement = 0);
    [[nodiscard]] u64 effective_address(u64 displacement) const;
    [[nodiscard]] u64 second_operand() const;
    [[nodiscard]] u64 read_register() const;
    void write_register(u64 value);
    void write_sized(Gpr gpr, u64 value, unsigned bytes);
    void write_flags(Rflags flags);

    // strings.cpp
    [[nodiscard]] Result<Progress> repeat();
    [[nodiscard]] Result<Progress> iterate_all();
    void clear_upper_halves();
    [[nodiscard]] Result<bool> iterate(bool first);
    [[nodiscard]] Result<bool> move_once(bool first);
    [[nodiscard]] Result<bool> store_once(bool first);
    [[nodiscard]] Result<bool> load_once(bool first);
    [[nodiscard]] Result<bool> compare_once(bool first);
    [[nodiscard]] Result<bool> scan_once(bool first);
    [[nodiscard]] Result<bool> input_once();
    [[nodiscard]] Result<bool> output_once();
    [[nodiscard]] Result<> find_source();
    [[nodiscard]] Result<> find_destination(GuestAccess access);
    [[nodiscard]] u64 string_register(Gpr gpr) const;
    void advance(Gpr gpr, u64 by);
    void step(Gpr gpr);
    [[nodiscard]] bool is_ended_by_flags() const;

    Vcpu& vcpu_;
    const Capture* capture_ = nullptr;
    OperandMemory memory_;
    Rflags flags_;
    Gpa device_{};
    u16 port_ = 0;  // of INS and OUTS
    DecodedAccess access_;
    Operand at_;           // the operand; of a string instruction that at RSI
    Operand destination_;  // at RDI
};

}  // namespace postern::hv

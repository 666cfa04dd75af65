// SPDX-License-Identifier: Apache-2.0
// The memory operands of an instruction that is emulated: segmentation, paging and the checks of
// both, then RAM, ROM, EPC or a device. An operand is located before anything is read or written,
// so that an instruction which faults has done nothing.
#pragma once

#include <array>

#include "arch/regs/rflags.h"
#include "hv/exit/capture.h"
#include "hv/inject.h"
#include "hv/memory/guest_walk.h"

namespace postern::hv {

class Vcpu;

/// Why an instruction was not carried out.
struct Obstacle {
    enum class Kind : u8 {
        none,
        fault,            // event and, for a #PF, cr2
        retry,            // the instruction is not the one that exited: it runs again
        refused,          // by L1's EPT: second_level, and the linear address in cr2
        not_implemented,  // what
    };
    Kind kind = Kind::none;
    Event event{};
    u64 cr2 = 0;
    const char* what = nullptr;
    SecondLevelFault second_level{};
};

/// What is behind one page of an operand.
enum class Behind : u8 { ram, rom, epc, device };

/// The part of an operand that lies in one page.
struct Piece {
    Behind behind = Behind::device;
    u8 size = 0;
    Gpa address{};
    Hpa host{};           // of RAM
    u8* bytes = nullptr;  // of RAM and ROM
};

/// Up to 16 bytes; the second piece is empty unless they cross a page.
struct Operand {
    std::array<Piece, 2> pieces{};

    [[nodiscard]] bool is_in(Gpa page) const {
        return pieces[0].address.page() == page ||
               (pieces[1].size != 0 && pieces[1].address.page() == page);
    }
    /// What the processor cannot access by itself: it would exit again.
    [[nodiscard]] bool touches_device() const {
        return is_device(pieces[0]) || (pieces[1].size != 0 && is_device(pieces[1]));
    }

private:
    [[nodiscard]] static bool is_device(const Piece& piece) {
        return piece.behind == Behind::device || piece.behind == Behind::rom;
    }
};

class OperandMemory {
public:
    explicit OperandMemory(Vcpu& vcpu) : vcpu_{vcpu} {}

    /// Before each instruction: the mode and the access rights are the exit's.
    void begin(const Capture& capture);
    /// Copies the bytes of code at RIP; how many there are.
    [[nodiscard]] size_t fetch(u64 rip, u8* bytes, size_t wanted);
    /// A write covers a read. Fails with the obstacle set.
    [[nodiscard]] Result<> locate(Operand& operand, SegmentIndex segment, u64 offset, unsigned size,
                                  GuestAccess access);
    /// Of at most 8 bytes.
    [[nodiscard]] u64 read(const Operand& operand) const;
    void write(const Operand& operand, u64 value) const;

    Failed fault(const Event& event, u64 cr2 = 0);
    Failed retry(const char* what);
    Failed refused(const SecondLevelFault& second_level, u64 linear);
    Failed not_implemented(const char* what);
    [[nodiscard]] const Obstacle& obstacle() const { return obstacle_; }
    [[nodiscard]] CodeSize code_size() const { return code_size_; }

private:
    /// A page that was translated for this instruction before.
    struct Known {
        u64 linear = ~u64{0};
        GuestAccess access = GuestAccess::read;
        Piece page{};
    };

    [[nodiscard]] Result<Gva> linear_address(SegmentIndex segment, u64 offset, unsigned size,
                                             GuestAccess access);
    [[nodiscard]] bool segment_allows(SegmentIndex segment, u64 offset, unsigned size,
                                      GuestAccess access);
    [[nodiscard]] Result<> locate_piece(Piece& piece, Gva linear, unsigned size,
                                        SegmentIndex segment, GuestAccess access);
    [[nodiscard]] const Piece* known_page(Gva linear, GuestAccess access) const;
    [[nodiscard]] Result<Gpa> translate(Gva linear, SegmentIndex segment, GuestAccess access);
    void look_behind(Piece& piece, Gpa page);
    [[nodiscard]] Result<> check_alignment(Gva linear, unsigned size);
    [[nodiscard]] u64 read(const Piece& piece, bool bytewise) const;
    void write(const Piece& piece, u64 value, bool bytewise) const;
    Failed segment_fault(SegmentIndex segment);

    Vcpu& vcpu_;
    PagingRegisters paging_;
    CodeSize code_size_ = CodeSize::bits64;
    bool user_ = false;  // CPL 3
    Rflags flags_;
    Obstacle obstacle_;
    std::array<Known, 2> known_{};
    unsigned next_known_ = 0;
};

}  // namespace postern::hv

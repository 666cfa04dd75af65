// SPDX-License-Identifier: Apache-2.0
// The enclave: hashes its data page and a page outside, touches a doorbell that it must not be
// given, and refuses by itself the accesses that raised a signal outside. It keeps no global
// variables: what it writes lies in the regions of enclave_layout.h.
#include "base/types.h"
#include "guests/abi.h"
#include "guests/enclave_layout.h"
#include "guests/sha256.h"

namespace postern::guests {
namespace {

/// Where to go back to; one for the call, one for the signal handler's call on top of it.
struct Outside {
    u64 rsp, rbp, rip;
};

struct Variables {
    Outside outside[2];
};

constexpr u64 outside_address = layout::start_of(layout::variables);
static_assert(sizeof(Variables) <= layout::variables.pages * layout::page);
static_assert(sizeof(Outside) == 24);

/// The part of an SSA frame's GPRSGX that the handler uses; it ends with the frame.
/// SDM 3D, "GPRSGX Region".
struct InterruptedRegisters {
    u64 rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi;
    u64 r8_to_r15[8];
    u64 rflags, rip, ursp, urbp;
    u32 exit_information;
    u8 reserved[3];
    u8 aex_notify;
    u64 fs_base, gs_base;
};
static_assert(sizeof(InterruptedRegisters) == 184);

InterruptedRegisters& interrupted_call() {
    constexpr u64 end = layout::start_of(layout::ssa) + layout::ssa_frame_pages * layout::page;
    return *reinterpret_cast<InterruptedRegisters*>(end - sizeof(InterruptedRegisters));
}

/// One access that may be refused: its place, relative to this field, and its length.
struct Fixup {
    i32 place;
    u32 length;

    [[nodiscard]] u64 address() const {
        return reinterpret_cast<u64>(&place) + static_cast<u64>(static_cast<i64>(place));
    }
};

extern "C" [[gnu::visibility("hidden")]] const Fixup first_fixup[];
extern "C" [[gnu::visibility("hidden")]] const Fixup fixups_end[];

// RDX becomes 1 if the handler refused the access. Every access is listed in .fixups.
#define REFUSABLE(instruction)                 \
    "1: " instruction                          \
    "\n"                                       \
    "2:\n"                                     \
    ".pushsection .fixups, \"a\", @progbits\n" \
    ".long 1b - ., 2b - 1b\n"                  \
    ".popsection\n"

template <u64 offset>
u64 load_from(u64 doorbell) {
    u64 refused = 0;
    u32 value = 0;
    asm volatile(REFUSABLE("mov %0, dword ptr [%2 + %3]")
                 : "+a"(value), "+d"(refused)
                 : "D"(doorbell), "i"(offset)
                 : "memory");
    return refused;
}

template <u64 offset>
u64 store_to(u64 doorbell) {
    u64 refused = 0;
    asm volatile(REFUSABLE("mov dword ptr [%2 + %3], %1")
                 : "+d"(refused)
                 : "a"(static_cast<u32>(enclave_store_value + offset)), "D"(doorbell), "i"(offset)
                 : "memory");
    return refused;
}

void hash(const u8* from, EnclaveCall& call) {
    u8 digest[32];
    Sha256 sha;
    sha.add(from, layout::page);
    sha.finish(digest);
    for (u32 i = 0; i < sizeof digest; ++i) call.digest[i] = digest[i];
}

EnclaveStatus hash_untrusted(EnclaveCall& call) {
    const u64 address = call.address;
    if (!layout::is_outside(address, layout::page)) return EnclaveStatus::bad_argument;
    hash(reinterpret_cast<const u8*>(address), call);
    return EnclaveStatus::ok;
}

EnclaveStatus touch_doorbell(EnclaveCall& call) {
    const u64 doorbell = call.address;
    if (!layout::is_outside(doorbell, layout::page)) return EnclaveStatus::bad_argument;
    u64 refused = load_from<0>(doorbell);
    refused += load_from<0x40>(doorbell);
    refused += store_to<0>(doorbell);
    refused += store_to<0x40>(doorbell);
    call.refused = refused;
    return EnclaveStatus::ok;
}

/// Refuses the access at which the enclave stands. The world outside may call this whenever it
/// likes: anywhere else nothing happens, and at an access being refused is a legal outcome.
EnclaveStatus handle_signal() {
    InterruptedRegisters& registers = interrupted_call();
    u64 number = 1;
    for (const Fixup* fixup = first_fixup; fixup != fixups_end; ++fixup, ++number) {
        if (registers.rip != fixup->address()) continue;
        registers.rip += fixup->length;
        registers.rdx = 1;
        return static_cast<EnclaveStatus>(number);
    }
    return EnclaveStatus::nothing_to_refuse;
}

EnclaveStatus run(EnclaveFunction function, EnclaveCall& call) {
    if (function == EnclaveFunction::hash_data) {
        hash(reinterpret_cast<const u8*>(layout::start_of(layout::data)), call);
        return EnclaveStatus::ok;
    }
    if (function == EnclaveFunction::hash_untrusted) return hash_untrusted(call);
    if (function == EnclaveFunction::touch_doorbell) return touch_doorbell(call);
    return EnclaveStatus::bad_argument;
}

}  // namespace

extern "C" EnclaveStatus enclave_main(EnclaveFunction function, EnclaveCall* call, u64 cssa) {
    if (cssa == 1)
        return function == EnclaveFunction::handle_signal ? handle_signal()
                                                          : EnclaveStatus::bad_state;
    if (!layout::is_outside(reinterpret_cast<u64>(call), sizeof *call))
        return EnclaveStatus::bad_argument;
    return run(function, *call);
}

/// Where EENTER arrives: RAX = CSSA, RCX = the instruction after EENTER, RDI and RSI as the caller
/// set them, RSP and RBP still the caller's. SDM 3D, "EENTER".
extern "C" [[gnu::naked, gnu::section(".entry")]] void enclave_entry() {
    asm volatile(R"(
        cld
        movabs r10, %0
        movabs r11, %1
        test eax, eax
        je 1f
        cmp eax, 1
        jne 2f
        add r10, %4
        movabs r11, %2
    1:
        mov [r10], rsp
        mov [r10 + 8], rbp
        mov [r10 + 16], rcx
        mov rsp, r11
        push r10
        push r10
        mov edx, eax
        call enclave_main
        pop r10
        mov rdi, rax
        mov rsp, [r10]
        mov rbp, [r10 + 8]
        mov rbx, [r10 + 16]
        jmp 3f
    2:
        mov rbx, rcx
        mov edi, %3
    3:
        # Leaving the registers clean is the enclave's duty, not EEXIT's.
        xor ecx, ecx
        xor edx, edx
        xor esi, esi
        xor r8d, r8d
        xor r9d, r9d
        xor r10d, r10d
        xor r11d, r11d
        xor r12d, r12d
        xor r13d, r13d
        xor r14d, r14d
        xor r15d, r15d
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        pxor xmm\n, xmm\n
        .endr
        mov eax, 4
        enclu
        ud2
    )"
                 :
                 : "i"(outside_address), "i"(layout::end_of(layout::stack)),
                   "i"(layout::end_of(layout::handler_stack)), "i"(EnclaveStatus::bad_state),
                   "i"(sizeof(Outside)));
}

}  // namespace postern::guests

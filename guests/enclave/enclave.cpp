// SPDX-License-Identifier: Apache-2.0
// The enclave: hashes its data page and a page outside, touches a doorbell that it must not be
// given, and refuses by itself the accesses that raised a signal outside. It keeps no global
// variables: what it writes lies in the regions of enclave_layout.h.
#include "base/types.h"
#include "guests/abi.h"
#include "guests/enclave/bytes.h"
#include "guests/enclave/entry.h"
#include "guests/enclave_layout.h"
#include "guests/sha256.h"

namespace postern::guests {
namespace {

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
    copy_bytes(call.digest, digest, sizeof digest);
    wipe(digest);
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
    InterruptedRegisters& registers = interrupted_call(layout::ssa);
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

extern "C" EnclaveStatus enclave_main(u64 number, u64 call, u64 cssa, u64) {
    const auto function = static_cast<EnclaveFunction>(number);
    if (cssa == 1)
        return function == EnclaveFunction::handle_signal ? handle_signal()
                                                          : EnclaveStatus::bad_state;
    if (!layout::is_outside(call, sizeof(EnclaveCall))) return EnclaveStatus::bad_argument;
    return run(function, *reinterpret_cast<EnclaveCall*>(call));
}

}  // namespace postern::guests

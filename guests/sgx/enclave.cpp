// SPDX-License-Identifier: Apache-2.0
// The enclave of our programs for Linux: it does what a Call asks. It may lie at any address.
#include "guests/enclave_layout.h"
#include "guests/sgx/call.h"

namespace sgx {
namespace {

namespace layout = postern::guests::layout;

/// A page of code alone would make the linker complain of a segment that is both.
[[gnu::used]] constexpr char what_this_is[] = "Postern's enclave for Linux";

struct alignas(64) Secinfo {
    u64 flags;
    u8 reserved[56];
};

// SDM 3D, "KEY REQUEST (KEYREQUEST)".
struct alignas(512) KeyRequest {
    u16 name, policy, isvsvn, reserved;
    u8 cpusvn[16];
    u64 attribute_mask[2];
    u8 keyid[32];
    u32 misc_mask;
    u8 more[436];
};
static_assert(sizeof(KeyRequest) == 512);

// SDM 3D, "Report Target Info (TARGETINFO)".
struct alignas(512) Target {
    u8 mrenclave[32];
    u64 attributes[2];
    u8 cet[4];
    u32 miscselect;
    u8 reserved[456];
};
static_assert(sizeof(Target) == 512);

// SDM 3D, "REPORT"; the part that a MAC covers ends with the data.
struct alignas(512) Report {
    u8 cpusvn[16];
    u32 miscselect;
    u8 reserved[28];
    u64 attributes[2];
    u8 mrenclave[32];
    u8 more[288];
    u8 keyid[32], mac[16];
};
constexpr u64 report_size = 432;

constexpr u32 ereport = 0, egetkey = 1, eaccept = 5, emodpe = 6;

u64 enclu(u64 leaf, const void* rbx, u64 rcx, void* rdx = nullptr) {
    asm volatile("enclu" : "+a"(leaf) : "b"(rbx), "c"(rcx), "d"(rdx) : "memory", "cc");
    return leaf;
}

u64 number_of(const void* pointer) { return reinterpret_cast<u64>(pointer); }

void fill(u64 address, u64 pages, u64 first) {
    auto* const words = reinterpret_cast<volatile u64*>(address);
    for (u64 i = 0; i < pages * page_words; ++i) words[i] = pattern_word(first, i);
}

u64 digest(u64 address, u64 pages) {
    const auto* const words = reinterpret_cast<const volatile u64*>(address);
    u64 result = empty_digest;
    for (u64 i = 0; i < pages * page_words; ++i) result = digest_word(result, words[i]);
    return result;
}

u64 with_secinfo(u32 leaf, u64 flags, u64 address) {
    const Secinfo secinfo{flags, {}};
    return enclu(leaf, &secinfo, address);
}

void report_to(const Target& target, Report& to) {
    alignas(128) u8 data[64];
    for (u64 i = 0; i < sizeof data; ++i) data[i] = static_cast<u8>(i);
    enclu(ereport, &target, number_of(data), &to);
}

/// A report that this enclave itself can check.
void own_report(Report& to) {
    Target target{};
    report_to(target, to);
    for (u64 i = 0; i < sizeof target.mrenclave; ++i) target.mrenclave[i] = to.mrenclave[i];
    for (u64 i = 0; i < 2; ++i) target.attributes[i] = to.attributes[i];
    target.miscselect = to.miscselect;
    report_to(target, to);
}

void copy(u8* to, const u8* from, u64 count) {
    for (u64 i = 0; i < count; ++i) to[i] = from[i];
}

void report(Call& call) {
    Report made;
    own_report(made);
    copy(call.bytes, reinterpret_cast<const u8*>(&made), report_size);
}

void get_key(Call& call) {
    Report known;
    own_report(known);
    KeyRequest request{};
    request.name = static_cast<u16>(call.value);
    request.policy = static_cast<u16>(call.count);
    copy(request.cpusvn, known.cpusvn, sizeof request.cpusvn);
    copy(request.keyid, call.bytes, sizeof request.keyid);
    alignas(16) u8 key[16] = {};
    call.value = enclu(egetkey, &request, number_of(key));
    copy(call.bytes, key, sizeof key);
}

}  // namespace

extern "C" void answer(Call& call) {
    switch (call.ask) {
        case Ask::nothing: return;
        case Ask::load: call.value = *reinterpret_cast<const volatile u64*>(call.address); return;
        case Ask::store: *reinterpret_cast<volatile u64*>(call.address) = call.value; return;
        case Ask::fill: return fill(call.address, call.count, call.value);
        case Ask::digest: call.value = digest(call.address, call.count); return;
        case Ask::accept: call.value = with_secinfo(eaccept, call.count, call.address); return;
        case Ask::extend: with_secinfo(emodpe, call.count, call.address); return;
        case Ask::report: return report(call);
        case Ask::undefined: asm volatile("ud2"); return;
        case Ask::get_key: return get_key(call);
    }
}

/// Where EENTER arrives: RBX = TCS, RCX = the instruction after EENTER, RDI = the Call. A thread
/// that has a frame saved already cannot be entered again. SDM 3D, "EENTER".
extern "C" [[gnu::naked, gnu::section(".entry")]] void enclave_entry() {
    asm volatile(
        R"(
        cld
        test eax, eax
        jne 1f
        mov r10, rsp
        lea rsp, [rbx - %0]
        push r10
        push rcx
        push rbp
        sub rsp, 8
        call answer
        add rsp, 8
        pop rbp
        pop rbx
        pop rsp
        xor ecx, ecx
        xor edx, edx
        xor esi, esi
        xor edi, edi
        xor r8d, r8d
        xor r9d, r9d
        xor r10d, r10d
        xor r11d, r11d
        mov eax, 4
        enclu
    1:
        ud2
    )"
        :
        : "i"(layout::tcs.offset - layout::stack.offset - layout::stack.pages * layout::page));
}

}  // namespace sgx

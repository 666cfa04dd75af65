// SPDX-License-Identifier: Apache-2.0
#include "guests/kernel/sgx.h"

#include "guests/enclave_layout.h"
#include "guests/kernel/console.h"
#include "guests/kernel/paging.h"
#include "guests/kernel/processor.h"

namespace postern::guests {
namespace {

// Where ring 0 sees the EPC pages that it works on.
constexpr u64 epc_window = 0xffff'9000'0000'0000;

constexpr u32 ia32_feature_control = 0x3a;
constexpr u32 ia32_sgxlepubkeyhash0 = 0x8c;
constexpr u64 feature_control_lock = 1 << 0;
constexpr u64 feature_control_launch_control = 1 << 17;
constexpr u64 feature_control_sgx = 1 << 18;

enum class Leaf : u64 { ecreate = 0, eadd = 1, einit = 2, edbgwr = 5, eextend = 6 };

constexpr u64 unmasked_event = 128;
constexpr u32 einit_attempts = 100;

/// SDM 3D, "Page Information (PAGEINFO)".
struct alignas(32) PageInfo {
    u64 linear, source, secinfo, secs;
};

/// SDM 3D, "Security Information (SECINFO)".
struct alignas(64) SecInfo {
    u64 flags;
    u64 reserved[7];
};

struct alignas(4096) Page {
    u8 bytes[4096];
};

/// The fields of a SECS that software fills. SDM 3D, "SGX Enclave Control Structure (SECS)".
struct Secs {
    u64 size, base;
    u32 ssa_frame_size, miscselect;
    u8 reserved[24];
    u64 attributes, xfrm;
};
static_assert(sizeof(Secs) == 64);

struct Epc {
    u64 address, size;
};

extern "C" const u8 enclave_image[];
extern "C" const u8 enclave_image_end[];
extern "C" const u8 enclave_sigstruct[];
extern "C" const u64 enclave_signer[4];

Page source;
alignas(512) const u8 no_token[512] = {};  // EINITTOKEN with VALID = 0
const char* step = "starting";
u64 data_page_address;
u64 debug_thread;  // where ring 0 sees the TCS of the debug thread

u64 encls(Leaf leaf, const void* rbx, u64 rcx, const void* rdx = nullptr) {
    u64 rax = static_cast<u64>(leaf);
    asm volatile("encls" : "+a"(rax) : "b"(rbx), "c"(rcx), "d"(rdx) : "memory", "cc");
    return rax;
}

Epc find_epc() {
    for (u32 subleaf = 2;; ++subleaf) {
        const CpuidResult section = cpuid(0x12, subleaf);
        if ((section.eax & 0xf) == 0)
            fail(Line{} << "CPUID.12H lists no EPC section", ExitCode::no_sgx);
        if ((section.eax & 0xf) == 1)
            return {.address = u64{section.ebx & 0xf'ffff} << 32 | (section.eax & 0xffff'f000),
                    .size = u64{section.edx & 0xf'ffff} << 32 | (section.ecx & 0xffff'f000)};
    }
}

void check_capabilities(const Epc& epc, const layout::Plan& plan) {
    const CpuidResult capabilities = cpuid(0x12, 0);
    if ((capabilities.eax & 1) == 0) fail(Line{} << "CPUID.12H:EAX.SGX1 is 0", ExitCode::no_sgx);
    const u32 largest = capabilities.edx >> 8 & 0xff;
    if (largest < 64 && layout::size >= u64{1} << largest)
        fail(Line{} << "enclaves of 2^" << u64{largest} << " bytes are too small",
             ExitCode::no_sgx);
    if (epc.size < (plan.page_count() + 1) * layout::page)
        fail(Line{} << "the EPC has only " << epc.size << " bytes", ExitCode::no_sgx);
    const u64 needed = feature_control_lock | feature_control_launch_control | feature_control_sgx;
    const u64 feature_control = rdmsr(ia32_feature_control);
    if ((feature_control & needed) != needed)
        fail((Line{} << "IA32_FEATURE_CONTROL is ").hex(feature_control)
                 << ": not locked with SGX and SGX_LC on",
             ExitCode::no_sgx);
}

void set_launch_key() {
    step = "WRMSR IA32_SGXLEPUBKEYHASH";
    for (u32 i = 0; i < 4; ++i) wrmsr(ia32_sgxlepubkeyhash0 + i, enclave_signer[i]);
}

/// The next free EPC page, mapped for ring 0.
struct EpcPage {
    u64 physical, linear;
};

EpcPage next_page(const Epc& epc) {
    static u64 used;
    const u64 offset = used++ * layout::page;
    map_page(epc_window + offset, epc.address + offset, page_kernel_data);
    return {.physical = epc.address + offset, .linear = epc_window + offset};
}

void clear(Page& page) {
    for (u8& byte : page.bytes) byte = 0;
}

void create(const EpcPage& secs, const layout::Plan& plan) {
    step = "ENCLS[ECREATE]";
    clear(source);
    auto& fields = *reinterpret_cast<Secs*>(source.bytes);
    fields.size = layout::size;
    fields.base = layout::base;
    fields.ssa_frame_size = layout::ssa_frame_pages;
    fields.miscselect = plan.miscselect;
    fields.attributes = plan.attributes;
    fields.xfrm = layout::xfrm;
    const SecInfo secinfo{};
    const PageInfo info{.linear = 0,
                        .source = reinterpret_cast<u64>(&source),
                        .secinfo = reinterpret_cast<u64>(&secinfo),
                        .secs = 0};
    encls(Leaf::ecreate, &info, secs.linear);
}

void add(const EpcPage& secs, const EpcPage& page, u64 linear, u64 secinfo_flags) {
    step = "ENCLS[EADD]";
    const SecInfo secinfo{.flags = secinfo_flags, .reserved = {}};
    const PageInfo info{.linear = linear,
                        .source = reinterpret_cast<u64>(&source),
                        .secinfo = reinterpret_cast<u64>(&secinfo),
                        .secs = secs.linear};
    encls(Leaf::eadd, &info, page.linear);
}

void measure(const EpcPage& secs, const EpcPage& page) {
    step = "ENCLS[EEXTEND]";
    for (u64 at = 0; at < layout::page; at += 256)
        encls(Leaf::eextend, reinterpret_cast<const void*>(secs.linear), page.linear + at);
}

void add_region(const Epc& epc, const EpcPage& secs, const layout::Region& region) {
    const u64 image_size = static_cast<u64>(enclave_image_end - enclave_image);
    for (u64 i = 0; i < region.pages; ++i) {
        const u64 linear = layout::start_of(region) + i * layout::page;
        layout::fill_page(region, i, enclave_image, image_size, source.bytes);
        const EpcPage page = next_page(epc);
        add(secs, page, linear, region.secinfo);
        measure(secs, page);
        map_page(linear, page.physical, page_user_enclave);
        if (region.content == layout::Content::pattern) data_page_address = page.physical;
        if (region.offset == layout::debug_tcs.offset) debug_thread = page.linear;
    }
}

const char* einit_error(u64 error) {
    switch (error) {
        case 1: return "invalid SIGSTRUCT";
        case 2: return "invalid attribute";
        case 4: return "invalid measurement";
        case 8: return "invalid signature";
        case 16: return "invalid EINITTOKEN: the signer is not the launch key";
        case unmasked_event: return "an event is pending every time";
        default: return "unknown error";
    }
}

void initialise(const EpcPage& secs) {
    step = "ENCLS[EINIT]";
    u64 error = unmasked_event;
    for (u32 i = 0; i < einit_attempts && error == unmasked_event; ++i)
        error = encls(Leaf::einit, enclave_sigstruct, secs.linear, no_token);
    if (error != 0)
        fail(Line{} << "ENCLS[EINIT] gives error " << error << ": " << einit_error(error));
}

}  // namespace

bool has_sgx() {
    constexpr u32 sgx = 1 << 2;
    return cpuid(0, 0).eax >= 0x12 && (cpuid(7, 0).ebx & sgx) != 0;
}

u64 epc_address() { return find_epc().address; }

void build_enclave(const layout::Plan& plan) {
    const Epc epc = find_epc();
    check_capabilities(epc, plan);
    print((Line{} << "EPC at ").hex(epc.address) << ", " << (epc.size >> 10) << " KiB");
    set_launch_key();
    const EpcPage secs = next_page(epc);
    create(secs, plan);
    for (u32 i = 0; i < plan.region_count; ++i) add_region(epc, secs, plan.regions[i]);
    initialise(secs);
    step = "running the enclave";
    print((Line{} << "enclave at ").hex(layout::base)
          << ": " << plan.page_count() << " pages, initialised");
}

/// TCS.FLAGS.DBGOPTIN. SDM 3D, "EDBGWR".
void opt_in_to_debugging() {
    constexpr u64 tcs_flags = 8;
    constexpr u64 dbgoptin = 1 << 0;
    step = "ENCLS[EDBGWR]";
    encls(Leaf::edbgwr, reinterpret_cast<const void*>(dbgoptin), debug_thread + tcs_flags);
    step = "running the enclave";
}

u64 enclave_data_page() { return data_page_address; }

const char* current_step() { return step; }

}  // namespace postern::guests

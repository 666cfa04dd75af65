// SPDX-License-Identifier: Apache-2.0
// The ioctls of /dev/sgx_enclave, as its driver's header describes them.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guests/sgx/enclave.h"

namespace sgx {
namespace {

u64 number_of(const void* pointer) { return reinterpret_cast<u64>(pointer); }

Outcome outcome_of(int status, u64 result = 0, u64 count = 0) {
    if (status == 0) return {};
    return {.kind = Outcome::Kind::refused,
            .number = static_cast<u64>(errno),
            .result = result,
            .count = count};
}

/// SDM 3D, "SGX Enclave Control Structure (SECS)".
struct alignas(4096) Secs {
    u64 size, base;
    u32 ssa_frame_size, miscselect;
    u8 reserved1[24];
    u64 attributes, xfrm;
    u8 more[4032];
};
static_assert(sizeof(Secs) == 4096);

/// The content of a region, as EADD is to find it.
class Content {
public:
    Content(const layout::Region& region, const Files& files) : size_{region.pages * page_size} {
        void* const memory =
            mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) abort();
        bytes_ = static_cast<u8*>(memory);
        if (region.content == layout::Content::zero) return;
        for (u64 i = 0; i < region.pages; ++i)
            layout::fill_page(region, i, files.image, files.image_size, bytes_ + i * page_size);
    }
    ~Content() { munmap(bytes_, size_); }
    Content(const Content&) = delete;
    Content& operator=(const Content&) = delete;

    [[nodiscard]] u64 address() const { return number_of(bytes_); }
    [[nodiscard]] u64 size() const { return size_; }

private:
    u64 size_;
    u8* bytes_ = nullptr;
};

int protection_of(const layout::Region& region) {
    if ((region.secinfo & layout::page_type_tcs) != 0) return PROT_READ | PROT_WRITE;
    int protection = 0;
    if ((region.secinfo & layout::readable) != 0) protection |= PROT_READ;
    if ((region.secinfo & layout::writable) != 0) protection |= PROT_WRITE;
    if ((region.secinfo & layout::executable) != 0) protection |= PROT_EXEC;
    return protection;
}

}  // namespace

Enclave::~Enclave() { close(); }

void Enclave::close() {
    if (base_ != 0) munmap(reinterpret_cast<void*>(base_), plan_.size);
    if (device_ >= 0) ::close(device_);
    base_ = 0;
    device_ = -1;
}

/// Addresses for the enclave, aligned to its size.
bool Enclave::reserve() {
    if (const u64 wanted = files_of(plan_).base; wanted != 0) {
        void* const place = reinterpret_cast<void*>(wanted);
        constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
        if (mmap(place, plan_.size, PROT_NONE, flags, -1, 0) != place) return false;
        base_ = wanted;
        return true;
    }
    void* const area = mmap(nullptr, 2 * plan_.size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) return false;
    const u64 first = number_of(area), last = first + 2 * plan_.size;
    base_ = (first + plan_.size - 1) & ~(plan_.size - 1);
    if (base_ != first) munmap(area, base_ - first);
    if (base_ + plan_.size != last)
        munmap(reinterpret_cast<void*>(base_ + plan_.size), last - base_ - plan_.size);
    return true;
}

Outcome Enclave::create() {
    device_ = open("/dev/sgx_enclave", O_RDWR | O_CLOEXEC);
    if (device_ < 0 || !reserve()) return outcome_of(-1);
    Secs secs{};
    secs.size = plan_.size;
    secs.base = base_;
    secs.ssa_frame_size = layout::ssa_frame_pages;
    secs.miscselect = plan_.miscselect;
    secs.attributes = plan_.attributes;
    secs.xfrm = layout::xfrm;
    sgx_enclave_create argument{.src = number_of(&secs)};
    return outcome_of(ioctl(device_, SGX_IOC_ENCLAVE_CREATE, &argument));
}

Outcome Enclave::add_region(const layout::Region& region) const {
    const Content content{region, files_of(plan_)};
    struct {
        alignas(64) u64 flags;
        u8 reserved[56];
    } const secinfo{region.secinfo, {}};
    sgx_enclave_add_pages argument{.src = content.address(),
                                   .offset = region.offset,
                                   .length = content.size(),
                                   .secinfo = number_of(&secinfo),
                                   .flags = region.measured ? u64{SGX_PAGE_MEASURE} : 0,
                                   .count = 0};
    const int status = ioctl(device_, SGX_IOC_ENCLAVE_ADD_PAGES, &argument);
    return outcome_of(status, 0, argument.count);
}

Outcome Enclave::add() {
    for (u32 i = 0; i < plan_.region_count; ++i)
        if (const Outcome added = add_region(plan_.regions[i]); !added.fine()) return added;
    return {};
}

Outcome Enclave::init() {
    sgx_enclave_init argument{.sigstruct = number_of(files_of(plan_).sigstruct)};
    return outcome_of(ioctl(device_, SGX_IOC_ENCLAVE_INIT, &argument));
}

/// Each region with its permissions; what lies between is mapped without any.
Outcome Enclave::map() const {
    void* const whole = mmap(reinterpret_cast<void*>(base_), plan_.size, PROT_NONE,
                             MAP_SHARED | MAP_FIXED, device_, 0);
    if (whole == MAP_FAILED) return outcome_of(-1);
    for (u32 i = 0; i < plan_.region_count; ++i) {
        const layout::Region& region = plan_.regions[i];
        if (mprotect(reinterpret_cast<void*>(address(region.offset)), region.pages * page_size,
                     protection_of(region)) != 0)
            return outcome_of(-1);
    }
    return {};
}

Outcome Enclave::build() {
    Outcome outcome = create();
    if (outcome.fine()) outcome = add();
    if (outcome.fine()) outcome = init();
    return outcome.fine() ? map() : outcome;
}

Outcome Enclave::restrict_page(u64 offset, u64 permissions) const {
    sgx_enclave_restrict_permissions argument{
        .offset = offset, .length = page_size, .permissions = permissions, .result = 0, .count = 0};
    const int status = ioctl(device_, SGX_IOC_ENCLAVE_RESTRICT_PERMISSIONS, &argument);
    return outcome_of(status, argument.result, argument.count);
}

Outcome Enclave::change_type(u64 offset, u64 type) const {
    sgx_enclave_modify_types argument{
        .offset = offset, .length = page_size, .page_type = type >> 8, .result = 0, .count = 0};
    const int status = ioctl(device_, SGX_IOC_ENCLAVE_MODIFY_TYPES, &argument);
    return outcome_of(status, argument.result, argument.count);
}

Outcome Enclave::remove_page(u64 offset) const {
    sgx_enclave_remove_pages argument{.offset = offset, .length = page_size, .count = 0};
    const int status = ioctl(device_, SGX_IOC_ENCLAVE_REMOVE_PAGES, &argument);
    return outcome_of(status, 0, argument.count);
}

}  // namespace sgx

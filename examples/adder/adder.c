// SPDX-License-Identifier: Apache-2.0
// adder [A B]: loads the enclave through Linux's driver, calls it three times by the vDSO and looks
// at what it answers. Linux, "Software Guard eXtensions (SGX)".
#define _GNU_SOURCE
#include <asm/sgx.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "layout.h"

#define SIGSTRUCT_SIZE 1808
#define SIGSTRUCT_HASH 960  // ENCLAVEHASH in it
#define EENTER 2
#define EEXIT 4

static void check(int good, const char* what) {
    if (good) return;
    fprintf(stderr, "adder: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void* read_file(const char* name, size_t size) {
    void* const bytes = aligned_alloc(PAGE, (size + PAGE - 1) / PAGE * PAGE);
    FILE* const file = fopen(name, "rb");
    check(file && fread(bytes, 1, size, file) == size, name);
    fclose(file);
    return bytes;
}

// An address range for the enclave, which must lie at a multiple of its size.
static uint8_t* reserve(void) {
    uint8_t* const found =
        mmap(NULL, 2 * ENCLAVE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(found != MAP_FAILED, "no address range");
    return (uint8_t*)(((uintptr_t)found + ENCLAVE_SIZE - 1) & ~(uintptr_t)(ENCLAVE_SIZE - 1));
}

static void create(int device, const uint8_t* base) {
    static struct {  // SECS, up to what we fill in
        uint64_t size, base;
        uint32_t ssa_frame_pages, misc_select;
        uint8_t reserved[24];
        uint64_t attributes[2];
        uint8_t rest[4096 - 64];
    } secs __attribute__((aligned(4096)));
    secs.size = ENCLAVE_SIZE;
    secs.base = (uint64_t)base;
    secs.ssa_frame_pages = SSA_FRAME_PAGES;
    secs.attributes[0] = ATTRIBUTES;
    secs.attributes[1] = XFRM;
    struct sgx_enclave_create request = {.src = (uint64_t)&secs};
    check(ioctl(device, SGX_IOC_ENCLAVE_CREATE, &request) == 0, "ECREATE");
}

static void add_pages(int device, const uint8_t* image) {
    for (uint64_t page = 0; page < PAGES; page++) {
        uint64_t secinfo[8] __attribute__((aligned(64))) = {page_flags[page]};
        struct sgx_enclave_add_pages request = {
            .src = (uint64_t)(image + page * PAGE),
            .offset = page * PAGE,
            .length = PAGE,
            .secinfo = (uint64_t)secinfo,
            .flags = SGX_PAGE_MEASURE,
        };
        check(ioctl(device, SGX_IOC_ENCLAVE_ADD_PAGES, &request) == 0, "EADD");
    }
}

// Only now: a mapping may not allow more than the pages do.
static void map_pages(int device, uint8_t* base) {
    for (uint64_t page = 0; page < PAGES; page++) {
        const uint64_t flags = page_flags[page];
        int allowed = flags & SECINFO_TCS ? PROT_READ | PROT_WRITE : 0;
        if (flags & SECINFO_R) allowed |= PROT_READ;
        if (flags & SECINFO_W) allowed |= PROT_WRITE;
        if (flags & SECINFO_X) allowed |= PROT_EXEC;
        const void* const at = mmap(base + page * PAGE, PAGE, allowed, MAP_SHARED | MAP_FIXED,
                                    device, (off_t)(page * PAGE));
        check(at != MAP_FAILED, "mapping a page of the enclave");
    }
}

static uint8_t* load(const uint8_t* image, const void* sigstruct) {
    const int device = open("/dev/sgx_enclave", O_RDWR);
    check(device >= 0, "/dev/sgx_enclave");
    uint8_t* const base = reserve();
    create(device, base);
    add_pages(device, image);
    struct sgx_enclave_init request = {.sigstruct = (uint64_t)sigstruct};
    check(ioctl(device, SGX_IOC_ENCLAVE_INIT, &request) == 0, "EINIT");
    map_pages(device, base);
    return base;
}

static vdso_sgx_enter_enclave_t find_enter(void) {
    void* const vdso = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
    void* const enter = vdso ? dlsym(vdso, "__vdso_sgx_enter_enclave") : NULL;
    check(enter != NULL, "this kernel's vDSO does not enter enclaves");
    return (vdso_sgx_enter_enclave_t)enter;
}

int main(int argc, char** argv) {
    struct request request = {
        .a = argc > 2 ? strtoull(argv[1], NULL, 0) : 2,
        .b = argc > 2 ? strtoull(argv[2], NULL, 0) : 40,
    };
    const uint8_t* const sigstruct = read_file("adder.sigstruct", SIGSTRUCT_SIZE);
    const uint8_t* const image = read_file("adder.image", PAGES * PAGE);
    const uint8_t* const base = load(image, sigstruct);
    const vdso_sgx_enter_enclave_t enter = find_enter();
    for (unsigned call = 1; call <= 3; call++) {
        struct sgx_enclave_run run = {.tcs = (uint64_t)base};
        const int status = enter((unsigned long)&request, 0, 0, EENTER, 0, 0, &run);
        if (status != 0 || run.function != EEXIT) {
            fprintf(stderr, "adder: the enclave met exception %u, error code %u, at %#llx\n",
                    run.exception_vector, run.exception_error_code,
                    (unsigned long long)run.exception_addr);
            return 1;
        }
        printf("call %llu of the enclave: %llu + %llu = %llu\n", (unsigned long long)request.calls,
               (unsigned long long)request.a, (unsigned long long)request.b,
               (unsigned long long)request.sum);
    }
    uint64_t reported;
    memcpy(&reported, request.report + REPORT_DATA, sizeof reported);
    const int measured =
        memcmp(request.report + REPORT_MRENCLAVE, sigstruct + SIGSTRUCT_HASH, 32) == 0;
    printf("its report says %llu, and its MRENCLAVE is %s\n", (unsigned long long)reported,
           measured ? "the one that was signed" : "another than was signed");
    // The enclave's memory is nobody's business: outside it reads as all ones.
    printf("its data, read from outside: %02x%02x%02x%02x\n", base[3 * PAGE], base[3 * PAGE + 1],
           base[3 * PAGE + 2], base[3 * PAGE + 3]);
    return measured && reported == request.sum ? 0 : 1;
}

// SPDX-License-Identifier: Apache-2.0
// The two ways into an enclave: the kernel's vDSO, and an ENCLU of our own whose exceptions are
// signals.
#include <elf.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#include <initializer_list>

#include "guests/sgx/enclave.h"

extern "C" int enter_by_vdso(void* vdso, void* call, sgx_enclave_run* run);
extern "C" void enter_by_hand(sgx::u64 tcs, void* call);

namespace sgx {
namespace {

constexpr u64 leaf_eexit = 4;

/// The vDSO lies in memory as in its file; its first loaded address is 0.
struct Vdso {
    const u8* base;

    [[nodiscard]] const Elf64_Dyn* dynamic() const {
        const auto* const header = reinterpret_cast<const Elf64_Ehdr*>(base);
        const auto* segment = reinterpret_cast<const Elf64_Phdr*>(base + header->e_phoff);
        for (u32 i = 0; i < header->e_phnum; ++i, ++segment)
            if (segment->p_type == PT_DYNAMIC)
                return reinterpret_cast<const Elf64_Dyn*>(base + segment->p_offset);
        return nullptr;
    }

    template <class T>
    [[nodiscard]] const T* table(Elf64_Sxword tag) const {
        for (const Elf64_Dyn* entry = dynamic(); entry != nullptr && entry->d_tag != DT_NULL;
             ++entry)
            if (entry->d_tag == tag) return reinterpret_cast<const T*>(base + entry->d_un.d_ptr);
        return nullptr;
    }

    [[nodiscard]] void* function(const char* name) const {
        const auto* const symbols = table<Elf64_Sym>(DT_SYMTAB);
        const auto* const names = table<char>(DT_STRTAB);
        const auto* const hash = table<Elf64_Word>(DT_HASH);
        if (symbols == nullptr || names == nullptr || hash == nullptr) return nullptr;
        const u32 count = hash[1];  // of chains, which is that of symbols
        for (u32 i = 0; i < count; ++i)
            if (strcmp(names + symbols[i].st_name, name) == 0)
                return const_cast<u8*>(base + symbols[i].st_value);
        return nullptr;
    }
};

void* find_vdso() {
    const auto* const base = reinterpret_cast<const u8*>(getauxval(AT_SYSINFO_EHDR));
    return base == nullptr ? nullptr : Vdso{base}.function("__vdso_sgx_enter_enclave");
}

sigjmp_buf before_signal;
Outcome by_signal;

void on_signal(int number, siginfo_t* info, void*) {
    by_signal = {.kind = Outcome::Kind::signal,
                 .number = static_cast<u64>(number),
                 .code = static_cast<u64>(info->si_code),
                 .address = reinterpret_cast<u64>(info->si_addr)};
    siglongjmp(before_signal, 1);
}

void catch_signals() {
    struct sigaction action{};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO;
    for (const int number : {SIGBUS, SIGSEGV, SIGILL, SIGTRAP}) sigaction(number, &action, nullptr);
}

}  // namespace

Outcome Enclave::ask(Call& call) const {
    static void* const vdso = find_vdso();
    if (vdso == nullptr) return {.kind = Outcome::Kind::wrong};
    sgx_enclave_run run{};
    run.tcs = tcs();
    const int status = enter_by_vdso(vdso, &call, &run);
    if (status != 0) return {.kind = Outcome::Kind::wrong, .number = static_cast<u64>(-status)};
    if (run.function == leaf_eexit) return {};
    return {.kind = Outcome::Kind::exception,
            .number = run.exception_vector,
            .code = run.exception_error_code,
            .leaf = run.function,
            .address = run.exception_addr};
}

Outcome Enclave::ask_by_hand(Call& call) const {
    catch_signals();
    if (sigsetjmp(before_signal, 1) != 0) return by_signal;
    enter_by_hand(tcs(), &call);
    return {};
}

void Outcome::print(const char* step) const {
    switch (kind) {
        case Kind::ok: printf("%s: ok\n", step); return;
        case Kind::refused:
            printf("%s: %s", step, strerrorname_np(static_cast<int>(number)));
            if (result != 0) printf(", result %lu", result);
            printf(", %lu bytes done\n", count);
            return;
        case Kind::exception:
            printf("%s: exception %lu, error code 0x%lx, leaf %lu\n", step, number, code, leaf);
            return;
        case Kind::signal:
            printf("%s: SIG%s, code %lu\n", step, sigabbrev_np(static_cast<int>(number)), code);
            return;
        case Kind::answer: printf("%s: RAX %lu\n", step, number); return;
        case Kind::wrong: printf("%s: WRONG %lu\n", step, number); return;
    }
}

}  // namespace sgx

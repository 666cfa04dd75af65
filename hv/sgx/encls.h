// SPDX-License-Identifier: Apache-2.0
// ECREATE and EINIT of a guest's kernel, carried out for it. Every operand is read from the guest
// once, into pages of the hypervisor's; what is judged is what the processor then sees. SDM 3D,
// "ECREATE", "EINIT", Operation.
#pragma once

#include "arch/exception.h"
#include "arch/sgx/leaf.h"
#include "base/address.h"
#include "base/result.h"
#include "hv/exit/capture.h"
#include "hv/memory/guest_walk.h"
#include "hv/sgx/operand.h"
#include "hv/sgx/policy.h"

namespace postern::hv {

class Vcpu;

/// What the guest gets of it.
struct EnclsEnd {
    enum class Kind : u8 {
        done,     // and the leaf leaves RAX and RFLAGS alone
        status,   // done, with the leaf's RAX and its status flags
        fault,    // vector; of a #PF its error code and its address
        again,    // a table of the guest's changed while it was read: nothing was done
        refused,  // L1's EPT refuses an operand of L2: second_level, address
        broken,   // the processor faulted on a page of ours: not the guest's fault
    };
    Kind kind = Kind::done;
    Vector vector{};
    u32 error_code = 0;
    SecondLevelFault second_level{};
    Gva address{};  // NOLINT(readability-redundant-member-init): g++ would warn
    u64 rax = 0;
    u64 status_flags = 0;
};

class EnclsTrap {
public:
    /// The exit is one of ENCLS at CPL 0, outside enclaves.
    EnclsTrap(Vcpu& vcpu, const Capture& exit);

    [[nodiscard]] EnclsEnd run(EnclsLeaf leaf);

private:
    /// Where the guest has what the leaf sees in one of our windows.
    struct Origin {
        Gva guest;
        u16 window = 0;
        u16 offset = 0;  // in the window
        u16 size = 0;    // 0: unused
    };

    [[nodiscard]] Result<> ecreate();
    [[nodiscard]] Result<> einit();

    [[nodiscard]] Result<Gva> operand(u64 effective, u64 size, u64 alignment);
    [[nodiscard]] Result<Gpa> translate(Gva at, GuestAccess access);
    /// `at` does not cross a page.
    [[nodiscard]] Result<> copy_in(Gva at, u8* to, u64 size);
    [[nodiscard]] Result<Hpa> epc_page(Gva at);
    [[nodiscard]] Result<> judge(const u8* secs);
    void write_launch_key();
    void tell_who_it_is();

    void remember(unsigned number, u16 window, u16 offset, u16 size, Gva guest);
    [[nodiscard]] Result<> execute(EnclsLeaf leaf, Hpa epc);
    [[nodiscard]] Failed faulted(const EnclsResult& result);
    [[nodiscard]] bool find_origin(u64 host, Gva& guest) const;

    [[nodiscard]] Failed refuse(const SgxVerdict& verdict);
    [[nodiscard]] Failed page_fault(Gva at, u32 error_code);
    [[nodiscard]] Failed run_again();
    [[nodiscard]] Failed refused(const SecondLevelFault& fault, Gva at);
    [[nodiscard]] u8* page(unsigned window);

    Vcpu& vcpu_;
    EnclsLeaf leaf_{};
    bool alignment_override_;
    OperandRules operand_rules_;
    PagingRegisters paging_;
    std::array<Origin, 4> origins_{};
    EnclsOperands operands_;
    u64 secs_ = 0;
    u64 rip_;
    EnclsEnd end_;
};

}  // namespace postern::hv

// SPDX-License-Identifier: Apache-2.0
// The whole of enclave access control as a table: who accesses what linear address, where the page
// tables lead it, what the EPCM says of the page, and what comes of a read, a write and a fetch.
// Rows with two things wrong say which one is told. SDM 3D, "Enclave Access Control and Data
// Structures".
#include <gtest/gtest.h>

#include <string>

#include "cpu/event/event.h"
#include "cpu/mmu/access.h"
#include "unit/cpu/sgx/attack_machine.h"

namespace postern::cpu::sgx::attack {
namespace {

enum class Who : u8 { kernel, user, enclave };

/// What an access comes to.
enum class Result_ : u8 {
    own,       // the enclave's own memory
    ordinary,  // RAM or a device
    abort,     // all ones; writes are dropped, a fetch sees FFH
    gp,        // #GP(0)
    pf,        // #PF of paging: P only where the page is present
    sgx_pf,    // #PF with P and SGX, without RSVD and PK
    absent_pf  // #PF, not present
};
using enum Who;
using enum Result_;

struct Row {
    const char* name;
    Who who;
    u64 linear;
    u64 physical;  // where the page tables lead
    void (*change)(AttackMachine&);
    Result_ read, write, fetch;
};

void nothing(AttackMachine&) {}
EpcmEntry& both(AttackMachine& m) { return m.entry_of(both_page); }
void paging(AttackMachine& m, u64 flags) { m.entry(both_at, 1) = physical_of(both_page) | flags; }

constexpr u64 own_data = physical_of(data_page), own_both = physical_of(both_page),
              ram_page = guest_at::data + 0x8000, hole = 0x8000'0000, far_out = 0x7000'0000;

const Row rows[] = {
    // Inside, within ELRANGE, the page in order.
    {"OwnPage", enclave, both_at, own_both, nothing, own, own, own},
    {"OwnDataPage", enclave, data_at, own_data, nothing, own, own, sgx_pf},
    {"OwnCodePage", enclave, code_at, physical_of(code_page), nothing, own, sgx_pf, own},
    // The EPCM's conditions, each violated alone.
    {"NotValid", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).valid = false; }, sgx_pf, sgx_pf, sgx_pf},
    {"Blocked", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).blocked = true; }, sgx_pf, sgx_pf, sgx_pf},
    {"Pending", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).pending = true; }, sgx_pf, sgx_pf, sgx_pf},
    {"Modified", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).modified = true; }, sgx_pf, sgx_pf, sgx_pf},
    {"TypeTrim", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).page_type = PageType::trim; }, sgx_pf, sgx_pf, sgx_pf},
    {"TypeTcs", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).page_type = PageType::tcs; }, sgx_pf, sgx_pf, sgx_pf},
    {"TypeSsFirst", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).page_type = PageType::ss_first; }, sgx_pf, sgx_pf, sgx_pf},
    {"TypeSsRest", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).page_type = PageType::ss_rest; }, sgx_pf, sgx_pf, sgx_pf},
    {"SecsOfAnother", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).enclave_secs = other_secs_page; }, sgx_pf, sgx_pf, sgx_pf},
    {"AddressOfAnother", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).enclave_address += page_size; }, sgx_pf, sgx_pf, sgx_pf},
    {"PermissionRestrictedIsNoHindrance", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).pr = true; }, own, own, own},
    {"NoRead", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).r = both(m).w = false; }, sgx_pf, sgx_pf, own},
    {"NoWrite", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).w = false; }, own, sgx_pf, own},
    {"NoExecute", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).x = false; }, own, own, sgx_pf},
    {"NoRights", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).r = both(m).w = both(m).x = false; }, sgx_pf, sgx_pf, sgx_pf},
    // Inside, within ELRANGE, the page tables lie.
    {"ToItsOtherPage", enclave, both_at, own_data, nothing, sgx_pf, sgx_pf, sgx_pf},
    {"ToItsOtherPageOfLowerAddress", enclave, data_at, own_both, nothing, sgx_pf, sgx_pf, sgx_pf},
    {"ToItsOwnSecs", enclave, both_at, physical_of(secs_page), nothing, sgx_pf, sgx_pf, sgx_pf},
    {"ToItsOwnTcs", enclave, tcs_at, physical_of(tcs_page), nothing, sgx_pf, sgx_pf, sgx_pf},
    {"ToItsTcsByAnotherAddress", enclave, both_at, physical_of(tcs_page),
     nothing, sgx_pf, sgx_pf, sgx_pf},
    {"ToAnotherEnclavesPage", enclave, both_at, physical_of(other_data_page),
     nothing, sgx_pf, sgx_pf, sgx_pf},
    {"ToAnotherEnclavesPageAtThisAddress", enclave, both_at, physical_of(other_data_page),
     [](AttackMachine& m) { m.entry_of(other_data_page).enclave_address = both_at; },
     sgx_pf, sgx_pf, sgx_pf},
    {"ToAnotherEnclavesSecs", enclave, both_at, physical_of(other_secs_page),
     nothing, sgx_pf, sgx_pf, sgx_pf},
    {"ToAVersionArray", enclave, both_at, physical_of(va_page),
     [](AttackMachine& m) {
         m.entry_of(va_page).valid = true;
         m.entry_of(va_page).page_type = PageType::va;
     },
     sgx_pf, sgx_pf, sgx_pf},
    {"ToAFreePage", enclave, both_at, physical_of(free_page), nothing, sgx_pf, sgx_pf, sgx_pf},
    {"ToRam", enclave, both_at, ram_page, nothing, sgx_pf, sgx_pf, sgx_pf},
    {"ToADevice", enclave, both_at, device, nothing, sgx_pf, sgx_pf, sgx_pf},
    {"ToNowhere", enclave, both_at, hole, nothing, sgx_pf, sgx_pf, sgx_pf},
    {"ToRamWhereNothingWasAdded", enclave, unused_at, ram_page, nothing, sgx_pf, sgx_pf, sgx_pf},
    {"FirstByteOfElrange", enclave, range, ram_page, nothing, sgx_pf, sgx_pf, sgx_pf},
    {"LastPageOfElrange", enclave, range + range_size - page_size, ram_page,
     nothing, sgx_pf, sgx_pf, sgx_pf},
    // Inside, beyond ELRANGE. Fetches are refused whatever is there.
    {"BeyondToRam", enclave, far_out, ram_page, nothing, ordinary, ordinary, gp},
    {"BeyondToADevice", enclave, far_out, device, nothing, ordinary, ordinary, gp},
    {"BeyondToItsOwnPage", enclave, far_out, own_both, nothing, abort, abort, gp},
    {"BeyondToAnotherEnclavesPage", enclave, far_out, physical_of(other_data_page),
     nothing, abort, abort, gp},
    {"BeyondToAnotherEnclaveByItsAddress", enclave, other_range, physical_of(other_data_page),
     nothing, abort, abort, gp},
    {"BeyondToItsSecs", enclave, far_out, physical_of(secs_page), nothing, abort, abort, gp},
    {"BeyondToAFreePage", enclave, far_out, physical_of(free_page), nothing, abort, abort, gp},
    {"JustBeforeElrange", enclave, range - page_size, ram_page, nothing, ordinary, ordinary, gp},
    {"JustBehindElrange", enclave, range + range_size, ram_page, nothing, ordinary, ordinary, gp},
    {"JustBehindElrangeToTheEpc", enclave, range + range_size, own_both,
     [](AttackMachine& m) { both(m).enclave_address = range + range_size; }, abort, abort, gp},
    // Outside: no address and no state of the EPCM makes a difference.
    {"UserByElrange", user, both_at, own_both, nothing, abort, abort, abort},
    {"KernelByElrange", kernel, both_at, own_both, nothing, abort, abort, abort},
    {"UserByTheWindow", user, window_of(both_page), own_both, nothing, abort, abort, abort},
    {"KernelByTheWindow", kernel, window_of(both_page), own_both, nothing, abort, abort, abort},
    {"KernelToBlocked", kernel, both_at, own_both,
     [](AttackMachine& m) { both(m).blocked = true; }, abort, abort, abort},
    {"KernelToPending", kernel, both_at, own_both,
     [](AttackMachine& m) { both(m).pending = true; }, abort, abort, abort},
    {"KernelToNotValid", kernel, both_at, own_both,
     [](AttackMachine& m) { both(m).valid = false; }, abort, abort, abort},
    {"KernelToASecs", kernel, window_of(secs_page), physical_of(secs_page),
     nothing, abort, abort, abort},
    {"KernelToATcs", kernel, tcs_at, physical_of(tcs_page), nothing, abort, abort, abort},
    {"KernelToAFreePage", kernel, window_of(free_page), physical_of(free_page),
     nothing, abort, abort, abort},
    {"UserByElrangeToRam", user, both_at, ram_page, nothing, ordinary, ordinary, ordinary},
    {"KernelByElrangeToRam", kernel, both_at, ram_page, nothing, ordinary, ordinary, ordinary},
    // What comes first. Paging before the EPCM, the fetch's #GP before paging.
    {"NotPresentBeforeTheEpcm", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).blocked = true; paging(m, 0); },
     absent_pf, absent_pf, absent_pf},
    {"ReadOnlyBeforeTheEpcm", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).blocked = true; paging(m, pte_present | pte_user); },
     sgx_pf, pf, sgx_pf},
    {"SupervisorPageBeforeTheEpcm", enclave, both_at, own_both,
     [](AttackMachine& m) { both(m).valid = false; paging(m, pte_present | pte_write); },
     pf, pf, pf},
    {"NoExecuteBeforeTheEpcm", enclave, both_at, own_both,
     [](AttackMachine& m) {
         both(m).x = false;
         paging(m, pte_present | pte_write | pte_user | pte_no_execute);
     },
     own, own, pf},
    {"FetchBeyondBeforePaging", enclave, 0x7100'0000, 0, nothing, absent_pf, absent_pf, gp},
    {"PagingRestrictsOutsideToo", user, both_at, own_both,
     [](AttackMachine& m) { paging(m, pte_present | pte_user | pte_no_execute); }, abort, pf, pf},
};

struct Case {
    Row row;
    Access access;
};

std::vector<Case> all_cases() {
    std::vector<Case> cases;
    for (const Row& row : rows)
        for (const Access access : {Access::read, Access::write, Access::execute})
            cases.push_back({row, access});
    return cases;
}

class AccessMatrix : public testing::TestWithParam<Case> {
protected:
    void SetUp() override {
        const Row& row = GetParam().row;
        if (row.who == enclave) m.go_inside();
        if (row.who != enclave) m.set_cpl(row.who == kernel ? 0 : 3);
        if (row.physical != 0)
            m.map(row.linear, row.physical, pte_present | pte_write | pte_user);
        else
            flush_translations(m.c);
        row.change(m);
        m.c.pending = {};
    }

    Result_ wanted() const {
        const Case& test = GetParam();
        if (test.access == Access::read) return test.row.read;
        return test.access == Access::write ? test.row.write : test.row.fetch;
    }

    /// P, W/R, U/S, I/D, SGX.
    u32 error_code() const {
        const u32 kind = (GetParam().access == Access::write ? 2u : 0u) |
                         (GetParam().access == Access::execute ? 16u : 0u) |
                         (GetParam().row.who == kernel ? 0u : 4u);
        switch (wanted()) {
            case absent_pf: return kind;
            case pf: return kind | 1u;
            default: return kind | 0x8001u;
        }
    }

    void expect_fault(bool faulted) const {
        ASSERT_TRUE(faulted);
        ASSERT_EQ(m.c.pending.kind, PendingKind::exception);
        if (wanted() == gp) {
            EXPECT_EQ(m.c.pending.vector, Vector::general_protection);
            EXPECT_EQ(m.c.pending.error_code, 0u);
            return;
        }
        EXPECT_EQ(m.c.pending.vector, Vector::page_fault);
        EXPECT_EQ(m.c.pending.error_code, error_code());
        EXPECT_EQ(m.c.pending.address, GetParam().row.linear + offset);
    }

    static constexpr u64 offset = 0x230;
    AttackMachine m;
};

TEST_P(AccessMatrix, ComesOutAsTheManualSays) {
    const Row& row = GetParam().row;
    const Gva at{row.linear + offset};
    const Bytes epc_before = m.epc_bytes();
    const bool faults =
        wanted() == gp || wanted() == pf || wanted() == sgx_pf || wanted() == absent_pf;
    const bool is_ram = row.physical == ram_page;
    m.at<u64>(ram_page + offset) = 0x0123'4567'89ab'cdef;

    if (GetParam().access == Access::read) {
        const Result<u64> value = load(m.c, at, 8);
        if (faults) return expect_fault(!value.ok());
        ASSERT_TRUE(value.ok());
        // A device that is not there answers with ones as well.
        u64 there = is_ram ? 0x0123'4567'89ab'cdef : ones;
        if (wanted() == own) there = m.epc.at<u64>(row.physical - epc_physical + offset);
        EXPECT_EQ(value.value(), there);
        return;
    }
    if (GetParam().access == Access::write) {
        const Result<> done = store(m.c, at, 8, 0x1111'2222'3333'4444);
        if (faults)
            expect_fault(!done.ok());
        else
            ASSERT_TRUE(done.ok());
        EXPECT_EQ(m.at<u64>(ram_page + offset),
                  is_ram && wanted() == ordinary ? 0x1111'2222'3333'4444u : 0x0123'4567'89ab'cdefu);
        if (wanted() != own) {
            EXPECT_EQ(m.epc_bytes(), epc_before);
            return;
        }
        EXPECT_EQ(m.epc.at<u64>(row.physical - epc_physical + offset), 0x1111'2222'3333'4444u);
        return;
    }
    const Result<const u8*> code = code_pointer(m.c, at);
    if (faults) return expect_fault(!code.ok());
    if (!code.ok()) GTEST_FAIL() << m.c.pending.what;
    EXPECT_EQ(*code.value(), wanted() == ordinary ? m.at<u8>(ram_page + offset)
                             : wanted() == own ? m.epc.bytes[row.physical - epc_physical + offset]
                                               : 0xff);
}

std::string name_of_case(const testing::TestParamInfo<Case>& info) {
    constexpr const char* accesses[] = {"Read", "Write", "Fetch"};
    return std::string{info.param.row.name} + accesses[static_cast<unsigned>(info.param.access)];
}

INSTANTIATE_TEST_SUITE_P(Security, AccessMatrix, testing::ValuesIn(all_cases()), name_of_case);

// Accesses that lie on both sides of ELRANGE's edge are judged part by part.

struct EdgeMachine : AttackMachine {
    static constexpr u64 end = range + range_size;
    EdgeMachine() {
        entry_of(both_page).enclave_address = end - page_size;
        map(end - page_size, physical_of(both_page), pte_present | pte_write | pte_user);
        map(end, ram_page, pte_present | pte_write | pte_user);
        go_inside();
        at<u32>(ram_page) = 0xaabb'ccdd;
    }
};

TEST(AccessMatrixEdge, ADataAccessReadsAndWritesItsPartOfEach) {
    EdgeMachine m;
    EXPECT_EQ(load(m.c, Gva{EdgeMachine::end - 4}, 8).value(), 0xaabb'ccdd'5e5e'5e5eu);
    ASSERT_TRUE(store(m.c, Gva{EdgeMachine::end - 4}, 8, 0x1111'1111'2222'2222).ok());
    EXPECT_EQ(m.at<u32>(ram_page), 0x1111'1111u);
    EXPECT_EQ(m.epc.at<u32>((both_page + 1) * page_size - 4), 0x2222'2222u);
}

TEST(AccessMatrixEdge, ADataAccessWithOnePartRefusedMovesNothing) {
    EdgeMachine m;
    m.entry_of(both_page).w = false;
    EXPECT_FALSE(store(m.c, Gva{EdgeMachine::end - 4}, 8, 0).ok());
    EXPECT_EQ(m.at<u32>(ram_page), 0xaabb'ccddu);
    EXPECT_EQ(m.c.pending.address, EdgeMachine::end - 4);
    EXPECT_EQ(m.c.pending.error_code, 0x8007u);
}

TEST(AccessMatrixEdge, OutOfItsOwnIntoAnotherEnclaveReadsOnesThere) {
    EdgeMachine m;
    m.map(EdgeMachine::end, physical_of(other_data_page), pte_present | pte_write | pte_user);
    EXPECT_EQ(load(m.c, Gva{EdgeMachine::end - 4}, 8).value(), 0xffff'ffff'5e5e'5e5eu);
}

TEST(AccessMatrixEdge, AnInstructionThatRunsOutOfElrangeIsGeneralProtection) {
    EdgeMachine m;
    m.epc.at<u8>((both_page + 1) * page_size - 1) = 0xb8;  // MOV EAX, the immediate in RAM
    m.c.rip = EdgeMachine::end - 1;
    const GuestStop stop = m.go_on(5);
    ASSERT_TRUE(stop.fault.has_value());
    EXPECT_EQ(stop.fault->vector, Vector::general_protection);
    EXPECT_EQ(stop.state.rip, aep);
    EXPECT_EQ(m.epc.at<u64>((ssa_page + 1) * page_size - 184 + 136), EdgeMachine::end - 1);
}

}  // namespace
}  // namespace postern::cpu::sgx::attack

// SPDX-License-Identifier: Apache-2.0
// ENCLS[EWB].
#include <gtest/gtest.h>

#include <string>

#include "cpu/sgx/keys.h"
#include "unit/cpu/sgx/paging_machine.h"

namespace postern::cpu::sgx {
namespace {

/// The machine of the violations: EWB of the data page would succeed.
void make_ready(PagingMachine& m) {
    m.build_with_array();
    ASSERT_EQ(m.eblock(data_page), success);
    ASSERT_EQ(m.etrack(), success);
    m.prepare_ewb();
}

TEST(Ewb, WritesAPageOutWithEverythingThatSoftwareIsTold) {
    PagingMachine m;
    make_ready(m);
    EXPECT_EQ(m.ewb(data_page), success);
    const auto& words = m.at<std::array<u64, 16>>(pcmd_of(0));
    EXPECT_EQ(words[0], 0x203u);  // PT_REG, R, W
    for (unsigned n = 1; n < 8; ++n) EXPECT_EQ(words[n], 0u);
    EXPECT_EQ(words[8], 1u);  // EID
    for (unsigned n = 9; n < 14; ++n) EXPECT_EQ(words[n], 0u);
    EXPECT_NE(words[14] | words[15], 0u);  // MAC
    const auto& info = m.at<std::array<u64, 4>>(pageinfo_at);
    EXPECT_EQ(info, (std::array<u64, 4>{elrange + data_offset, sealed_of(0), pcmd_of(0), 0}));
}

TEST(Ewb, FreesThePageFillsTheSlotAndChangesNothingElse) {
    PagingMachine m;
    make_ready(m);
    const State before{m};
    EXPECT_EQ(m.ewb(data_page), success);
    EXPECT_FALSE(m.entry(data_page).valid);
    EXPECT_EQ(m.children(), 4u);
    EXPECT_EQ(m.slot(0), 1u);
    EXPECT_EQ(m.epc.next_page_version, 2u);
    m.entry(data_page).valid = true;
    m.epc.hidden(secs_page).children = 5;
    m.slot(0) = 0;
    m.epc.next_page_version = 1;
    EXPECT_TRUE(same_epc(State{m}, before));
}

TEST(Ewb, SaysEveryBitOfThePagesState) {
    struct Bit {
        bool EpcmEntry::* member;
        u64 flags;
    };
    for (const Bit bit : {Bit{&EpcmEntry::r, 0x201}, Bit{&EpcmEntry::w, 0x202},
                          Bit{&EpcmEntry::x, 0x204}, Bit{&EpcmEntry::pending, 0x208},
                          Bit{&EpcmEntry::modified, 0x210}, Bit{&EpcmEntry::pr, 0x220}}) {
        PagingMachine m;
        make_ready(m);
        m.entry(data_page).r = m.entry(data_page).w = false;
        m.entry(data_page).*bit.member = true;
        EXPECT_EQ(m.ewb(data_page), success);
        EXPECT_EQ(m.at<u64>(pcmd_of(0)), bit.flags);
    }
}

/// AES-128-GCM over the page, written out by hand: the counter is four zero bytes and the version
/// with its highest byte first; the header is SECINFO, EID, LINADDR and 48 zero bytes.
TEST(Ewb, SealsWithTheVersionAsCounterAndTheHeaderAsAdditionalData) {
    PagingMachine m;
    make_ready(m);
    m.epc.next_page_version = 0x0102'0304'0506'0708;
    const auto plain = m.content(data_page);
    EXPECT_EQ(m.ewb(data_page), success);
    EXPECT_EQ(m.slot(0), 0x0102'0304'0506'0708u);

    const Key key = root_key(m.system, KeyDomain::paging);
    constexpr u8 counter[12] = {0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
    std::array<u64, 16> header{};
    header[0] = 0x203;
    header[8] = 1;                      // EID
    header[9] = elrange + data_offset;  // LINADDR
    std::array<u8, page_size> sealed;
    std::array<u8, 16> mac;
    int size = 0;
    EVP_CIPHER_CTX* const gcm = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(gcm, EVP_aes_128_gcm(), nullptr, key.data(), counter);
    EVP_EncryptUpdate(gcm, nullptr, &size, reinterpret_cast<const u8*>(header.data()), 128);
    EVP_EncryptUpdate(gcm, sealed.data(), &size, plain.data(), page_size);
    EVP_EncryptFinal_ex(gcm, sealed.data() + size, &size);
    EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_AEAD_GET_TAG, 16, mac.data());
    EVP_CIPHER_CTX_free(gcm);
    EXPECT_EQ(m.sealed(), sealed);
    EXPECT_EQ(m.pcmd().mac, mac);
}

TEST(Ewb, MakesSomethingElseOfTheSamePageEachTime) {
    PagingMachine m;
    make_ready(m);
    EXPECT_EQ(m.ewb(data_page, 0), success);
    ASSERT_EQ(m.eldu(data_page, elrange + data_offset), success);
    m.evict(data_page, 1);
    EXPECT_EQ(m.slot(1), 2u);
    EXPECT_NE(m.sealed(0), m.sealed(1));
    EXPECT_NE(m.pcmd(0).mac, m.pcmd(1).mac);
}

TEST(Ewb, OfATcsATrimmedPageAndAVersionArrayNamesTheType) {
    PagingMachine m;
    m.build_with_array();
    m.evict(tcs_page, 0);
    EXPECT_EQ(m.at<u64>(pcmd_of(0)), 0x100u);
    EXPECT_EQ(m.pcmd(0).enclaveid, 1u);
    EXPECT_EQ(m.at<Pageinfo>(pageinfo_at).linaddr, elrange + tcs_offset);
    m.entry(data_page).page_type = PageType::trim;
    m.entry(data_page).r = m.entry(data_page).w = false;
    m.evict(data_page, 1);
    EXPECT_EQ(m.at<u64>(pcmd_of(1)), 0x400u);
    EXPECT_EQ(m.children(), 3u);
    m.add_version_array(8);
    EXPECT_EQ(m.ewb(8, 2), success);
    EXPECT_EQ(m.at<u64>(pcmd_of(2)), 0x300u);
    EXPECT_EQ(m.pcmd(2).enclaveid, 0u);
    EXPECT_EQ(m.at<Pageinfo>(pageinfo_at).linaddr, 0u);
    EXPECT_EQ(m.children(), 3u);
}

TEST(Ewb, OfASecsAsksForItsChildrenAndNotForTracking) {
    PagingMachine m;
    m.build_with_array();
    for (const u64 page : {tcs_page, code_page, ssa_page, ssa_page + 1}) m.evict(page, page);
    const State before{m};
    EXPECT_EQ(m.ewb(secs_page, 0), error(13));
    EXPECT_TRUE(same_epc(State{m}, before));
    m.evict(data_page, data_page);
    EXPECT_EQ(m.ewb(secs_page, 0), success);
    EXPECT_FALSE(m.entry(secs_page).valid);
    EXPECT_EQ(m.at<u64>(pcmd_of(0)), 0u);
    EXPECT_EQ(m.pcmd(0).enclaveid, 1u);
}

TEST(Ewb, IntoASlotInUseCompletesAndSaysSo) {
    PagingMachine m;
    make_ready(m);
    m.slot(0) = 0x77;
    EXPECT_EQ(m.ewb(data_page), information(12));
    EXPECT_FALSE(m.entry(data_page).valid);
    EXPECT_EQ(m.slot(0), 1u);
    EXPECT_EQ(m.eldu(free_page, elrange + data_offset), success);
}

struct Refusal {
    const char* name;
    void (*arrange)(PagingMachine&);
    Outcome outcome;
};

class EwbRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(EwbRefusal, IsReportedAndChangesNothing) {
    PagingMachine m;
    make_ready(m);
    GetParam().arrange(m);
    const State before{m};
    EXPECT_EQ(m.leaf(EnclsLeaf::ewb, pageinfo_at, window_of(data_page), slot_of(0)),
              GetParam().outcome);
    EXPECT_TRUE(same_epc(State{m}, before));
    EXPECT_EQ(m.sealed(), (std::array<u8, page_size>{}));
    EXPECT_EQ(m.at<Pageinfo>(pageinfo_at).linaddr, 0u);
}

constexpr Refusal refusals[] = {
    {"PageNotBlocked", [](PagingMachine& m) { m.entry(data_page).blocked = false; }, error(10)},
    {"NotTracked",
     [](PagingMachine& m) { m.entry(data_page).tracking_epoch = 1; },  // the present one
     error(11)},
    {"SomebodyStillInside",
     [](PagingMachine& m) { m.epc.hidden(secs_page).tracking.inside_previous = 1; }, error(11)},
    {"RequestedConflict", [](PagingMachine& m) { m.epc.conflicts.rate[0xb] = Conflicts::always; },
     error(11)},
    {"NotBlockedBeforeSlotInUse",
     [](PagingMachine& m) { m.entry(data_page).blocked = false, m.slot(0) = 5; }, error(10)},
    {"NotTrackedBeforeMemoryIsWritten",
     [](PagingMachine& m) {
         m.entry(data_page).tracking_epoch = 1;
         m.at<Pageinfo>(pageinfo_at).srcpge = unmapped;
     },
     error(11)},
};

INSTANTIATE_TEST_SUITE_P(Ewb, EwbRefusal, testing::ValuesIn(refusals),
                         [](const auto& test) { return std::string{test.param.name}; });

TEST(Ewb, RequestedConflictAtHalfTheRateLetsTheRetryThrough) {
    PagingMachine m;
    make_ready(m);
    m.epc.conflicts.rate[0xb] = Conflicts::always / 2;
    m.epc.conflicts.asked[0xb] = 1;
    EXPECT_EQ(m.ewb(data_page), error(11));
    EXPECT_EQ(m.ewb(data_page), success);
}

TEST(Ewb, RequestedConflictConcernsNoPageWithoutTracking) {
    PagingMachine m;
    m.build_with_array();
    m.epc.conflicts.rate[0xb] = Conflicts::always;
    m.add_version_array(8);
    EXPECT_EQ(m.ewb(8), success);
}

class EwbViolation : public testing::TestWithParam<Violation> {};

TEST_P(EwbViolation, FaultsAndChangesNothing) {
    PagingMachine m;
    make_ready(m);
    m.c.gpr[rax] = 0xb;
    m.c.gpr[rbx] = pageinfo_at;
    m.c.gpr[rcx] = window_of(data_page);
    m.c.gpr[rdx] = slot_of(0);
    GetParam().arrange(m);
    const State before{m};
    const Pageinfo info = m.at<Pageinfo>(pageinfo_at);
    EXPECT_FALSE(sgx::encls(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), GetParam().fault);
    EXPECT_TRUE(State{m} == before);
    EXPECT_EQ(m.sealed(), (std::array<u8, page_size>{}));
    EXPECT_EQ(m.pcmd().mac, (std::array<u8, 16>{}));
    EXPECT_EQ(m.at<Pageinfo>(pageinfo_at).linaddr, info.linaddr);
}

Pageinfo& info(EnclaveMachine& m) { return m.at<Pageinfo>(pageinfo_at); }

constexpr u32 write_fault = sgx_fault(true, false);
constexpr u64 read_only = window + 0x10'0000;

constexpr Violation violations[] = {
    {"PageinfoNotAlignedTo32",
     [](EnclaveMachine& m) {
         m.at<std::array<u64, 4>>(pageinfo_at + 0x90) = {0, sealed_of(0), pcmd_of(0), 0};
         m.c.gpr[rbx] = pageinfo_at + 0x90;
     },
     gp0},
    {"PageNotAligned", [](EnclaveMachine& m) { m.c.gpr[rcx] += 8; }, gp0},
    {"PageNotMapped", [](EnclaveMachine& m) { m.c.gpr[rcx] = unmapped; }, pf(unmapped, 2)},
    {"PageNotInTheEpc", [](EnclaveMachine& m) { m.c.gpr[rcx] = source_at; },
     pf(source_at, write_fault)},
    {"SlotNotAligned", [](EnclaveMachine& m) { m.c.gpr[rdx] += 4; }, gp0},
    {"SlotNotMapped", [](EnclaveMachine& m) { m.c.gpr[rdx] = unmapped + 8; }, pf(unmapped + 8, 2)},
    {"SlotNotInTheEpc", [](EnclaveMachine& m) { m.c.gpr[rdx] = source_at + 8; },
     pf(source_at + 8, write_fault)},
    {"SlotInThePageItself", [](EnclaveMachine& m) { m.c.gpr[rdx] = window_of(data_page) + 8; },
     gp0},
    {"PageinfoNotMapped", [](EnclaveMachine& m) { m.c.gpr[rbx] = unmapped; }, pf(unmapped, 0)},
    {"LinaddrNotZero", [](EnclaveMachine& m) { info(m).linaddr = page_size; }, gp0},
    {"SecsNotZero", [](EnclaveMachine& m) { info(m).secs = window_of(secs_page); }, gp0},
    {"PcmdNotAlignedTo128", [](EnclaveMachine& m) { info(m).secinfo += 64; }, gp0},
    {"SourceNotAligned", [](EnclaveMachine& m) { info(m).srcpge += 128; }, gp0},
    {"PageNotValid", [](EnclaveMachine& m) { m.entry(data_page).valid = false; },
     pf(window_of(data_page), write_fault)},
    {"ArrayNotValid",
     [](EnclaveMachine& m) {
         m.entry(va_page).valid = false;
         m.c.gpr[rdx] += 16;
     },
     pf(slot_of(2), write_fault)},
    {"ArrayOfAnotherType", [](EnclaveMachine& m) { m.c.gpr[rdx] = window_of(code_page); },
     pf(window_of(code_page), write_fault)},
    {"SourceNotMapped", [](EnclaveMachine& m) { info(m).srcpge = unmapped; }, pf(unmapped, 2)},
    {"PcmdNotMapped", [](EnclaveMachine& m) { info(m).secinfo = unmapped; }, pf(unmapped, 2)},
    {"PageinfoNotWritable",
     [](EnclaveMachine& m) {
         m.map(read_only, pageinfo_at, pte_p | pte_u);
         m.c.gpr[rbx] = read_only;
     },
     pf(read_only, 3)},
};

INSTANTIATE_TEST_SUITE_P(Ewb, EwbViolation, testing::ValuesIn(violations),
                         [](const auto& test) { return std::string{test.param.name}; });

// Outside 64-bit mode.

constexpr u64 ds_base = 0x1'0000;
constexpr u64 above = window + 0x10'0000;  // a second view of what is written out

/// The page goes to `above`, and everything is named by its place in DS.
void use_compatibility_mode(PagingMachine& m, u32 limit) {
    m.map(above, sealed_of(0), pte_p | pte_w | pte_u);
    m.c.segment[cs] = {0x08, 0, 0xc09b, 0xffff'ffff, 0, 0};
    m.c.segment[ds] = {0x18, 0, 0xc093, limit, 0, ds_base};
    flush_translations(m.c);
    constexpr u64 ignored = 0xdead'beef'0000'0000;
    m.at<Pageinfo>(pageinfo_at) = {0, ignored | (above - ds_base), pcmd_of(0) - ds_base, 0};
    m.c.gpr[rax] = 0xb;
    m.c.gpr[rbx] = ignored | (pageinfo_at - ds_base);
    m.c.gpr[rcx] = ignored | (window_of(data_page) - ds_base);
    m.c.gpr[rdx] = ignored | (slot_of(0) - ds_base);
}

constexpr u32 limit_of_page = above - ds_base + 0xfff;

TEST(Ewb, InCompatibilityModeFindsEverythingInDs) {
    PagingMachine m;
    make_ready(m);
    use_compatibility_mode(m, limit_of_page);
    ASSERT_TRUE(sgx::encls(m.c).ok());
    EXPECT_EQ(m.c.gpr[rax], 0u);
    EXPECT_FALSE(m.entry(data_page).valid);
    EXPECT_EQ(m.at<u64>(pcmd_of(0)), 0x203u);
    EXPECT_EQ(m.at<Pageinfo>(pageinfo_at).linaddr, elrange + data_offset);
    EXPECT_EQ(m.eldu(free_page, elrange + data_offset), success);
}

TEST(Ewb, InCompatibilityModeStaysWithinTheLimitOfDs) {
    PagingMachine m;
    make_ready(m);
    use_compatibility_mode(m, limit_of_page - 1);
    const State before{m};
    EXPECT_FALSE(sgx::encls(m.c).ok());
    EXPECT_EQ(pending_fault(m.c), gp0);
    EXPECT_TRUE(same_epc(State{m}, before));
    EXPECT_EQ(m.at<u64>(pcmd_of(0)), 0u);
}

}  // namespace
}  // namespace postern::cpu::sgx

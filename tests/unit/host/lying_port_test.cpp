// SPDX-License-Identifier: Apache-2.0
// The lie is told after exits from an enclave, about one field, and nowhere else.
#include "host/lying_port.h"

#include <gtest/gtest.h>

#include <map>

namespace postern::host {
namespace {

/// Keeps what is written to it.
class Fields final : public hv::Port {
public:
    u64 vmread(VmcsField field) override { return values[field]; }
    void vmwrite(VmcsField field, u64 value) override { values[field] = value; }
    bool vmclear(Hpa) override { return true; }
    bool vmptrld(Hpa) override { return true; }
    hv::EntryOutcome enter(hv::GuestRegisters&, hv::EntryKind) override {
        return hv::EntryOutcome::exited;
    }
    void invept(u64) override {}
    void invvpid(u16) override {}
    hv::EnclsResult encls(EnclsLeaf, const hv::EnclsOperands&) override { return {}; }
    u32 pkru() override { return 0; }
    void reset_extended_state() override {}
    hv::CpuidResult cpuid(u32, u32) override { return {}; }
    u64 rdmsr(u32) override { return 0; }
    bool wrmsr(u32, u64) override { return true; }
    bool xsetbv(u32, u64) override { return true; }
    u64 read_dr(unsigned) override { return 0; }
    void write_dr(unsigned, u64) override {}
    u64 tsc() override { return 77; }
    void set_timer(u64) override {}
    void kick(unsigned) override {}
    u8* page(Hpa) override { return nullptr; }
    hv::DecodedAccess decode(const u8*, size_t, hv::CodeSize) override { return {}; }

    std::map<VmcsField, u64> values;
};

TEST(LyingPort, AfterAnEnclaveExitTheLengthIsFour) {
    Fields honest;
    LyingPort port{honest};
    port.vmwrite(VmcsField::exit_reason, 0x0800'0031);
    EXPECT_EQ(port.vmread(VmcsField::vm_exit_instruction_length), 4u);
    EXPECT_EQ(honest.vmread(VmcsField::vm_exit_instruction_length), 0u);
    EXPECT_EQ(port.vmread(VmcsField::exit_reason), 0x0800'0031u);
    EXPECT_EQ(port.vmread(VmcsField::guest_rip), 0u);
}

TEST(LyingPort, OtherExitsAreReportedAsTheyAre) {
    Fields honest;
    LyingPort port{honest};
    honest.values[VmcsField::vm_exit_instruction_length] = 2;
    port.vmwrite(VmcsField::exit_reason, 0x0000'000a);
    EXPECT_EQ(port.vmread(VmcsField::vm_exit_instruction_length), 2u);
    port.vmwrite(VmcsField::exit_reason, 0x8800'0021);  // an entry that failed
    EXPECT_EQ(port.vmread(VmcsField::vm_exit_instruction_length), 2u);
    EXPECT_EQ(port.tsc(), 77u);
}

}  // namespace
}  // namespace postern::host

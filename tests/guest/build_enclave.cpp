// SPDX-License-Identifier: Apache-2.0
// Builds an enclave on our processor by ECREATE, EADD, EEXTEND and EINIT and says what came of it.
// Everything that goes in is made by others.
//
//   build_enclave PLAN CONTENT SIGSTRUCT SIGNER
//
// PLAN, in hexadecimal numbers: SIZE SSAFRAMESIZE ATTRIBUTES XFRM MISCSELECT, then for each page
// OFFSET SECINFO.FLAGS and 1 if it is to be measured, else 0. CONTENT holds the pages one after
// the other. SIGNER is the digest for IA32_SGXLEPUBKEYHASH.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "arch/msr.h"
#include "arch/sgx/leaf.h"
#include "arch/sgx/pageinfo.h"
#include "arch/sgx/sigstruct.h"
#include "cpu/cpu.h"
#include "cpu/decode/block_cache.h"
#include "cpu/mmu/tlb.h"
#include "cpu/model.h"
#include "cpu/sgx/epc.h"
#include "cpu/sgx/sgx.h"

namespace {

using namespace postern;
using namespace postern::cpu;

constexpr u64 large_page = 2 << 20;  // RAM and EPC are one each
constexpr u64 epc_at = 0x1'4000'0000;
constexpr u64 secs_at = epc_at;

// In RAM.
constexpr u64 pml4_at = 0x1000, pdpt_at = 0x2000, ram_table_at = 0x3000, epc_table_at = 0x4000;
constexpr u64 pageinfo_at = 0x1'0000, secinfo_at = 0x1'0040, source_at = 0x1'1000,
              sigstruct_at = 0x1'2000, token_at = 0x1'3000;

[[noreturn]] void fail(const std::string& what) {
    std::fprintf(stderr, "build_enclave: %s\n", what.c_str());
    std::exit(2);
}

struct LargePage {
    alignas(large_page) std::array<u8, large_page> bytes{};
};

/// A processor at privilege level 0, with an identity map of 2 MiB of RAM and as much EPC.
class Machine {
public:
    Machine();

    template <class T>
    T& at(u64 address) {
        return *reinterpret_cast<T*>(ram_->bytes.data() + address);
    }
    void set_launch_signer(const std::vector<u8>& digest) {
        std::memcpy(cpu_->msr.sgx_le_pubkey_hash.data(), digest.data(), digest.size());
    }
    /// RAX.
    u64 encls(EnclsLeaf leaf, u64 rbx_value, u64 rcx_value, u64 rdx_value = 0);
    [[nodiscard]] const Secs& secs() const { return epc_.secs(0); }

private:
    std::unique_ptr<LargePage> ram_ = std::make_unique<LargePage>();
    std::unique_ptr<LargePage> epc_memory_ = std::make_unique<LargePage>();
    std::unique_ptr<BlockCache> blocks_ = std::make_unique<BlockCache>();
    std::unique_ptr<Cpu> cpu_ = std::make_unique<Cpu>();
    Epc epc_{epc_at, epc_memory_->bytes.data(), large_page};
    System system_;
    Model model_ = default_model();
};

Machine::Machine() {
    constexpr u64 present_writable = 3, large = 0x80;
    at<u64>(pml4_at) = pdpt_at | present_writable;
    at<u64>(pdpt_at) = ram_table_at | present_writable;
    at<u64>(pdpt_at + 8 * (epc_at >> 30)) = epc_table_at | present_writable;
    at<u64>(ram_table_at) = present_writable | large;
    at<u64>(epc_table_at) = epc_at | present_writable | large;
    system_.memory = {ram_->bytes.data(), large_page, 0, epc_at, large_page};
    system_.epc = &epc_;
    system_.model = &model_;
    Cpu& c = *cpu_;
    c.system = &system_;
    c.blocks = blocks_.get();
    reset_tlbs(c);
    c.cr0 = {Cr0::pe, Cr0::mp, Cr0::et, Cr0::ne, Cr0::wp, Cr0::pg};
    c.cr4 = {Cr4::pae, Cr4::osfxsr};
    c.efer = {Efer::lme, Efer::lma, Efer::nxe};
    c.cr3 = pml4_at;
    c.vmx.current = no_vmcs;
    c.vmx.preemption_deadline = ~u64{0};
    c.segment[cs] = {0x10, 0, 0xa09b, 0xffff'ffff, 0, 0};
    c.segment[ss] = c.segment[ds] = {0x18, 0, 0xc093, 0xffff'ffff, 0, 0};
    c.msr.feature_control =
        FeatureControlWord{FeatureControl::lock, FeatureControl::sgx_lc, FeatureControl::sgx_enable}
            .to_raw();
    flush_translations(c);
}

u64 Machine::encls(EnclsLeaf leaf, u64 rbx_value, u64 rcx_value, u64 rdx_value) {
    cpu_->gpr[rax] = static_cast<u64>(leaf);
    cpu_->gpr[rbx] = rbx_value;
    cpu_->gpr[rcx] = rcx_value;
    cpu_->gpr[rdx] = rdx_value;
    if (!sgx::encls(*cpu_).ok()) fail(std::string{name_of(leaf)} + " faults");
    return cpu_->gpr[rax];
}

std::vector<u8> read_file(const char* name) {
    std::ifstream file{name, std::ios::binary};
    if (!file) fail(std::string{name} + ": cannot be read");
    return {std::istreambuf_iterator<char>{file}, {}};
}

u64 next_number(std::istream& plan) {
    u64 number = 0;
    if (!(plan >> std::hex >> number)) fail("the plan ends too early");
    return number;
}

void create(Machine& machine, std::istream& plan) {
    Secs& secs = machine.at<Secs>(source_at);
    secs = {};
    secs.size = next_number(plan);
    secs.baseaddr = secs.size;
    secs.ssaframesize = static_cast<u32>(next_number(plan));
    secs.attributes.flags = SgxAttributeFlags::from_raw(next_number(plan));
    secs.attributes.xfrm = Xcr0Word::from_raw(next_number(plan));
    secs.miscselect = SgxMiscselectWord::from_raw(static_cast<u32>(next_number(plan)));
    machine.at<Pageinfo>(pageinfo_at) = {0, source_at, secinfo_at, 0};
    machine.at<Secinfo>(secinfo_at) = {};
    machine.encls(EnclsLeaf::ecreate, pageinfo_at, secs_at);
}

void add(Machine& machine, u64 page, std::istream& plan, const u8* content) {
    const u64 linear = machine.secs().baseaddr + next_number(plan);
    machine.at<Secinfo>(secinfo_at) = {};
    machine.at<Secinfo>(secinfo_at).flags = SecinfoFlags::from_raw(next_number(plan));
    machine.at<Pageinfo>(pageinfo_at) = {linear, source_at, secinfo_at, secs_at};
    std::memcpy(&machine.at<u8>(source_at), content, page_size);
    machine.encls(EnclsLeaf::eadd, pageinfo_at, page);
    if (next_number(plan) == 0) return;
    for (u64 chunk = 0; chunk < page_size; chunk += 256)
        machine.encls(EnclsLeaf::eextend, secs_at, page + chunk);
}

void print(const char* name, const std::array<u8, 32>& digest) {
    std::printf("%s ", name);
    for (const u8 byte : digest) std::printf("%02x", byte);
    std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) fail("usage: build_enclave PLAN CONTENT SIGSTRUCT SIGNER");
    std::ifstream plan{argv[1]};
    const std::vector<u8> content = read_file(argv[2]), sigstruct = read_file(argv[3]),
                          signer = read_file(argv[4]);
    if (sigstruct.size() != sizeof(Sigstruct) || signer.size() != 32) fail("a file's size");
    Machine machine;
    create(machine, plan);
    for (u64 at = 0; at + page_size <= content.size(); at += page_size)
        add(machine, secs_at + page_size + at, plan, content.data() + at);
    machine.set_launch_signer(signer);
    std::memcpy(&machine.at<u8>(sigstruct_at), sigstruct.data(), sigstruct.size());
    std::printf("einit %llu\n", static_cast<unsigned long long>(machine.encls(
                                    EnclsLeaf::einit, sigstruct_at, secs_at, token_at)));
    print("mrenclave", machine.secs().mrenclave);
    print("mrsigner", machine.secs().mrsigner);
    return 0;
}

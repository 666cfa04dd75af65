// SPDX-License-Identifier: Apache-2.0
// The VMX instructions of an L1: each with each of its failures, operands in registers and memory,
// 64-bit and 32-bit code, the faults of their operands, and what VMX operation changes for L1.
#include <cstring>
#include <string_view>

#include "arch/vmx/instruction_information.h"
#include "hv/exit/table.h"
#include "tests/support/fake_port.h"

namespace postern::hv::test {
namespace {

using Reason = BasicReason;
using Error = VmInstructionError;
using host::fake::guest_ram_size;

constexpr u64 vmxon_region = 0x10'0000, region_a = 0x10'1000, region_b = 0x10'2000;
constexpr u64 outside_ram = 0x2000'0000;
/// Where operands are, and a page that is not mapped.
constexpr u64 operand_at = 0x8000, unmapped = 0x7f00'0000'0000;
constexpr u64 not_canonical = 0x8000'0000'0000'0000;
constexpr u64 carry = 0x01, zero = 0x40;
constexpr u64 vmxe = 0x2000;

constexpr MemoryOperandParts plain_operand(AddressSize size = AddressSize::bits64,
                                           SegmentIndex segment = ds) {
    return {size, segment, 0, false, {}, false, {}};
}
const u32 in_memory = MemoryOperandInformation::of_memory(plain_operand()).to_raw();
u32 memory_and(Gpr second) {
    return MemoryOperandInformation::from_raw(in_memory).with_register2(second).to_raw();
}
u32 registers(Gpr operand, Gpr encoding) {
    return MemoryOperandInformation::of_register(operand).with_register2(encoding).to_raw();
}

/// How an instruction ended.
struct End {
    enum class Kind : u8 { succeeded, fail_invalid, fail_valid, faulted, stopped, other };
    Kind kind = Kind::other;
    Error error = Error::none;
    Vector vector{};
    u32 error_code = 0;

    friend bool operator==(const End&, const End&) = default;
    friend std::ostream& operator<<(std::ostream& out, const End& end) {
        return out << "kind " << unsigned(end.kind) << ", error " << unsigned(end.error)
                   << ", vector " << unsigned(end.vector) << ", code " << end.error_code;
    }
};
constexpr End succeeded{.kind = End::Kind::succeeded};
constexpr End fail_invalid{.kind = End::Kind::fail_invalid};
constexpr End fail_valid(Error error) { return {.kind = End::Kind::fail_valid, .error = error}; }
constexpr End fault(Vector vector, u32 code = 0) {
    return {.kind = End::Kind::faulted, .vector = vector, .error_code = code};
}
constexpr End undefined = fault(Vector::invalid_opcode);
constexpr End protection = fault(Vector::general_protection);

Config nested_config() {
    Config config = default_config();
    config.nested = true;
    return config;
}

struct L1 : Machine {
    explicit L1(const Config& config = nested_config()) : Machine{config} {
        for (const u64 region : {vmxon_region, region_a, region_b})
            write64(region, vmcs12_revision);
    }
    u64& field(VmcsField which) { return processor.at(which); }
    u64& gpr(Gpr which) { return vcpu.registers().gpr[which]; }
    u64 read64(u64 gpa) {
        u64 value = 0;
        std::memcpy(&value, processor.ram.data() + guest_ram_host + gpa, sizeof value);
        return value;
    }
    [[nodiscard]] const Nested& nested() const { return vcpu.nested(); }

    /// All status flags are set before.
    End run(Reason reason, ExitInfo info = {}) {
        info.length = 4;
        info.rflags = info.rflags.value_or(0) | 0x8d7;
        const Next next = normal_exit(reason, info);
        if (next == Next::stop) return {.kind = End::Kind::stopped};
        if (field(VmcsField::guest_rip) == kernel_rip) return faulted();
        EXPECT_EQ(field(VmcsField::guest_rip), kernel_rip + 4);
        switch (field(VmcsField::guest_rflags) & 0x8d5) {
            case 0: return succeeded;
            case carry: return fail_invalid;
            case zero:
                return fail_valid(
                    static_cast<Error>(nested().vmcs12().get<VmcsField::vm_instruction_error>()));
            default: return {};
        }
    }
    End faulted() {
        EXPECT_NE(field(VmcsField::guest_rflags) & 0x1'0000, 0u) << "RF";
        const Injected event = injected();
        EXPECT_TRUE(event.has_value());
        return fault(static_cast<Vector>(event.information.vector()),
                     event.information.error_code_valid() ? event.error_code : 0);
    }
    /// The operand is a pointer at operand_at.
    End with_pointer(Reason reason, u64 pointer) {
        write64(operand_at, pointer);
        return run(reason, {.qualification = operand_at, .instruction_information = in_memory});
    }
    bool move_to(unsigned number, u64 value) {
        normal_exit(
            Reason::control_register_access,
            {.qualification = CrAccess::mov_to(number, rax).to_raw(), .length = 3, .rax = value});
        if (field(VmcsField::guest_rip) != kernel_rip) return true;
        expect_exception(injected(), Vector::general_protection);
        return false;
    }
    void turn_on() { EXPECT_TRUE(move_to(4, 0x20 | vmxe)); }
    void enter_root() {
        turn_on();
        EXPECT_EQ(with_pointer(Reason::vmxon, vmxon_region), succeeded);
    }
    void make_current(u64 region = region_a) {
        EXPECT_EQ(with_pointer(Reason::vmptrld, region), succeeded);
    }
    /// By register operands.
    End vmwrite(u64 encoding, u64 value) {
        gpr(rdx) = encoding;
        gpr(rbx) = value;
        return run(Reason::vmwrite, {.instruction_information = registers(rbx, rdx)});
    }
    End vmread(u64 encoding) {
        gpr(rdx) = encoding;
        return run(Reason::vmread, {.instruction_information = registers(rbx, rdx)});
    }
    End with_descriptor(Reason reason, u64 type, u64 low, u64 high) {
        write64(operand_at, low);
        write64(operand_at + 8, high);
        gpr(rsi) = type;
        return run(reason,
                   {.qualification = operand_at, .instruction_information = memory_and(rsi)});
    }
};

/// In VMX root operation, region_a current.
struct L1WithVmcs : L1 {
    L1WithVmcs() {
        enter_root();
        make_current();
    }
};

constexpr std::array all_reasons{Reason::vmcall,   Reason::vmclear, Reason::vmlaunch,
                                 Reason::vmptrld,  Reason::vmptrst, Reason::vmread,
                                 Reason::vmresume, Reason::vmwrite, Reason::vmxoff,
                                 Reason::vmxon,    Reason::invept,  Reason::invvpid};

TEST(VmxInstructions, OfAGuestWithoutVmxAreUdWhateverTheProcessorHas) {
    for (const Reason reason : all_reasons)
        for (const u32 cpl : {0u, 3u}) {
            Machine machine;
            machine.processor.offer_vmx();
            machine.normal_exit(reason, {.length = 3, .cpl = cpl});
            EXPECT_FALSE(machine.processor.rip_was_written());
            EXPECT_EQ(machine.processor.at(VmcsField::guest_rflags) & 0x1'08d5, 0x1'0000u) << "RF";
            expect_exception(machine.injected(), Vector::invalid_opcode);
        }
}

TEST(VmxInstructions, OutsideVmxOperationAreUdAtEveryCpl) {
    for (const Reason reason : all_reasons)
        for (const u32 cpl : {0u, 3u}) {
            L1 l1;
            if (reason != Reason::vmxon) l1.turn_on();
            EXPECT_EQ(l1.run(reason, {.cpl = cpl}), undefined) << unsigned(reason);
        }
}

TEST(VmxInstructions, AtCpl3AreGp) {
    for (const Reason reason : all_reasons) {
        L1WithVmcs l1;
        EXPECT_EQ(l1.run(reason, {.cpl = 3}), protection) << unsigned(reason);
    }
    L1 outside;
    outside.turn_on();
    EXPECT_EQ(outside.run(Reason::vmxon, {.cpl = 3}), protection);
}

TEST(VmxInstructions, OfAModeThatHasNoneAreUd) {
    for (const Reason reason : all_reasons) {
        L1WithVmcs l1;
        EXPECT_EQ(l1.run(reason, {.cpl = 3, .rflags = 1u << 17}), undefined) << "virtual-8086";
        l1.field(VmcsField::guest_cs_access_rights) = 0xc09b;
        EXPECT_EQ(l1.run(reason), undefined) << "compatibility mode";
        l1.field(VmcsField::guest_cs_access_rights) = 0xa09b;
        l1.field(VmcsField::cr0_read_shadow) &= ~u64{1};
        EXPECT_EQ(l1.run(reason), undefined) << "real-address mode";
    }
}

TEST(VmxInstructions, OfAnEnclaveAreUdWithVmxAsWithout) {
    const auto table = index_exit_rows(exit_rows);
    for (const Reason reason : all_reasons) {
        L1WithVmcs l1;
        l1.processor.writes.clear();
        if (reason == Reason::vmcall) continue;  // the processor raises #UD itself
        EXPECT_EQ(table[static_cast<size_t>(reason)]->enclave, on_enclave_undefined);
        l1.enclave_exits(reason);
        EXPECT_EQ(l1.nested().state().current, region_a);
        expect_exception(l1.injected(), Vector::invalid_opcode);
    }
}

TEST(Vmcall, InVmxRootOperationFails) {
    L1 l1;
    l1.enter_root();
    EXPECT_EQ(l1.run(Reason::vmcall), fail_invalid);
    l1.make_current();
    EXPECT_EQ(l1.run(Reason::vmcall), fail_valid(Error::vmcall_in_root));
}

TEST(Vmxon, EntersVmxOperation) {
    L1 l1;
    l1.enter_root();
    EXPECT_EQ(l1.nested().state().vmxon, vmxon_region);
    EXPECT_TRUE(l1.nested().in_root());
    EXPECT_FALSE(l1.nested().has_current());
    EXPECT_EQ(l1.with_pointer(Reason::vmxon, region_a), fail_invalid) << "again";
    l1.make_current();
    EXPECT_EQ(l1.with_pointer(Reason::vmxon, region_b), fail_valid(Error::vmxon_in_root));
    EXPECT_EQ(l1.nested().state().vmxon, vmxon_region);
}

TEST(Vmxon, WithARegionThatIsNoneFailsWithoutAnError) {
    L1 l1;
    l1.turn_on();
    for (const u64 region : {vmxon_region + 8, u64{1} << 46, outside_ram, region_b + 0x800})
        EXPECT_EQ(l1.with_pointer(Reason::vmxon, region), fail_invalid) << std::hex << region;
    for (const u64 revision :
         {u64{0x11}, u64{vmcs12_revision + 1}, vmcs12_revision | u64{1} << 31}) {
        l1.write64(vmxon_region, revision);
        EXPECT_EQ(l1.with_pointer(Reason::vmxon, vmxon_region), fail_invalid) << revision;
    }
    EXPECT_FALSE(l1.nested().in_vmx_operation());
}

TEST(Vmxon, NeedsWhatFirmwareAndTheControlRegistersSay) {
    const auto refused = [](auto breach) {
        L1 l1;
        l1.turn_on();
        breach(l1);
        const End end = l1.with_pointer(Reason::vmxon, unmapped);  // the pointer is not read
        EXPECT_FALSE(l1.nested().in_vmx_operation());
        return end;
    };
    EXPECT_EQ(refused([](L1& l1) { l1.vm.sgx().set_feature_control(4); }), protection) << "open";
    EXPECT_EQ(refused([](L1& l1) { l1.vm.sgx().set_feature_control(1); }), protection) << "off";
    EXPECT_EQ(refused([](L1& l1) { l1.vm.sgx().set_feature_control(3); }), protection) << "SMX";
    EXPECT_EQ(refused([](L1& l1) { l1.field(VmcsField::cr0_read_shadow) &= ~u64{0x20}; }),
              protection)
        << "CR0.NE";
    EXPECT_EQ(refused([](L1& l1) {
                  l1.field(VmcsField::guest_cr0) &= ~(u64{1} << 31);
                  l1.field(VmcsField::guest_ia32_efer) = 0;
                  l1.field(VmcsField::guest_cs_access_rights) = 0xc09b;
              }),
              protection)
        << "CR0.PG";
}

TEST(Vmxoff, LeavesVmxOperationAndWritesTheVmcsBack) {
    L1WithVmcs l1;
    EXPECT_EQ(l1.vmwrite(0x681e, 0x1234'5678'9abc'def0), succeeded);
    l1.processor.invvpids.clear();
    EXPECT_EQ(l1.run(Reason::vmxoff), succeeded);
    EXPECT_FALSE(l1.nested().in_vmx_operation());
    EXPECT_FALSE(l1.nested().has_current());
    EXPECT_EQ(l1.processor.invvpids, std::vector<u16>{l1.vcpu.vpid02()});
    EXPECT_EQ(l1.run(Reason::vmxoff), undefined);
    EXPECT_EQ(l1.with_pointer(Reason::vmxon, vmxon_region), succeeded);
    l1.make_current();
    EXPECT_EQ(l1.vmread(0x681e), succeeded);
    EXPECT_EQ(l1.gpr(rbx), 0x1234'5678'9abc'def0u);
}

TEST(Vmclear, FailsForWhatIsNoRegion) {
    L1WithVmcs l1;
    for (const u64 region : {region_a + 1, u64{1} << 46, ~u64{0}})
        EXPECT_EQ(l1.with_pointer(Reason::vmclear, region),
                  fail_valid(Error::vmclear_invalid_address));
    EXPECT_EQ(l1.with_pointer(Reason::vmclear, vmxon_region),
              fail_valid(Error::vmclear_vmxon_pointer));
    EXPECT_EQ(l1.nested().state().current, region_a);
}

TEST(Vmclear, OfAnotherRegionClearsItsLaunchStateOnly) {
    L1WithVmcs l1;
    for (u64 at = 0; at < page_size; at += 8) l1.write64(region_b + at, ~u64{0});
    EXPECT_EQ(l1.with_pointer(Reason::vmclear, region_b), succeeded);
    for (u64 at = 0; at < page_size; at += 8)
        EXPECT_EQ(l1.read64(region_b + at), at == 8 ? 0xffff'ffff'0000'0000 : ~u64{0}) << at;
    EXPECT_EQ(l1.nested().state().current, region_a);
}

TEST(Vmclear, OfTheCurrentVmcsWritesItBackAndLeavesNone) {
    L1WithVmcs l1;
    EXPECT_EQ(l1.vmwrite(0x0802, 0xabcd), succeeded);
    EXPECT_EQ(l1.with_pointer(Reason::vmclear, region_a), succeeded);
    EXPECT_FALSE(l1.nested().has_current());
    Vmcs12 image;
    std::memcpy(&image, l1.processor.ram.data() + guest_ram_host + region_a, sizeof image);
    EXPECT_EQ(image.get<VmcsField::guest_cs_selector>(), 0xabcdu);
    EXPECT_EQ(image.revision, vmcs12_revision);
    EXPECT_EQ(image.launched, 0u);
    EXPECT_EQ(l1.with_pointer(Reason::vmclear, region_a + 1), fail_invalid);
}

TEST(Vmptrld, FailsForWhatIsNoVmcs) {
    L1WithVmcs l1;
    for (const u64 region : {region_b + 0x10, u64{1} << 46})
        EXPECT_EQ(l1.with_pointer(Reason::vmptrld, region),
                  fail_valid(Error::vmptrld_invalid_address));
    EXPECT_EQ(l1.with_pointer(Reason::vmptrld, vmxon_region),
              fail_valid(Error::vmptrld_vmxon_pointer));
    EXPECT_EQ(l1.with_pointer(Reason::vmptrld, outside_ram),
              fail_valid(Error::vmptrld_incorrect_revision));
    for (const u64 revision : {u64{0x11}, vmcs12_revision | u64{1} << 31}) {
        l1.write64(region_b, revision);
        EXPECT_EQ(l1.with_pointer(Reason::vmptrld, region_b),
                  fail_valid(Error::vmptrld_incorrect_revision));
    }
    EXPECT_EQ(l1.nested().state().current, region_a);
}

TEST(Vmptrld, SwitchesBetweenVmcssThatKeepTheirFields) {
    L1WithVmcs l1;
    EXPECT_EQ(l1.vmwrite(0x6820, 1), succeeded);
    l1.make_current(region_b);
    EXPECT_EQ(l1.vmwrite(0x6820, 2), succeeded);
    l1.make_current(region_b);
    EXPECT_EQ(l1.vmread(0x6820), succeeded);
    EXPECT_EQ(l1.gpr(rbx), 2u);
    l1.make_current(region_a);
    EXPECT_EQ(l1.vmread(0x6820), succeeded);
    EXPECT_EQ(l1.gpr(rbx), 1u);
}

TEST(Vmptrld, TakesNoMoreOfAFieldThanItsWidth) {
    L1 l1;
    l1.enter_root();
    for (u64 at = 8; at < sizeof(Vmcs12); at += 8) l1.write64(region_a + at, ~u64{0});
    l1.make_current();
    EXPECT_EQ(l1.vmread(0x0802), succeeded);
    EXPECT_EQ(l1.gpr(rbx), 0xffffu);
    EXPECT_EQ(l1.vmread(0x4826), succeeded);
    EXPECT_EQ(l1.gpr(rbx), 0xffff'ffffu);
    EXPECT_EQ(l1.vmread(0x681e), succeeded);
    EXPECT_EQ(l1.gpr(rbx), ~u64{0});
}

TEST(Vmptrst, StoresTheCurrentPointerOrAllOnes) {
    L1 l1;
    l1.enter_root();
    const ExitInfo at{.qualification = operand_at, .instruction_information = in_memory};
    EXPECT_EQ(l1.run(Reason::vmptrst, at), succeeded);
    EXPECT_EQ(l1.read64(operand_at), ~u64{0});
    l1.make_current();
    EXPECT_EQ(l1.run(Reason::vmptrst, at), succeeded);
    EXPECT_EQ(l1.read64(operand_at), region_a);
}

TEST(VmreadAndVmwrite, WithoutACurrentVmcsFailBeforeTheOperandIsTouched) {
    L1 l1;
    l1.enter_root();
    const ExitInfo bad{.qualification = unmapped, .instruction_information = memory_and(rdx)};
    EXPECT_EQ(l1.run(Reason::vmread, bad), fail_invalid);
    EXPECT_EQ(l1.run(Reason::vmwrite, bad), fail_invalid);
}

TEST(VmreadAndVmwrite, OfAFieldThatIsNotThereFail) {
    L1WithVmcs l1;
    const End expected = fail_valid(Error::unsupported_vmcs_component);
    // None, PML address, the high half of a natural-width field, and one with a bit above 32.
    for (const u64 encoding : {u64{0x7000}, u64{0x200e}, u64{0x681f}, u64{0x1'0000'681e}}) {
        EXPECT_EQ(l1.vmread(encoding), expected) << std::hex << encoding;
        EXPECT_EQ(l1.vmwrite(encoding, 0), expected) << std::hex << encoding;
    }
    EXPECT_EQ(l1.vmwrite(0x4402, 0), fail_valid(Error::vmwrite_read_only_component));
    EXPECT_EQ(l1.vmread(0x4400), succeeded) << "the instruction error";
    EXPECT_EQ(l1.gpr(rbx), 13u);
}

TEST(VmreadAndVmwrite, KeepTheFieldsWidth) {
    const struct {
        u64 encoding;
        u64 kept;
    } rows[]{{0x0802, 0xdef0},
             {0x4826, 0x9abc'def0},
             {0x2802, 0x1234'5678'9abc'def0},
             {0x681e, 0x1234'5678'9abc'def0}};
    L1WithVmcs l1;
    for (const auto& row : rows) {
        EXPECT_EQ(l1.vmwrite(row.encoding, 0x1234'5678'9abc'def0), succeeded);
        EXPECT_EQ(l1.vmread(row.encoding), succeeded);
        EXPECT_EQ(l1.gpr(rbx), row.kept) << std::hex << row.encoding;
    }
    EXPECT_EQ(l1.vmread(0x2803), succeeded);
    EXPECT_EQ(l1.gpr(rbx), 0x1234'5678u);
    EXPECT_EQ(l1.vmwrite(0x2803, 0xffff'ffff'0000'0042), succeeded);
    EXPECT_EQ(l1.vmread(0x2802), succeeded);
    EXPECT_EQ(l1.gpr(rbx), 0x42'9abc'def0u);
}

TEST(VmreadAndVmwrite, EveryFieldThatIsOfferedIsThere) {
    L1WithVmcs l1;
    for (const VmcsFieldRow& row : vmcs_field_rows) {
        const bool there = l1.nested().capabilities().field_exists(row.field);
        const End read = l1.vmread(static_cast<u32>(row.field));
        EXPECT_EQ(read, there ? succeeded : fail_valid(Error::unsupported_vmcs_component))
            << row.name;
    }
}

TEST(VmreadAndVmwrite, TakeOperandsInMemory) {
    L1WithVmcs l1;
    l1.write64(operand_at, 0x1122'3344'5566'7788);
    l1.gpr(rdx) = 0x681e;
    const ExitInfo at{.qualification = operand_at, .instruction_information = memory_and(rdx)};
    EXPECT_EQ(l1.run(Reason::vmwrite, at), succeeded);
    l1.write64(operand_at, 0);
    EXPECT_EQ(l1.run(Reason::vmread, at), succeeded);
    EXPECT_EQ(l1.read64(operand_at), 0x1122'3344'5566'7788u);
}

TEST(VmxOperands, AreBaseIndexScaleAndDisplacement) {
    L1WithVmcs l1;
    const u32 information =
        MemoryOperandInformation::of_memory({AddressSize::bits64, ds, 3, true, rsi, true, rsp})
            .with_register2(rdx)
            .to_raw();
    l1.gpr(rdx) = 0x681e;
    l1.gpr(rsi) = 0x20;
    l1.field(VmcsField::guest_rsp) = operand_at;
    l1.write64(operand_at + 0xf8, 0x77);
    EXPECT_EQ(l1.run(Reason::vmwrite, {.qualification = static_cast<u64>(-8),
                                       .instruction_information = information}),
              succeeded);
    EXPECT_EQ(l1.vmread(0x681e), succeeded);
    EXPECT_EQ(l1.gpr(rbx), 0x77u);
}

TEST(VmxOperands, HaveTheirAddressSizeAndTheirSegmentsBase) {
    L1WithVmcs l1;
    const u32 by_fs =
        MemoryOperandInformation::of_memory(plain_operand(AddressSize::bits32, fs)).to_raw();
    l1.field(VmcsField::guest_fs_base) = 0x1000;
    l1.write64(operand_at, region_b);
    EXPECT_EQ(
        l1.run(Reason::vmptrld, {.qualification = 0x7'0000'7000, .instruction_information = by_fs}),
        succeeded);
    EXPECT_EQ(l1.nested().state().current, region_b);
}

TEST(VmxOperands, ThatCrossAPageAreOne) {
    L1WithVmcs l1;
    constexpr u64 at = operand_at + page_size - 3;
    for (unsigned i = 0; i < 8; ++i) l1.write_bytes(at + i, {static_cast<u8>(region_b >> 8 * i)});
    EXPECT_EQ(l1.run(Reason::vmptrld, {.qualification = at, .instruction_information = in_memory}),
              succeeded);
    EXPECT_EQ(l1.nested().state().current, region_b);
}

TEST(VmxOperands, ThatAreNotThereFaultAndChangeNothing) {
    for (const Reason reason : {Reason::vmclear, Reason::vmptrld, Reason::vmptrst, Reason::vmread,
                                Reason::vmwrite, Reason::invept, Reason::invvpid}) {
        L1WithVmcs l1;
        l1.gpr(rdx) = reason == Reason::vmread || reason == Reason::vmwrite ? 0x681e : 1;
        const Vmcs12 before = l1.nested().vmcs12();
        const bool writes = reason == Reason::vmptrst || reason == Reason::vmread;
        EXPECT_EQ(
            l1.run(reason, {.qualification = unmapped, .instruction_information = memory_and(rdx)}),
            fault(Vector::page_fault, writes ? 2 : 0))
            << unsigned(reason);
        EXPECT_EQ(l1.vcpu.registers().cr2, unmapped);
        EXPECT_EQ(l1.run(reason, {.qualification = not_canonical,
                                  .instruction_information = memory_and(rdx)}),
                  protection)
            << unsigned(reason);
        const u32 on_stack =
            MemoryOperandInformation::of_memory(plain_operand(AddressSize::bits64, ss))
                .with_register2(rdx)
                .to_raw();
        EXPECT_EQ(
            l1.run(reason, {.qualification = not_canonical, .instruction_information = on_stack}),
            fault(Vector::stack_fault))
            << unsigned(reason);
        EXPECT_EQ(l1.nested().vmcs12(), before);
        EXPECT_EQ(l1.nested().state().current, region_a);
    }
    L1 outside;
    outside.turn_on();
    EXPECT_EQ(outside.run(Reason::vmxon,
                          {.qualification = unmapped, .instruction_information = in_memory}),
              fault(Vector::page_fault));
    EXPECT_FALSE(outside.nested().in_vmx_operation());
}

/// Protected mode with 32-bit paging of 4-MByte pages.
struct L1Of32Bits : L1 {
    L1Of32Bits() {
        write64(0x5000, 0x83 | u64{0x40'0083} << 32);
        field(VmcsField::guest_ia32_efer) = 0;
        field(VmcsField::guest_cs_access_rights) = 0xc09b;
        field(VmcsField::guest_cr3) = 0x5000;
        field(VmcsField::guest_cr4) = 0x2010;
        EXPECT_TRUE(move_to(4, 0x10 | vmxe));
        write64(operand_at, vmxon_region);
        EXPECT_EQ(run(Reason::vmxon, at(operand_at)), succeeded);
        write64(operand_at, region_a);
        EXPECT_EQ(run(Reason::vmptrld, at(operand_at)), succeeded);
    }
    static ExitInfo at(u64 displacement, Gpr second = rax, SegmentIndex segment = ds) {
        return {.qualification = displacement,
                .instruction_information =
                    MemoryOperandInformation::of_memory(plain_operand(AddressSize::bits32, segment))
                        .with_register2(second)
                        .to_raw()};
    }
};

TEST(VmxInstructionsOf32BitCode, TakeHalfOfAField) {
    L1Of32Bits l1;
    EXPECT_EQ(l1.vmwrite(0xffff'ffff'0000'2802, 0x1234'5678'9abc'def0), succeeded)
        << "the registers' upper halves do not exist";
    EXPECT_EQ(l1.vmwrite(0x2803, 0x42), succeeded);
    EXPECT_EQ(l1.vmread(0x2802), succeeded);
    EXPECT_EQ(l1.gpr(rbx), 0x9abc'def0u);
    EXPECT_EQ(l1.vmread(0x2803), succeeded);
    EXPECT_EQ(l1.gpr(rbx), 0x42u);
    EXPECT_EQ(l1.vmwrite(0x2802, 1), succeeded);
    EXPECT_EQ(l1.vmread(0x2803), succeeded);
    EXPECT_EQ(l1.gpr(rbx), 0u) << "a write of all of it clears the upper half";
    l1.write64(operand_at, ~u64{0});
    l1.gpr(rdx) = 0x681e;
    EXPECT_EQ(l1.run(Reason::vmread, l1.at(operand_at, rdx)), succeeded);
    EXPECT_EQ(l1.read64(operand_at), 0xffff'ffff'0000'0000u) << "an operand of 4 bytes";
}

TEST(VmxInstructionsOf32BitCode, HaveSegmentsThatAreChecked) {
    const struct {
        const char* what;
        VmcsField field;
        u64 value;
        SegmentIndex segment;
        Vector vector;
    } rows[]{
        {"limit", VmcsField::guest_ds_limit, operand_at + 6, ds, Vector::general_protection},
        {"limit of SS", VmcsField::guest_ss_limit, operand_at + 6, ss, Vector::stack_fault},
        {"unusable", VmcsField::guest_es_access_rights, 0x1'0000, es, Vector::general_protection},
        {"execute-only", VmcsField::guest_fs_access_rights, 0xc099, fs, Vector::general_protection},
    };
    for (const auto& row : rows) {
        L1Of32Bits l1;
        l1.field(row.field) = row.value;
        EXPECT_EQ(l1.run(Reason::vmptrld, l1.at(operand_at, rax, row.segment)), fault(row.vector))
            << row.what;
    }
    L1Of32Bits read_only;
    read_only.field(VmcsField::guest_ds_access_rights) = 0xc091;
    EXPECT_EQ(read_only.run(Reason::vmptrst, read_only.at(operand_at)), protection);
    EXPECT_EQ(read_only.run(Reason::vmptrld, read_only.at(operand_at)), succeeded);
}

TEST(VmlaunchAndVmresume, FailBeforeTheVmcsIsLookedAt) {
    for (const Reason reason : {Reason::vmlaunch, Reason::vmresume}) {
        L1 l1;
        l1.enter_root();
        EXPECT_EQ(l1.run(reason), fail_invalid);
        l1.make_current();
        EXPECT_EQ(l1.run(reason, {.interruptibility = 2}),
                  fail_valid(Error::entry_events_blocked_by_mov_ss));
        l1.write64(region_b + 8, reason == Reason::vmlaunch ? 1 : 0);
        l1.make_current(region_b);
        EXPECT_EQ(l1.run(reason),
                  fail_valid(reason == Reason::vmlaunch ? Error::vmlaunch_non_clear_vmcs
                                                        : Error::vmresume_non_launched_vmcs));
    }
}

constexpr u64 eptp = 0x20'001e;

TEST(Invept, TakesItsTypesAndAValidPointer) {
    L1WithVmcs l1;
    const End expected = fail_valid(Error::invalid_operand_to_invept_or_invvpid);
    const auto invept = [&](u64 type, u64 low, u64 high = 0) {
        return l1.with_descriptor(Reason::invept, type, low, high);
    };
    EXPECT_EQ(invept(1, eptp), succeeded);
    EXPECT_EQ(invept(1, eptp | 0x40), succeeded) << "accessed and dirty flags";
    EXPECT_EQ(invept(1, 0x20'0018), succeeded) << "UC";
    EXPECT_EQ(invept(2, ~u64{0}), succeeded) << "no pointer is looked at";
    for (const u64 type : {u64{0}, u64{3}, u64{0x1'0000'0001}})
        EXPECT_EQ(invept(type, eptp), expected) << type;
    for (const u64 pointer : {eptp ^ 1, eptp ^ 8, eptp | 0x80, eptp | 0x100, eptp | u64{1} << 46})
        EXPECT_EQ(invept(1, pointer), expected) << std::hex << pointer;
    EXPECT_EQ(invept(1, eptp, 1), expected);
    EXPECT_EQ(invept(2, 0, 1), expected);
    l1.gpr(rsi) = 0;
    EXPECT_EQ(l1.run(Reason::invept,
                     {.qualification = unmapped, .instruction_information = memory_and(rsi)}),
              expected)
        << "the type comes before the descriptor";
}

TEST(Invvpid, ForgetsWhatTheProcessorCachesForL2) {
    L1WithVmcs l1;
    const auto invvpid = [&](u64 type, u64 low, u64 high = 0) {
        l1.processor.invvpids.clear();
        const End end = l1.with_descriptor(Reason::invvpid, type, low, high);
        EXPECT_EQ(l1.processor.invvpids.size(), end == succeeded ? 1u : 0u);
        for (const u16 vpid : l1.processor.invvpids) EXPECT_EQ(vpid, 65u);
        return end;
    };
    for (u64 type = 0; type <= 3; ++type) EXPECT_EQ(invvpid(type, 7), succeeded) << type;
    EXPECT_EQ(invvpid(2, 0), succeeded);
    EXPECT_EQ(invvpid(1, 7, not_canonical), succeeded) << "no address is looked at";
    const End expected = fail_valid(Error::invalid_operand_to_invept_or_invvpid);
    for (const u64 type : {u64{0}, u64{1}, u64{3}}) EXPECT_EQ(invvpid(type, 0), expected) << type;
    for (const u64 type : {u64{4}, u64{0x1'0000'0001}}) EXPECT_EQ(invvpid(type, 7), expected);
    EXPECT_EQ(invvpid(0, 7, not_canonical), expected);
    for (u64 type = 0; type <= 3; ++type) EXPECT_EQ(invvpid(type, 0x1'0007), expected) << type;
}

TEST(VmxOperation, HoldsTheFixedBits) {
    L1 l1;
    EXPECT_FALSE(l1.move_to(4, 0x20 | 0x4000)) << "SMXE";
    l1.turn_on();
    EXPECT_EQ(l1.field(VmcsField::cr4_read_shadow), 0x2020u);
    EXPECT_TRUE(l1.move_to(4, 0x20));
    l1.enter_root();
    EXPECT_EQ(l1.field(VmcsField::cr0_guest_host_mask), 0xe000'0021u) << "PE, NE, PG exit";
    EXPECT_FALSE(l1.move_to(4, 0x20)) << "VMXE stays";
    EXPECT_TRUE(l1.move_to(4, 0xa0 | vmxe));
    const u64 cr0 = l1.field(VmcsField::cr0_read_shadow);
    EXPECT_FALSE(l1.move_to(0, cr0 & ~u64{0x20})) << "NE";
    l1.field(VmcsField::guest_cs_access_rights) = 0xc09b;  // only compatibility mode clears PG
    EXPECT_FALSE(l1.move_to(0, cr0 & ~(u64{1} << 31))) << "PG";
    EXPECT_FALSE(l1.move_to(0, cr0 & ~(u64{1} << 31 | 1))) << "PE";
    l1.field(VmcsField::guest_cs_access_rights) = 0xa09b;
    EXPECT_TRUE(l1.move_to(0, cr0 | 8)) << "TS";
    EXPECT_EQ(l1.run(Reason::vmxoff), succeeded);
    EXPECT_EQ(l1.field(VmcsField::cr0_guest_host_mask), 0x6000'0020u);
    EXPECT_EQ(l1.field(VmcsField::cr0_read_shadow), cr0 | 8);
    EXPECT_TRUE(l1.move_to(0, cr0 & ~u64{0x20}));
    EXPECT_TRUE(l1.move_to(4, 0x20));
}

/// The shadow of bits that were not ours to hold is older than they are.
TEST(VmxOperation, BeginsWithCr0AsItIs) {
    L1 l1;
    l1.turn_on();
    l1.field(VmcsField::cr0_read_shadow) = 0x20;
    l1.field(VmcsField::guest_cr0) |= 0x8000'0033;
    EXPECT_EQ(l1.with_pointer(Reason::vmxon, vmxon_region), succeeded);
    EXPECT_EQ(l1.field(VmcsField::cr0_read_shadow), l1.field(VmcsField::guest_cr0));
}

TEST(VmxOperation, BlocksInit) {
    L1 l1;
    l1.enter_root();
    const ApicMessage init{0, false, false, DeliveryMode::init, 0};
    ASSERT_TRUE(l1.vcpu.receive(init));
    l1.make_current();
    EXPECT_EQ(l1.nested().state().current, region_a) << "it goes on";
    l1.processor.exits_with(ExitReason{Reason::hlt}, {.length = 1});
    EXPECT_EQ(l1.vcpu.run_once(), Next::halt) << "and is not woken";
    EXPECT_FALSE(l1.vcpu.wants_to_run());
    ASSERT_TRUE(l1.vcpu.receive({0, false, false, DeliveryMode::nmi, 0}));
    EXPECT_EQ(l1.run(Reason::vmxoff), succeeded);
    l1.normal_exit(Reason::external_interrupt);
    EXPECT_EQ(l1.field(VmcsField::guest_cr0) & 0x8000'0001, 0u) << "INIT is taken now";
    EXPECT_EQ(l1.field(VmcsField::cr4_read_shadow), 0u);
}

TEST(VmxOperation, EndsWithReset) {
    L1WithVmcs l1;
    ASSERT_TRUE(l1.vcpu.reset());
    EXPECT_FALSE(l1.nested().in_vmx_operation());
    EXPECT_FALSE(l1.nested().has_current());
    EXPECT_EQ(l1.field(VmcsField::cr0_guest_host_mask), 0x6000'0020u);
    EXPECT_EQ(l1.field(VmcsField::cr4_read_shadow), 0u);
}

/// Some L1 address is none of its RAM: what is written there goes nowhere.
TEST(VmcsRegions, OutsideRamKeepNothing) {
    L1WithVmcs l1;
    const std::vector<u8> before{l1.processor.ram.data(),
                                 l1.processor.ram.data() + l1.processor.ram.size()};
    l1.write64(operand_at, rom_base.raw());
    for (const u64 region : {outside_ram, rom_base.raw(), epc_base.raw(), doorbell.raw()}) {
        EXPECT_EQ(l1.with_pointer(Reason::vmclear, region), succeeded) << std::hex << region;
        EXPECT_EQ(l1.with_pointer(Reason::vmptrld, region),
                  fail_valid(Error::vmptrld_incorrect_revision));
    }
    EXPECT_TRUE(l1.devices.touches.empty());
    for (size_t i = 0; i < before.size(); ++i) {
        if (i - guest_ram_host - operand_at < 8) continue;
        ASSERT_EQ(l1.processor.ram.at(i), before[i]) << std::hex << i;
    }
}

class Random {
public:
    static constexpr u64 seed = 0x9e37'79b9'7f4a'7c15;
    u64 next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545'f491'4f6c'dd1d;
    }
    bool once_in(u64 n) { return next() % n == 0; }
    template <class T, size_t count>
    T one_of(const std::array<T, count>& values) {
        return values[next() % count];
    }
    /// Mostly something that means something.
    u64 value() {
        constexpr std::array known{u64{0}, u64{1},      vmxon_region, region_a, region_b,
                                   eptp,   u64{0x681e}, u64{0x2802},  unmapped, operand_at};
        if (once_in(4)) return next() >> next() % 64;
        return one_of(known);
    }

private:
    u64 state_ = seed;
};

TEST(VmxInstructions, WithRandomOperandsNeverDoHarm) {
    SCOPED_TRACE(testing::Message() << "seed " << Random::seed);
    Random random;
    size_t carried_out = 0;
    for (int machine = 0; machine < 200; ++machine) {
        L1 l1;
        if (!random.once_in(8)) l1.enter_root();
        for (int i = 0; i < 100; ++i) {
            for (u64& gpr : l1.vcpu.registers().gpr) gpr = random.value();
            for (const u64 at : {operand_at, operand_at + 8}) l1.write64(at, random.value());
            u32 information = static_cast<u32>(random.next());
            if (!random.once_in(4)) information = memory_and(static_cast<Gpr>(information >> 28));
            ExitInfo info{.qualification = random.value(), .instruction_information = information};
            info.length = 4;
            if (random.once_in(8)) info.cpl = static_cast<u32>(random.next() % 4);
            if (random.once_in(8)) info.rflags = random.next();
            if (random.once_in(8)) info.interruptibility = random.next() & 3;
            const Reason reason = random.one_of(all_reasons);
            const Next next = l1.normal_exit(reason, info);
            const StopReport& report = l1.vcpu.stop_report();
            ASSERT_TRUE(next == Next::resume || report.reason == StopReason::not_implemented)
                << machine << " " << i << " " << unsigned(reason) << " " << unsigned(report.reason);
            if (next == Next::stop) break;
            if (l1.processor.rip_was_written()) ++carried_out;
            const Nested::State& state = l1.nested().state();
            ASSERT_TRUE(state.vmxon == Nested::none || state.vmxon < guest_ram_size);
            ASSERT_TRUE(state.current == Nested::none || state.current < guest_ram_size);
            ASSERT_TRUE(state.current == Nested::none || state.vmxon != Nested::none);
        }
    }
    EXPECT_GT(carried_out, 1000u);
}

}  // namespace
}  // namespace postern::hv::test

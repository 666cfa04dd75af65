// SPDX-License-Identifier: Apache-2.0
// Instructions with a memory operand, given as bytes from the manual's opcode tables.
#include "host/decode.h"

#include <gtest/gtest.h>

#include <vector>

namespace postern::host {
namespace {

using hv::CodeSize;
using hv::DecodedAccess;
using hv::MemoryOperand;
using hv::Operation;
using hv::Repeat;
using Kind = DecodedAccess::Kind;

DecodedAccess decode(const std::vector<u8>& bytes, CodeSize size = CodeSize::bits64) {
    return decode_access(bytes.data(), bytes.size(), size);
}

void expect(const DecodedAccess& access, const DecodedAccess& right) {
    EXPECT_EQ(access.kind, right.kind);
    EXPECT_EQ(access.length, right.length);
    EXPECT_EQ(access.memory_size, right.memory_size);
    EXPECT_EQ(access.register_size, right.register_size);
    EXPECT_EQ(access.gpr, right.gpr);
    EXPECT_EQ(access.high_byte, right.high_byte);
    EXPECT_EQ(access.immediate, right.immediate);
}

TEST(Decode, LoadsOfEverySize) {
    expect(decode({0x8a, 0x07}), {Kind::load, 2, 1, 1, rax});        // mov al, [rdi]
    expect(decode({0x66, 0x8b, 0x0f}), {Kind::load, 3, 2, 2, rcx});  // mov cx, [rdi]
    expect(decode({0x8b, 0x57, 0x40}), {Kind::load, 3, 4, 4, rdx});  // mov edx, [rdi+40h]
    expect(decode({0x4c, 0x8b, 0x3f}), {Kind::load, 3, 8, 8, r15});  // mov r15, [rdi]
    expect(decode({0xa1, 0, 0, 0, 0xfe, 0, 0, 0, 0}),
           {Kind::load, 9, 4, 4, rax});  // mov eax, moffs
}

TEST(Decode, HighBytesAndTheirRexTwins) {
    expect(decode({0x8a, 0x27}), {Kind::load, 2, 1, 1, rax, true});            // mov ah, [rdi]
    expect(decode({0x88, 0x3f}), {Kind::store_register, 2, 1, 1, rbx, true});  // mov [rdi], bh
    expect(decode({0x40, 0x8a, 0x27}), {Kind::load, 3, 1, 1, rsp});            // mov spl, [rdi]
}

TEST(Decode, Extensions) {
    expect(decode({0x0f, 0xb6, 0x07}), {Kind::load_zero_extended, 3, 1, 4, rax});  // movzx
    expect(decode({0x48, 0x0f, 0xb7, 0x07}), {Kind::load_zero_extended, 4, 2, 8, rax});
    expect(decode({0x48, 0x0f, 0xbe, 0x07}), {Kind::load_sign_extended, 4, 1, 8, rax});  // movsx
    expect(decode({0x48, 0x63, 0x07}), {Kind::load_sign_extended, 3, 4, 8, rax});        // movsxd
    expect(decode({0x66, 0x63, 0x07}), {Kind::load_sign_extended, 3, 2, 2, rax});
}

TEST(Decode, Stores) {
    expect(decode({0x48, 0x89, 0x04, 0x24}),
           {Kind::store_register, 4, 8, 8, rax});  // mov [rsp], rax
    expect(decode({0x44, 0x89, 0x07}), {Kind::store_register, 3, 4, 4, r8});
    expect(decode({0xc6, 0x07, 0xff}), {Kind::store_immediate, 3, 1, 0, 0, false, 0xff});
    expect(decode({0xc7, 0x07, 4, 3, 2, 1}),
           {Kind::store_immediate, 6, 4, 0, 0, false, 0x0102'0304});
    expect(decode({0x48, 0xc7, 0x07, 0xfe, 0xff, 0xff, 0xff}),
           {Kind::store_immediate, 7, 8, 0, 0, false, 0xffff'ffff'ffff'fffe});
}

TEST(Decode, OtherInstructionsAreUnsupportedButHaveALengthAndTheirOperand) {
    EXPECT_EQ(decode({0x8e, 0x1f}).kind, Kind::unsupported);              // mov ds, [rdi]
    EXPECT_EQ(decode({0x8c, 0x1f}).kind, Kind::unsupported);              // mov [rdi], ds
    EXPECT_EQ(decode({0x89, 0xc3}).kind, Kind::unsupported);              // mov ebx, eax
    EXPECT_EQ(decode({0x0f, 0x10, 0x07}).kind, Kind::unsupported);        // movups xmm0, [rdi]
    EXPECT_EQ(decode({0xff, 0x37}).kind, Kind::unsupported);              // push [rdi]
    EXPECT_EQ(decode({0xf2, 0x0f, 0x10, 0x07}).kind, Kind::unsupported);  // movsd xmm0, [rdi]
    EXPECT_EQ(decode({0x6c}).kind, Kind::unsupported);                    // insb
    EXPECT_EQ(decode({0x0f, 0x10, 0x07}).length, 3);
    EXPECT_EQ(decode({0x0f, 0x10, 0x07}).memory.base, rdi);
    EXPECT_EQ(decode({0x89, 0xc3}).memory.address_size, 0) << "none";
    EXPECT_EQ(decode({0x50}).memory.address_size, 0) << "a stack is no operand";
}

MemoryOperand memory_of(const std::vector<u8>& bytes, CodeSize size = CodeSize::bits64) {
    return decode(bytes, size).memory;
}

TEST(Decode, MemoryOperandsAreTakenApart) {
    using M = MemoryOperand;
    // mov [rsi+r9*4-8], eax
    EXPECT_EQ(memory_of({0x42, 0x89, 0x44, 0x8e, 0xf8}), (M{8, ds, rsi, r9, 4, false, ~u64{7}}));
    // mov [rip+0x10], eax; mov [eip+0x10], eax
    EXPECT_EQ(memory_of({0x89, 0x05, 0x10, 0, 0, 0}), (M{8, ds, M::none, M::none, 1, true, 0x10}));
    EXPECT_EQ(memory_of({0x67, 0x89, 0x05, 0x10, 0, 0, 0}),
              (M{4, ds, M::none, M::none, 1, true, 0x10}));
    // mov [rsp], eax; mov gs:[rax], eax; mov [0x1122334455667788], eax
    EXPECT_EQ(memory_of({0x89, 0x04, 0x24}), (M{8, ss, rsp, M::none, 1, false, 0}));
    EXPECT_EQ(memory_of({0x65, 0x89, 0x00}), (M{8, gs, rax, M::none, 1, false, 0}));
    EXPECT_EQ(memory_of({0xa3, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11}),
              (M{8, ds, M::none, M::none, 1, false, 0x1122'3344'5566'7788}));
    // mov [bp+si+1], ax
    EXPECT_EQ(memory_of({0x89, 0x42, 0x01}, CodeSize::bits16), (M{2, ss, rbp, rsi, 1, false, 1}));
}

TEST(Decode, ArithmeticSaysWhichOperandIsFirst) {
    const DecodedAccess add = decode({0xf0, 0x01, 0x07});  // lock add [rdi], eax
    EXPECT_EQ(add.kind, Kind::arithmetic);
    EXPECT_EQ(add.operation, Operation::add);
    EXPECT_TRUE(add.lock && add.by_register && !add.to_register);
    EXPECT_EQ(add.memory_size, 4);
    const DecodedAccess sub = decode({0x48, 0x2b, 0x07});  // sub rax, [rdi]
    EXPECT_EQ(sub.operation, Operation::sub);
    EXPECT_TRUE(sub.to_register && sub.by_register && !sub.lock);
    const DecodedAccess test = decode({0xf7, 0x07, 1, 2, 3, 0x84});  // test [rdi], imm32
    EXPECT_EQ(test.operation, Operation::test);
    EXPECT_FALSE(test.by_register);
    EXPECT_EQ(test.immediate, 0x8403'0201u);
    const DecodedAccess bts = decode({0x0f, 0xba, 0x2f, 33});  // bts [rdi], 33
    EXPECT_EQ(bts.kind, Kind::bit);
    EXPECT_EQ(bts.operation, Operation::bts);
    EXPECT_EQ(bts.immediate, 33u);
}

TEST(Decode, StringsSayTheirRepetitionAndSegment) {
    const DecodedAccess movs = decode({0xf3, 0x65, 0x48, 0xa5});  // rep movsq, from GS
    EXPECT_EQ(movs.kind, Kind::move_string);
    EXPECT_EQ(movs.memory_size, 8);
    EXPECT_EQ(movs.repeat, Repeat::while_equal);
    EXPECT_EQ(movs.memory.segment, gs);
    EXPECT_EQ(movs.memory.address_size, 8);
    const DecodedAccess scas = decode({0xf2, 0x67, 0xae});  // repne scasb, 32-bit addresses
    EXPECT_EQ(scas.kind, Kind::scan_string);
    EXPECT_EQ(scas.repeat, Repeat::while_not_equal);
    EXPECT_EQ(scas.memory.address_size, 4);
    EXPECT_EQ(decode({0xa6}).repeat, Repeat::none);
}

TEST(Decode, WhatIsKeptIsToldApartByBytesAndCodeSize) {
    DecodeCache cache;
    const std::vector<u8> bytes{0x8b, 0x07, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90};
    for (int twice = 0; twice < 2; ++twice) {
        EXPECT_EQ(cache.decode(bytes.data(), bytes.size(), CodeSize::bits64),
                  decode(bytes, CodeSize::bits64));
        EXPECT_EQ(cache.decode(bytes.data(), bytes.size(), CodeSize::bits16),
                  decode(bytes, CodeSize::bits16));
        EXPECT_EQ(cache.decode(bytes.data(), 1, CodeSize::bits64).kind, Kind::undecodable);
    }
}

TEST(Decode, CutOffOrIllegalBytesAreUndecodable) {
    EXPECT_EQ(decode({0x48, 0x89, 0x04}).kind, Kind::undecodable);
    EXPECT_EQ(decode({0x06}).kind, Kind::undecodable);  // push es: not in 64-bit mode
    EXPECT_EQ(decode({}).kind, Kind::undecodable);
}

TEST(Decode, TheCodeSizeDecides) {
    EXPECT_EQ(decode({0x8b, 0x07}, CodeSize::bits32).memory_size, 4);
    EXPECT_EQ(decode({0x8b, 0x07}, CodeSize::bits16).memory_size, 2);
}

}  // namespace
}  // namespace postern::host

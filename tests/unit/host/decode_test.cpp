// SPDX-License-Identifier: Apache-2.0
// Instructions with a memory operand, given as bytes from the manual's opcode tables.
#include "host/decode.h"

#include <gtest/gtest.h>

#include <vector>

namespace postern::host {
namespace {

using hv::CodeSize;
using hv::DecodedAccess;
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

TEST(Decode, OtherInstructionsAreUnsupportedButHaveALength) {
    EXPECT_EQ(decode({0x01, 0x07}).kind, Kind::unsupported);  // add [rdi], eax
    EXPECT_EQ(decode({0x01, 0x07}).length, 2);
    EXPECT_EQ(decode({0x8e, 0x1f}).kind, Kind::unsupported);        // mov ds, [rdi]
    EXPECT_EQ(decode({0x8c, 0x1f}).kind, Kind::unsupported);        // mov [rdi], ds
    EXPECT_EQ(decode({0x89, 0xc3}).kind, Kind::unsupported);        // mov ebx, eax
    EXPECT_EQ(decode({0x0f, 0x10, 0x07}).kind, Kind::unsupported);  // movups xmm0, [rdi]
    EXPECT_EQ(decode({0xa4}).kind, Kind::unsupported);              // movsb
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

// SPDX-License-Identifier: Apache-2.0
#include "unit/cpu/sgx/key_machine.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace postern::cpu::sgx {
namespace {

Bytes16 aes(const Bytes16& key, const Bytes16& block) {
    EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
    Bytes16 out{};
    int length = 0;
    EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), nullptr, key.data(), nullptr);
    EVP_CIPHER_CTX_set_padding(context, 0);
    EVP_EncryptUpdate(context, out.data(), &length, block.data(), 16);
    EVP_CIPHER_CTX_free(context);
    return out;
}

/// Times x in the field of RFC 4493: a shift, and 87H for what falls out.
Bytes16 doubled(const Bytes16& in) {
    Bytes16 out{};
    for (size_t n = 0; n < 16; ++n)
        out[n] = static_cast<u8>(in[n] << 1 | (n < 15 ? in[n + 1] >> 7 : 0));
    if ((in[0] & 0x80) != 0) out[15] ^= 0x87;
    return out;
}

void mix(Bytes16& into, std::span<const u8> block) {
    for (size_t n = 0; n < block.size(); ++n) into[n] ^= block[n];
}

}  // namespace

Bytes16 reference_cmac(const Bytes16& key, std::span<const u8> message) {
    const Bytes16 subkey = doubled(aes(key, {}));
    Bytes16 state{};
    while (message.size() > 16) {
        mix(state, message.first(16));
        state = aes(key, state);
        message = message.subspan(16);
    }
    mix(state, message);
    if (message.size() == 16) {
        mix(state, subkey);
    } else {
        state[message.size()] ^= 0x80;
        mix(state, doubled(subkey));
    }
    return aes(key, state);
}

void KeyMachine::prepare_ereport(const Targetinfo& for_whom) {
    target() = for_whom;
    for (size_t n = 0; n < data().size(); ++n) data()[n] = static_cast<u8>(n + 1);
    c.gpr[rax] = 0;
    c.gpr[rbx] = targetinfo_at;
    c.gpr[rcx] = reportdata_at;
    c.gpr[rdx] = report_at;
    c.next_rip = c.rip + 3;
    c.pending = {};
}

Report KeyMachine::ereport(const Targetinfo& for_whom) {
    prepare_ereport(for_whom);
    EXPECT_TRUE(sgx::enclu(c).ok());
    return report();
}

void KeyMachine::prepare_egetkey(const Keyrequest& what) {
    request() = what;
    c.gpr[rax] = 1;
    c.gpr[rbx] = keyrequest_at;
    c.gpr[rcx] = key_at;
    c.next_rip = c.rip + 3;
    c.pending = {};
}

u64 KeyMachine::egetkey(const Keyrequest& what) {
    prepare_egetkey(what);
    EXPECT_TRUE(sgx::enclu(c).ok());
    return c.gpr[rax];
}

Bytes16 KeyMachine::key_for(const Keyrequest& what) {
    EXPECT_EQ(egetkey(what), 0u);
    return key();
}

Targetinfo KeyMachine::own_target() {
    Targetinfo target{};
    target.measurement = secs().mrenclave;
    target.attributes = secs().attributes;
    target.configsvn = secs().configsvn;
    target.miscselect = secs().miscselect;
    target.configid = secs().configid;
    return target;
}

Keyrequest request_for(KeyName name) {
    Keyrequest request{};
    request.keyname = name;
    return request;
}

bool verifies(KeyMachine& m, const Report& report) {
    Keyrequest request = request_for(KeyName::report_key);
    request.keyid = report.keyid;
    return reference_cmac(m.key_for(request), bytes_of(report).first(384)) == report.mac;
}

}  // namespace postern::cpu::sgx

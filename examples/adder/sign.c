// SPDX-License-Identifier: Apache-2.0
// sign IMAGE KEY SIGSTRUCT: measures the enclave as the processor will and signs the measurement.
// Intel SDM volume 3D, "ECREATE", "EADD", "EEXTEND" (what is hashed) and "Enclave Signature
// Structure (SIGSTRUCT)".
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"

#define KEY_SIZE 384  // RSA-3072

struct sigstruct {
    uint8_t header[16];
    uint32_t vendor, date;
    uint8_t header2[16];
    uint32_t software_defined;
    uint8_t reserved1[84];
    uint8_t modulus[KEY_SIZE];
    uint32_t exponent;
    uint8_t signature[KEY_SIZE];
    uint32_t misc_select, misc_mask;
    uint8_t reserved2[20];
    uint64_t attributes[2], attribute_mask[2];
    uint8_t enclave_hash[32];
    uint8_t reserved3[32];
    uint16_t product, version;
    uint8_t reserved4[12];
    uint8_t q1[KEY_SIZE], q2[KEY_SIZE];
};
_Static_assert(sizeof(struct sigstruct) == 1808, "SIGSTRUCT");
_Static_assert(offsetof(struct sigstruct, misc_select) == 900, "SIGSTRUCT");

static void check(int good, const char* what) {
    if (good) return;
    fprintf(stderr, "sign: %s\n", what);
    exit(1);
}

// A record of 64 bytes: a name, then numbers at their places.
static void hash_record(EVP_MD_CTX* hash, const char* name, const void* rest, size_t size) {
    uint8_t record[64] = {0};
    memcpy(record, name, strlen(name));
    memcpy(record + 8, rest, size);
    EVP_DigestUpdate(hash, record, sizeof record);
}

static void measure(const uint8_t* image, uint8_t* digest) {
    EVP_MD_CTX* const hash = EVP_MD_CTX_new();
    EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
    const struct __attribute__((packed)) {
        uint32_t ssa_frame_pages;
        uint64_t size;
    } create = {SSA_FRAME_PAGES, ENCLAVE_SIZE};
    hash_record(hash, "ECREATE", &create, sizeof create);
    for (uint64_t page = 0; page < PAGES; page++) {
        const uint64_t add[2] = {page * PAGE, page_flags[page]};
        hash_record(hash, "EADD", add, sizeof add);
        for (uint64_t at = page * PAGE; at < (page + 1) * PAGE; at += 256) {
            hash_record(hash, "EEXTEND", &at, sizeof at);
            EVP_DigestUpdate(hash, image + at, 256);
        }
    }
    EVP_DigestFinal_ex(hash, digest, NULL);
    EVP_MD_CTX_free(hash);
}

static void put_number(const BIGNUM* number, uint8_t* to) {
    check(BN_bn2lebinpad(number, to, KEY_SIZE) == KEY_SIZE, "the key is not of 3072 bits");
}

// RSA with SHA-256 over what is signed, and the two quotients that spare the processor divisions.
static void sign(struct sigstruct* s, EVP_PKEY* key) {
    uint8_t message[256], signature[KEY_SIZE];
    memcpy(message, s, 128);
    memcpy(message + 128, &s->misc_select, 128);
    size_t size = sizeof signature;
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    check(EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(context, signature, &size, message, sizeof message) == 1,
          "the key cannot sign");
    BN_CTX* const bn = BN_CTX_new();
    BIGNUM *m = NULL, *const q = BN_new(), *const r = BN_new(), *const product = BN_new();
    BIGNUM* const number = BN_bin2bn(signature, (int)size, NULL);
    EVP_PKEY_get_bn_param(key, "n", &m);
    put_number(m, s->modulus);
    put_number(number, s->signature);
    BN_sqr(product, number, bn);
    BN_div(q, r, product, m, bn);  // signature^2 = q1 * modulus + r
    put_number(q, s->q1);
    BN_mul(product, r, number, bn);
    BN_div(q, r, product, m, bn);  // signature * r = q2 * modulus + ...
    put_number(q, s->q2);
    EVP_MD_CTX_free(context);
    BN_CTX_free(bn);
    BN_free(m), BN_free(q), BN_free(r), BN_free(product), BN_free(number);
}

int main(int argc, char** argv) {
    check(argc == 4, "usage: sign IMAGE KEY SIGSTRUCT");
    static uint8_t image[PAGES * PAGE];
    FILE* file = fopen(argv[1], "rb");
    check(file && fread(image, 1, sizeof image, file) == sizeof image && fgetc(file) == EOF,
          "the image has not the size of the layout");
    fclose(file);
    file = fopen(argv[2], "r");
    EVP_PKEY* const key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
    check(key != NULL, "the key cannot be read");
    fclose(file);

    static struct sigstruct s = {
        .header = {6, 0, 0, 0, 0xe1, 0, 0, 0, 0, 0, 1},
        .header2 = {1, 1, 0, 0, 0x60, 0, 0, 0, 0x60, 0, 0, 0, 1},
        .date = 0x20261122,
        .exponent = 3,
        .misc_mask = ~0u,
        .attributes = {ATTRIBUTES, XFRM},
        .attribute_mask = {~0ull, ~0ull},
        .product = 1,
        .version = 1,
    };
    measure(image, s.enclave_hash);
    sign(&s, key);
    EVP_PKEY_free(key);
    file = fopen(argv[3], "wb");
    check(file && fwrite(&s, sizeof s, 1, file) == 1 && fclose(file) == 0,
          "the SIGSTRUCT cannot be written");
    printf("MRENCLAVE ");
    for (unsigned n = 0; n < 32; n++) printf("%02x", s.enclave_hash[n]);
    printf("\n");
}

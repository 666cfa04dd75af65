// SPDX-License-Identifier: Apache-2.0
// Leaf numbers of ENCLS, ENCLU and ENCLV: EAX.
#pragma once

#include <string_view>

#include "base/types.h"

namespace postern {

/// SDM 3D, "Intel SGX System Leaf Function Reference".
enum class EnclsLeaf : u32 {
    ecreate = 0x0,
    eadd = 0x1,
    einit = 0x2,
    eremove = 0x3,
    edbgrd = 0x4,
    edbgwr = 0x5,
    eextend = 0x6,
    eldb = 0x7,
    eldu = 0x8,
    eblock = 0x9,
    epa = 0xa,
    ewb = 0xb,
    etrack = 0xc,
    eaug = 0xd,
    emodpr = 0xe,
    emodt = 0xf,
    erdinfo = 0x10,
    etrackc = 0x11,
    eldbc = 0x12,
    elduc = 0x13,
    eupdatesvn = 0x18,
};

/// SDM 3D, "Intel SGX User Leaf Function Reference".
enum class EncluLeaf : u32 {
    ereport = 0x0,
    egetkey = 0x1,
    eenter = 0x2,
    eresume = 0x3,
    eexit = 0x4,
    eaccept = 0x5,
    emodpe = 0x6,
    eacceptcopy = 0x7,
    everifyreport2 = 0x8,
    edeccssa = 0x9,
    ereport2 = 0xa,
    egetkey256 = 0xb,
};

/// SDM 3D, "Intel SGX Virtualization Leaf Function Reference".
enum class EnclvLeaf : u32 {
    edecvirtchild = 0x0,
    eincvirtchild = 0x1,
    esetcontext = 0x2,
};

constexpr std::string_view name_of(EnclsLeaf leaf) {
    using enum EnclsLeaf;
    switch (leaf) {
        case ecreate: return "ECREATE";
        case eadd: return "EADD";
        case einit: return "EINIT";
        case eremove: return "EREMOVE";
        case edbgrd: return "EDBGRD";
        case edbgwr: return "EDBGWR";
        case eextend: return "EEXTEND";
        case eldb: return "ELDB";
        case eldu: return "ELDU";
        case eblock: return "EBLOCK";
        case epa: return "EPA";
        case ewb: return "EWB";
        case etrack: return "ETRACK";
        case eaug: return "EAUG";
        case emodpr: return "EMODPR";
        case emodt: return "EMODT";
        case erdinfo: return "ERDINFO";
        case etrackc: return "ETRACKC";
        case eldbc: return "ELDBC";
        case elduc: return "ELDUC";
        case eupdatesvn: return "EUPDATESVN";
    }
    return "unknown";
}

constexpr std::string_view name_of(EncluLeaf leaf) {
    using enum EncluLeaf;
    switch (leaf) {
        case ereport: return "EREPORT";
        case egetkey: return "EGETKEY";
        case eenter: return "EENTER";
        case eresume: return "ERESUME";
        case eexit: return "EEXIT";
        case eaccept: return "EACCEPT";
        case emodpe: return "EMODPE";
        case eacceptcopy: return "EACCEPTCOPY";
        case everifyreport2: return "EVERIFYREPORT2";
        case edeccssa: return "EDECCSSA";
        case ereport2: return "EREPORT2";
        case egetkey256: return "EGETKEY256";
    }
    return "unknown";
}

constexpr std::string_view name_of(EnclvLeaf leaf) {
    using enum EnclvLeaf;
    switch (leaf) {
        case edecvirtchild: return "EDECVIRTCHILD";
        case eincvirtchild: return "EINCVIRTCHILD";
        case esetcontext: return "ESETCONTEXT";
    }
    return "unknown";
}

}  // namespace postern

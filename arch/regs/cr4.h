// SPDX-License-Identifier: Apache-2.0
// CR4.
#pragma once

#include "base/flag_word.h"

namespace postern {

/// SDM 3A, "Control Registers".
enum class Cr4 : u8 {
    vme = 0,
    pvi = 1,
    tsd = 2,
    de = 3,
    pse = 4,
    pae = 5,
    mce = 6,
    pge = 7,
    pce = 8,
    osfxsr = 9,
    osxmmexcpt = 10,
    umip = 11,
    la57 = 12,
    vmxe = 13,
    smxe = 14,
    fsgsbase = 16,
    pcide = 17,
    osxsave = 18,
    kl = 19,
    smep = 20,
    smap = 21,
    pke = 22,
    cet = 23,
    pks = 24,
    uintr = 25,
    lass = 27,
    lam_sup = 28,
    fred = 32,
};
using Cr4Word = FlagWord<Cr4>;

}  // namespace postern

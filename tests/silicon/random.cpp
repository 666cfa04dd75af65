// SPDX-License-Identifier: Apache-2.0
// The values of random.h.
#include "silicon/random.h"

#include <array>

namespace postern::silicon {

u64 Random::next() {
    state_ += 0x9e37'79b9'7f4a'7c15;
    u64 z = state_;
    z = (z ^ z >> 30) * 0xbf58'476d'1ce4'e5b9;
    z = (z ^ z >> 27) * 0x94d0'49bb'1331'11eb;
    return z ^ z >> 31;
}

u64 interesting(Random& random) {
    const u64 r = random.next();
    switch (random.below(8)) {
        case 0: return r & 0xff;
        case 1: return 0 - (r & 0xff);
        case 2: return u64{1} << (r & 63);
        case 3: return (u64{1} << (r & 63)) - 1;
        case 4: return r & 1 ? 0x8000'0000'8000'8080 : 0x7fff'ffff'7fff'7f7f;
        case 5: return r & 1 ? 0 : ~u64{0};
        default: return r;
    }
}

u64 interesting_float(Random& random) {
    constexpr std::array<u64, 10> doubles{0,
                                          0x8000'0000'0000'0000,
                                          0x3ff0'0000'0000'0000,
                                          0x7ff0'0000'0000'0000,
                                          0xfff0'0000'0000'0000,
                                          0x7ff8'0000'0000'0001,
                                          0x7ff0'0000'0000'0001,
                                          1,
                                          0x7fef'ffff'ffff'ffff,
                                          0x41e0'0000'0000'0000};
    constexpr std::array<u32, 10> singles{0,           0x8000'0000, 0x3f80'0000, 0x7f80'0000,
                                          0xff80'0000, 0x7fc0'0001, 0x7f80'0001, 1,
                                          0x7f7f'ffff, 0x4f00'0000};
    const u64 r = random.next();
    switch (random.below(5)) {
        case 0: return doubles[r % doubles.size()];
        case 1: return u64{singles[r % singles.size()]} << 32 | singles[r / 16 % singles.size()];
        case 2: return 0x3fe0'0000'0000'0000 + (r >> 8);  // doubles of moderate size
        case 3: return ((r & 0x03ff'ffff'03ff'ffff) + 0x3e80'0000'3e80'0000);  // singles
        default: return r;
    }
}

}  // namespace postern::silicon

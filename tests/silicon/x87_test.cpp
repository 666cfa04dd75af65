// SPDX-License-Identifier: Apache-2.0
// x87 and MMX instructions: the host against our processor, one random instruction at a time from
// a random state, in this process. Exceptions may be unmasked: the host is asked for its state
// by FXSAVE, which does not wait for them. A state is FXSAVE's image, four registers and RFLAGS.
// The transcendental functions are ours, so their last bit may differ, and what follows from it.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>

#include "cpu/decode/instruction_table.h"
#include "cpu/flags.h"
#include "cpu/mmu/access.h"
#include "cpu/simd/fxstate.h"
#include "cpu/simd/thunk.h"
#include "support/guest_code.h"

namespace postern::silicon {
namespace {

using namespace cpu;

constexpr u64 operand_at = 0x2000'0000, operand_physical = guest_at::spare;
constexpr size_t operand_size = 32;
constexpr u64 status_flags = 0x8d5;
constexpr size_t legacy_used = 416;

struct alignas(16) State {
    std::array<u8, 512> image;
    std::array<u64, 4> gpr;
    u64 flags;
    std::array<u8, operand_size> operand;
};

struct Instruction {
    std::array<u8, 8> bytes;
    unsigned length;
    bool has_immediate;
    ZydisMnemonic mnemonic;
};

struct Options {
    u64 count = 200'000;
    u64 seed = 1;
    std::string row;
};

class Random {
public:
    explicit Random(u64 seed) : engine_{seed} {}
    u64 word() { return engine_(); }
    u64 below(u64 limit) { return engine_() % limit; }
    bool once_in(u64 n) { return below(n) == 0; }

private:
    std::mt19937_64 engine_;
};

// Instructions

const ZydisDecoder& decoder() {
    static const ZydisDecoder instance = [] {
        ZydisDecoder d;
        ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        return d;
    }();
    return instance;
}

/// Of the general registers only the first four take part, but for RDI as an address.
bool touches_other_registers(const Decoded& d) {
    for (unsigned n = 0; n < d.instruction.operand_count; ++n) {
        if (!d.is_register(n)) continue;
        const ZydisRegister r = d.operand[n].reg.value;
        const ZydisRegisterClass kind = ZydisRegisterGetClass(r);
        if (kind != ZYDIS_REGCLASS_GPR32 && kind != ZYDIS_REGCLASS_GPR64) continue;
        if (ZydisRegisterGetId(r) >= 4) return true;
    }
    return false;
}

bool is_ours(const Decoded& d) {
    const InstructionRow* row = instruction_row(d.instruction.mnemonic);
    if (row == nullptr || row->kind == InstructionClass::state) return false;
    return d.instruction.meta.isa_ext == ZYDIS_ISA_EXT_X87 || uses_mmx(d);
}

using Bytes = std::initializer_list<u8>;

void add(std::vector<Instruction>& to, Bytes prefix, u8 opcode, u8 modrm) {
    const bool is_escape = opcode == 0x38 || opcode == 0x3a;
    if (is_escape && prefix.size() != 0 && prefix.end()[-1] == 0x0f) return;
    Instruction i{};
    for (const u8 b : prefix) i.bytes[i.length++] = b;
    i.bytes[i.length++] = opcode;
    i.bytes[i.length++] = modrm;
    Decoded d{};
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder(), i.bytes.data(), i.bytes.size(),
                                             &d.instruction, d.operand.data())) ||
        !is_ours(d) || touches_other_registers(d))
        return;
    i.has_immediate = i.length < d.instruction.length;
    i.length = d.instruction.length;
    i.mnemonic = d.instruction.mnemonic;
    to.push_back(i);
}

/// Every opcode with every pair of registers, and with the operand at [rdi].
std::vector<Instruction> all_instructions() {
    std::vector<Instruction> list;
    for (unsigned modrm = 0; modrm < 256; ++modrm) {
        if (modrm < 0xc0 && (modrm & 0xc7) != 7) continue;
        const auto m = static_cast<u8>(modrm);
        for (unsigned opcode = 0; opcode < 256; ++opcode) {
            const auto o = static_cast<u8>(opcode);
            if (opcode >= 0xd8 && opcode <= 0xdf) add(list, {}, o, m);
            add(list, {0x0f}, o, m);
            add(list, {0x66, 0x0f}, o, m);
            add(list, {0xf2, 0x0f}, o, m);
            add(list, {0xf3, 0x0f}, o, m);
            add(list, {0x48, 0x0f}, o, m);
            add(list, {0x0f, 0x38}, o, m);
            add(list, {0x0f, 0x3a}, o, m);
        }
    }
    return list;
}

// States

constexpr u64 top_bit = u64{1} << 63;

struct Extended {
    u64 significand;
    u16 sign_exponent;
};

u64 random_significand(Random& r) {
    switch (r.below(6)) {
        case 0: return top_bit;
        case 1: return top_bit | r.word() << r.below(64);
        case 2: return ~u64{0} << r.below(64);
        case 3: return r.word() >> r.below(64);
        default: return top_bit | r.word();
    }
}

u16 random_exponent(Random& r) {
    switch (r.below(10)) {
        case 0: return 0;
        case 1: return 0x7fff;
        case 2: return static_cast<u16>(r.below(0x7fff));
        case 3: return static_cast<u16>(0x7fff - 1 - r.below(70));
        case 4: return static_cast<u16>(r.below(70));
        case 5: return static_cast<u16>(0x3fff - 1023 - 60 + r.below(120));
        default: return static_cast<u16>(0x3fff - 8 + r.below(80));
    }
}

Extended random_extended(Random& r) {
    Extended value{random_significand(r), random_exponent(r)};
    if (r.once_in(20)) value = {};
    if (r.once_in(20)) value = {top_bit, 0x7fff};
    value.sign_exponent |= static_cast<u16>(r.below(2) << 15);
    return value;
}

/// Now and then something that means something.
std::array<u8, operand_size> random_operand(Random& r) {
    std::array<u8, operand_size> bytes;
    for (u8& b : bytes) b = static_cast<u8>(r.word());
    const Extended value = random_extended(r);
    const u64 exponent = (0x3ff - 40 + r.below(80)) << 52;
    const u64 packed = r.word() & 0x7777'7777'7777'7777;
    switch (r.below(6)) {
        case 0:
            std::memcpy(bytes.data(), &value.significand, 8);
            std::memcpy(bytes.data() + 8, &value.sign_exponent, 2);
            break;
        case 1: {
            const u64 number = (r.word() & 0x800f'ffff'ffff'ffff) | exponent;
            std::memcpy(bytes.data(), &number, 8);
            break;
        }
        case 2: {
            const u64 special = (r.below(4) << 62 | 0x3ff0'0000'0000'0000) | r.word() >> 12;
            std::memcpy(bytes.data(), &special, 8);
            break;
        }
        case 3:
            std::memcpy(bytes.data(), &packed, 8);
            bytes[8] = static_cast<u8>(packed & 0x77);
            break;
        case 4: std::fill_n(bytes.begin(), 8, u8{0}); break;
        default: break;
    }
    return bytes;
}

State random_state(Random& r) {
    State s{};
    u16 fcw = static_cast<u16>(0x40 | r.below(4) << 8 | r.below(4) << 10 | 0x3f);
    if (r.once_in(3)) fcw = static_cast<u16>(fcw & ~r.below(0x40));
    // No pending exception: no flag that is not masked.
    const auto fsw =
        static_cast<u16>((r.word() & 0x7f00) | (r.word() & fcw & 0x3f) | (r.once_in(4) ? 0x40 : 0));
    const auto tag = static_cast<u8>(r.once_in(4) ? r.word() : 0xff);
    std::memcpy(s.image.data(), &fcw, 2);
    std::memcpy(s.image.data() + 2, &fsw, 2);
    s.image[4] = tag;
    const u32 mxcsr = 0x1f80 | static_cast<u32>(r.below(4) << 13);
    std::memcpy(s.image.data() + 24, &mxcsr, 4);
    const u32 mxcsr_mask_word = 0xffff;
    std::memcpy(s.image.data() + 28, &mxcsr_mask_word, 4);
    for (size_t n = 0; n < 8; ++n) {
        const Extended value = random_extended(r);
        std::memcpy(s.image.data() + 32 + 16 * n, &value.significand, 8);
        std::memcpy(s.image.data() + 40 + 16 * n, &value.sign_exponent, 2);
    }
    for (size_t n = 160; n < legacy_used; ++n) s.image[n] = static_cast<u8>(r.word());
    for (u64& g : s.gpr) g = r.word();
    s.flags = (r.word() & status_flags) | 2;
    s.operand = random_operand(r);
    return s;
}

// The host

constexpr std::array<u8, 46> before_code{
    0x53, 0x41, 0x54,                                // push rbx; push r12
    0x49, 0x89, 0xf4,                                // mov r12, rsi
    0x49, 0x0f, 0xae, 0x0c, 0x24,                    // fxrstor64 [r12]
    0x49, 0x8b, 0x84, 0x24, 0x00, 0x02, 0x00, 0x00,  // mov rax, [r12 + 512]
    0x49, 0x8b, 0x8c, 0x24, 0x08, 0x02, 0x00, 0x00,  // mov rcx, ...
    0x49, 0x8b, 0x94, 0x24, 0x10, 0x02, 0x00, 0x00,  // mov rdx, ...
    0x49, 0x8b, 0x9c, 0x24, 0x18, 0x02, 0x00, 0x00,  // mov rbx, ...
    0x41, 0xff, 0xb4,                                // push [r12 + 544]; popf (below)
};
constexpr std::array<u8, 6> flags_code{0x24, 0x20, 0x02, 0x00, 0x00, 0x9d};
constexpr std::array<u8, 53> after_code{
    0x9c,
    0x41,
    0x8f,
    0x84,
    0x24,
    0x20,
    0x02,
    0x00,
    0x00,  // pushf; pop [r12 + 544]
    0x49,
    0x89,
    0x84,
    0x24,
    0x00,
    0x02,
    0x00,
    0x00,  // mov [r12 + 512], rax
    0x49,
    0x89,
    0x8c,
    0x24,
    0x08,
    0x02,
    0x00,
    0x00,
    0x49,
    0x89,
    0x94,
    0x24,
    0x10,
    0x02,
    0x00,
    0x00,
    0x49,
    0x89,
    0x9c,
    0x24,
    0x18,
    0x02,
    0x00,
    0x00,
    0x49,
    0x0f,
    0xae,
    0x04,
    0x24,  // fxsave64
           // [r12]
    0xdb,
    0xe3,  // fninit
    0x41,
    0x5c,
    0x5b,
    0xc3,  // pop r12; pop rbx; ret
    0xcc,
};

class Host {
public:
    Host() {
        operand_ = static_cast<u8*>(mmap(reinterpret_cast<void*>(operand_at), page_size,
                                         PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
        code_ = static_cast<u8*>(mmap(nullptr, page_size, PROT_READ | PROT_WRITE | PROT_EXEC,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (operand_ == MAP_FAILED || code_ == MAP_FAILED) std::abort();
    }
    State run(const Instruction& i, const State& before) {
        u8* at = std::copy(before_code.begin(), before_code.end(), code_);
        at = std::copy(flags_code.begin(), flags_code.end(), at);
        at = std::copy_n(i.bytes.begin(), i.length, at);
        std::copy(after_code.begin(), after_code.end(), at);
        State s = before;
        std::memcpy(operand_, s.operand.data(), operand_size);
        const u32 mxcsr = __builtin_ia32_stmxcsr();
        asm volatile("lea -128(%%rsp), %%rsp\n\tcall *%2\n\tlea 128(%%rsp), %%rsp"
                     :
                     : "D"(operand_), "S"(&s), "r"(static_cast<void*>(code_))
                     : "rax", "rcx", "rdx", "memory", "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4",
                       "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
                       "xmm14", "xmm15");
        __builtin_ia32_ldmxcsr(mxcsr);
        std::memcpy(s.operand.data(), operand_, operand_size);
        return s;
    }

private:
    u8* operand_;
    u8* code_;
};

// Ours

class Ours {
public:
    Ours() {
        machine_.map(operand_at, operand_physical, pte_present | pte_write | pte_user);
        machine_.map(operand_at + page_size, operand_physical + page_size,
                     pte_present | pte_write | pte_user);
    }
    /// False: it did not end as it should.
    bool run(const Instruction& i, const State& before, State& after) {
        Cpu& c = machine_.c;
        std::array<u8, 9> code{};
        std::copy_n(i.bytes.begin(), i.length, code.begin());
        code[i.length] = GuestCode::hlt[0];
        machine_.write(guest_at::code, code);
        machine_.set_plain_state(guest_at::code);
        load_legacy_region(c, before.image.data());
        for (size_t n = 0; n < 4; ++n) c.gpr[n] = before.gpr[n];
        c.gpr[rdi] = operand_at;
        from_image(c, before.flags);
        std::memcpy(machine_.ram(operand_physical), before.operand.data(), operand_size);
        const GuestStop stop = machine_.run(100);
        after = before;
        save_legacy_region(c, after.image.data());
        for (size_t n = 0; n < 4; ++n) after.gpr[n] = stop.state.gpr[n];
        after.flags = stop.state.rflags;
        std::memcpy(after.operand.data(), machine_.ram(operand_physical), operand_size);
        why_ = c.pending.what;
        return stop.outcome == RunOutcome::halted && !stop.fault;
    }
    [[nodiscard]] const char* why() const { return why_; }

private:
    GuestCode machine_;
    const char* why_ = nullptr;
};

// Comparison

void clear_pointers(State& s) {
    std::fill(s.image.begin() + 6, s.image.begin() + 24, u8{0});
    std::fill(s.image.begin() + 28, s.image.begin() + 32, u8{0});  // MXCSR_MASK
    for (size_t n = 0; n < 8; ++n)
        std::fill_n(s.image.begin() + static_cast<std::ptrdiff_t>(42 + 16 * n), 6, u8{0});
    std::fill(s.image.begin() + legacy_used, s.image.end(), u8{0});
    s.flags &= status_flags;
}

void print_row(const char* what, const u8* bytes, size_t count) {
    std::printf("  %-12s", what);
    for (size_t n = 0; n < count; ++n) std::printf(" %02x", bytes[n]);
    std::printf("\n");
}

void print_state(const char* whose, const State& s, const State& other) {
    std::printf(" %s\n", whose);
    print_row("fcw fsw tag", s.image.data(), 6);
    for (size_t at = 24; at < legacy_used; at += 8)
        if (std::memcmp(&s.image[at], &other.image[at], 8) != 0)
            print_row(std::to_string(at).c_str(), &s.image[at], 8);
    if (s.gpr != other.gpr) print_row("gpr", reinterpret_cast<const u8*>(s.gpr.data()), 32);
    std::printf("  flags %llx\n", static_cast<unsigned long long>(s.flags));
    print_row("operand", s.operand.data(), operand_size);
}

bool is_transcendental(ZydisMnemonic m) {
    const InstructionRow* row = instruction_row(m);
    return row->kind == InstructionClass::model_defined && m != ZYDIS_MNEMONIC_FPREM &&
           m != ZYDIS_MNEMONIC_FPREM1;
}

u16 exponent_of(const State& s, size_t n) {
    u16 value = 0;
    std::memcpy(&value, &s.image[40 + 16 * n], sizeof value);
    return value & 0x7fff;
}

/// Not what the manual gives results for: |x| from 1 on for F2XM1, from about 0.3 on for FYL2XP1.
bool is_out_of_range(ZydisMnemonic m, const State& before) {
    if (m == ZYDIS_MNEMONIC_F2XM1) return exponent_of(before, 0) >= 0x3fff;
    return m == ZYDIS_MNEMONIC_FYL2XP1 && exponent_of(before, 0) >= 0x3ffd;
}

/// The sine of the smallest normal number, also as a pseudo-denormal one, is below it by less than
/// half a unit: whether its last bit, rounded down, takes it to the largest denormal one is a last
/// bit's affair, and UE follows.
bool is_smallest_normal(const State& s) {
    u64 significand = 0;
    std::memcpy(&significand, &s.image[32], sizeof significand);
    return exponent_of(s, 0) <= 1 && significand == top_bit;
}

/// Takes over from `ours` what of the host's result may differ: C1, one unit in the last place,
/// and whether a logarithm of a power of two counts as exact.
void allow_last_bit(ZydisMnemonic m, State& native, const State& ours) {
    constexpr u8 c1 = 0x02, ue = 0x10, pe = 0x20, es = 0x80, busy = 0x80;
    const auto take = [&](size_t at, u8 bits) {
        native.image[at] = static_cast<u8>((native.image[at] & ~bits) | (ours.image[at] & bits));
    };
    take(3, c1);
    if (m == ZYDIS_MNEMONIC_FYL2X || m == ZYDIS_MNEMONIC_FYL2XP1) {
        take(2, ue | pe | es);
        take(3, busy);
    }
    for (size_t n = 0; n < 8; ++n) {
        u64 a = 0, b = 0;
        std::memcpy(&a, &native.image[32 + 16 * n], 8);
        std::memcpy(&b, &ours.image[32 + 16 * n], 8);
        const int distance = exponent_of(native, n) - exponent_of(ours, n);
        const bool beside = distance == 0 && a - b + 1 <= 2;
        const bool below = distance == -1 && a == ~u64{0} && b == top_bit;
        const bool above = distance == 1 && b == ~u64{0} && a == top_bit;
        if (beside || below || above)
            std::copy_n(&ours.image[32 + 16 * n], 10, &native.image[32 + 16 * n]);
    }
}

bool agree(const State& a, const State& b) {
    return a.image == b.image && a.gpr == b.gpr && a.flags == b.flags && a.operand == b.operand;
}

/// Each row gets its share, however many encodings it has.
std::vector<std::vector<Instruction>> by_row(const std::vector<Instruction>& list) {
    std::map<ZydisMnemonic, std::vector<Instruction>> rows;
    for (const Instruction& i : list) rows[i.mnemonic].push_back(i);
    std::vector<std::vector<Instruction>> result;
    for (auto& [mnemonic, instructions] : rows) result.push_back(std::move(instructions));
    return result;
}

int compare(const Options& options) {
    std::vector<Instruction> list = all_instructions();
    std::erase_if(list, [&](const Instruction& i) {
        return !options.row.empty() && options.row != ZydisMnemonicGetString(i.mnemonic);
    });
    if (list.empty()) return std::fprintf(stderr, "silicon_x87_test: no such row\n"), 1;
    const std::vector<std::vector<Instruction>> rows = by_row(list);
    Random random{options.seed};
    Host host;
    Ours ours;
    std::map<ZydisMnemonic, u64> compared;
    unsigned different = 0;
    for (u64 n = 0; n < options.count; ++n) {
        Instruction i = rows[n % rows.size()][random.below(rows[n % rows.size()].size())];
        if (i.has_immediate) i.bytes[i.length - 1] = static_cast<u8>(random.word());
        const State before = random_state(random);
        State native = host.run(i, before);
        State mine{};
        const bool ran = ours.run(i, before, mine);
        clear_pointers(native);
        clear_pointers(mine);
        ++compared[i.mnemonic];
        if (is_transcendental(i.mnemonic)) {
            if (is_out_of_range(i.mnemonic, before) || is_smallest_normal(before)) continue;
            allow_last_bit(i.mnemonic, native, mine);
        }
        if (ran && agree(native, mine)) continue;
        if (++different > 10) continue;
        std::printf("%s", ZydisMnemonicGetString(i.mnemonic));
        print_row("", i.bytes.data(), i.length);
        if (!ran) std::printf(" did not run: %s\n", ours.why() != nullptr ? ours.why() : "?");
        print_state("before", before, {});
        print_state("host", native, mine);
        print_state("ours", mine, native);
    }
    std::printf(
        "silicon, x87 and MMX: seed %llu, %zu rows, %llu instructions compared, %u differ\n",
        static_cast<unsigned long long>(options.seed), compared.size(),
        static_cast<unsigned long long>(options.count), different);
    return different == 0 ? 0 : 1;
}

}  // namespace
}  // namespace postern::silicon

int main(int argc, char** argv) {
    postern::silicon::Options options;
    for (int n = 1; n + 1 < argc; n += 2) {
        const std::string name = argv[n];
        const char* value = argv[n + 1];
        if (name == "--count") options.count = std::strtoull(value, nullptr, 0);
        if (name == "--seed") options.seed = std::strtoull(value, nullptr, 0);
        if (name == "--row") options.row = value;
    }
    return postern::silicon::compare(options);
}

// SPDX-License-Identifier: Apache-2.0
// Types first, then the registers by feature.
#include "platform/debug/target_xml.h"

#include <span>

#include <fmt/format.h>

#include "platform/debug/registers.h"

namespace postern::platform {

namespace {

struct Bit {
    const char* name;
    unsigned position;
};

struct Flags {
    std::string_view feature;
    const char* id;
    unsigned size;
    std::span<const Bit> bits;
};

constexpr Bit eflags[]{{"CF", 0},  {"PF", 2},   {"AF", 4},   {"ZF", 6},  {"SF", 7},  {"TF", 8},
                       {"IF", 9},  {"DF", 10},  {"OF", 11},  {"NT", 14}, {"RF", 16}, {"VM", 17},
                       {"AC", 18}, {"VIF", 19}, {"VIP", 20}, {"ID", 21}};
constexpr Bit mxcsr[]{{"IE", 0},  {"DE", 1},  {"ZE", 2},  {"OE", 3}, {"UE", 4},
                      {"PE", 5},  {"DAZ", 6}, {"IM", 7},  {"DM", 8}, {"ZM", 9},
                      {"OM", 10}, {"UM", 11}, {"PM", 12}, {"FZ", 15}};
constexpr Bit cr0[]{{"PE", 0},  {"MP", 1},  {"EM", 2},  {"TS", 3},  {"ET", 4}, {"NE", 5},
                    {"WP", 16}, {"AM", 18}, {"NW", 29}, {"CD", 30}, {"PG", 31}};
constexpr Bit cr4[]{{"VME", 0},         {"PVI", 1},    {"TSD", 2},      {"DE", 3},    {"PSE", 4},
                    {"PAE", 5},         {"MCE", 6},    {"PGE", 7},      {"PCE", 8},   {"OSFXSR", 9},
                    {"OSXMMEXCPT", 10}, {"UMIP", 11},  {"LA57", 12},    {"VMXE", 13}, {"SMXE", 14},
                    {"FSGSBASE", 16},   {"PCIDE", 17}, {"OSXSAVE", 18}, {"SMEP", 20}, {"SMAP", 21},
                    {"PKE", 22}};
constexpr Bit efer[]{{"SCE", 0}, {"LME", 8}, {"LMA", 10}, {"NXE", 11}};

constexpr Flags flag_types[]{
    {"org.gnu.gdb.i386.core", "postern_eflags", 4, eflags},
    {"org.gnu.gdb.i386.sse", "postern_mxcsr", 4, mxcsr},
    {"org.postern.system", "postern_cr0", 8, cr0},
    {"org.postern.system", "postern_cr4", 8, cr4},
    {"org.postern.system", "postern_efer", 8, efer},
};

struct VectorType {
    const char* id;
    const char* element;
    unsigned count;
};

constexpr VectorType vector_types[]{{"v4f", "ieee_single", 4}, {"v2d", "ieee_double", 2},
                                    {"v16i8", "int8", 16},     {"v8i16", "int16", 8},
                                    {"v4i32", "int32", 4},     {"v2i64", "int64", 2}};

std::string vector_xml() {
    std::string xml;
    std::string fields;
    constexpr const char* names[]{"v4_float", "v2_double", "v16_int8",
                                  "v8_int16", "v4_int32",  "v2_int64"};
    for (size_t n = 0; n < std::size(vector_types); ++n) {
        const VectorType& t = vector_types[n];
        xml +=
            fmt::format("<vector id=\"{}\" type=\"{}\" count=\"{}\"/>\n", t.id, t.element, t.count);
        fields += fmt::format("<field name=\"{}\" type=\"{}\"/>\n", names[n], t.id);
    }
    return xml + "<union id=\"vec128\">\n" + fields +
           "<field name=\"uint128\" type=\"uint128\"/>\n</union>\n";
}

std::string types_of(std::string_view feature) {
    std::string xml;
    if (feature == "org.gnu.gdb.i386.sse") xml += vector_xml();
    for (const Flags& flags : flag_types) {
        if (flags.feature != feature) continue;
        xml += fmt::format("<flags id=\"{}\" size=\"{}\">\n", flags.id, flags.size);
        for (const Bit& bit : flags.bits)
            xml += fmt::format("<field name=\"{}\" start=\"{}\" end=\"{}\"/>\n", bit.name,
                               bit.position, bit.position);
        xml += "</flags>\n";
    }
    return xml;
}

std::string made() {
    std::string xml =
        "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
        "<target version=\"1.0\">\n<architecture>i386:x86-64</architecture>\n";
    std::string_view feature;
    unsigned number = 0;
    for (const DebugRegister& r : debug_registers()) {
        if (r.feature != feature) {
            if (!feature.empty()) xml += "</feature>\n";
            feature = r.feature;
            xml += fmt::format("<feature name=\"{}\">\n{}", feature, types_of(feature));
        }
        xml += fmt::format("<reg name=\"{}\" bitsize=\"{}\" type=\"{}\" regnum=\"{}\"{}/>\n",
                           r.name, r.bits, r.type, number++,
                           r.group.empty() ? "" : fmt::format(" group=\"{}\"", r.group));
    }
    return xml + "</feature>\n</target>\n";
}

}  // namespace

const std::string& target_xml() {
    static const std::string xml = made();
    return xml;
}

}  // namespace postern::platform

// SPDX-License-Identifier: Apache-2.0
// boot_image WAY KERNEL INITRD COMMAND-LINE MIB OUTPUT: the loaders' work without our processor.
// Writes the RAM of a machine with MIB of memory into a file and prints the start state, one
// name and number to a line, so that another machine can be started from it.
#include <cstdlib>
#include <fstream>
#include <string_view>

#include <fmt/core.h>

#include "platform/boot/boot.h"
#include "platform/boot/file.h"
#include "platform/host_memory.h"

namespace {

using namespace postern;
using namespace postern::platform;

int fail(const Error& wrong) {
    fmt::print(stderr, "boot_image: {}: {}; right would be {}\n", wrong.where, wrong.what,
               wrong.right);
    return 2;
}

BootWay way_of(std::string_view name) {
    if (name == "linux") return BootWay::linux_kernel;
    if (name == "decompress") return BootWay::decompress;
    if (name == "pvh") return BootWay::pvh;
    return BootWay::automatic;
}

void print(const StartState& start) {
    fmt::print("mode {}\nrip {}\nrsi {}\nrbx {}\ncr3 {}\n",
               start.mode == StartMode::long_64 ? 64 : 32, start.rip, start.rsi, start.rbx,
               start.cr3);
    fmt::print("gdt_base {}\ngdt_limit {}\ncode_selector {}\ndata_selector {}\n", start.gdt_base,
               start.gdt_limit, start.code_selector, start.data_selector);
}

int write_image(char** arguments) {
    Kernel kernel;
    kernel.name = arguments[2];
    auto file = read_file(arguments[2], gib, "a kernel");
    if (!file) return fail(file.error());
    auto initrd = read_file(arguments[3], gib, "an initrd");
    if (!initrd) return fail(initrd.error());
    kernel.file = std::move(*file);
    kernel.initrd = std::move(*initrd);
    kernel.command_line = arguments[4];
    const auto layout = checked_layout(std::strtoull(arguments[5], nullptr, 10) * mib, 0);
    if (!layout) return fail(layout.error());
    const auto memory = HostMemory::map(layout->ram_size());
    if (!memory) return fail(memory.error());
    const auto start = load_kernel(way_of(arguments[1]), kernel, {memory->data(), *layout},
                                   {0, memory_map(*layout)});
    if (!start) return fail(start.error());
    std::ofstream output{arguments[6], std::ios::binary};
    output.write(reinterpret_cast<const char*>(memory->data()),
                 static_cast<std::streamsize>(memory->size()));
    output.close();
    if (!output) return fail({"it cannot be written", arguments[6], "a writable file"});
    print(*start);
    return 0;
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 7) return write_image(arguments);
    fmt::print(stderr, "boot_image: WAY KERNEL INITRD COMMAND-LINE MIB OUTPUT\n");
    return 2;
}

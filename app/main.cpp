// SPDX-License-Identifier: Apache-2.0
// main(): arguments in, exit status out.
#include <filesystem>
#include <iostream>

#include "app/program.h"

int main(int argc, char** argv) {
    std::error_code code;
    auto self = std::filesystem::read_symlink("/proc/self/exe", code);
    if (code) self = argc > 0 ? argv[0] : "";
    const std::vector<std::string> arguments{argv + (argc > 0 ? 1 : 0), argv + argc};
    return postern::app::run_program(arguments, self.parent_path().string(),
                                     {std::cout, std::cerr});
}

// SPDX-License-Identifier: Apache-2.0
// The I/O ports by which init and `postern exec` talk, and what is said there.
//
//   f4h   write, 32 bits: the end; Ending in bits 7:0, its number in bits 15:8
//   f5h   write: everything is mounted, the program may come; a snapshot is taken here
//   e9h   write: init's own complaint, for people
//   510h  QEMU's firmware configuration device: the files "opt/postern/files", a cpio archive, and
//         "opt/postern/command"
//   5f0h  write: standard output; read: standard input
//   5f1h  write: standard error
//   5f4h  read, 32 bits: how many bytes of standard input there are now; FFFFFFFFH: it has ended
//
// The command is a sequence of strings that end in NUL: the program's path, the number of
// arguments in decimal, the arguments, the environment.
#pragma once

#include <cstddef>
#include <cstdint>

namespace postern::exec {

constexpr std::uint16_t port_end = 0xf4;
constexpr std::uint16_t port_mark = 0xf5;
constexpr std::uint16_t port_complaint = 0xe9;
constexpr std::uint16_t port_selector = 0x510;
constexpr std::uint16_t port_item = 0x511;
constexpr std::uint16_t port_output = 0x5f0;
constexpr std::uint16_t port_error = 0x5f1;
constexpr std::uint16_t port_input_count = 0x5f4;

constexpr std::uint32_t input_ended = ~std::uint32_t{0};

constexpr const char* files_item = "opt/postern/files";
constexpr const char* command_item = "opt/postern/command";

enum class Ending : std::uint8_t {
    exited = 0,        // number: the status
    signalled = 1,     // number: the signal
    not_executed = 2,  // number: execve()'s errno
    init_failed = 3,   // the complaint says why
};

constexpr std::uint32_t end_word(Ending ending, unsigned number) {
    return static_cast<std::uint32_t>(ending) | (number & 0xff) << 8;
}

inline void out32(std::uint16_t port, std::uint32_t value) {
    asm volatile("outl %1, %0" : : "d"(port), "a"(value) : "memory");
}
inline void out16(std::uint16_t port, std::uint16_t value) {
    asm volatile("outw %1, %0" : : "d"(port), "a"(value) : "memory");
}
inline std::uint32_t in32(std::uint16_t port) {
    std::uint32_t value;
    asm volatile("inl %1, %0" : "=a"(value) : "d"(port) : "memory");
    return value;
}
inline char in8(std::uint16_t port) {
    char value;
    asm volatile("inb %1, %0" : "=a"(value) : "d"(port) : "memory");
    return value;
}
inline void out_bytes(std::uint16_t port, const void* from, std::size_t count) {
    asm volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}
/// Four bytes at a time: a read of 32 bits gives the next four.
inline void in_bytes(std::uint16_t port, void* to, std::size_t count) {
    std::size_t words = count / 4;
    asm volatile("rep insl" : "+D"(to), "+c"(words) : "d"(port) : "memory");
    count %= 4;
    asm volatile("rep insb" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}

}  // namespace postern::exec

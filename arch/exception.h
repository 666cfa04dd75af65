// SPDX-License-Identifier: Apache-2.0
// Exception vectors: error codes, the classes of the double-fault table, #PF's error code.
#pragma once

#include <array>
#include <string_view>

#include "base/flag_word.h"

namespace postern {

/// SDM 3A, "Exception and Interrupt Vectors".
enum class Vector : u8 {
    divide_error = 0,
    debug = 1,
    nmi = 2,
    breakpoint = 3,
    overflow = 4,
    bound_range = 5,
    invalid_opcode = 6,
    device_not_available = 7,
    double_fault = 8,
    invalid_tss = 10,
    segment_not_present = 11,
    stack_fault = 12,
    general_protection = 13,
    page_fault = 14,
    x87_floating_point = 16,
    alignment_check = 17,
    machine_check = 18,
    simd_floating_point = 19,
    virtualization = 20,
    control_protection = 21,
};

/// Vectors 0 to 31 are the architecture's.
inline constexpr unsigned architectural_vector_count = 32;

inline constexpr std::array<std::string_view, architectural_vector_count> vector_mnemonics{
    "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9",   "#TS",
    "#NP", "#SS", "#GP", "#PF", "15",  "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
    "22",  "23",  "24",  "25",  "26",  "27",  "28",  "29",  "30",  "31"};

constexpr std::string_view mnemonic_of(Vector vector) {
    const auto number = static_cast<unsigned>(vector);
    return number < vector_mnemonics.size() ? vector_mnemonics[number] : "interrupt";
}

/// SDM 3A, "Exception and Interrupt Reference". In real-address mode none is pushed.
constexpr bool has_error_code(Vector vector) {
    switch (vector) {
        case Vector::double_fault:
        case Vector::invalid_tss:
        case Vector::segment_not_present:
        case Vector::stack_fault:
        case Vector::general_protection:
        case Vector::page_fault:
        case Vector::alignment_check:
        case Vector::control_protection: return true;
        default: return false;
    }
}

/// SDM 3A, "Interrupt 8: Double Fault Exception (#DF)", table "Interrupt and Exception
/// Classes". Interrupts of any vector are benign.
enum class ExceptionClass : u8 { benign, contributory, page_fault, double_fault };

constexpr ExceptionClass class_of(Vector vector) {
    switch (vector) {
        case Vector::divide_error:
        case Vector::invalid_tss:
        case Vector::segment_not_present:
        case Vector::stack_fault:
        case Vector::general_protection:
        case Vector::control_protection: return ExceptionClass::contributory;
        case Vector::page_fault:
        case Vector::virtualization: return ExceptionClass::page_fault;
        case Vector::double_fault: return ExceptionClass::double_fault;
        default: return ExceptionClass::benign;
    }
}

enum class Combination : u8 {
    serial,  // deliver the second; the first happens again
    double_fault,
    triple_fault,  // shutdown
};

/// What a second exception, met while delivering the first, leads to. SDM 3A, "Interrupt 8:
/// Double Fault Exception (#DF)", table "Conditions for Generating a Double Fault".
constexpr Combination combine(ExceptionClass first, ExceptionClass second) {
    if (first == ExceptionClass::benign || second == ExceptionClass::benign)
        return Combination::serial;
    if (first == ExceptionClass::double_fault) return Combination::triple_fault;
    if (first == ExceptionClass::contributory && second == ExceptionClass::page_fault)
        return Combination::serial;
    return Combination::double_fault;
}
constexpr Combination combine(Vector first, Vector second) {
    return combine(class_of(first), class_of(second));
}

/// SDM 3A, "Interrupt 14: Page-Fault Exception (#PF)".
enum class PageFaultBit : u8 {
    p = 0,
    wr = 1,
    us = 2,
    rsvd = 3,
    id = 4,
    pk = 5,
    ss = 6,
    hlat = 7,
    sgx = 15,
};
using PageFaultError = FlagWord<PageFaultBit, u32>;

/// Bits of an error code that names a selector. SDM 3A, "Error Code".
enum class SelectorErrorBit : u8 { ext = 0, idt = 1, ti = 2 };
using SelectorError = FlagWord<SelectorErrorBit, u32>;

/// The error code for the IDT gate of `vector`.
constexpr u32 idt_error_code(u8 vector, bool external) {
    return static_cast<u32>(vector) << 3 | 2u | (external ? 1u : 0u);
}

}  // namespace postern

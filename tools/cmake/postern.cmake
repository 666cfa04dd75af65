# SPDX-License-Identifier: Apache-2.0
# How every target of the project is compiled, and the one function that makes a layer.

add_library(postern_options INTERFACE)
target_include_directories(postern_options INTERFACE
    ${PROJECT_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_compile_definitions(postern_options INTERFACE POSTERN_LOOP=${POSTERN_LOOP})
target_compile_options(postern_options INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
    $<$<CXX_COMPILER_ID:Clang>:-Wno-gnu-statement-expression>
    $<$<CXX_COMPILER_ID:Clang>:-Wno-gnu-statement-expression-from-macro-expansion>)
if(POSTERN_SANITIZE)
    # vptr needs RTTI, which cpu/ and hv/ do without.
    set(sanitize -fsanitize=${POSTERN_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=all
        -fno-omit-frame-pointer)
    target_compile_options(postern_options INTERFACE ${sanitize})
    target_link_options(postern_options INTERFACE ${sanitize})
endif()

configure_file(${CMAKE_CURRENT_LIST_DIR}/version.h.in
    ${CMAKE_BINARY_DIR}/generated/base/version.h @ONLY)

# clang-tidy is asked of our own targets only: guests/ has rules of its own.
function(postern_lint target)
    if(POSTERN_TIDY)
        set_target_properties(${target} PROPERTIES
            CXX_CLANG_TIDY "clang-tidy-19;--quiet;--warnings-as-errors=*")
    endif()
endfunction()

# The layer of the current directory: postern_<name>, of all its .cpp files but main.cpp.
function(postern_layer name)
    cmake_parse_arguments(PARSE_ARGV 1 layer "" "" "LINK;OPTIONS")
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
    list(FILTER sources EXCLUDE REGEX "/app/main\\.cpp$")
    if(sources)
        add_library(${name} STATIC ${sources})
        target_link_libraries(${name} PUBLIC postern_options ${layer_LINK})
        target_compile_options(${name} PRIVATE ${layer_OPTIONS})
        postern_lint(${name})
    else()
        add_library(${name} INTERFACE)
        target_link_libraries(${name} INTERFACE postern_options ${layer_LINK})
    endif()
endfunction()

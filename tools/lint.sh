#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# clang-format and clang-tidy over our C++ sources. Changes nothing, unless called with
# --format: then it formats, and does only that.
set -eu

layers="base arch cpu hv platform host app guests tests bench fuzz"
sources() {
    # shellcheck disable=SC2086  # a list of words
    find $layers -name '*.h' -o -name '*.cpp' | sort
}

if [ "${1:-}" = --format ]; then
    sources | xargs clang-format-19 -i
    exit
fi

unformatted=0
for file in $(sources); do
    if ! clang-format-19 "$file" | cmp -s - "$file"; then
        echo "$file: not formatted"
        unformatted=1
    fi
done
tools/build.sh lint
if [ $unformatted != 0 ]; then
    echo "lint: run make format"
    exit 1
fi
echo "lint: nothing found"

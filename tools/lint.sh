#!/usr/bin/env bash
# Copyright (c) mmseg_semi authors.
#
# Check the style of every Python file and the syntax of every shell script.
#
#   tools/lint.sh [--fix] [PATH...]
#
# --fix lets yapf and isort write their changes.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/env.sh
ensure_env tests

yapf_mode=--diff
isort_mode=(--quiet --check-only --diff)
if [[ ${1:-} == --fix ]]; then
    yapf_mode=--in-place
    isort_mode=(--quiet)
    shift
fi
paths=("$@")
if ((${#paths[@]} == 0)); then
    for path in setup.py mmseg_semi configs tools tests docs; do
        [[ ! -e $path ]] || paths+=("$path")
    done
fi

failed=0
# isort first: yapf has the last word on wrapped imports.
"$PYTHON" -m isort "${isort_mode[@]}" "${paths[@]}" || failed=1
"$PYTHON" -m yapf --recursive --parallel "$yapf_mode" "${paths[@]}" || failed=1
"$PYTHON" -m flake8 "${paths[@]}" || failed=1
for script in tools/*.sh .ci/run; do
    bash -n "$script" || failed=1
done
if ((failed)); then
    echo 'lint: failed. `tools/lint.sh --fix` mends what yapf and isort' \
        'report.' >&2
    exit 1
fi
echo 'lint: clean'

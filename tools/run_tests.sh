#!/usr/bin/env bash
# Copyright (c) mmseg_semi authors.
#
# Run the tests in an environment that is made where none is active.
#
#   tools/run_tests.sh [PYTEST ARGUMENT...]
#   tools/run_tests.sh -m 'not slow' tests/test_functional
#   tools/run_tests.sh -n 0 --pdb tests/test_functional   # in one process
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/env.sh
ensure_env tests
# The inputs are tiny: threads cost more than they give.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# A file stays in one process, so that what its fixtures make is made once.
# Four at most: each may start two more for the tests of several processes.
exec "$PYTHON" -m pytest -n auto --maxprocesses 4 --dist loadfile "$@"

#!/usr/bin/env bash
# Copyright (c) mmseg_semi authors.
#
# Run the tests in an environment that is made where none is active.
#
#   tools/run_tests.sh [PYTEST ARGUMENT...]
#   tools/run_tests.sh -m 'not slow' tests/test_functional
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/env.sh
ensure_env tests
# The inputs are tiny: threads cost more than they give.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
exec "$PYTHON" -m pytest "$@"

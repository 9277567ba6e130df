#!/usr/bin/env bash
# Copyright (c) mmseg_semi authors.
#
# From nothing but Python to a supervised and a semi-supervised model side by
# side on the same labels.
#
#   tools/quickstart.sh [--labels N] [--seed N] [--quick] [--help]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/env.sh
pick_python
for argument in "$@"; do
    case $argument in
    -h | --help) exec "$PYTHON" tools/misc/quickstart.py --help ;;
    esac
done
# A wrong argument is told before anything is installed.
if _is_supported "$PYTHON"; then
    "$PYTHON" tools/misc/quickstart.py --check-arguments "$@"
fi
ensure_env
exec "$PYTHON" tools/misc/quickstart.py "$@"

#!/usr/bin/env bash
# Copyright (c) mmseg_semi authors.
#
# Evaluate a checkpoint with several processes.
#
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [ARGUMENTS OF test.py...]
#
# Variables: NNODES, NODE_RANK, MASTER_ADDR, PORT
set -euo pipefail

if (($# < 3)); then
    echo "usage: $0 CONFIG CHECKPOINT GPUS [ARGUMENTS OF test.py...]" >&2
    exit 2
fi
config=$1
checkpoint=$2
gpus=$3
tools=$(dirname "${BASH_SOURCE[0]}")
source "$tools/launch.sh"
launch "$gpus" "$tools/test.py" "$config" "$checkpoint" \
    --launcher pytorch "${@:4}"

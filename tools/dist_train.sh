#!/usr/bin/env bash
# Copyright (c) mmseg_semi authors.
#
# Train with several processes on one machine, or on each of NNODES machines.
# Without GPUs the processes use the CPU (gloo).
#
#   tools/dist_train.sh CONFIG GPUS [ARGUMENTS OF train.py...]
#
# Variables: NNODES, NODE_RANK, MASTER_ADDR, PORT
set -euo pipefail

if (($# < 2)); then
    echo "usage: $0 CONFIG GPUS [ARGUMENTS OF train.py...]" >&2
    exit 2
fi
config=$1
gpus=$2
tools=$(dirname "${BASH_SOURCE[0]}")
source "$tools/launch.sh"
launch "$gpus" "$tools/train.py" "$config" --launcher pytorch "${@:3}"

#!/usr/bin/env bash
# Copyright (c) mmseg_semi authors.
#
# Train on a Slurm cluster.
#
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG [ARGUMENTS OF train.py...]
#
# Variables: GPUS (4), GPUS_PER_NODE (4), CPUS_PER_TASK (5), SRUN_ARGS
set -euo pipefail

if (($# < 3)); then
    echo "usage: $0 PARTITION JOB_NAME CONFIG [ARGUMENTS OF train.py...]" >&2
    exit 2
fi
tools=$(dirname "${BASH_SOURCE[0]}")
source "$tools/env.sh"
pick_python
# shellcheck disable=SC2086  # SRUN_ARGS is a list of words
srun -p "$1" \
    --job-name="$2" \
    --gres=gpu:"${GPUS_PER_NODE:-4}" \
    --ntasks="${GPUS:-4}" \
    --ntasks-per-node="${GPUS_PER_NODE:-4}" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    "$PYTHON" -u "$tools/train.py" "$3" --launcher slurm "${@:4}"

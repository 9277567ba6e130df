#!/usr/bin/env bash
# Copyright (c) mmseg_semi authors.
#
# Sourced by dist_train.sh and dist_test.sh: launch PROCESSES SCRIPT ARGS...

source "$(dirname "${BASH_SOURCE[0]}")/env.sh"

launch() {
    local processes=$1 rendezvous cores
    if [[ ! $processes =~ ^[1-9][0-9]*$ ]]; then
        echo "error: GPUS must be a number from 1, got $processes" >&2
        exit 2
    fi
    pick_python
    if [[ ${NNODES:-1} == 1 && -z ${PORT:-} ]]; then
        # A free port, so that several runs fit on one machine.
        rendezvous=(--standalone)
    else
        rendezvous=(
            --nnodes="${NNODES:-1}"
            --node_rank="${NODE_RANK:-0}"
            --master_addr="${MASTER_ADDR:-127.0.0.1}"
            --master_port="${PORT:-29500}"
        )
    fi
    if [[ -z ${OMP_NUM_THREADS:-} ]] && ! nvidia-smi -L >/dev/null 2>&1; then
        # torchrun would give one thread to each process; where the CPU does
        # the work the processes share the cores instead.
        cores=$("$PYTHON" -c 'import os; print(os.cpu_count() or 1)')
        export OMP_NUM_THREADS=$((cores > processes ? cores / processes : 1))
    fi
    "$PYTHON" -m torch.distributed.run "${rendezvous[@]}" \
        --nproc_per_node="$processes" "${@:2}"
}

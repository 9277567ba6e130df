# Copyright (c) mmseg_semi authors.
"""Random numbers of a training step, a function of its position alone."""
from random import Random

import torch

STREAMS = dict(network=0, method=1, common=2)


def step_seed(seed: int,
              iteration: int,
              rank: int,
              stream: str,
              part: int = 0) -> int:
    """A seed below 2**63 that is a function of position alone."""
    place = f'{seed}/{iteration}/{rank}/{STREAMS[stream]}'
    # The first batch of an iteration draws as if it were the only one.
    return Random(f'{place}/{part}' if part else place).getrandbits(63)


def seed_dropout(device: torch.device, seed: int) -> None:
    """Seed the generator that the networks draw from on this device.

    ``torch.manual_seed`` alone would, in a process that computes on the CPU,
    note the caller's stack for accelerators that are not there: 0.1 ms.
    """
    if device.type == 'cpu':
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)

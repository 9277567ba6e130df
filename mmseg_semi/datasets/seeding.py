# Copyright (c) mmseg_semi authors.
"""Randomness as a function of the position in the sample stream."""
import random
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def position_seed(seed: int, position: int):
    """Seed numpy, random and torch (CPU) from ``(seed, position)``.

    What is drawn inside depends on these two numbers only, so a sample is the
    same whichever worker process loads it and however many samples were
    loaded before. The states found on entry come back on exit, so loading in
    the main process (``num_workers=0``) does not disturb the training
    step's own random numbers.

    Args:
        seed (int): Non-negative seed of the stream.
        position (int): Non-negative position in the stream.
    """
    words = np.random.SeedSequence([seed, position]).generate_state(8)
    states = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    try:
        np.random.seed(words[:4])
        random.seed(words[4:6].tobytes())
        # Not torch.manual_seed: that would reseed the accelerators too.
        torch.default_generator.manual_seed(int(words[6:].view(np.uint64)[0]))
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])

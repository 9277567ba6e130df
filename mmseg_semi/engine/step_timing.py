# Copyright (c) mmseg_semi authors.
"""Where a training step spends time and memory.

Nothing here is part of a training: :func:`timed` exchanges methods of a model
for timed ones only inside its ``with`` block.
"""
import functools
import json
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Tuple

import torch
from torch.profiler import ProfilerActivity, profile

CLOCKS = dict(wall=time.perf_counter, cpu=time.process_time)
MIB = 2**20


class StepTimer:
    """Seconds per phase of a function, every phase without those inside it.

    On CUDA the phases are bounded by events in the stream, so measuring adds
    no synchronisation inside a step; the device is synchronised only before
    and after it.

    Args:
        device (torch.device): Where the work is done.
        clock (str): ``wall``, or ``cpu`` for the processor time of this
            process, which other processes disturb far less. CUDA is always
            measured by events. Defaults to ``wall``.

    Example:
        >>> timer = StepTimer(torch.device('cpu'))
        >>> def step():
        ...     with timer.phase('forward'):
        ...         out = net(x)
        ...     out.sum().backward()
        >>> timer.measure(step)
        {'forward': 0.012, 'other': 0.021}
    """

    def __init__(self, device: torch.device, clock: str = 'wall') -> None:
        self.cuda = device.type == 'cuda'
        self.clock = CLOCKS[clock]
        self._phases, self._marks = ['other'], []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time of the block for ``name``."""
        self._mark()
        self._phases.append(name)
        try:
            yield
        finally:
            self._mark()
            self._phases.pop()

    def wrap(self, name: str, function: Callable) -> Callable:
        """The same function, counted for ``name``."""

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with self.phase(name):
                return function(*args, **kwargs)

        return wrapped

    def measure(self, function: Callable[[], Any]) -> Dict[str, float]:
        """Run a function once.

        Returns:
            dict[str, float]: Seconds by phase. Their sum is the time of the
            call.
        """
        self._synchronize()
        self._phases, self._marks = ['other'], []
        self._mark()
        function()
        self._mark()
        self._synchronize()
        seconds: Dict[str, float] = defaultdict(float)
        for (_, begin), (name, end) in zip(self._marks, self._marks[1:]):
            seconds[name] += begin.elapsed_time(end) / 1e3 if self.cuda \
                else end - begin
        return dict(seconds)

    def _mark(self) -> None:
        """Count what passed since the last mark for the current phase."""
        if self.cuda:
            now = torch.cuda.Event(enable_timing=True)
            now.record()
        else:
            now = self.clock()
        self._marks.append((self._phases[-1], now))

    def _synchronize(self) -> None:
        if self.cuda:
            torch.cuda.synchronize()


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Exchange an attribute of one object inside the block."""
    own = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own is None:  # it came from the class
            delattr(owner, name)
        else:
            setattr(owner, name, own)


def step_phases(model) -> Dict[str, Tuple[Any, str]]:
    """The parts of a framework's step that are timed, by phase name.

    Args:
        model (Framework): The model.

    Returns:
        dict[str, tuple[object, str]]: Owner and attribute of each function.
        What a term does in hook ``x`` is the phase ``<term>.x``.
    """
    # Frameworks of two networks call other methods of the mixer than it
    # itself, and do all they need in one.
    mix = 'mix_views' if hasattr(model, 'mix_views') else 'mixer'
    phases = {
        'views': (model, 'begin'),
        'forward': (model, 'run'),
        'pseudo-labels': (model, 'pseudo_labels'),
        'mix': (model, mix),
        'EMA': (model, 'update_teacher'),
    }
    hooks = ('on_labels', 'update_before', 'keep', 'loss', 'update_after')
    for name, term in model.terms.items():
        phases.update({f'{name}.{hook}': (term, hook) for hook in hooks})
    return {
        phase: (owner, attribute)
        for phase, (owner, attribute) in phases.items()
        if callable(getattr(owner, attribute, None))
    }


@contextmanager
def timed(model, timer: StepTimer) -> Iterator[None]:
    """Time the phases of ``model``'s step inside the block."""
    with ExitStack() as stack:
        for phase, (owner, name) in step_phases(model).items():
            function = timer.wrap(phase, getattr(owner, name))
            stack.enter_context(replaced(owner, name, function))
        yield


def peak_memory(function: Callable[[], Any], device: torch.device) -> float:
    """MiB that a function allocates at its peak above what there was before.

    On CUDA from the allocator's statistics, on the CPU from the allocations
    that the profiler records; scratch space inside an operator that does not
    come from the allocator (oneDNN) is not seen there.

    Args:
        function (Callable): Run once, after a warm-up of the caller's.
        device (torch.device): Whose memory.
    """
    if device.type == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / MIB
    with profile(
            activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        function()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'trace.json'
        record.export_chrome_trace(str(path))
        events = json.loads(path.read_text())['traceEvents']
    return max((event['args']['Total Allocated']
                for event in events if event.get('name') == '[memory]'),
               default=0) / MIB

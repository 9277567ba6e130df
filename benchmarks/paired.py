# Copyright (c) mmseg_semi authors.
"""Time and memory of several ways to compute the same loss.

A benchmark has a class of inputs, made from the command line options and a
dtype, with ``gradients()``, by name, and ``forget()``, and functions of the
inputs that return the loss. All ways get the same inputs and do forward and
backward on one CPU thread, in turns, so that ratios are of neighbouring runs.
Peak memory is that of a process which runs one of them once, beyond the
inputs.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

os.environ['OMP_NUM_THREADS'] = '1'

import torch  # noqa: E402
from rich import print as show  # noqa: E402
from rich.table import Table  # noqa: E402


def once(way, data):
    """CPU seconds of forward and backward, and the loss."""
    data.forget()
    start = time.process_time()
    loss = way(data)
    loss.backward()
    return time.process_time() - start, loss.item()


def in_turns(ways, data, repeats):
    """CPU seconds of every way, ``repeats`` rounds after a first one."""
    seconds = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            spent = once(way, data)[0]
            if repeat:
                seconds[name].append(spent)
    return seconds


def status(key: str) -> float:
    """MiB of a line of /proc/self/status."""
    with open('/proc/self/status') as file:
        return next(
            int(line.split()[1])
            for line in file if line.startswith(key)) / 1024


def peak(way, inputs, args, small) -> float:
    """MiB beyond the inputs at the worst moment; for a process of its own."""
    # Libraries allocate on first use.
    once(way, inputs(argparse.Namespace(**{**vars(args), **small})))
    data = inputs(args)
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')  # forget the peak so far
    before = status('VmRSS')
    once(way, data)
    return status('VmHWM') - before


def peak_of(name) -> float:
    command = [sys.executable, *sys.argv, '--peak-of', name]
    output = subprocess.run(command, capture_output=True, text=True)
    if output.returncode:
        sys.exit(output.stderr)
    return float(output.stdout.split()[-1])


def difference(ways, inputs, args, dtype):
    """Largest differences of loss and gradients, relative to their size."""
    losses, gradients = [], []
    for way in ways:
        data = inputs(args, dtype)
        losses.append(once(way, data)[1])
        gradients.append(data.gradients())
        del data
    result = dict(loss=abs(losses[1] / losses[0] - 1))
    for name, theirs in gradients[0].items():
        error = (gradients[1][name] - theirs).abs().max()
        result[name] = (error / theirs.abs().max()).item()
    return result


def print_table(result, title, ours) -> None:
    table = Table(title=f'{title}, forward + backward, one thread')
    for column in ('way', 'CPU seconds', f'x {ours}', 'extra peak MiB',
                   f'x {ours}'):
        table.add_column(column, justify='right')
    memory = result['peak_mib']
    for name, seconds in result['seconds'].items():
        table.add_row(name, f'{seconds:.3f}', f'{result["slower"][name]:.2f}',
                      f'{memory[name]:.0f}',
                      f'{memory[name] / memory[ours]:.2f}')
    show(table)
    show('largest relative differences:', result['difference'])


def run(doc, inputs, ways, options, small, title, fp64=None) -> None:
    """The command line of a benchmark.

    Args:
        doc (str): Its description.
        inputs (callable): Makes the inputs of ``(args, dtype)``.
        ways (dict): Functions by name; the first is the obvious one that the
            last, ours, is held against.
        options (dict): Integer command line options with their defaults.
        small (dict): Options of a run that only loads libraries.
        title (str): Formatted with the options.
        fp64 (dict, optional): Options of the comparison in fp64, which may
            not fit in memory otherwise.
    """
    parser = argparse.ArgumentParser(description=doc.split('\n')[0])
    for name, value in options.items():
        parser.add_argument(f'--{name}', type=int, default=value)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--json', help='write the figures to this file')
    parser.add_argument(
        '--peak-of', choices=ways, help='print the peak of one way only')
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.peak_of:
        print(peak(ways[args.peak_of], inputs, args, small))
        return
    ours = list(ways)[-1]
    seconds = in_turns(ways, inputs(args), args.repeats)
    pair = [next(iter(ways.values())), ways[ours]]
    reduced = argparse.Namespace(**{**vars(args), **(fp64 or {})})
    result = dict({name: getattr(args, name)
                   for name in options},
                  torch=torch.__version__,
                  seconds={
                      name: statistics.median(times)
                      for name, times in seconds.items()
                  },
                  slower={
                      name:
                      statistics.median(
                          other / mine
                          for other, mine in zip(times, seconds[ours]))
                      for name, times in seconds.items()
                  },
                  peak_mib={name: peak_of(name)
                            for name in ways},
                  difference=dict(
                      fp32=difference(pair, inputs, args, torch.float32),
                      fp64=difference(pair, inputs, reduced, torch.float64)))
    print_table(result, title.format(**vars(args)), ours)
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(result, file, indent=2)
            file.write('\n')

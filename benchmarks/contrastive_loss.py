# Copyright (c) mmseg_semi authors.
"""CMB's contrastive loss: as factorised here against pair by pair.

    python benchmarks/contrastive_loss.py [--rows 115000] [--json FILE]

All ways get the same features, selectors included, and do forward and
backward on one CPU thread, in turns. Peak memory is that of a process which
runs one of them once, beyond the inputs.
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
import torch.nn.functional as F  # noqa: E402
from rich import print as show  # noqa: E402
from rich.table import Table  # noqa: E402

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir))

from mmseg_semi import functional  # noqa: E402
from mmseg_semi.models import ContrastHead  # noqa: E402


class Inputs:
    """Features in clusters, 5 % of them ignored, and a full memory."""

    def __init__(self, args, dtype=torch.float32) -> None:
        torch.manual_seed(0)
        classes, dim = args.classes, args.channels
        labels = torch.randint(0, classes, (args.rows, ))
        self.labels = labels.masked_fill(torch.rand(args.rows) < .05, 255)
        centres = torch.randn(classes, dim)
        self.features = torch.randn(args.rows, dim).add_(centres[labels])
        self.features = self.features.to(dtype).requires_grad_()
        noise = torch.randn(classes, args.memory, dim)
        self.bank = (noise + centres[:, None]).to(dtype)
        head = ContrastHead(dim, classes, dim).to(dtype)
        self.selectors = [head.selectors, head.memory_selectors]

    def gradients(self):
        tensors = [self.features]
        for module in self.selectors:
            tensors += module.parameters()
        return [tensor.grad for tensor in tensors]

    def forget(self) -> None:
        self.features.grad = None
        for module in self.selectors:
            module.zero_grad()


def selector(module, label, rows):
    """Selector of one class, layer by layer."""
    hidden = rows.detach() @ module.weight[label]
    hidden = F.batch_norm(hidden, None, None, module.norm_weight[label],
                          module.norm_bias[label], True)
    hidden = F.leaky_relu(hidden, .2)
    score = hidden @ module.out[label] + module.out_bias[label]
    attention = score.sigmoid()
    return len(rows) * attention / attention.sum()


def pairs(data, rows_of_class):
    """Eq. 8-11 with a table of pairs per class."""
    total = 0.
    for label, vectors in enumerate(data.bank):
        rows = rows_of_class(label)
        if len(rows) < 2 or len(vectors) < 2:
            continue
        distance = 1 - F.normalize(rows) @ F.normalize(vectors).t()
        distance = selector(data.selectors[0], label, rows)[:, None] * distance
        distance = distance * selector(data.selectors[1], label, vectors)
        total = total + distance.mean()
    return total / len(data.bank)


def pairwise(data):
    """Class by class, each picked by a mask, as the official code does."""
    return pairs(data, lambda label: data.features[data.labels == label])


def sorted_pairwise(data):
    """The same after sorting all features once."""
    order = data.labels.argsort(stable=True)
    counts = torch.bincount(data.labels, minlength=256).tolist()
    parts = data.features[order].split(counts)
    return pairs(data, lambda label: parts[label])


def factorised(data):
    """What the CMB term does."""
    stored = torch.ones(data.bank.shape[:2], dtype=torch.bool)
    memory = data.selectors[1](data.bank, stored).sigmoid()
    directions = functional.class_directions(data.bank, stored, memory)
    cosine = functional.class_cosine(data.features, data.labels, directions)
    attention = data.selectors[0](data.features, data.labels).sigmoid()
    return functional.contrastive_loss(cosine, data.labels, stored.any(1),
                                       attention)


WAYS = dict(
    pairwise=pairwise, sorted_pairwise=sorted_pairwise, factorised=factorised)


def once(way, data):
    """CPU seconds of forward and backward, and the loss."""
    data.forget()
    start = time.process_time()
    loss = WAYS[way](data)
    loss.backward()
    return time.process_time() - start, loss.item()


def status(key: str) -> float:
    """MiB of a line of /proc/self/status."""
    with open('/proc/self/status') as file:
        return next(
            int(line.split()[1])
            for line in file if line.startswith(key)) / 1024


def peak(way, args) -> float:
    """MiB beyond the inputs at the worst moment; for a process of its own."""
    small = argparse.Namespace(**{**vars(args), 'rows': 50 * args.classes})
    once(way, Inputs(small))  # libraries allocate on first use
    data = Inputs(args)
    with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')  # forget the peak so far
    before = status('VmRSS')
    once(way, data)
    return status('VmHWM') - before


def peak_of(way) -> float:
    command = [sys.executable, *sys.argv, '--peak-of', way]
    output = subprocess.run(command, capture_output=True, text=True)
    if output.returncode:
        sys.exit(output.stderr)
    return float(output.stdout.split()[-1])


def difference(args, dtype):
    """Largest relative difference of loss and gradients, of their size."""
    losses, gradients = {}, {}
    for way in ('pairwise', 'factorised'):
        data = Inputs(args, dtype)
        losses[way] = once(way, data)[1]
        gradients[way] = data.gradients()
    parts = [
        ((ours - theirs).abs().max() / theirs.abs().max()).item()
        for ours, theirs in zip(gradients['factorised'], gradients['pairwise'])
    ]
    loss = abs(losses['factorised'] / losses['pairwise'] - 1)
    return dict(loss=loss, features=parts[0], selectors=max(parts[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--rows', type=int, default=115_000)
    parser.add_argument('--channels', type=int, default=256)
    parser.add_argument('--classes', type=int, default=21)
    parser.add_argument('--memory', type=int, default=256)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--json', help='write the figures to this file')
    parser.add_argument(
        '--peak-of', choices=WAYS, help='print the peak of one way only')
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.peak_of:
        print(peak(args.peak_of, args))
        return
    data = Inputs(args)
    seconds = {way: [] for way in WAYS}
    for way in WAYS:
        once(way, data)
    for _ in range(args.repeats):
        for way in WAYS:
            seconds[way].append(once(way, data)[0])
    del data
    result = dict(
        {
            key: getattr(args, key)
            for key in ('rows', 'channels', 'classes', 'memory')
        },
        torch=torch.__version__,
        seconds={
            way: statistics.median(times)
            for way, times in seconds.items()
        },
        speedup={  # of the same round
            way:
            statistics.median(
                other / ours
                for other, ours in zip(times, seconds['factorised']))
            for way, times in seconds.items()
        },
        peak_mib={way: peak_of(way)
                  for way in WAYS},
        difference=dict(
            fp32=difference(args, torch.float32),
            fp64=difference(args, torch.float64)))
    table = Table(title=f'{args.rows} x {args.channels} features, '
                  f'{args.classes} classes, memory {args.memory}, '
                  'forward + backward, one thread')
    for column in ('way', 'CPU seconds', 'x factorised', 'extra peak MiB',
                   'x factorised'):
        table.add_column(column, justify='right')
    for way in WAYS:
        memory = result['peak_mib']
        table.add_row(way, f'{result["seconds"][way]:.2f}',
                      f'{result["speedup"][way]:.2f}', f'{memory[way]:.0f}',
                      f'{memory[way] / memory["factorised"]:.2f}')
    show(table)
    show('factorised against pairwise, largest relative difference:',
         result['difference'])
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(result, file, indent=2)
            file.write('\n')


if __name__ == '__main__':
    main()

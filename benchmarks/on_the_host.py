# Copyright (c) mmseg_semi authors.
"""What a CPU computes per image or class, against plain loops.

    python benchmarks/on_the_host.py [--side 64] [--json FILE]

Box masks, scale and crop, and CMB's selectors (forward and backward). All
ways get the same inputs, on one thread and in turns; a ratio above 1 says how
many times the loop takes what the function of this package takes, the median
over neighbouring runs.
"""
import argparse
import json
import os
import statistics
import sys
import time

os.environ['OMP_NUM_THREADS'] = '1'
sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

from mmseg_semi import functional  # noqa: E402


def xor_boxes(args, generator):
    """Three slices an image, inverted."""
    masks = torch.zeros(args.batch, args.side, args.side, dtype=torch.bool)
    for mask in masks:
        for _ in range(3):
            share, power, row, col = torch.rand(4, generator=generator)
            tall = (.25 + .25 * share)**power
            size = torch.stack([tall, (.25 + .25 * share) / tall])
            size = (size * 3**-.5 * args.side).round()
            top, left = ((args.side - size) *
                         torch.stack([row, col])).round().int().tolist()
            height, width = size.int().tolist()
            mask[top:top + height, left:left + width].logical_not_()
    return masks


def single_boxes(args, generator):
    """One slice an image, drawn until it fits."""
    masks = torch.zeros(args.batch, args.side, args.side, dtype=torch.bool)
    for mask in masks:
        area = (.02 + .38 * torch.rand((), generator=generator).item())
        area *= args.side**2
        while True:
            ratio, top, left = torch.rand(3, generator=generator).tolist()
            ratio = .3 + (1 / .3 - .3) * ratio
            top, left = int(top * args.side), int(left * args.side)
            height, width = int((area * ratio)**.5), int((area / ratio)**.5)
            if max(top + height, left + width) <= args.side:
                break
        mask[top:top + height, left:left + width] = True
    return masks


def place(maps, placement, fill):
    """Resize, then crop or pad, then flip, image by image."""
    moved = {name: [] for name in maps}
    draws = (*placement.rows, *placement.cols, placement.flip)
    for image, (tall, top, wide, left,
                flip) in enumerate(zip(*(draw.tolist() for draw in draws))):
        for name, value in maps.items():
            one = value[image:image + 1]
            one = one[:, None] if one.dim() == 3 else one
            side, kind = one.shape[-1], one.dtype
            if (tall, wide) != (side, side):
                law = dict(mode='nearest')
                if kind.is_floating_point:
                    law = dict(mode='bilinear', align_corners=True)
                one = F.interpolate(one.float(), (tall, wide), **law).to(kind)
                if tall >= side:
                    one = one[..., top:top + side, left:left + side]
                else:
                    border = torch.empty(1, one.shape[1], side, side).to(kind)
                    border[:] = fill[name]
                    border[..., -top:tall - top, -left:wide - left] = one
                    one = border
            one = one.flip(-1) if flip else one
            moved[name].append(one.view(value.shape[1:]))
    return {name: torch.stack(values) for name, values in moved.items()}


def selectors(rows, labels, weight, scale, shift, out, out_bias):
    """Class by class, each picked by a mask."""
    scores = rows.new_zeros(len(rows))
    for label in range(len(weight)):
        mine = (labels == label).nonzero()[:, 0]
        hidden = F.batch_norm(rows[mine] @ weight[label], None, None,
                              scale[label], shift[label], True)
        score = F.leaky_relu(hidden, .2) @ out[label] + out_bias[label]
        scores = scores.index_put((mine, ), score)
    return scores


def tasks(args):
    """Per name: the loop and ours, without arguments."""
    gen = torch.Generator().manual_seed(0)
    size = args.batch, args.side, args.side
    maps = dict(
        image=torch.randn(args.batch, 3, args.side, args.side, generator=gen),
        cls=torch.randint(0, 19, size, generator=gen),
        conf=torch.rand(size, generator=gen),
        valid=torch.rand(size, generator=gen) < .9)
    fill = dict(image=0., cls=255, conf=0., valid=False)
    rows = torch.randn(args.rows, args.channels, generator=gen)
    labels = torch.randint(0, args.classes, (args.rows, ), generator=gen)
    shapes = (args.channels, args.channels), *[(args.channels, )] * 3, ()
    parameters = [
        torch.randn(args.classes, *shape, generator=gen).requires_grad_()
        for shape in shapes
    ]
    draws = []  # the same placements for both

    def moved(way):
        if way is place:
            draws.append(functional.draw_placements(*size, gen))
        return way(maps, draws[-1], fill)

    def learnt(way):
        way(rows, labels, *parameters).sum().backward()

    return {
        'xor_boxes': (lambda: xor_boxes(args, gen),
                      lambda: functional.xor_boxes(*size, gen)),
        'single_boxes': (lambda: single_boxes(args, gen),
                         lambda: functional.single_boxes(*size, gen)),
        'scale and crop':
        (lambda: moved(place), lambda: moved(functional.place)),
        'selectors':
        (lambda: learnt(selectors), lambda: learnt(functional.class_mlp)),
    }


def seconds(way):
    start = time.process_time()
    way()
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    for name, value in dict(
            batch=4, side=321, rows=8192, channels=256, classes=21,
            repeats=15).items():
        parser.add_argument(f'--{name}', type=int, default=value)
    parser.add_argument('--json', help='write the figures to this file')
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = dict(vars(args), torch=torch.__version__)
    for name, ways in tasks(args).items():
        pairs = [[seconds(way) for way in ways]
                 for _ in range(args.repeats + 1)][1:]
        loop, ours = (statistics.median(times) for times in zip(*pairs))
        ratio = statistics.median(plain / mine for plain, mine in pairs)
        result[name] = dict(loop=loop, ours=ours, ratio=ratio)
        print(f'{name:16} loop {1e3 * loop:8.2f} ms  ours '
              f'{1e3 * ours:8.2f} ms  ratio {ratio:.2f}')
    if args.json:
        with open(args.json, 'w') as file:
            json.dump(result, file, indent=2)
            file.write('\n')


if __name__ == '__main__':
    main()

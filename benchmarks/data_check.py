# Copyright (c) mmseg_semi authors.
"""Seconds and memory of the data check on a tree that it makes.

    python benchmarks/data_check.py [--images 500] [--size 512] [--json FILE]

Photographs (JPEG) with masks (PNG) of 21 classes, a fifth of them for
validation. Each call is a process of its own, so that its memory is its own;
the second one finds the facts of the first.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CLASSES = tuple(f'class {i}' for i in range(21))
SETS = ('labelled', 'validation')


def write_tree(root: Path, count: int, size: int) -> None:
    """Blocky scenes with noise, as large as photographs when compressed."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (len(CLASSES), 3))
    noise = rng.normal(0, 12, (2 * size, 2 * size, 3))
    for name in SETS:
        for folder in ('photos', 'masks'):
            (root / name / folder).mkdir(parents=True)
    for i in range(count):
        folder = root / SETS[i % 5 == 4]
        blocks = rng.integers(0, len(CLASSES), (16, 16), np.uint8)
        ids = np.kron(blocks, np.ones((size // 16, size // 16), np.uint8))
        top, left = rng.integers(0, size, 2)
        image = colours[ids] + noise[top:top + size, left:left + size]
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(
            folder / f'photos/{i:05}.jpg', quality=90)
        Image.fromarray(ids).save(folder / f'masks/{i:05}.png')


def check(root: Path) -> dict:
    """One check, in this process."""
    start = time.perf_counter()
    sys.path.insert(0, str(ROOT))
    from mmseg_semi.data_check import FactCache, check_sets, folder_set
    imported = time.perf_counter()
    used = time.process_time()
    with FactCache(root / 'facts.sqlite') as cache:
        sets = [
            folder_set(name, str(root / name / 'photos'),
                       str(root / name / 'masks'), CLASSES) for name in SETS
        ]
        report = check_sets(sets, cache=cache)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return dict(
        images=sum(report.images.values()),
        findings=len(report.findings),
        import_seconds=imported - start,
        seconds=time.perf_counter() - imported,
        cpu_seconds=time.process_time() - used,
        peak_mib=kilobytes / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=500)
    parser.add_argument(
        '--size', type=int, default=512, help='a multiple of 16')
    parser.add_argument('--json', type=Path)
    parser.add_argument('--only-check', type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only_check:
        print(json.dumps(check(args.only_check)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_tree(Path(folder), args.images, args.size)
        for call in ('first', 'second'):
            done = subprocess.run(
                [sys.executable, __file__, '--only-check', folder],
                check=True,
                stdout=subprocess.PIPE,
                env=dict(os.environ, PYTHONWARNINGS='ignore'))
            rows.append(
                dict(
                    call=call,
                    size=args.size,
                    **json.loads(done.stdout.splitlines()[-1])))
    for row in rows:
        print('{call:6}: {images} images in {seconds:.1f} s (CPU '
              '{cpu_seconds:.1f} s; import {import_seconds:.1f} s), peak '
              '{peak_mib:.0f} MiB, {findings} findings'.format(**row))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + '\n')


if __name__ == '__main__':
    main()

# Copyright (c) mmseg_semi authors.
"""From nothing to a supervised and a semi-supervised model side by side."""
import json
import os
import sys
import time
from pathlib import Path

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from ..datasets.digit_scenes import write_digit_scenes
from ..datasets.splits import read_list
from ..datasets.written_trees import ForeignTreeError
from ..engine.atomic import write_atomically
from .display import clock, make_console, make_display
from .jobs import FolderInUseError, run_jobs
from .report import Example, draw_report, predict
from .runs import PlannedRun

DATA = 'data/DigitScenes'
QUICK_ITERATIONS = 400
METHODS = dict(supervised='supervised', brpg='BRPG')
QUICK_NOTE = (
    'This was a smoke test: it shows that everything works, not how well. At '
    'so few steps the semi-supervised model is still behind the supervised '
    'one. Run without --quick for results.')
_EXAMPLES = dict(validation=4, unlabelled=2)


class QuickstartError(RuntimeError):
    """What went wrong, and what to do about it."""


def run_quickstart(root: Path, labels: int, seed: int, quick: bool,
                   iters: int | None) -> int:
    """Everything after the installation.

    Args:
        root (Path): The checkout.
        labels (int): Labelled images.
        seed (int): Seed of both trainings.
        quick (bool): Train for a moment only.
        iters (int, optional): Length of both trainings; that of the configs
            by default.

    Returns:
        int: Exit status: 0, 1 after a failure, 130 if interrupted.
    """
    console, started = make_console(), time.monotonic()
    parent = root / 'work_dirs/quickstart'
    iters = iters or (QUICK_ITERATIONS if quick else None)
    try:
        if quick:
            console.print('--quick is a smoke test, not a result.')
        prepare_data(root, labels, console)
        runs = plan(root, labels, seed, iters)
        train(runs, parent, console)
        records = {METHODS[run.name]: run.read_record(parent) for run in runs}
        summary = summarize(records, labels, seed)
        console.print('Drawing the report ...')
        title = (f'DigitScenes, {labels} labelled and '
                 f'{summary["unlabeled"]} unlabelled images, seed {seed}')
        picture = draw_report(title + ' (smoke test)' * quick,
                              make_examples(root, runs, parent), {
                                  name: record['curve']
                                  for name, record in records.items()
                              })
        text = json.dumps(summary, indent=2) + '\n'
        # The plain names are of the latest call; other settings keep theirs.
        key = f'_{labels}labels_seed{seed}_{runs[0].iterations}it'
        for suffix in (key, ''):
            write_atomically(text.encode(), parent / f'summary{suffix}.json')
            write_atomically(picture, parent / f'report{suffix}.png')
    except KeyboardInterrupt:
        console.print('Interrupted; the same command goes on from here.')
        return 130
    except (QuickstartError, FolderInUseError, ForeignTreeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    console.print(results_table(summary, title))
    if quick:
        console.print(QUICK_NOTE)
    for name in ('summary.json', 'report.png'):
        console.print(f'Written: {os.path.relpath(parent / name)}')
    console.print(f'Took {clock(time.monotonic() - started)}.')
    return 0


def prepare_data(root: Path, labels: int, console: Console) -> None:
    """Write the embedded dataset, or check the one that is there.

    Raises:
        QuickstartError: If there is no labelled list of this size.
        ForeignTreeError: If the folder holds something else.
    """
    console.print(f'Preparing {DATA} ...')
    write_digit_scenes(root / DATA)
    folder = root / DATA / 'ImageSets/Semi'
    sizes = sorted(
        int(path.stem.split('-')[1]) for path in folder.glob('digits-*.txt')
        if path.stem.split('-')[1].isdigit())
    if labels not in sizes:
        raise QuickstartError(
            f'There is no list of {labels} labelled images in {folder}: use '
            f'--labels with one of {", ".join(map(str, sizes))}.')


def plan(root: Path, labels: int, seed: int,
         iters: int | None) -> list[PlannedRun]:
    """The two trainings.

    Args:
        root (Path): The checkout.
        labels (int): Labelled images.
        seed (int): Seed of both.
        iters (int, optional): Shorter training, in which every stage of the
            method takes its share.
    """
    runs = []
    for method in METHODS:
        config = f'configs/{method}/{method}_r18_digits_{labels}.py'
        options = {}
        if not (root / config).is_file():
            config = f'configs/{method}/{method}_r18_digits_50.py'
            options['train_dataloader.dataset.labeled.ann_file'] = (
                f'ImageSets/Semi/digits-{labels}.txt')
        cfg = Config.fromfile(str(root / config))
        if iters is not None and iters != cfg.train_cfg.max_iters:
            options.update(shortened(cfg, iters))
        length = iters or cfg.train_cfg.max_iters
        options['default_hooks.logger.interval'] = max(1,
                                                       min(50, length // 20))
        options['default_hooks.checkpoint.interval'] = max(1, length // 8)
        runs.append(
            PlannedRun(method, config, seed, root, options,
                       f'{method}_{labels}labels'))
    return runs


def shortened(cfg: Config, iters: int) -> dict:
    """Overrides that squeeze a training into fewer iterations.

    Args:
        cfg (Config): The config; every number of iterations in it that
            belongs to the schedule is scaled.
        iters (int): The new length.

    Returns:
        dict: Dotted key -> value.
    """
    factor = iters / cfg.train_cfg.max_iters
    options = {
        'train_cfg.max_iters': iters,
        'train_cfg.val_interval': max(1, iters // 4)
    }
    for i, scheduler in enumerate(cfg.param_scheduler):
        for name in ('begin', 'end'):
            if scheduler.get(name):
                options[f'param_scheduler.{i}.{name}'] = max(
                    1, round(scheduler[name] * factor))
    if cfg.model.get('burn_in', 0) >= 1:  # below 1 it is a share
        options['model.burn_in'] = round(cfg.model.burn_in * factor)
    for name, term in cfg.model.terms.items():
        if term and term.get('window'):
            options[f'model.terms.{name}.window'] = [
                round(edge * factor) for edge in term.window
            ]
    return options


def train(runs: list[PlannedRun], parent: Path, console: Console) -> None:
    """Train side by side what has not been trained.

    Raises:
        QuickstartError: If a training fails; with the end of its output.
    """
    jobs = []
    for run in runs:
        name = METHODS[run.name]
        if run.read_record(parent) and run.checkpoint(parent).is_file():
            console.print(f'{name}: already trained, reusing '
                          f'{os.path.relpath(run.folder(parent))}')
            continue
        job = run.job(parent)
        job.name = f'{name:<10}'
        jobs.append(job)
    if not jobs:
        return
    console.print(f'Training {len(jobs)} model(s), one thread each. Ctrl-C '
                  'interrupts, the same command goes on.')
    with make_display(console) as display:
        failed = run_jobs(jobs, len(jobs), display)
    if failed:
        raise QuickstartError('\n'.join(
            f'{job.name.strip()} failed. The end of {job.log}:\n'
            f'{job.log_tail()}' for job in failed))
    for run in runs:
        if run.read_record(parent) is None:
            raise QuickstartError(
                f'{run.folder(parent)} has no complete record: was '
                f'{run.config} edited during the training? Run this again.')


def summarize(records: dict, labels: int, seed: int) -> dict:
    """The content of ``summary.json``.

    Args:
        records (dict[str, dict]): Method -> record.
        labels (int): Labelled images.
        seed (int): Seed of both trainings.
    """
    commits = sorted({str(record['commit']) for record in records.values()})
    return dict(
        benchmark='DigitScenes',
        labels=labels,
        unlabeled=max(record['unlabeled'] for record in records.values()),
        seed=seed,
        commit='+'.join(commits),
        results=[
            dict(
                method=name,
                miou_last=record['last'],
                miou_best=record['best'],
                iters=record['iterations'],
                seconds=record['seconds']) for name, record in records.items()
        ])


def results_table(summary: dict, title: str) -> Table:
    """The summary for a terminal."""
    table = Table('method', title=title, min_width=len(title))
    for name in ('mIoU last', 'mIoU best', 'iterations', 'time'):
        table.add_column(name, justify='right')
    for result in summary['results']:
        table.add_row(result['method'], f'{result["miou_last"]:.2f}',
                      f'{result["miou_best"]:.2f}', str(result['iters']),
                      clock(result['seconds']))
    first, last = summary['results'][0], summary['results'][-1]
    table.add_section()
    table.add_row(
        'difference',
        *(f'{last[key] - first[key]:+.2f}'
          for key in ('miou_last', 'miou_best')))
    return table


def make_examples(root: Path, runs: list[PlannedRun],
                  parent: Path) -> list[Example]:
    """Predictions of both models on images that were drawn at random."""
    data = root / DATA
    semi = runs[-1].cfg.train_dataloader.dataset
    labeled, validation, train = (
        read_list(str(data / name))
        for name in (semi.labeled.ann_file, semi.val_ann_file,
                     semi.unlabeled.ann_file))
    lists = dict(
        validation=validation,
        unlabelled=[stem for stem in train if stem not in labeled])
    # Evenly spaced in lists that are in random order themselves.
    chosen = [(kind,
               lists[kind][(2 * i + 1) * len(lists[kind]) // (2 * count)])
              for kind, count in _EXAMPLES.items() for i in range(count)]
    images = [str(data / f'JPEGImages/{stem}.jpg') for _, stem in chosen]
    supervised, ours = (
        predict(run.cfg, run.checkpoint(parent), images) for run in runs)
    return [
        Example(f'{kind}\n{stem}', image,
                str(data / f'SegmentationClass/{stem}.png'), base, pred, sure)
        for (kind,
             stem), image, (base,
                            _), (pred,
                                 sure) in zip(chosen, images, supervised, ours)
    ]

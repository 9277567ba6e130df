# Copyright (c) mmseg_semi authors.
"""What somebody should know before they believe a run."""
import re

import numpy as np

from ..engine.work_dir import LOCK_NAME
from .runs import Run

_LINE = re.compile(r' - WARNING - (.*)')
# Said by libraries in every training, of no use to anybody.
_IDLE = ('The prefix is not set', '"HardDiskBackend" is', '"FileClient" will',
         'SyncBN', 'Failed to search registry', 'The model and loaded state')
_MOST_LINES, _LONGEST = 40, 400
_DROP = 3.0  # points of mIoU
_BAD_IMAGES = 'bad_images.txt'


def notices(run: Run) -> list[str]:
    """What is wrong with a run or missing.

    Args:
        run (Run): The run.

    Returns:
        list[str]: Sentences, the gravest first.
    """
    return [
        *_not_finite(run), *_unfinished(run), *_alarms(run), *_validation(run),
        *_bad_images(run), *run.missing
    ]


def logged_warnings(run: Run) -> list[str]:
    """The warnings in the logs of a run, each once, in their order.

    Those that libraries print in every training are left out, and what is
    beyond 40 is counted.

    Args:
        run (Run): The run.
    """
    found: dict[str, None] = {}
    for path in sorted(run.folder.glob('*/*.log')):
        with open(path, encoding='utf-8', errors='replace') as file:
            for line in file:
                match = _LINE.search(line)
                if match and not match[1].startswith(_IDLE):
                    found[match[1].strip()[:_LONGEST]] = None
    lines = list(found)
    more = len(lines) - _MOST_LINES
    return lines[:_MOST_LINES] + ([f'and {more} more'] if more > 0 else [])


def _not_finite(run: Run) -> list[str]:
    found = []
    for name, (steps, values) in run.log.items():
        bad = ~np.isfinite(values)
        if 'loss' in name and bad.any():
            found.append((int(steps[bad][0]), name, int(bad.sum())))
    if not found:
        return []
    first = min(found)[0]
    names = ', '.join(f'{name} ({count} times)' for _, name, count in found)
    return [
        f'Losses are not finite from iteration {first} on: {names}. Weights '
        'that were saved after that are lost. Lower the learning rate, or '
        'clip gradients.'
    ]


def _unfinished(run: Run) -> list[str]:
    last, planned = run.iterations
    if planned is None or last >= planned or run.record:
        return []
    text = (f'The training is not complete: iteration {last} of {planned} '
            'is the last that is known. ')
    if error := _last_error(run):
        return [f'{text}It ended with: {error}']
    if (run.folder / LOCK_NAME).is_file():
        return [text + 'It still runs, or it was killed.']
    return [
        text + 'It was killed or it failed, or it was stopped because its '
        'score no longer rose. The same command with --resume goes on.'
    ]


def _last_error(run: Run) -> str | None:
    """How ``mmseg-semi start`` saw it end."""
    path = run.folder / 'console.log'
    if not path.is_file():
        return None
    lines = path.read_text('utf-8', errors='replace').splitlines()
    errors = [i for i, line in enumerate(lines) if line.startswith('error: ')]
    # An error that was overcome is followed by the log of the next start.
    if not errors or len(lines) - errors[-1] > 20:
        return None
    return lines[errors[-1]].removeprefix('error: ')


def _alarms(run: Run) -> list[str]:
    alarms = list(run.record.get('alarms') or [])
    gate = run.record.get('gate')
    if isinstance(gate, dict):
        alarms += gate.get('alarms') or []
    return [str(alarm) for alarm in alarms]


def _validation(run: Run) -> list[str]:
    if run.cfg is not None and not run.cfg.get('val_dataloader'):
        return [
            'It was trained without validation images (val_dataloader), so '
            'it has no scores, no confusion and no images to look at.'
        ]
    scores = run.scores()[1]
    known = scores[np.isfinite(scores)]
    if not len(known):
        return ['It has not been validated, or not with mIoU: no scores.']
    best, last = known.max(), known[-1]
    if best - last > _DROP:
        return [
            f'The last score, {last:.2f}, is {best - last:.2f} points below '
            f'its best, {best:.2f}.'
        ]
    return []


def _bad_images(run: Run) -> list[str]:
    path = run.folder / _BAD_IMAGES
    if not path.is_file():
        return []
    count = len(path.read_text('utf-8', errors='replace').splitlines())
    return [
        f'{count} unlabelled images could not be read and were skipped: '
        f'{path} lists them.'
    ] if count else []

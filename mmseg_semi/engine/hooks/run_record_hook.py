# Copyright (c) mmseg_semi authors.
import json
import math
import sys
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path

import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmseg.registry import HOOKS

from ...evaluation.per_image_iou import PerImageAreas, PerImageIoUMetric
from ..atomic import write_atomically
from ..record import batch_record
from ..run_records import (append_record, config_hash, host, source_commit,
                           versions)

try:
    import resource
except ImportError:  # not a POSIX system
    resource = None

_STATE_KEY = 'run_record'
RECORD_NAME = 'record.json'
PER_IMAGE_NAME = 'per_image/last.npz'


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Write down what a finished training was and how it came out.

    A training that reached its last iteration leaves
    ``<work_dir>/record.json``: method, config, seed, data split, commit,
    versions, iterations, last and best score, the curve of scores, seconds,
    peak memory, host and date. One that was stopped earlier leaves none.

    Every validation with :class:`PerImageIoUMetric` writes the areas of its
    images to ``<work_dir>/per_image/last.npz``.

    ``seconds`` is wall time from the construction of the hook, validation and
    saving included. It goes on where a resumed checkpoint was; work that a
    kill threw away is not in it.

    Args:
        record_file (str, optional): Also append the record to this file of
            JSON lines, once per run however often it is resumed, and copy the
            areas into the folder ``per_image`` beside it.
        metric (str): Name of the score. Defaults to ``mIoU``.
        method (str, optional): Defaults to the name of the config file up to
            its first underscore.
    """

    # Before SemiCheckpointHook: the best checkpoint is saved with its score.
    priority = 'LOW'

    def __init__(self,
                 record_file: str | None = None,
                 metric: str = 'mIoU',
                 method: str | None = None) -> None:
        self.record_file, self.metric, self.method = \
            record_file, metric, method
        self._started = time.perf_counter()
        self._training = False
        self._state = dict(
            run=uuid.uuid4().hex, seconds=0., curve=[], commits=[], memory={})

    def before_train(self, runner) -> None:
        """Note which code runs, before anybody edits it."""
        self._training = True
        commit = source_commit()
        if commit not in self._state['commits']:
            self._state['commits'].append(commit)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Go on with the record of a run that is resumed."""
        if runner._resume:
            self._state.update(checkpoint['meta'].get(_STATE_KEY, {}))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Store the record so far."""
        checkpoint['meta'][_STATE_KEY] = dict(
            self._state, seconds=self._seconds(), memory=self._peak_memory())

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Note the score and write the areas of every image."""
        score = (metrics or {}).get(self.metric)
        if not self._training or score is None:
            return
        # A validation may be repeated after a resume.
        curve = [p for p in self._state['curve'] if p[0] < runner.iter]
        self._state['curve'] = [*curve, [runner.iter, _plain(score)]]
        for metric in runner.val_loop.evaluator.metrics:
            if isinstance(metric, PerImageIoUMetric) and metric.per_image:
                write_atomically(
                    metric.per_image.to_bytes(runner.iter),
                    Path(runner.work_dir, PER_IMAGE_NAME))

    def after_train(self, runner) -> None:
        """Write the record of a complete run."""
        self._training = False
        if runner.iter < runner.max_iters:
            print_log(
                f'Training stopped at iteration {runner.iter} of '
                f'{runner.max_iters}: no record is written.',
                logger='current')
            return
        self._write(runner)

    @master_only
    def _write(self, runner) -> None:
        record = self._record(runner)
        areas = Path(runner.work_dir, PER_IMAGE_NAME)
        kept = None
        if areas.is_file() and PerImageAreas.load(areas)[1] == runner.iter:
            kept = f'per_image/{record["run"]}.npz'
        write_atomically((json.dumps(record, indent=2) + '\n').encode(),
                         Path(runner.work_dir, RECORD_NAME))
        if self.record_file is None:
            return
        if kept is not None:
            write_atomically(areas.read_bytes(),
                             Path(self.record_file).parent / kept)
        append_record(self.record_file, dict(record, per_image=kept))

    def _record(self, runner) -> dict:
        cfg, curve = runner.cfg, self._state['curve']
        config = _config_name(cfg.filename)
        method = self.method or Path(config or '').stem.split('_')[0] or None
        split = getattr(runner.train_dataloader.dataset, 'split_info', {})
        known = [point for point in curve if point[1] is not None]
        best = max(known, key=lambda point: point[1], default=(None, None))
        last = curve[-1] if curve and curve[-1][0] == runner.iter else None
        return dict(
            run=self._state['run'],
            method=method,
            config=config,
            config_hash=config_hash(cfg),
            seed=runner.seed,
            labels=split.get('labeled'),
            unlabeled=split.get('unlabeled'),
            split=split.get('name'),
            split_sha256=split.get('sha256'),
            iterations=runner.iter,
            metric=self.metric,
            last=last and last[1],
            best=best[1],
            best_iteration=best[0],
            curve=curve,
            seconds=round(self._seconds(), 1),
            peak_memory_mb=self._peak_memory(),
            commit='+'.join(filter(None, self._state['commits'])) or None,
            versions=versions(),
            host=host(),
            **batch_record(runner),
            date=datetime.now(timezone.utc).isoformat(timespec='seconds'))

    def _seconds(self) -> float:
        return self._state['seconds'] + time.perf_counter() - self._started

    def _peak_memory(self) -> dict:
        """Largest use by this process so far, in MiB, by kind of memory."""
        peak = dict(self._state['memory'])
        now = {}
        if resource is not None:
            used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            # Linux counts KiB, macOS bytes.
            now['host'] = used // (2**20 if sys.platform == 'darwin' else 1024)
        if torch.cuda.is_available():
            now['gpu'] = torch.cuda.max_memory_allocated() // 2**20
        for kind, used in now.items():
            peak[kind] = max(peak.get(kind, 0), used)
        return peak


def _plain(score) -> float | None:
    """Two decimals, as mmseg prints; JSON knows no NaN."""
    score = float(score)
    return round(score, 2) if math.isfinite(score) else None


def _config_name(filename: str | None) -> str | None:
    """Path from the last ``configs`` folder on, alike on every machine."""
    if filename is None:
        return None
    parts = Path(filename).parts
    if 'configs' in parts:
        start = len(parts) - 1 - parts[::-1].index('configs')
        parts = parts[start:]
    return Path(*parts).as_posix()

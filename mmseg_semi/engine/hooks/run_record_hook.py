# Copyright (c) mmseg_semi authors.
import json
import math
import sys
import time
import uuid
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmseg.registry import HOOKS

from ...evaluation.per_image_iou import PerImageAreas, PerImageIoUMetric
from ..atomic import write_atomically
from ..evaluation_protocol import describe_evaluation
from ..record import batch_record
from ..run_records import (append_record, config_hash, host, source_commit,
                           versions)
from .precision_gate_hook import GATE_KEY

try:
    import resource
except ImportError:  # not a POSIX system
    resource = None

_STATE_KEY = 'run_record'
# What a checkpoint says about its training, apart from how far it is.
_FACTS_KEY = 'run_facts'
# Of a checkpoint's record: how many images an iteration had, on how many
# processes.
RECORD_NAME = 'record.json'
TEST_RECORD_NAMES = 'test_*.json'
PER_IMAGE_NAME = 'per_image/last.npz'


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Write down what a training or a test was and how it came out.

    A training that reached its last iteration leaves
    ``<work_dir>/record.json``: method, config, seed, data split, commit,
    versions, iterations, last and best score, the curve of scores, seconds,
    peak memory, host and date, and as ``gate`` what a
    :class:`PrecisionGateHook` has measured. One that was stopped earlier
    leaves none.

    Every validation with :class:`PerImageIoUMetric` writes the areas of its
    images to ``<work_dir>/per_image/last.npz``.

    A test, also by MMSegmentation's ``tools/test.py``, leaves
    ``<work_dir>/test_<timestamp>.json``: the scores, how they were measured,
    which checkpoint of which iteration was tested, and what that checkpoint
    tells of its training; and the areas in ``per_image/`` under the same
    name. MMEngine itself keeps nothing but the scores.

    ``seconds`` is wall time from the construction of the hook, validation and
    saving included. It goes on where a resumed checkpoint was; work that a
    kill threw away is not in it.

    Args:
        record_file (str, optional): Also append the record, without
            ``gate``, to this file of JSON lines, once per run however often
            it is resumed, and copy the areas into the folder ``per_image``
            beside it.
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
        self._loaded: dict = {}
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
        self._loaded = dict(checkpoint.get('meta') or {})
        if runner._resume:
            self._state.update(self._loaded.get(_STATE_KEY, {}))

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Store the record so far, and what the training is."""
        checkpoint['meta'][_STATE_KEY] = dict(
            self._state, seconds=self._seconds(), memory=self._peak_memory())
        checkpoint['meta'][_FACTS_KEY] = dict(
            self._facts(runner),
            seconds_per_iteration=_seconds_per_iteration(runner))

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

    @master_only
    def after_test_epoch(self, runner, metrics: dict | None = None) -> None:
        """Write down the scores of a test and what was tested."""
        score = (metrics or {}).get(self.metric)
        if score is None:
            print_log(
                f'This test has no score {self.metric!r} (it has '
                f'{sorted(metrics or {})}): no record is written.',
                logger='current')
            return
        name, kept = f'test_{runner.timestamp}', None
        state, facts = (
            self._loaded.get(key) or {} for key in (_STATE_KEY, _FACTS_KEY))
        iteration = self._loaded.get('iter')
        for metric in runner.test_evaluator.metrics:
            if isinstance(metric, PerImageIoUMetric) and metric.per_image:
                kept = f'per_image/{name}.npz'
                write_atomically(
                    metric.per_image.to_bytes(iteration or 0),
                    Path(runner.work_dir, kept))
        tested = dict(self._identity(runner), **facts)
        record = dict(
            tested,
            kind='test',
            run=uuid.uuid4().hex,
            trained=state.get('run'),
            checkpoint=str(runner._load_from),
            iterations=iteration,
            metric=self.metric,
            last=_plain(score),
            scores={
                key: _plain(value)
                for key, value in metrics.items() if _is_number(value)
            },
            evaluation=describe_evaluation(runner.cfg, 'test'),
            per_image=kept,
            seconds=state.get('seconds'),
            peak_memory_mb=state.get('memory'),
            commit='+'.join(filter(None, state.get('commits', []))) or None,
            test_commit=source_commit(),
            versions=versions(),
            host=host(),
            date=_now())
        write_atomically((json.dumps(record, indent=2) + '\n').encode(),
                         Path(runner.work_dir, f'{name}.json'))

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
        gate = runner.message_hub.runtime_info.get(GATE_KEY)
        whole = dict(record, gate=gate) if gate else record
        write_atomically((json.dumps(whole, indent=2) + '\n').encode(),
                         Path(runner.work_dir, RECORD_NAME))
        if self.record_file is None:
            return
        if kept is not None:
            write_atomically(areas.read_bytes(),
                             Path(self.record_file).parent / kept)
        append_record(self.record_file, dict(record, per_image=kept))

    def _identity(self, runner) -> dict:
        """Which experiment a config is."""
        config = _config_name(runner.cfg.filename)
        return dict(
            method=self.method or Path(config or '').stem.split('_')[0]
            or None,
            config=config,
            config_hash=config_hash(runner.cfg),
            seed=runner.seed)

    def _facts(self, runner) -> dict:
        """What a training is, however far it has come."""
        split = getattr(runner.train_dataloader.dataset, 'split_info', {})
        return dict(
            self._identity(runner),
            labels=split.get('labeled'),
            unlabeled=split.get('unlabeled'),
            split=split.get('name'),
            split_sha256=split.get('sha256'),
            **{name: split[name]
               for name in ('held_out', ) if name in split},
            max_iterations=runner.max_iters,
            **batch_record(runner))

    def _record(self, runner) -> dict:
        curve = self._state['curve']
        known = [point for point in curve if point[1] is not None]
        best = max(known, key=lambda point: point[1], default=(None, None))
        last = curve[-1] if curve and curve[-1][0] == runner.iter else None
        return dict(
            self._facts(runner),
            run=self._state['run'],
            iterations=runner.iter,
            metric=self.metric,
            last=last and last[1],
            best=best[1],
            best_iteration=best[0],
            curve=curve,
            evaluation=describe_evaluation(runner.cfg, 'val'),
            seconds=round(self._seconds(), 1),
            seconds_per_iteration=_seconds_per_iteration(runner),
            peak_memory_mb=self._peak_memory(),
            commit='+'.join(filter(None, self._state['commits'])) or None,
            versions=versions(),
            host=host(),
            date=_now())

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


def _seconds_per_iteration(runner) -> float | None:
    """Median over the training so far: loading and step, no validation."""
    times = runner.message_hub.log_scalars.get('train/time')
    if times is None or not len(times.data[0]):
        return None
    return round(float(np.median(times.data[0] / times.data[1])), 4)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec='seconds')


def _is_number(value) -> bool:
    return np.ndim(value) == 0 and np.issubdtype(
        np.asarray(value).dtype, np.number)


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

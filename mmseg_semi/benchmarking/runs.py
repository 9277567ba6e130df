# Copyright (c) mmseg_semi authors.
"""A training that is wanted: its folder, its command, its record."""
import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from ..engine.hooks.run_record_hook import RECORD_NAME
from ..engine.run_records import config_hash
from .jobs import TrainingJob
from .published import nearest
from .results import Result


class MissingConfigError(ValueError):
    """A table names a config that is not there."""


def check_config(config: str, root: Path, named_by: str) -> None:
    """Make sure that a config file exists.

    Args:
        config (str): Path relative to ``root``.
        root (Path): The checkout.
        named_by (str): What names it, for the message.

    Raises:
        MissingConfigError: If it does not; names those that look like it.
    """
    if (root / config).is_file():
        return
    names = [
        path.relative_to(root).as_posix()
        for path in (root / 'configs').rglob('*.py')
        if '_base_' not in path.parts
    ]
    near = ', '.join(nearest(config, names)) or 'none at all'
    raise MissingConfigError(
        f'{named_by} names {config}, which does not exist in {root}. '
        f'Nearest: {near}. Correct the name there.')


@dataclass
class PlannedRun:
    """One config, trained with one seed.

    Args:
        name (str): What people call it.
        config (str): Config file relative to ``root``.
        seed (int): Seed of the training.
        root (Path): The checkout.
        options (dict): Overrides, as for ``--cfg-options`` of
            ``tools/train.py``.
        stem (str): Begin of the work directory's name. Defaults to the name
            of the config.

    Attributes:
        cfg (Config): The resolved config.
        hash (str): Of everything in it that decides the result.
        iterations (int): Length of the training.
    """
    name: str
    config: str
    seed: int
    root: Path
    options: dict = field(default_factory=dict)
    stem: str = ''

    def __post_init__(self) -> None:
        self.cfg = Config.fromfile(str(self.root / self.config))
        self.cfg.merge_from_dict(self.options)
        self.hash = config_hash(self.cfg)
        self.iterations = self.cfg.train_cfg.max_iters

    def folder(self, parent: Path) -> Path:
        """Its work directory; another config or length has another one."""
        stem = self.stem or Path(self.config).stem
        return parent / (
            f'{stem}_seed{self.seed}_{self.iterations}it_{self.hash[:6]}')

    def checkpoint(self, parent: Path) -> Path:
        """The file that its last iteration leaves."""
        return self.folder(parent) / f'iter_{self.iterations}.pth'

    def matches(self, record: dict) -> bool:
        """Whether a record is of this training, on however many processes.

        The images of an iteration are counted over all processes; an older
        record has those of one process.
        """
        return (self.is_of(record) and record['iterations'] == self.iterations)

    def is_of(self, record: dict) -> bool:
        """As :meth:`matches`, after any number of iterations."""
        total = Result(record, Path()).total_batch
        planned = self.cfg.get('train_dataloader', {}).get('batch_size')
        return (record['config_hash'] == self.hash
                and record['seed'] == self.seed
                and (not planned or not total or sum(total) == planned))

    def find_record(self, records: list[dict]) -> dict | None:
        """The newest of ``records`` that matches."""
        return next(filter(self.matches, reversed(records)), None)

    def read_record(self, parent: Path) -> dict | None:
        """The record in its work directory, if it has been completed."""
        path = self.folder(parent) / RECORD_NAME
        if not path.is_file():
            return None
        record = json.loads(path.read_text('utf-8'))
        return record if self.matches(record) else None

    def job(self,
            parent: Path,
            record_file: Path | None = None,
            threads: int = 1,
            gpus: int | None = None) -> TrainingJob:
        """The process that trains it, going on where one was interrupted.

        Args:
            parent (Path): Where work directories are.
            record_file (Path, optional): Also append the record to it.
            threads (int): Threads it may use. Defaults to 1.
            gpus (int, optional): Train with ``tools/dist_train.sh`` in so
                many processes; without it in a single one.
        """
        options = {**self.options, 'randomness.seed': self.seed}
        if record_file is not None:
            # Relative: the checkout's own path may have blanks, which are
            # lost in such arguments.
            options[f'custom_hooks.{self._record_hook()}.record_file'] = \
                os.path.relpath(record_file, self.root)
        folder = self.folder(parent)
        start = ([sys.executable, 'tools/train.py', self.config]
                 if gpus is None else
                 ['bash', 'tools/dist_train.sh', self.config,
                  str(gpus)])
        return TrainingJob(
            name=self.name,
            command=[
                *start, '--work-dir',
                str(folder), '--resume', '--cfg-options',
                *(f'{key}={_argument(v)}' for key, v in options.items())
            ],
            work_dir=folder,
            iterations=self.iterations,
            cwd=self.root,
            threads=threads)

    def _record_hook(self) -> int:
        for i, hook in enumerate(self.cfg.get('custom_hooks', [])):
            if hook['type'] == 'RunRecordHook':
                return i
        raise ValueError(f"{self.config} has no dict(type='RunRecordHook') in "
                         'custom_hooks: its result would not be written down.')


def _argument(value) -> str:
    """A value as mmengine's ``DictAction`` reads it."""
    return str(value).replace(' ', '')

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
        """Whether a record is of this training."""
        return (record['config_hash'] == self.hash
                and record['seed'] == self.seed
                and record['iterations'] == self.iterations)

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
            threads: int = 1) -> TrainingJob:
        """The process that trains it, going on where one was interrupted.

        Args:
            parent (Path): Where work directories are.
            record_file (Path, optional): Also append the record to it.
            threads (int): Threads it may use. Defaults to 1.
        """
        options = {**self.options, 'randomness.seed': self.seed}
        if record_file is not None:
            # Relative: the checkout's own path may have blanks, which are
            # lost in such arguments.
            options[f'custom_hooks.{self._record_hook()}.record_file'] = \
                os.path.relpath(record_file, self.root)
        folder = self.folder(parent)
        return TrainingJob(
            name=self.name,
            command=[
                sys.executable, 'tools/train.py', self.config, '--work-dir',
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

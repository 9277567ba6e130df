# Copyright (c) mmseg_semi authors.
"""What runs left behind: records of trainings, and records of tests."""
import json
from dataclasses import dataclass
from pathlib import Path

from ..engine.hooks.run_record_hook import (PER_IMAGE_NAME, RECORD_NAME,
                                            TEST_RECORD_NAMES)
from ..engine.run_records import read_records
from ..evaluation.per_image_iou import PerImageAreas

_NEEDED = ('run', 'config_hash', 'seed', 'iterations', 'last')


class BrokenRecordError(ValueError):
    """A record that cannot be read; the message names file and remedy."""


@dataclass(frozen=True)
class Result:
    """A record, and the folder to which its files are relative.

    Args:
        record (dict): As written by :class:`RunRecordHook`.
        folder (Path): Where its ``per_image`` areas are looked for.
    """
    record: dict
    folder: Path

    def __getitem__(self, key: str):
        return self.record.get(key)

    @property
    def is_test(self) -> bool:
        """Whether it is of a test, not of a training."""
        return self.record.get('kind') == 'test'

    @property
    def total_batch(self) -> tuple[int, ...] | None:
        """Images of an iteration over all processes, by source.

        Older records have the images of one process, of all sources
        together: then one number.
        """
        total = self['total_batch']
        if total is not None:
            return tuple(total) if isinstance(total,
                                              (list, tuple)) else (total, )
        if self['batch_size'] is None:
            return None
        return (self['batch_size'] * (self['world_size'] or 1), )

    @property
    def seconds_per_iteration(self) -> float | None:
        """Older records have only the whole time, validation included."""
        if self['seconds_per_iteration'] is not None:
            return self['seconds_per_iteration']
        if self['seconds'] is None or not self['iterations']:
            return None
        return self['seconds'] / self['iterations']

    @property
    def areas(self) -> Path | None:
        """File with the areas of every image."""
        if self['per_image'] is None:
            return None
        return self.folder / self['per_image']


def read_results(records: Path) -> list[Result]:
    """All lines of a file of records, oldest first.

    Raises:
        BrokenRecordError: If a line is no record.
    """
    try:
        return [
            Result(_checked(record, records), records.parent)
            for record in read_records(records)
        ]
    except BrokenRecordError:
        raise
    except ValueError as error:
        raise BrokenRecordError(str(error)) from error


def find_results(folders: list[Path]) -> list[Result]:
    """Records below work directories, oldest first.

    Args:
        folders (list[Path]): Searched with all folders in them.

    Returns:
        list[Result]: Of trainings (``record.json``) and tests
        (``test_*.json``).

    Raises:
        BrokenRecordError: If there is no such folder, or a file is no record.
    """
    found = []
    for folder in folders:
        if not folder.is_dir():
            raise BrokenRecordError(
                f'There is no work directory {folder}. Give the --work-dir of '
                'a training or test.')
        paths = sorted(folder.rglob(RECORD_NAME))
        paths += sorted(folder.rglob(TEST_RECORD_NAMES))
        found += [Result(_read(path), path.parent) for path in paths]
    unique = {result['run']: result for result in found}
    return sorted(unique.values(), key=lambda result: result['date'] or '')


def _read(path: Path) -> dict:
    try:
        record = json.loads(path.read_text('utf-8'))
    except ValueError as error:
        raise BrokenRecordError(
            f'{path} is no record of a run ({error!r}). Remove it, and train '
            'or test again; --resume does not repeat the training.') from error
    record = _checked(record, path)
    if path.name == RECORD_NAME and 'per_image' not in record:
        areas = path.parent / PER_IMAGE_NAME
        record['per_image'] = None
        # A validation after the record may have replaced them.
        if (areas.is_file()
                and PerImageAreas.load(areas)[1] == record['iterations']):
            record['per_image'] = PER_IMAGE_NAME
    return record


def _checked(record: dict, path: Path) -> dict:
    if not isinstance(record, dict):
        raise BrokenRecordError(
            f'{path} holds a {type(record).__name__}, not the record of a '
            'run. Remove it, and train or test again.')
    missing = [key for key in _NEEDED if key not in record]
    if missing:
        raise BrokenRecordError(
            f'{path}: the record of run {record.get("run")} lacks '
            f'{", ".join(missing)}. Remove it, and train or test again.')
    return record

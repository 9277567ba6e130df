# Copyright (c) mmseg_semi authors.
"""The check of the data that every training begins with."""
import logging
import time
from collections.abc import Callable, Sequence

import torch
import torch.nn as nn
from mmengine.config import Config
from mmengine.logging import print_log
from mmseg.registry import DATASETS

from ..data_check import (DataError, FactCache, Report, check_config,
                          default_cache)
from ..datasets.semi_dataset import SemiSegDataset
from ..dist import call_on_main, rank
from .unwrap import unwrap

_SILENCE = 10.  # seconds between two lines of progress


def check_training_data(runner, dataloader,
                        accept: Sequence[str] = ()) -> None:
    """Check the sets of a training before any of them is built.

    Process 0 looks at the files, and all processes stop if it finds errors.
    Facts of files are kept in the user's cache folder, so that the next
    training reads new files only.

    Args:
        runner (Runner): Whose validation and test sets are meant.
        dataloader (DataLoader | dict): Of the training.
        accept (Sequence[str]): Kinds of errors that count as warnings.

    Raises:
        DataError: With all findings, if there are errors.
        ValueError: If ``accept`` names no kind of finding.
    """
    cfg = Config(
        dict(
            train_dataloader=dataloader,
            val_dataloader=runner._val_dataloader,
            test_dataloader=runner._test_dataloader))
    problems = call_on_main(_problems, cfg, accept, _mean(runner.model))
    if problems:
        raise problems if rank() == 0 else DataError(
            'The data are not fit for training; process 0 says why.')


def as_checked(dataloader):
    """Spare the training set what :func:`check_training_data` has done.

    Args:
        dataloader (DataLoader | dict): Of the training.

    Returns:
        DataLoader | dict: The same, or a changed copy of its config.
    """
    dataset = dataloader.get('dataset') if isinstance(dataloader,
                                                      dict) else None
    if not isinstance(dataset, dict):
        return dataloader
    kind = dataset.get('type')
    cls = DATASETS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(cls, type) and issubclass(cls, SemiSegDataset)):
        return dataloader
    return dict(dataloader, dataset=dict(dataset, checked=True))


def _mean(model: nn.Module) -> list[float] | None:
    """What its preprocessor takes from each band; None if it does not."""
    mean = getattr(
        getattr(unwrap(model), 'data_preprocessor', None), 'mean', None)
    return mean.flatten().tolist() if isinstance(mean, torch.Tensor) else None


def _problems(cfg: Config, accept: Sequence[str],
              mean: list[float] | None) -> DataError | None:
    """Check and tell; the error with all findings, if there are errors."""
    with FactCache(default_cache()) as cache:
        report = check_config(
            cfg, mean=mean, cache=cache, progress=_progress_lines())
    report = report.accept(accept)
    try:
        report.raise_errors()
    except DataError as error:
        return error
    _tell(report)
    return None


def _tell(report: Report) -> None:
    if report.warnings:
        print_log(
            f'The data:\n{report.as_table()}',
            logger='current',
            level=logging.WARNING)
    else:
        print_log(f'The data: {report.summary()}', logger='current')


def _progress_lines() -> Callable[[int, int], None]:
    """A line of the log now and then, while files are read."""
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if done < total and time.monotonic() - last > _SILENCE:
            last = time.monotonic()
            print_log(
                f'Looking at the data: {done:,} of {total:,} files (once; '
                'train_cfg.check_data=False leaves it out)',
                logger='current')

    return progress

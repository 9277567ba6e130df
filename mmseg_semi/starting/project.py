# Copyright (c) mmseg_semi authors.
"""From photographs and labels to two trained models, side by side."""
import json
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from mmengine.config import Config

from ..benchmarking.jobs import TrainingJob, run_jobs
from ..data_check import FactCache, check_config, default_cache
from ..datasets.paths import short_path
from ..engine.atomic import write_atomically
from ..importing import ImportOptions, import_labels
from ..importing.findings import listing
from ..reporting import write_report
from .comparison import Comparison, compare
from .configs import recipe_for, write_configs
from .picture import draw_comparison
from .recipe import SUPERVISED, check_settings
from .scoring import Track
from .state import State
from .trained import find_trained, read_log

DATA, PICTURE, TABLE = 'data', 'comparison.png', 'comparison.json'
REPORT = 'report.html'


class TrainingFailedError(RuntimeError):
    """A training ended early; the message has the end of its output."""


@dataclass(frozen=True)
class Reporter:
    """How a project tells how far it is.

    Attributes:
        say (Callable): Takes a text for people.
        note (Callable): Takes a list of findings, of the import or of the
            check, which do not stop it.
        track (Track): Shows progress over an iterable.
        count (Callable): Takes a text and gives a context manager, which
            gives a function of the numbers done and of all.
        display (Callable): Gives a context manager that shows trainings.
    """
    say: Callable[[str], None]
    note: Callable[[list], None]
    track: Track
    count: Callable[[str], AbstractContextManager]
    display: Callable[[], AbstractContextManager]


@dataclass(frozen=True)
class Outcome:
    """What a project came to.

    Attributes:
        out (str): Its folder.
        configs (dict[str, str]): Name of a training -> its config.
        checkpoints (dict[str, str]): Name of a training -> its last
            checkpoint.
        scores (dict[str, float | None]): Name of a training -> mIoU of its
            last validation, in percent.
        comparison (Comparison, optional): None without unlabelled photos.
        picture (str): A PNG file.
        report (str): A page about the trainings.
        recipe (dict): The settings that were chosen, with reasons; empty if
            an earlier version chose them.
        data (str): What was imported.
    """
    out: str
    configs: dict[str, str]
    checkpoints: dict[str, str]
    scores: dict[str, float | None]
    comparison: Comparison | None
    picture: str
    report: str
    recipe: dict
    data: str

    @property
    def files(self) -> list[str]:
        """list[str]: What was written, but for logs."""
        return [
            self.data, *self.configs.values(), *self.checkpoints.values(),
            self.picture, self.report, f'{self.out}/{TABLE}'
        ]

    def as_dict(self) -> dict:
        """Everything for JSON."""
        comparison = self.comparison and self.comparison.as_dict()
        return dict(vars(self), comparison=comparison, files=self.files)


def start(photos: str,
          masks: str,
          out: str,
          options: ImportOptions,
          given: dict,
          reporter: Reporter,
          patience: int | None = None,
          force: bool = False) -> Outcome:
    """Import, choose, check, train twice, compare. Resumable.

    A call with the same arguments goes on where the last one ended; a
    training goes on from its last checkpoint. Until the first training
    begins, arguments and data may change.

    Args:
        photos (str): Folder of photographs.
        masks (str): Labels, see :func:`.import_labels`.
        out (str): Folder that gets everything.
        options (ImportOptions): Of the import; the trainings have its seed.
        given (dict): Settings that :func:`.choose_recipe` shall not choose,
            plain data.
        reporter (Reporter): Who tells about it.
        patience (int, optional): Validations without a better score after
            which a training stops.
        force (bool): Begin anew where trainings are of other arguments, or
            of other photographs and labels. Defaults to False.

    Returns:
        Outcome: Models, comparison, picture.

    Raises:
        FileExistsError: See :class:`.State`.
        DataFaultsError: Labels that cannot be imported.
        ValueError: No validation images, or settings that do not fit.
        FileNotFoundError: There is no such model, photograph or label.
        DataError: The data are not fit for training; holds the table.
        TrainingFailedError: A training ended early.
    """
    check_settings(**given)
    if not options.val:
        raise ValueError('--val 0 leaves nothing to compare on: take a share '
                         'of the labelled photos, 0.2 for instance.')
    if Path(out).resolve().is_relative_to(Path(photos).resolve()):
        raise ValueError(
            f'--out {out} lies in {photos}, where all pictures are taken for '
            'photos: choose a folder beside it.')
    arguments = dict(
        photos=os.path.abspath(photos),
        masks=os.path.abspath(masks),
        patience=patience,
        **vars(options),
        **given)
    state = State(out, arguments, force)
    say, folder = reporter.say, f'{out}/{DATA}'
    say('[1/5] Import')
    imported = import_labels(
        photos,
        masks,
        folder,
        options,
        force=force or not state.has_trainings,
        say=say,
        track=reporter.track)
    reporter.note(imported.warnings)
    if imported.warnings:
        say(listing(imported.warnings))
    if imported.state == 'replaced':
        state.begin_anew()
    say('[2/5] Config')
    configs = _configs(
        state,
        folder,
        given,
        reporter,
        seed=options.seed,
        patience=patience,
        force=force)
    say('[3/5] Check of the data')
    _check(configs, reporter)
    say('[4/5] Training')
    for name, config in configs.items():
        _train(name, config, state, reporter)
    say('[5/5] Comparison')
    return _finish(state, configs, reporter)


def _configs(state: State, folder: str, given: dict, reporter: Reporter,
             **settings) -> dict[str, str]:
    """Name of a training -> config; the supervised one first.

    They are written once and then belong to the user.
    """
    say = reporter.say
    if state.files and all(map(os.path.isfile, state.files.values())):
        say('as they are: ' + ', '.join(state.files.values()))
        return state.files
    recipe = recipe_for(folder, reporter.track, **given)
    say(recipe.describe())
    written = write_configs(folder, recipe, f'{state.out}/{recipe.method}.py',
                            f'{state.out}/{SUPERVISED}.py', **settings)
    files = {recipe.method: written.config}
    if written.twin:
        files = {SUPERVISED: written.twin, **files}
    state.set_files(files, asdict(recipe))
    say('written: ' + ', '.join(files.values()))
    return files


def _check(configs: dict[str, str], reporter: Reporter) -> None:
    """Stop if the data of the method, which are all data, are at fault.

    What its config accepts, or that it wants no check, holds here, too.
    """
    cfg = Config.fromfile(list(configs.values())[-1])
    if not os.path.isfile(
            Path(cfg.val_dataloader.dataset.data_root,
                 cfg.val_dataloader.dataset.ann_file)):
        raise ValueError('No labelled photo is left for validation: label '
                         'more, or take a larger --val.')
    accepted = cfg.train_cfg.get('check_data', True)
    if accepted is False:
        reporter.say('left out, as the config says (check_data=False)')
        return
    with FactCache(default_cache()) as cache, \
            reporter.count('Reading images') as progress:
        report = check_config(cfg, cache=cache, progress=progress)
    report = report.accept(() if accepted is True else accepted)
    report.raise_errors()
    reporter.note(report.findings)
    reporter.say(report.as_table())


def _train(name: str, config: str, state: State, reporter: Reporter) -> None:
    """Train in a process of its own, or go on with it."""
    if state.is_trained(name):
        reporter.say(f'{name}: trained already, {state.folder(name)}')
        return
    folder = state.folder(name)
    state.set_trained(name, False)
    job = TrainingJob(
        name=name,
        command=[
            sys.executable, '-m', 'mmseg_semi', 'train', config, '--work-dir',
            str(folder), '--resume'
        ],
        work_dir=folder,
        iterations=Config.fromfile(config).train_cfg.max_iters,
        cwd=Path.cwd(),
        threads=int(os.environ.get('OMP_NUM_THREADS') or os.cpu_count() or 1))
    with reporter.display() as display:
        failed = run_jobs([job], 1, display)
    if failed:
        raise TrainingFailedError(
            f'The training of {name} failed. The end of {job.log}:\n'
            f'{job.log_tail()}')
    state.set_trained(name, True)


def _finish(state: State, configs: dict, reporter: Reporter) -> Outcome:
    """Compare, draw, and write both down."""
    models = [find_trained(str(state.folder(name))) for name in configs]
    comparison = None
    if len(models) == 2:
        comparison = compare(models[1], models[0], reporter.track)
    picture = state.out / PICTURE
    reporter.say('Drawing ...')
    write_atomically(draw_comparison(models, _title(comparison)), picture)
    report = write_report([str(state.folder(name)) for name in configs],
                          state.out / REPORT,
                          track=reporter.track)['report']
    outcome = Outcome(
        str(state.out), dict(configs),
        {model.name: short_path(model.checkpoint)
         for model in models},
        {model.name: _last_score(model.folder)
         for model in models}, comparison, str(picture), report, state.recipe,
        f'{state.out}/{DATA}')
    text = json.dumps(outcome.as_dict(), indent=2, ensure_ascii=False)
    write_atomically(text.encode(), state.out / TABLE)
    return outcome


def _title(comparison: Comparison | None) -> str:
    if comparison is None:
        return 'Validation photos'
    found = comparison.difference
    return (f'mIoU: {comparison.supervised.name} '
            f'{comparison.supervised.miou:.1f}, {comparison.method.name} '
            f'{comparison.method.miou:.1f} ({found.mean:+.1f}, 95 % interval '
            f'{found.low:+.1f} to {found.high:+.1f})')


def _last_score(folder: Path) -> float | None:
    """mIoU of the last validation."""
    if 'mIoU' not in (log := read_log(folder)):
        return None
    return float(log['mIoU'][1][-1])

# Copyright (c) mmseg_semi authors.
"""Tables of results: which rows they have, and what the runs say to them."""
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mmengine.config import Config

from ..engine.evaluation_protocol import describe_evaluation
from ..evaluation.bootstrap import (Difference, paired_difference,
                                    resampled_miou)
from ..evaluation.per_image_iou import PerImageAreas
from .published import Figure, Published
from .results import Result
from .runs import PlannedRun, check_config


class SpecError(ValueError):
    """A table that is described wrongly; the message says where."""


@dataclass(frozen=True)
class Outcome:
    """How one seed came out.

    Args:
        last (float, optional): mIoU of the last iteration.
        best (float, optional): The best of all that was measured.
        source (Result): Where everything else is read from.
    """
    last: float | None
    best: float | None
    source: Result


@dataclass
class Row:
    """One method under one protocol.

    Args:
        protocol (str): Lists and number of labels, as config names say it.
        name (str): The method.
        runs (list[PlannedRun]): One per seed; none where the package has no
            config, so that only the published figure is shown.
        figure (Figure, optional): What was published.
        baseline (str, optional): Name of the row to compare with.
        outcomes (dict[int, Outcome]): Seed -> how it came out.
        evaluation (str, optional): How ``outcomes`` were measured.
        difference (Difference, optional): To the baseline, in ``last``.
        by_seed (list[float]): The same for each seed.
    """
    protocol: str
    name: str
    runs: list[PlannedRun] = field(default_factory=list)
    figure: Figure | None = None
    baseline: str | None = None
    outcomes: dict = field(default_factory=dict)
    evaluation: str | None = None
    difference: Difference | None = None
    by_seed: list = field(default_factory=list)

    @property
    def config(self) -> str | None:
        """The config file, relative to the checkout."""
        if self.runs:
            return self.runs[0].config
        return next((outcome.source['config']
                     for outcome in self.outcomes.values()), None)

    @property
    def is_plain(self) -> bool:
        """Whether it is the config as it stands, without overrides."""
        return all(not run.options for run in self.runs)


class TableSpec:
    """What a table contains, read from a JSON file.

    Keys: ``title``; ``dataset``, which decides how data is prepared;
    ``records`` and ``page``, files beside it; ``baseline`` (optional), the
    name of a row; ``parts``, a list of ``protocol``, ``seeds`` and ``rows``.
    A row has a ``name`` and, each where there is one, ``config``,
    ``options`` on top of it (as ``--cfg-options``), ``published``, the id of
    a figure, and a ``baseline`` of its own.

    Args:
        path (Path): The JSON file.
        root (Path): The checkout, to which configs are relative.
        options (dict, optional): Overrides for every config.
        seeds (Sequence[int], optional): Instead of those of the parts.
        published (Published, optional): Where ids are looked up. Defaults
            to the shipped file, read when an id comes up.

    Raises:
        SpecError: If the file is no table, or names a list that a shipped
            protocol does not have.
        MissingConfigError: If a config does not exist.
        PublishedError: If there is no such figure.
    """

    def __init__(self,
                 path: Path,
                 root: Path,
                 options: dict | None = None,
                 seeds: Sequence[int] | None = None,
                 published: Published | None = None) -> None:
        self.path, self.root = Path(path), root
        self._options, self._seeds = options or {}, seeds
        self._published = published
        self.name = self.path.stem
        try:
            spec = json.loads(self.path.read_text('utf-8'))
            self.title, self.dataset = spec['title'], spec['dataset']
            self.records = self.path.parent / spec['records']
            self.page = self.path.parent / spec['page']
            self.baseline = spec.get('baseline')
            self.rows = [
                self._row(part, row) for part in spec['parts']
                for row in part['rows']
            ]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise SpecError(
                f'{path} describes no table ({error!r}). See '
                'docs/benchmark_tables.md for its keys.') from error

    def _row(self, part: dict, row: dict) -> Row:
        config, figure, runs = row.get('config'), None, []
        _check_protocol(part['protocol'], self.root, self.path)
        if row.get('published'):
            self._published = self._published or Published()
            figure = self._published[row['published']]
        if config:
            check_config(config, self.root, f'{self.path}, row {row["name"]}')
            runs = [
                PlannedRun(f'{row["name"]}, {part["protocol"]}, seed {seed}',
                           config, seed, self.root, {
                               **row.get('options', {}),
                               **self._options
                           }) for seed in (self._seeds or part['seeds'])
            ]
        return Row(part['protocol'], row['name'], runs, figure,
                   row.get('baseline'))

    def baseline_of(self, row: Row) -> str | None:
        """Name of the row that ``row`` is compared with."""
        return row.baseline or self.baseline

    def check_baseline(self) -> None:
        """Make sure that everything has its baseline.

        Raises:
            SpecError: If it has not.
        """
        known = {(row.protocol, row.name) for row in self.rows}
        for row in self.rows:
            name = self.baseline_of(row)
            if name and (row.protocol, name) not in known:
                names = sorted({other.name for other in self.rows})
                raise SpecError(
                    f'{self.name}: there is no row {name!r} under '
                    f'{row.protocol} to compare with. Choose the baseline '
                    f'among {names}.')

    def runs(self) -> list[PlannedRun]:
        """All runs, the first seed of every row before the second.

        Rows of one config and equal options are trained once.
        """
        longest = max((len(row.runs) for row in self.rows), default=0)
        ordered = [
            row.runs[i] for i in range(longest) for row in self.rows
            if i < len(row.runs)
        ]
        unique: dict = {}
        for run in ordered:
            unique.setdefault((run.hash, run.seed, run.iterations), run)
        return list(unique.values())


def _check_protocol(name: str, root: Path, table: Path) -> None:
    """Refuse a list that a shipped family of lists does not have.

    Any other name is that of data of the user's own.
    """
    family, _, size = name.split(' ')[0].rpartition('_')
    path = root / f'configs/_base_/protocols/{family}.py'
    if not family or not path.is_file():
        return
    protocol = Config.fromfile(path).protocol
    known = [*protocol['lists'], str(protocol['images'])]
    if size not in known:
        raise SpecError(f'{table}: there is no protocol {name!r}. {path} has '
                        f'lists of {", ".join(known)} images.')


def _check_evaluation(spec: TableSpec, results: list[Result],
                      evaluation: str) -> None:
    """Refuse words that no row and no result has."""
    known = {
        describe_evaluation(row.runs[0].cfg)
        for row in spec.rows if row.runs
    }
    known |= {result['evaluation'] for result in results}
    if evaluation not in known:
        names = '\n'.join(f'  {name}' for name in sorted(known - {None}))
        raise SpecError(f'Nothing is measured as evaluation={evaluation!r}. '
                        f'Choose one of\n{names}')


def make_rows(spec: TableSpec,
              results: list[Result],
              evaluation: str | None = None) -> list[Row]:
    """Fill a table with what has been finished.

    Args:
        spec (TableSpec): The table.
        results (list[Result]): All records, oldest first.
        evaluation (str, optional): Take what was measured so, in the words
            of :func:`describe_evaluation`. Defaults to what each config does
            by itself.

    Returns:
        list[Row]: The rows of ``spec``, filled. Differences need the areas
        per image of the method and the baseline; only seeds that both have
        are compared.

    Raises:
        SpecError: A baseline is missing, or nothing is measured so.
    """
    spec.check_baseline()
    if evaluation is not None:
        _check_evaluation(spec, results, evaluation)
    for row in spec.rows:
        if not row.runs:
            continue
        row.evaluation = evaluation or describe_evaluation(row.runs[0].cfg)
        found = {
            run.seed: _outcome(run, results, row.evaluation)
            for run in row.runs
        }
        row.outcomes = {seed: one for seed, one in found.items() if one}
    by_name = {(row.protocol, row.name): row for row in spec.rows}
    for row in spec.rows:
        baseline = by_name.get((row.protocol, spec.baseline_of(row)))
        if baseline and baseline is not row:
            _compare(row, baseline)
    return spec.rows


def _outcome(run: PlannedRun, results: list[Result],
             evaluation: str | None) -> Outcome | None:
    trainings, tests = [], []
    for result in results:
        # Older records were measured as their config says.
        if (result['evaluation'] or evaluation) != evaluation:
            continue
        if result.is_test and run.is_of(result.record):
            tests.append(result)
        elif not result.is_test and run.matches(result.record):
            trainings.append(result)
    final = [test for test in tests if test['iterations'] == run.iterations]
    if not trainings and not tests:
        return None
    source = (trainings or final or tests)[-1]
    scores = [test['last'] for test in tests]
    if trainings:
        scores.append(trainings[-1]['best'])
    scores = [score for score in scores if score is not None]
    last = source['last'] if trainings or final else None
    return Outcome(last, max(scores, default=None), source)


def rows_of(results: list[Result], names: dict) -> list[Row]:
    """Rows of what was found in work directories, without a table.

    Args:
        results (list[Result]): Records of trainings and tests.
        names (dict[str, Figure]): Config -> its published figure.

    Returns:
        list[Row]: One per experiment and way of measuring, in the order of
        the config names. Seeds of one experiment are one row.
    """
    groups: dict = {}
    for result in results:
        key = (result['config']
               or '', result['config_hash'], result['evaluation'] or '')
        groups.setdefault(key, []).append(result)
    rows = []
    for (config, _, evaluation), found in sorted(groups.items()):
        row = Row(
            protocol_of(config),
            Path(config).stem or found[0]['method'] or '–',
            figure=names.get(config),
            evaluation=evaluation or None)
        for seed in sorted({result['seed'] for result in found}):
            row.outcomes[seed] = _of_seed(
                [result for result in found if result['seed'] == seed])
        rows.append(row)
    return rows


def _of_seed(found: list[Result]) -> Outcome:
    furthest = max(result['iterations'] or 0 for result in found)
    final = [one for one in found if (one['iterations'] or 0) == furthest]
    source = ([one for one in final if not one.is_test] or final)[-1]
    planned = source['max_iterations'] or furthest
    scores = [
        score for one in found for score in (one['last'], one['best'])
        if score is not None
    ]
    return Outcome(source['last'] if furthest == planned else None,
                   max(scores, default=None), source)


def published_of(folder: Path) -> dict[str, Figure]:
    """What was published for each config, by the tables in a folder.

    Args:
        folder (Path): With tables (``*.json``).

    Returns:
        dict[str, Figure]: Config -> its figure; that of the paper whose
        method it is rather than one that others quote.
    """
    published, found = Published(), {}
    for path in sorted(folder.glob('*.json')):
        for part in json.loads(path.read_text('utf-8'))['parts']:
            for row in part['rows']:
                if not row.get('config') or row.get('options'):
                    continue
                figure = published[row['published']]
                known = found.get(row['config'])
                if known is None or (known.quoted and not figure.quoted):
                    found[row['config']] = figure
    return found


def protocol_of(config: str) -> str:
    """Data set, family of lists and labels in the name of a config."""
    return '_'.join(Path(config).stem.split('_')[2:4])


def _compare(row: Row, baseline: Row) -> None:
    pairs = []
    for seed, outcome in row.outcomes.items():
        other = baseline.outcomes.get(seed)
        if other and None not in (outcome.source.areas, other.source.areas,
                                  outcome.last, other.last):
            pairs.append((_areas(outcome.source), _areas(other.source)))
            row.by_seed.append(_score(pairs[-1][0]) - _score(pairs[-1][1]))
    if pairs:
        row.difference = paired_difference(*zip(*pairs))


def _areas(result: Result) -> PerImageAreas:
    """Areas of a record, checked against its score."""
    path = result.areas
    if not path.is_file():
        raise FileNotFoundError(
            f'{path}, the areas per image of a recorded run, is missing. '
            'Restore it with git, or remove the record of run '
            f'{result["run"]} to train it again.')
    areas, iteration = PerImageAreas.load(path)
    score = _score(areas)
    if iteration != (result['iterations']
                     or 0) or abs(score - result['last']) > .02:
        raise ValueError(
            f'{path} is of iteration {iteration} with mIoU {score:.2f}, but '
            f'its record says {result["iterations"]} and {result["last"]}: '
            'the files do not belong together.')
    return areas


def _score(areas: PerImageAreas) -> float:
    return float(resampled_miou(areas, np.ones((1, len(areas.ids))))[0])

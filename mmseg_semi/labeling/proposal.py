# Copyright (c) mmseg_semi authors.
"""Proposing the images to be labelled next."""
import csv
import io
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from ..datasets.errors import UnreadableImageError
from ..datasets.paths import first_few
from ..engine.atomic import write_atomically
from ..predicting import Predictor, Skipped
from ..predicting.images import Source
from .choosing import CRITERIA, Choice, balance, choose, label_shares
from .features import PooledFeatures, pooled_features
from .pool import Pool
from .sheet import LARGEST, Item, contact_sheet, painted, unsure

LIST, TABLE, SHEET = 'next.txt', 'next.csv', 'next.png'
_MUCH = 2  # times its share in the labels: a class is worth a word
Track = Callable[[Iterable, str], Iterable]


@dataclass(frozen=True)
class Proposed:
    """An image to be labelled.

    Attributes:
        name (str): As lists of labelled images name it.
        path (str): The file.
        uncertainty (float): Mean of 1 - confidence over the pixels.
        balance (float, optional): See :func:`.balance`; None unless it
            counts.
        distance (float, optional): See :class:`.Choice`; likewise.
        reason (str): Why it was chosen, in words.
    """
    name: str
    path: str
    uncertainty: float
    balance: float | None
    distance: float | None
    reason: str


@dataclass(frozen=True)
class Proposal:
    """Images to be labelled next.

    Attributes:
        by (str): One of :data:`.CRITERIA`.
        images (list[Proposed]): The first one first.
        candidates (int): Images that were looked at.
        left_out (dict[str, int]): See :class:`.Pool`.
        skipped (list[Skipped]): Files that are no image, or broken.
    """
    by: str
    images: list[Proposed]
    candidates: int
    left_out: dict[str, int]
    skipped: list[Skipped] = field(default_factory=list)

    def as_dict(self) -> dict:
        """Everything for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Measured:
    """An image: unsure in [0, 1], shares (C, ), feature (D, ) or None."""
    source: Source
    uncertainty: float
    shares: np.ndarray
    feature: np.ndarray | None


def propose(predictor: Predictor,
            pool: Pool,
            count: int,
            by: str = 'all',
            track: Track = lambda items, text: items) -> Proposal:
    """Choose images to be labelled next; the same every time.

    Args:
        predictor (Predictor): The model.
        pool (Pool): Images with and without labels.
        count (int): How many, at least 1.
        by (str): ``uncertainty``: the mean over the pixels of 1 - confidence
            (least confidence: Lewis and Gale, SIGIR 1994). ``balance``: see
            :func:`.balance`. ``diversity``: :func:`.k_center` on the mean of
            the encoder's last stage, scaled to length 1. ``all``: see
            :func:`.choose`. Defaults to ``all``.
        track (Track): Shows progress.

    Raises:
        ValueError: There are fewer images, or no labelled ones to compare
            with.
    """
    if by not in CRITERIA:
        raise ValueError(f'by={by!r} is none of {", ".join(CRITERIA)}.')
    if count < 1:
        raise ValueError(f'{count} images: ask for 1 or more.')
    _check_count(count, len(pool.sources), pool.left_out)
    if by != 'uncertainty' and not pool.labelled:
        raise ValueError(
            f'by {by}: the config has no labelled images to compare with. '
            'Give the config of the training, or choose by uncertainty.')
    labels = None
    if by in ('balance', 'all'):
        labels = label_shares(pool.label_pixels(predictor.num_classes))
    far = by in ('diversity', 'all')
    with pooled_features(predictor.model) if far else nullcontext() as pooled:
        found, broken = _measure(predictor, pool.sources, pooled, track)
        left_out = dict(pool.left_out, unreadable=len(broken))
        _check_count(count, len(found), left_out)
        known = _features(predictor, pool.labelled, pooled, track)
    balances = None
    if labels is not None:
        balances = balance(np.stack([one.shares for one in found]), labels)
    choices = choose(by, count, np.array([one.uncertainty for one in found]),
                     balances,
                     np.stack([one.feature for one in found]) if far else None,
                     known)
    words = _Words(found, labels, predictor.classes, pool, by)
    return Proposal(by, [
        Proposed(
            pool.list_entry(found[one.index].source),
            found[one.index].source.path, found[one.index].uncertainty,
            None if balances is None else float(balances[one.index]),
            one.distance, words.reason(one)) for one in choices
    ], len(found), pool.left_out, [*pool.skipped, *broken])


def _check_count(count: int, there: int, left_out: dict[str, int]) -> None:
    if count > there:
        told = ', '.join(f'{n} {kind}' for kind, n in left_out.items() if n)
        raise ValueError(
            f'{count} images are asked for, but only {there} are left'
            f'{f" ({told} left out)" if told else ""}: ask for {there} at '
            'most.' if there else 'No image can be read.')


def _measure(predictor: Predictor, sources: Sequence[Source],
             pooled: PooledFeatures | None,
             track: Track) -> tuple[list[_Measured], list[Skipped]]:
    found, broken = [], []
    for source in track(sources, 'Predicting'):
        try:
            unsure_sum, counts = 0., np.zeros(predictor.num_classes)
            for _, _, part in predictor.parts(source.path)[1]:
                unsure_sum += float((1 - part.confidence).sum(dtype=float))
                counts += np.bincount(
                    part.classes.ravel(), minlength=len(counts))
        except UnreadableImageError as error:
            broken.append(Skipped(source.path, str(error)))
            continue
        found.append(
            _Measured(source, unsure_sum / counts.sum(), counts / counts.sum(),
                      pooled and pooled.take()))
    return found, broken


def _features(predictor: Predictor, images: Sequence[str],
              pooled: PooledFeatures | None,
              track: Track) -> np.ndarray | None:
    """(M, D) of the labelled images."""
    if pooled is None:
        return None
    found = []
    for path in track(images, 'Labelled images'):
        for _ in predictor.parts(path)[1]:
            pass  # the encoder is listened to
        found.append(pooled.take())
    return np.stack(found)


class _Words:
    """Says why an image was chosen."""

    def __init__(self, found: list[_Measured], labels: np.ndarray | None,
                 classes: Sequence[str], pool: Pool, by: str) -> None:
        self._found, self._labels, self._by = found, labels, by
        self._classes, self._pool = classes, pool
        order = np.argsort([-one.uncertainty for one in found], kind='stable')
        self._rank = {int(row): n for n, row in enumerate(order, 1)}

    def reason(self, choice: Choice) -> str:
        """What counted, joined by semicolons."""
        parts = dict(
            uncertainty=self._unsure, balance=self._rare, diversity=self._far)
        chosen = parts.values() if self._by == 'all' else [parts[self._by]]
        return '; '.join(filter(None, (part(choice) for part in chosen)))

    def _unsure(self, choice: Choice) -> str:
        one = self._found[choice.index]
        return (f'{one.uncertainty:.1%} unsure on average, number '
                f'{self._rank[choice.index]} of {len(self._found)}')

    def _rare(self, choice: Choice) -> str:
        shares = self._found[choice.index].shares
        ratios = shares / self._labels
        rows = [
            c for c in np.argsort(-ratios, kind='stable')[:2]
            if ratios[c] >= _MUCH
        ]
        return '; '.join(
            f'{shares[c]:.1%} is {self._classes[c]!r} (of the labels '
            f'{self._labels[c]:.1%})' for c in rows)

    def _far(self, choice: Choice) -> str:
        if choice.nearest >= 0:
            near = Path(self._pool.labelled[choice.nearest]).name
        else:
            source = self._found[-1 - choice.nearest].source
            near = f'{self._pool.list_entry(source)}, chosen before'
        return f'{choice.distance:.2f} from the nearest ({near})'


def write_proposal(proposal: Proposal,
                   predictor: Predictor,
                   out: str,
                   track: Track = lambda items, text: items) -> list[str]:
    """Write the list, a table with the scores, and a contact sheet.

    Args:
        proposal (Proposal): Of :func:`propose`.
        predictor (Predictor): The model, which draws its predictions.
        out (str): The folder; files of these names are replaced.
        track (Track): Shows progress.

    Returns:
        list[str]: ``next.txt``, ``next.csv`` and ``next.png``. The sheet
        shows the first :data:`.LARGEST` images.
    """
    folder = Path(out)
    lines = ''.join(f'{one.name}\n' for one in proposal.images)
    text = io.StringIO()
    table = csv.writer(text, lineterminator='\n')
    table.writerow([
        'rank', 'name', 'uncertainty', 'balance', 'distance', 'reason', 'path'
    ])
    for rank, one in enumerate(proposal.images, 1):
        scores = [one.uncertainty, one.balance, one.distance]
        table.writerow([
            rank, one.name, *('' if s is None else f'{s:.6g}' for s in scores),
            one.reason, one.path
        ])
    shown = proposal.images[:LARGEST]
    items = [
        _item(rank, one, predictor)
        for rank, one in enumerate(track(shown, 'Drawing'), 1)
    ]
    head = (f'{len(proposal.images)} of {proposal.candidates} images by '
            f'{proposal.by}')
    if len(shown) < len(proposal.images):
        head += f', the first {len(shown)}'
    picture = contact_sheet(head, ('image', 'prediction', 'unsure'), items)
    contents = {
        LIST: lines.encode(),
        TABLE: text.getvalue().encode(),
        SHEET: picture
    }
    for name, content in contents.items():
        write_atomically(content, folder / name)
    return [str(folder / name) for name in contents]


def check_free(out: str, force: bool) -> None:
    """Refuse a folder that has a proposal.

    Raises:
        FileExistsError: It has one and not ``force``.
    """
    there = [
        name for name in (LIST, TABLE, SHEET) if (Path(out) / name).exists()
    ]
    if there and not force:
        raise FileExistsError(
            f'--out: {out} holds {first_few(there)} already. Choose another '
            'folder, or replace them with --force.')


def _item(rank: int, one: Proposed, predictor: Predictor) -> Item:
    found = predictor(one.path)
    photo = predictor.thumbnail(one.path)
    return Item(f'{rank}. {one.name}', one.reason.split('; '),
                (photo, painted(photo, found.classes,
                                predictor.palette), unsure(found.confidence)))

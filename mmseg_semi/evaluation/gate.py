# Copyright (c) mmseg_semi authors.
"""What the precision of confident pixels says about pseudo-labels."""
from collections.abc import Sequence

# Where it was measured.
HELD_OUT, VALIDATION = 'held_out', 'validation'
_CAUTION = ('These are validation images: do not choose a threshold by them '
            'for a score that you report on them.')
_SHOWN = 6  # classes named in a sentence


def suggest_threshold(found: dict,
                      target: float = 0.9,
                      min_pixels: int = 100,
                      min_images: float = 5) -> tuple[float | None, str]:
    """The confidence from which pseudo-labels may be trusted.

    Judged are the classes that at least ``min_pixels`` pixels, of at least
    ``min_images`` images, are predicted as. One passes at a threshold where
    its precision is at least ``target`` and where it still has so many
    pixels. Unless most of the classes that occur can be judged, nothing is
    suggested.

    Args:
        found (dict): Of :meth:`.LabelPrecision.as_dict`.
        target (float): Precision every class shall have, in (0, 1].
        min_pixels (int): Pixels that say something.
        min_images (float): Images that say something, see
            :attr:`.LabelPrecision.effective_images`.

    Returns:
        tuple[float | None, str]: The smallest threshold at which all judged
        classes pass, else the one at which most do, the mean of their
        precisions deciding between equals; None where it cannot be said.
        And a sentence that says which of these it is.
    """
    judged = [
        name for name in _judged(found, 0, min_pixels)
        if found['images_per_class'][name][0] >= min_images
    ]
    occur = [
        name for name, pixels in found['pixels'].items()
        if pixels[0] or found['labelled_pixels'][name]
    ]
    if 2 * len(judged) <= len(occur):
        return None, (
            'There are too few images to suggest a threshold: '
            f'{len(judged)} of {len(occur)} classes are predicted in '
            f'{min_images:g} images or more. Hold more out.')
    best, scores = None, []
    for place, threshold in enumerate(found['thresholds']):
        enough = [
            name for name in judged
            if found['pixels'][name][place] >= min_pixels
        ]
        values = [found['precision'][name][place] for name in enough]
        passed = sum(value >= target for value in values)
        scores.append((passed, sum(values) / len(judged)))
        if best is None or scores[-1] > scores[best]:
            best = place
        if passed == len(judged):
            return threshold, (
                f'{_from(threshold)} every class is right in at least '
                f'{target:.0%} of its pixels, which keeps '
                f'{found["kept"][place]:.0%} of all.')
    failing = {
        name: found['precision'][name][best]
        for name in judged
        if not _passes(found, name, best, target, min_pixels)
    }
    return found['thresholds'][best], (
        f'No threshold makes every class right in {target:.0%} of its pixels: '
        f'{_from(found["thresholds"][best], False)} {scores[best][0]} of '
        f'{len(judged)} classes are, not {_named(failing)}.')


def gate_alarms(found: dict,
                threshold: float | None,
                lowest: float = 0.7,
                min_pixels: int = 100) -> list[str]:
    """What should not be learned from.

    Args:
        found (dict): Of :meth:`.LabelPrecision.as_dict`.
        threshold (float, optional): The training's own, one of
            ``thresholds``; None if it keeps pixels by another rule: then all
            of them are judged.
        lowest (float): Precision below which a class is named, in [0, 1].
        min_pixels (int): Pixels that say something.

    Returns:
        list[str]: A sentence about classes that are often wrong, and one
        about classes that are in the labels and never predicted.
    """
    place = found['thresholds'].index(threshold or 0.)
    wrong = {
        name: found['precision'][name][place]
        for name in _judged(found, place, min_pixels)
        if found['precision'][name][place] < lowest
    }
    absent = [
        name for name, number in found['labelled_pixels'].items()
        if number >= min_pixels and not found['pixels'][name][place]
    ]
    alarms, where = [], _from(threshold or 0., False)
    if wrong:
        images = {
            name: found['images_per_class'][name][place]
            for name in wrong
        }
        alarms.append(
            f'Pseudo-labels of {_named(wrong, images)} are right in less '
            f'than {lowest:.0%} of their pixels {where}.')
    if absent:
        alarms.append(f'No pixel is predicted {where} as '
                      f'{_named(dict.fromkeys(absent))}, though the labels '
                      'have it.')
    return alarms


def gate_lines(gate: dict) -> list[str]:
    """A measurement in two lines.

    Args:
        gate (dict): ``gate`` of a ``record.json``.

    Returns:
        list[str]: What is right at the training's own threshold, and which
        threshold is suggested.
    """
    own = gate['threshold']
    place = gate['thresholds'].index(own or 0.)
    share, kept = gate['precision_of_all'][place], gate['kept'][place]
    known = {
        name: values[place]
        for name, values in gate['precision'].items()
        if values[place] is not None
    }
    least = dict(sorted(known.items(), key=lambda item: item[1])[:3])
    images = ('held-out labelled'
              if gate['source'] == HELD_OUT else 'validation')
    right = 'no pixel was that sure' if share is None else (
        f'{share:.1%} right, {kept:.0%} of the pixels; least right: '
        f'{_named(least)}')
    first = (f'Pseudo-labels ({gate["network"]}, iteration '
             f'{gate["iteration"]}, {gate["images"]} {images} images) '
             f'{_from(own or 0., False)}: {right}.')
    suggested = gate['suggested']
    second = gate['suggestion']
    if suggested is not None:
        second = f'Suggested threshold {suggested:g}: {second}'
    if gate['source'] == VALIDATION:
        second += f' {_CAUTION}'
    return [first, second]


def _judged(found: dict, place: int, min_pixels: int) -> list[str]:
    """Classes predicted often enough at a threshold."""
    return [
        name for name, pixels in found['pixels'].items()
        if pixels[place] >= min_pixels
    ]


def _passes(found: dict, name: str, place: int, target: float,
            min_pixels: int) -> bool:
    return (found['pixels'][name][place] >= min_pixels
            and found['precision'][name][place] >= target)


def _from(threshold: float, begins: bool = True) -> str:
    text = (f'from confidence {threshold:g} on'
            if threshold else 'at any confidence')
    return text.capitalize() if begins else text


def _named(values: dict[str, float | None],
           images: dict[str, float] | None = None) -> str:
    """Names with their precision, and by how many images it is known."""
    shown = []
    for name, value in list(values.items())[:_SHOWN]:
        text = '' if value is None else f'{value:.0%}'
        if text and images:
            number = max(1, round(images[name]))
            text += f' by {number} image' + 's' * (number > 1)
        shown.append(f'{name} ({text})' if text else name)
    more = len(values) - _SHOWN
    return ', '.join(shown) + (f' and {more} more' if more > 0 else '')


def history_point(found: dict, iteration: int) -> dict:
    """What a later measurement keeps of an earlier one.

    Args:
        found (dict): Of :meth:`.LabelPrecision.as_dict`.
        iteration (int): When it was made.

    Returns:
        dict: ``iteration``; ``precision`` and ``kept`` over all classes,
        numbers for each threshold, None where no pixel is kept.
    """
    return dict(
        iteration=iteration,
        precision=list(found['precision_of_all']),
        kept=list(found['kept']))


def earlier_points(history: Sequence[dict], iteration: int) -> list[dict]:
    """Those before an iteration, which may come again after a resume."""
    return [point for point in history if point['iteration'] < iteration]

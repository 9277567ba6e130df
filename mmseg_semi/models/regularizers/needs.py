# Copyright (c) mmseg_semi authors.
"""What a term may need of the framework, looked at when it is built."""


def _has_teacher(framework) -> bool:
    return 'teacher' in framework.networks


def _looks_at_mixed(framework) -> bool:
    # A framework imports the terms.
    from ..segmentors.framework import Framework
    own = getattr(type(framework), 'statistics_pass', None)
    return own not in (None, Framework.statistics_pass)


def _labels_weak(framework) -> bool:
    return getattr(framework, 'labels_weak', True)


NEEDS = dict(
    teacher=(_has_teacher, 'has no teacher'),
    mixed_pass=(_looks_at_mixed,
                'has no network that could look at the mixed images'),
    weak_labels=(_labels_weak,
                 'keeps no pseudo-labels of the images as they come'),
)
"""By name: whether a framework offers it, and the words if it does not."""


def check_needs(term, framework) -> None:
    """Refuse a framework that lacks what a term needs.

    Args:
        term (Term): ``needs()`` names them, each with what to do instead.
        framework (SemiSegmentor): As far as it is built.

    Raises:
        TypeError: One is missing.
    """
    for need, remedy in term.needs().items():
        offered, words = NEEDS[need]
        if not offered(framework):
            raise TypeError(f'{type(term).__name__}: '
                            f'{type(framework).__name__} {words}: {remedy}.')

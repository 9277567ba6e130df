# Copyright (c) mmseg_semi authors.
"""Which of the views with a pseudo-label a term uses."""
from typing import List, Optional, Sequence

from ..step import Step


def check_views(term: str, views: Optional[Sequence[str]]) -> None:
    """Refuse what is no list of names; letters of a string match nothing.

    Args:
        term (str): Name of the term, for the message.
        views (sequence[str], optional): The option.

    Raises:
        ValueError: It is a string, is empty or holds something else.
    """
    if views is None:
        return
    if isinstance(views, str) or not views or not all(
            isinstance(view, str) for view in views):
        raise ValueError(
            f'{term}: views={views!r} must be a list of views, for example '
            '("unsup_student", ), or None for all.')


def chosen_views(term: str,
                 step: Step,
                 net: str,
                 views: Optional[Sequence[str]],
                 labeled: bool = True) -> List[str]:
    """The views of a step whose pixels form the term's mean.

    Args:
        term (str): Name of the term, for the message.
        step (Step): The step, its passes done.
        net (str): The learning network.
        views (sequence[str], optional): Those wanted; None for all.
        labeled (bool): The labelled images count as one where they have
            pseudo-labels. Defaults to True.

    Returns:
        list[str]: Empty while no unlabelled images take part.

    Raises:
        ValueError: The network learns none of them, or not one of those
            named: a loss would be missing without a sign.
    """
    if not step.semi:
        return []
    learned = step.learned_views(net)
    if not labeled:
        learned = [view for view in learned if view != 'sup']
    unknown = [view for view in views or () if view not in learned]
    if unknown or not learned:
        raise ValueError(
            f'{term}: views={views!r}, but the views that {net} learns with '
            f'a pseudo-label are {learned}.')
    return [view for view in learned if views is None or view in views]

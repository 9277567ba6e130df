# Copyright (c) mmseg_semi authors.
"""What a reader of labels gives, whatever their format."""
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from .classes import ClassTable


@dataclass(frozen=True)
class Label:
    """The label of one image.

    Attributes:
        name (str): Which photo it belongs to: a path below the folder of
            labels or the name that a file of annotations gives, with or
            without suffix.
        path (str): Where it is, for messages.
        key (object): What the reader finds it by.
        size (tuple[int, int], optional): Width and height in pixels; None if
            the format does not tell, then it is that of the photo.
        empty (bool): Whether nothing is drawn in it.
    """
    name: str
    path: str
    key: object
    size: tuple[int, int] | None
    empty: bool = False


class LabelSet(Protocol):
    """A folder or file of labels that has been read.

    The constructor takes the place, the :class:`ImportOptions` and the
    :class:`Findings`, and looks at everything that :attr:`table` depends on.

    Attributes:
        format (str): Name of the format.
        uses (frozenset[str]): Options about labels that it reads.
        labels (list[Label]): One per image.
        table (ClassTable): Classes and mapping.
        notes (list[str]): What was decided and why, a line each.
        counts (dict[str, str]): Source of the mapping -> how much of it there
            is.
        facts (dict): What else goes into ``classes.json``.
    """
    format: str
    uses: frozenset
    labels: list[Label]
    table: ClassTable
    notes: list[str]
    counts: dict[str, str]
    facts: dict

    def mask(self, label: Label, size: tuple[int, int]) -> np.ndarray:
        """Draw or convert the mask of an image.

        Args:
            label (Label): One of :attr:`labels`.
            size (tuple[int, int]): Width and height.

        Returns:
            np.ndarray: uint8 (H, W), ids and 255.

        Raises:
            ValueError: If it cannot be drawn; says what and where.
        """
        ...

# Copyright (c) mmseg_semi authors.
"""From values or colours to ids, exact or nearest."""
import numpy as np
from scipy.spatial import cKDTree


class Lookup:
    """Ids of codes.

    A code is a grey value or ``r << 16 | g << 8 | b``.

    Args:
        ids (dict[int, int]): Code -> id.
        colors (bool): Whether codes are colours; it decides what is near.
        snap (bool): Whether other codes take the id of the nearest one, by
            Euclidean distance.
    """

    def __init__(self, ids: dict[int, int], colors: bool, snap: bool) -> None:
        self._codes = np.array(sorted(ids), np.int64)
        self._ids = np.array([ids[code] for code in sorted(ids)], np.uint8)
        self._colors = colors
        self._tree = cKDTree(self._points(self._codes)) if snap else None

    def _points(self, codes: np.ndarray) -> np.ndarray:
        if not self._colors:
            return codes[:, None].astype(float)
        return np.stack([codes >> 16, codes >> 8 & 255, codes & 255],
                        1).astype(float)

    def __call__(self, codes: np.ndarray) -> tuple[np.ndarray, int]:
        """Look codes up.

        Args:
            codes (np.ndarray): Whole numbers of any shape.

        Returns:
            tuple[np.ndarray, int]: uint8 ids of the same shape, and how many
            pixels had a code that is none of the given ones.

        Raises:
            KeyError: If there is such a code and nothing is snapped.
        """
        places = np.searchsorted(self._codes, codes)
        places = np.minimum(places, len(self._codes) - 1)
        strange = self._codes[places] != codes
        if strange.any():
            others, inverse = np.unique(codes[strange], return_inverse=True)
            if self._tree is None:
                raise KeyError(others[0])
            nearest = self._tree.query(self._points(others))[1]
            places[strange] = nearest[inverse.ravel()]
        return self._ids[places], int(np.count_nonzero(strange))


def color_codes(colors: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) RGB -> int64 (H, W) codes."""
    red, green, blue = np.moveaxis(colors.astype(np.int64), 2, 0)
    return red << 16 | green << 8 | blue

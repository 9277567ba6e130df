# Copyright (c) mmseg_semi authors.
"""The files that a picture tool leaves: picture, arrays and words."""
import io
import json
from pathlib import Path
from typing import Dict, List

import numpy as np

from ..engine.atomic import write_atomically


def output_files(out: str, force: bool = False) -> List[Path]:
    """The PNG, NPZ and JSON file of an analysis, before it begins.

    Args:
        out (str): The picture; the other two differ in the suffix.
        force (bool): They may exist.

    Raises:
        ValueError: The name does not end in ``.png``.
        FileExistsError: One of them exists.
    """
    path = Path(out)
    if path.suffix != '.png':
        raise ValueError(f'{out} must end in .png: beside the picture go the '
                         'data, with .npz and .json instead.')
    paths = [path.with_suffix(suffix) for suffix in ('.png', '.npz', '.json')]
    existing = [str(p) for p in paths if p.exists()]
    if existing and not force:
        raise FileExistsError(f'{", ".join(existing)} exists already: choose '
                              'another --out, or replace with --force.')
    return paths


def write_outputs(paths: List[Path], picture: bytes,
                  arrays: Dict[str, np.ndarray], words: dict) -> None:
    """Write the three files of :func:`output_files`, each as a whole."""
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    text = json.dumps(words, indent=1) + '\n'
    for path, data in zip(paths, (picture, packed.getvalue(), text.encode())):
        write_atomically(data, path)

# Copyright (c) mmseg_semi authors.
"""One representative config of every family in MMSegmentation's own tree."""
import re
from pathlib import Path
from typing import Dict, Iterable, Optional, Tuple

import mmseg

_NOT_FAMILIES = ('_base_', )
_LETTERS = dict(
    t=0, tiny=0, s=1, small=1, m=2, b=3, base=3, l=4, large=4, xlarge=5)
_CROP = re.compile(r'(\d+)x(\d+)(?=[^\dx]|$)')

# Where the smallest config is not one of its family. The reason is for the
# reader; an entry whose file is gone is an error.
EXCEPTIONS: Dict[str, str] = {
    # The smallest reads two images of a place, before and after.
    'swin': 'swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-'
    '512x512.py',
    # Its ASPP and PSP heads are those of other families.
    'fastfcn': 'fastfcn_r50-d32_jpu_enc_4xb4-80k_ade20k-512x512.py',
}


def config_root() -> Path:
    """Where the installed MMSegmentation keeps its configs.

    Raises:
        FileNotFoundError: It was installed without them.
    """
    root = Path(mmseg.__file__).parent / '.mim' / 'configs'
    if not root.is_dir():
        raise FileNotFoundError(
            f'{root} does not exist: MMSegmentation was installed without '
            'its configs. Install the package mmsegmentation with pip.')
    return root


def config_path(config: str) -> str:
    """The file that ``mmseg::family/name.py`` means; others as they are."""
    package, _, name = config.rpartition('::')
    return str(config_root() / name) if package == 'mmseg' else config


def find_families(root: Optional[Path] = None) -> Dict[str, str]:
    """The families and their representative configs.

    Args:
        root (Path, optional): A tree ``family/config.py``. Defaults to that
            of the installed MMSegmentation.

    Returns:
        dict[str, str]: Family (the name of its folder) to
        ``mmseg::family/config.py``, in alphabetical order.
    """
    root = root or config_root()
    names = {
        folder.name: [path.name for path in folder.glob('*.py')]
        for folder in sorted(root.iterdir())
        if folder.is_dir() and folder.name not in _NOT_FAMILIES
    }
    return {
        family: f'mmseg::{family}/{representative(family, files)}'
        for family, files in names.items() if files
    }


def representative(family: str, files: Iterable[str]) -> str:
    """The smallest config of a family, or its entry in the exceptions.

    Smallest is, as far as names tell: the smallest network (a network
    without a letter of size before tiny, small, ...; ResNet-18 before
    ResNet-50), then the smallest crop, then the first by name.

    Args:
        family (str): Name of the folder.
        files (Iterable[str]): Names of its configs.

    Raises:
        FileNotFoundError: The exception is not among the files.
    """
    files = sorted(files)
    chosen = EXCEPTIONS.get(family)
    if chosen is None:
        return min(files, key=lambda name: (*network_size(name), crop(name)))
    if chosen not in files:
        raise FileNotFoundError(
            f'{family} is represented by {chosen}, which this version of '
            'MMSegmentation does not have: change its entry in EXCEPTIONS.')
    return chosen


def network_size(name: str) -> Tuple[float, float]:
    """What a config's name says about the size of its network.

    Returns:
        tuple[float, float]: Rank of the letter (``vit-b16``: b, ``mit-b0``:
        b) and the number behind it (``r50``: 50, ``hr18s``: 17.5). Of
        several marks the first counts.
    """
    for token in re.split('[-_.]', name):
        match = re.fullmatch(r'([a-z]+)(\d*)(s?)b?', token)
        if not match:
            continue
        word, number, slim = match.groups()
        if word in ('r', 'hr') and number:
            return -1, int(number) - .5 * bool(slim)
        if word in _LETTERS and not slim:
            return _LETTERS[word], int(number or 0)
    return -1, 0


def crop(name: str) -> int:
    """Pixels of the training crop that ends a config's name; 0 without."""
    sizes = _CROP.findall(name)
    return int(sizes[-1][0]) * int(sizes[-1][1]) if sizes else 0

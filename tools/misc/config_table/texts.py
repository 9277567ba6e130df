# Copyright (c) mmseg_semi authors.
"""Everything the table makes: text by path."""
from pathlib import Path
from typing import Dict, List

from . import (ablations, common, data_files, digits, metafiles, official, own,
               own_cps, readmes)
from .leaf import Leaf


def all_leaves() -> List[Leaf]:
    found = {
        leaf.path: leaf
        for leaf in common.leaves() + own.leaves() + own_cps.leaves()
    }
    for more in (official.official, ablations.ablations):
        found.update({leaf.path: leaf for leaf in more(found)})
    found.update({leaf.path: leaf for leaf in digits.leaves()})
    return sorted(found.values(), key=lambda leaf: leaf.path)


def everything(root: Path) -> Dict[str, str]:
    """Paths below ``root`` and what shall be there.

    Args:
        root (Path): A checkout, whose READMEs give the text around tables.
    """
    leaves = all_leaves()
    found = {f'configs/{leaf.path}.py': leaf.text() for leaf in leaves}
    found.update({
        f'configs/{name}': text
        for name, text in data_files.files().items()
    })
    found.update(metafiles.files(leaves, root))
    found.update(readmes.files(leaves, root))
    return found

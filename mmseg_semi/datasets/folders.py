# Copyright (c) mmseg_semi authors.
"""Looking through a folder, whatever its links."""
import os
import os.path as osp
from dataclasses import dataclass, field

# Of macOS archives, Synology, QNAP and Windows.
_OF_THE_SYSTEM = ('__MACOSX', '@eaDir', '@Recycle', '#recycle', '$RECYCLE.BIN',
                  'System Volume Information')


@dataclass
class Listing:
    """Files of a folder and below.

    Attributes:
        files (list[str]): Sorted paths below the folder, none of them hidden.
        hidden (list[str]): Sorted paths of hidden files and of all files in
            hidden folders.
        loops (dict[str, str]): Symbolic link that leads back to a folder
            above it -> that folder. They are not followed.
    """
    files: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    loops: dict[str, str] = field(default_factory=dict)


def walk_folder(folder: str) -> Listing:
    """List a folder recursively; links are followed, but never in a circle.

    Args:
        folder (str): A folder. One that does not exist has no files.
    """
    listing = Listing()
    # Real folders on the way to each folder that is still to be entered.
    ways = {folder: (osp.realpath(folder), )}
    for parent, folders, names in os.walk(folder, followlinks=True):
        way = ways.pop(parent)
        entered = []
        for name in sorted(folders):
            path = osp.join(parent, name)
            target = osp.realpath(path) if osp.islink(path) else osp.join(
                way[-1], name)
            if target in way:
                listing.loops[path] = target
            else:
                ways[path] = (*way, target)
                entered.append(name)
        folders[:] = entered
        for name in names:
            below = osp.relpath(osp.join(parent, name), folder)
            chosen = listing.hidden if is_hidden(below) else listing.files
            chosen.append(below)
    listing.files.sort()
    listing.hidden.sort()
    return listing


def is_hidden(below: str) -> bool:
    """Whether a relative path has a part that begins with a dot.

    Folders that systems and storage devices make, ``__MACOSX`` for instance,
    count as well: what looks like a photo in them is a copy.
    """
    parts = below.replace(os.sep, '/').split('/')
    return any(
        p.startswith('.') and p not in ('.', '..') or p in _OF_THE_SYSTEM
        for p in parts)

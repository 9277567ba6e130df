# Copyright (c) mmseg_semi authors.
"""A trained model for MMSegmentation without this package."""
import hashlib
import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mmengine
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

from ..engine.atomic import write_atomically
from ..engine.plain import to_plain
from ..quiet import no_notes
from .exportable import Exportable
from .one_file import NotSelfContainedError, one_file
from .plain_data import needed_imports, plain_data, without_package
from .plain_model import NotExportableError, plain_model, plain_weights

CHECKED = (1, 97, 131)  # batch, height and width of what is compared
# Of the largest score. The same operations round otherwise where weights lie
# elsewhere in memory.
TOLERANCE = 1e-4
_FIND_PARTS = '''\
import sys

# The Python file beside this one has the classes that MMSegmentation lacks.
sys.path.append('{{ fileDirname }}')
'''


@dataclass(frozen=True)
class MMSegExport:
    """What was written for MMSegmentation.

    Attributes:
        config (Path): The config.
        checkpoint (Path): The weights.
        parts (Path, optional): The Python file with classes of ours.
        classes (tuple[str]): Names of the classes in it.
        imports (tuple[str]): Modules of other packages that are needed.
        replaced (tuple[str]): ``ours -> stock`` for what was replaced.
        difference (float): Of scores of the plain model and the trained one.
    """
    config: Path
    checkpoint: Path
    parts: Path | None
    classes: tuple[str, ...]
    imports: tuple[str, ...]
    replaced: tuple[str, ...]
    difference: float


def export_mmseg(exportable: Exportable, folder: str | Path,
                 refuse: Callable[[list[Path]], None]) -> MMSegExport:
    """Write config, weights and, if needed, a Python file.

    Args:
        exportable (Exportable): The trained model.
        folder (str | Path): Where to; made if it is not there.
        refuse (Callable): Takes the files that will be written, before any
            of them is, and raises where they must not be.

    Returns:
        MMSegExport: What was written. Before, the plain model was built from
        its config and gave the same scores as the trained one.

    Raises:
        NotExportableError: The model has no plain form.
    """
    folder, replaced = Path(folder), []
    model = plain_model(exportable)
    data = plain_data(exportable.cfg)
    classes = without_package(model, exportable.scope, replaced.append)
    classes |= without_package(data, exportable.scope, replaced.append)
    weights = plain_weights(exportable)
    difference = check_equal(exportable, model, weights)
    parts, text = None, ''
    if classes:
        try:
            text = one_file(
                classes, f'What MMSegmentation lacks for {exportable.name}.')
        except NotSelfContainedError as error:
            raise NotExportableError(
                f'A class cannot be brought along: {error}') from error
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        # Named by content: of two exports in one process each finds its own.
        parts = folder / f'semi_parts_{digest}.py'
    imports = needed_imports(exportable.cfg, model)
    config = folder / f'{exportable.name}.py'
    checkpoint = folder / f'{exportable.name}.pth'
    refuse([config, checkpoint, *([parts] if parts else [])])
    settings = _config(model, data, imports, parts)
    if parts is not None:
        write_atomically(text.encode(), parts)
    buffer = io.BytesIO()
    torch.save(dict(state_dict=weights, meta=_meta(exportable)), buffer)
    write_atomically(buffer.getvalue(), checkpoint)
    head = _FIND_PARTS if parts else ''
    write_atomically((head + settings.pretty_text).encode(), config)
    return MMSegExport(config, checkpoint, parts,
                       tuple(sorted(c.__name__ for c in classes)),
                       tuple(imports), tuple(sorted(set(replaced))),
                       difference)


def check_equal(exportable: Exportable, model: ConfigDict,
                weights: dict) -> float:
    """Build the plain model and compare its scores on random pixels.

    Returns:
        float: The largest difference, 0 or of rounding.

    Raises:
        NotExportableError: It does not take the weights, or says something
            else.
    """
    with DefaultScope.overwrite_default_scope(exportable.scope), no_notes():
        plain = MODELS.build(ConfigDict(model)).eval()
    wrong = plain.load_state_dict(weights, strict=False)
    if wrong.missing_keys or wrong.unexpected_keys:
        raise NotExportableError(
            'The plain model does not take the weights: missing '
            f'{wrong.missing_keys[:3]}, unknown {wrong.unexpected_keys[:3]}.')
    largest = 0.
    for size in _sizes(exportable):
        image = _noise(exportable, size)
        expected, found = (
            _scores(m, image) for m in (exportable.model, plain))
        difference = (expected - found).abs().max().item()
        if not difference <= TOLERANCE * expected.abs().max().item():
            raise NotExportableError(
                'The plain model scores differently, by up to '
                f'{difference:g}: it is not exported.')
        largest = max(largest, difference)
    return largest


def _sizes(exportable: Exportable) -> list[tuple[int, int]]:
    """Sizes to compare at: one image, and more than a window."""
    only = getattr(exportable.model.data_preprocessor, 'only_size', None)
    if only is not None:
        return [tuple(only)]
    cfg = exportable.model.test_cfg
    if cfg.get('mode') == 'slide':
        crop, stride = cfg['crop_size'], cfg['stride']
        return [(crop[0] + stride[0] // 2, crop[1]), (crop[0] - 1, crop[1])]
    return [CHECKED[1:]]


def _noise(exportable: Exportable, size: tuple[int, int]) -> torch.Tensor:
    mean = getattr(exportable.model.data_preprocessor, 'mean', None)
    bands = len(mean) if isinstance(mean, torch.Tensor) else 3
    generator = torch.Generator().manual_seed(0)
    return torch.randn(CHECKED[0], bands, *size, generator=generator)


@torch.no_grad()
def _scores(model: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    """As the stock tools get them, of a whole image (B, C, H, W)."""
    size = tuple(image.shape[-2:])
    metas = [
        dict(ori_shape=size, img_shape=size, pad_shape=size) for _ in image
    ]
    state = random.getstate()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of heads that draw points
        scores = model.inference(image, metas)
    random.setstate(state)
    return scores


def _config(model: ConfigDict, data: dict, imports: list[str],
            parts: Path | None) -> Config:
    modules = [*imports, *([parts.stem] if parts else [])]
    settings = dict(data, model=model)
    if modules:
        settings['custom_imports'] = dict(
            imports=modules, allow_failed_imports=False)
    return Config(settings)


def _meta(exportable: Exportable) -> dict:
    return to_plain(
        dict(
            dataset_meta=dict(
                classes=exportable.classes, palette=exportable.palette),
            mmengine_version=mmengine.__version__))

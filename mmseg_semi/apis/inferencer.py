# Copyright (c) mmseg_semi authors.
"""MMSegmentation's inferencer for models and images of every kind."""
import os
import os.path as osp
from collections.abc import Callable, Sequence
from pathlib import Path

import mmseg.apis
import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.visualization import Visualizer
from mmseg.structures import SegDataSample
from mmseg.utils import get_classes, get_palette
from torch import nn

from ..config_files import PREFIX, find_config
from ..datasets.paths import first_few
from ..engine.atomic import write_atomically
from ..predicting.images import find_images, own_names
from ..predicting.loading import build_model, find_model
from ..predicting.outputs import as_picture, encoded
from ..predicting.pipeline import TestPipeline
from .configs import check_display
from .model_index import list_models, model_config, near_models

Image = str | os.PathLike | np.ndarray


class MMSegInferencer(mmseg.apis.MMSegInferencer):
    """``mmseg.apis.MMSegInferencer`` that knows the models of this package.

    Beyond the stock one it finds models by the names in this package's
    metafiles, as ``mmseg_semi::FOLDER/NAME.py`` and by work directory; loads
    images by the loader of the config, whatever bands or bits they have; and
    calls what it writes as the images are called.

    Args:
        model (str | Path | Config | dict, optional): Config file, work
            directory, ``mmseg_semi::FOLDER/NAME.py``, the name of a model of
            this package or of MMSegmentation, or a config. Defaults to None:
            the config in the file of ``weights``.
        weights (str | Path, optional): File or URL. Defaults to None, which
            is enough for a work directory (the last checkpoint) and for
            names of MMSegmentation, which publishes weights.
        classes (list | str, optional): Names of the classes in pictures.
            Defaults to None: those of the weights or the config.
        palette (list | str, optional): Colours [R, G, B]. Defaults to None,
            as for ``classes``.
        dataset_name (str, optional): Whose classes and palette to take.
        device (str, optional): Defaults to None: the GPU if there is one.
        scope (str): Whose registries. Defaults to ``mmseg``; this package's
            components are in those, so ``mmseg_semi`` means the same.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The weights are not whole, not safe, or of another
            model.
        ValueError: There is no such model, it has no weights, or ``classes``
            or ``palette`` have another length than the model.

    Examples:
        >>> segment = MMSegInferencer('brpg_r101_voc_366', 'iter_40000.pth')
        >>> segment('photos', out_dir='predicted')
    """

    def __init__(self,
                 model=None,
                 weights: str | Path | None = None,
                 classes: str | Sequence[str] | None = None,
                 palette: str | Sequence | None = None,
                 dataset_name: str | None = None,
                 device: str | None = None,
                 scope: str = 'mmseg') -> None:
        self._called = 'config'  # the model, in messages
        self._names, self._given, self._results = [], [], []
        weights = None if weights is None else os.fspath(weights)
        if isinstance(model, (str, os.PathLike)):
            self._called = os.fspath(model)
            model, weights = _find(self._called, weights)
        scope = 'mmseg' if scope == 'mmseg_semi' else scope
        super().__init__(model, weights, device=device, scope=scope)
        self.model.dataset_meta = _meta(self.model.dataset_meta, classes,
                                        palette, dataset_name)

    @staticmethod
    def list_models(scope: str | None = 'mmseg_semi',
                    patterns: str = '.*') -> list[str]:
        """Names that ``model`` may have.

        Args:
            scope (str, optional): ``mmseg_semi`` (the default), or another
                package's, ``mmseg``.
            patterns (str): Regular expression that a name begins with.
        """
        if scope in (None, 'mmseg_semi'):
            return list_models(patterns)
        return mmseg.apis.MMSegInferencer.list_models(scope, patterns)

    def __call__(self,
                 inputs: Image | Sequence[Image],
                 return_datasamples: bool = False,
                 batch_size: int = 1,
                 return_vis: bool = False,
                 show: bool = False,
                 wait_time: int = 0,
                 out_dir: str = '',
                 img_out_dir: str = 'vis',
                 pred_out_dir: str = 'pred',
                 **kwargs) -> dict:
        """Predict images.

        Args:
            inputs: An image (file, or (H, W, C) array in BGR), a folder, or
                a list of images. Folders are searched with their subfolders,
                in the order of the names; what is no image is left out.
            return_datasamples (bool): Return ``SegDataSample`` instead of a
                dict.
            batch_size (int): Images at a time, of one size. Defaults to 1.
            return_vis (bool): Return the pictures, too.
            show (bool): Show the pictures in a window.
            wait_time (float): Seconds that it stays; 0 for a key.
            out_dir (str): Folder of the results: pictures and masks under
                the names of the images, as PNG, arrays under their number.
                Defaults to '': nothing is written.
            img_out_dir, pred_out_dir (str): Its folders of pictures and of
                masks.
            **kwargs: ``opacity`` and ``with_labels`` of the pictures.

        Returns:
            dict: ``predictions``, (H, W) classes, and ``visualization``;
            lists of them for several images.

        Raises:
            UnreadableImageError: An image cannot be read.
            ValueError: A result would replace an image or another result.
        """
        if show:
            check_display()
        out_dir = os.fspath(out_dir)
        if osp.isfile(out_dir):
            raise ValueError(f'out_dir: {out_dir} is a file. Name a folder; '
                             'it is made where it is missing.')
        self._results = [
            osp.join(out_dir, below) for below in (img_out_dir, pred_out_dir)
        ] if out_dir else []
        if out_dir and osp.normpath(img_out_dir) == osp.normpath(pred_out_dir):
            raise ValueError(
                f'img_out_dir and pred_out_dir are both {img_out_dir!r}: '
                'masks would replace pictures. Name two folders.')
        return super().__call__(inputs, return_datasamples, batch_size,
                                return_vis, show, wait_time, out_dir,
                                img_out_dir, pred_out_dir, **kwargs)

    def visualize(self,
                  inputs: list,
                  preds: list[SegDataSample],
                  return_vis: bool = False,
                  show: bool = False,
                  wait_time: int = 0,
                  img_out_dir: str = '',
                  opacity: float = 0.8,
                  with_labels: bool = True) -> list[np.ndarray] | None:
        """Draw predictions; see :meth:`__call__`."""
        if not (show or img_out_dir or return_vis):
            return None
        files = self._files(inputs, img_out_dir)
        self.visualizer.set_dataset_meta(**self.model.dataset_meta)
        self.visualizer.alpha = opacity
        drawn = []
        for image, pred, name, file in zip(inputs, preds, self._names, files):
            self.visualizer.add_datasample(
                name,
                as_picture(self.pipeline_of_model.load(image)['img']),
                pred,
                draw_gt=False,
                show=show,
                wait_time=wait_time,
                out_file=file,
                with_labels=with_labels)
            if return_vis:
                drawn.append(self.visualizer.get_image())
        return drawn if return_vis else None

    def postprocess(self,
                    preds: list[SegDataSample],
                    visualization: list[np.ndarray] | None,
                    return_datasample: bool = False,
                    pred_out_dir: str = '') -> dict:
        """Write the masks and pack the results; see :meth:`__call__`."""
        if pred_out_dir:
            few = len(self.model.dataset_meta['classes']) <= 255
            files = self._files(self._given, pred_out_dir)
            for pred, file in zip(preds, files):
                mask = pred.pred_sem_seg.data[0].cpu().numpy()
                write_atomically(
                    encoded(
                        mask.astype(np.uint8 if few else np.uint16), 'PNG'),
                    Path(file))
        return super().postprocess(preds, visualization, return_datasample)

    def _inputs_to_list(self, inputs) -> list:
        """Images in order, and the names of what is written for them."""
        if isinstance(inputs, (str, os.PathLike)) and osp.isdir(inputs):
            inputs = self._images_of(os.fspath(inputs))
        if not isinstance(inputs, (list, tuple)):
            inputs = [inputs]
        self._given = [
            one if isinstance(one, np.ndarray) else os.fspath(one)
            for one in inputs
        ]
        names = own_names(one for one in self._given if isinstance(one, str))
        self._names = [
            names[one] if isinstance(one, str) else self._number()
            for one in self._given
        ]
        return self._given

    def _images_of(self, folder: str) -> list[str]:
        """Images of a folder, without results that an earlier call left."""
        found, skipped = find_images([folder], os.devnull)
        if skipped:
            names = first_few(osp.basename(one.image) for one in skipped)
            print_log(f'{folder}: left out, no images by their names: {names}',
                      'current')
        top = osp.realpath(folder)
        results = [
            osp.join(place, '') for place in map(osp.realpath, self._results)
            if place.startswith(osp.join(top, ''))
        ]
        return [
            one.path for one in found
            if not osp.realpath(one.path).startswith(tuple(results))
        ]

    def _number(self) -> str:
        """The name of an array: how many came before it."""
        self.num_pred_imgs += 1
        return f'{self.num_pred_imgs - 1:08d}'

    def _files(self, inputs: list, folder: str) -> list[str | None]:
        """A file for every image; None without a folder."""
        if not folder:
            return [None] * len(inputs)
        files = [osp.join(folder, f'{name}.png') for name in self._names]
        images = {osp.realpath(one) for one in inputs if isinstance(one, str)}
        own = [file for file in files if osp.realpath(file) in images]
        if own:
            raise ValueError(
                f'The results of {folder} would replace the images themselves '
                f'({first_few(own)}). Give another out_dir.')
        return files

    def _init_model(self, cfg, weights: str, device: str) -> nn.Module:
        """The model with all of its weights, or none."""
        if not cfg or weights is None:
            return super()._init_model(cfg, weights, device)
        model = build_model(cfg, weights, self._called, None, None, device)
        model.cfg = cfg
        return model

    def _init_pipeline(self, cfg) -> Callable[[Image], dict]:
        self.pipeline_of_model = TestPipeline(cfg)
        return lambda image: self.pipeline_of_model(image)[0]

    def _init_visualizer(self, cfg) -> Visualizer:
        """That of the config; files are written here, not by back ends."""
        own = cfg.get('visualizer') or dict(type='SegLocalVisualizer')
        cfg = ConfigDict(visualizer={**own, 'vis_backends': None})
        return super()._init_visualizer(cfg)


def _find(name: str, weights: str | None) -> tuple[Config | str, str | None]:
    """Config and weights of a model that is given by a name or a path."""
    config = find_config(name) if name.startswith(PREFIX) else None
    if config is None:
        if osp.exists(name) or osp.splitext(name)[1]:
            return find_model(name, weights)[:2]
        config = model_config(name)
    if config is not None:
        if weights is None:
            raise ValueError(
                f'No weights of {name} are published. Train it (mmseg-semi '
                f'train {config}) and give the checkpoint: weights=....')
        return find_model(config, weights)[:2]
    if name.lower() in _stock_names():
        return name, weights
    near = near_models(name)
    raise ValueError(
        f'There is no model {name!r}' +
        (f'; near ones: {", ".join(near)}.' if near else '.') +
        ' MMSegInferencer.list_models() has all names; a config file ends in '
        '.py.')


def _stock_names() -> set[str]:
    """Names and aliases of MMSegmentation's models, in small letters."""
    stock = mmseg.apis.MMSegInferencer
    try:
        root = stock._get_repo_or_mim_dir('mmseg')
    except FileNotFoundError:  # an mmseg without its configs
        return set()
    found = set()
    for model in stock._get_models_from_metafile(root):
        alias = model.get('Alias', [])
        alias = [alias] if isinstance(alias, str) else alias
        found.update(one.lower() for one in (model['Name'], *alias))
    return found


def _meta(meta: dict, classes: str | Sequence[str] | None,
          palette: str | Sequence | None, dataset_name: str | None) -> dict:
    """Classes and colours for pictures, what the user gives first."""
    count = len(meta['classes'])
    if dataset_name is not None:
        meta = dict(
            classes=get_classes(dataset_name),
            palette=get_palette(dataset_name))
    if classes is not None:
        classes = get_classes(classes) if isinstance(classes, str) else classes
        meta = dict(meta, classes=classes)
    if palette is not None:
        palette = get_palette(palette) if isinstance(palette, str) else palette
        meta = dict(meta, palette=palette)
    for key in ('classes', 'palette'):
        if len(meta[key]) != count:
            raise ValueError(f'{key} has {len(meta[key])} entries, the model '
                             f'{count} classes.')
    return meta

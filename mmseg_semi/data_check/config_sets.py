# Copyright (c) mmseg_semi authors.
"""The sets of a config, built without loading an image."""
import copy
import errno
import os.path as osp
from contextlib import contextmanager

from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from mmseg_semi.datasets import UnlabeledSegDataset, audit
from mmseg_semi.datasets.held_out import held_out_number
from mmseg_semi.datasets.paths import join, require
from .class_rules import stated
from .findings import ERROR, WARNING, Finding
from .pipelines import Trial
from .sets import (BANDS, LABELLED, SOURCE, TEST, UNLABELLED, VALIDATION,
                   ImageSet)

_LOADERS = ('LoadStrictImage', 'LoadImageFromFile')
# Arguments of MMSegmentation 0.x, and some that people try.
_RENAMED = dict(
    img_dir="data_prefix=dict(img_path='...')",
    ann_dir="data_prefix=dict(seg_map_path='...')",
    split="ann_file='...'",
    classes='metainfo=dict(classes=(...))',
    palette='metainfo=dict(classes=(...), palette=[...])',
    img_root="data_root='...'")
_MEND = 'Mend what the message names; then the rest of this set is checked.'


def sets_from_config(cfg: Config) -> tuple[list[ImageSet], list[Finding]]:
    """The sets of the data loaders of a config.

    They are found in the steps of :class:`mmseg_semi.datasets.SemiSegDataset`,
    but each by itself, so that one fault does not hide the others: what keeps
    a set from being built is a finding.

    Args:
        cfg (Config): ``train_dataloader.dataset`` may be a
            ``SemiSegDataset`` or a labelled set; other loaders may be
            missing. It is not changed.

    Returns:
        tuple[list[ImageSet], list[Finding]]: The sets, and what was noticed
        while building them. The test set is left out if it is the validation
        set.
    """
    found = build_sets(cfg)
    return found.sets, found.findings


def build_sets(cfg: Config) -> 'BuiltSets':
    """As :func:`sets_from_config`, with the pipelines of the sets."""
    builder = BuiltSets()
    val = _dataset(cfg, 'val')
    for name, loader in ((LABELLED, 'train'), (VALIDATION, 'val'), (TEST,
                                                                    'test')):
        dataset, where = _dataset(cfg, loader), f'{loader}_dataloader.dataset'
        if isinstance(dataset, Dataset):
            builder.unknown(
                name, where, f'a {type(dataset).__name__} that '
                'is built already')
        elif 'labeled' in dataset:
            builder.verify = dataset.get('verify_split', True)
            builder.semi(dataset, where)
        elif dataset and (name != TEST or dataset != val):
            builder.labelled(name, dataset, where,
                             _batch_size(cfg[f'{loader}_dataloader']))
    return builder


class BuiltSets:
    """Sets, findings and pipelines of one config.

    Attributes:
        sets (list[ImageSet]): Those that could be built.
        findings (list[Finding]): What was noticed.
        trials (list[Trial]): A pipeline for each of the sets.
        verify (bool): Whether lists must match the published ones.
    """

    def __init__(self) -> None:
        self.sets = []
        self.findings = []
        self.trials = []
        self.verify = True

    def semi(self, cfg: dict, where: str) -> None:
        """The sets of a SemiSegDataset."""
        self.labelled(LABELLED, cfg['labeled'], f'{where}.labeled')
        if cfg.get('labeled_source'):
            self.labelled(SOURCE, cfg['labeled_source'],
                          f'{where}.labeled_source')
        labelled, val_lists = list(self.sets), []
        with self.noting(LABELLED, f'{where}.val_ann_file'):
            val_lists = audit.val_lists(
                _as_config(cfg['labeled']), cfg.get('val_ann_file', ()),
                self.verify)
        for images in labelled:
            if images.name == LABELLED:
                self.overlap(images, val_lists, f'{where}.val_ann_file')
        number = sum(
            len(images.images) for images in labelled
            if images.name == LABELLED)
        with self.noting(LABELLED, f'{where}.held_out'):
            if number:
                held_out_number(cfg.get('held_out', 0), number)
        if cfg.get('unlabeled'):
            with self.noting(UNLABELLED, f'{where}.unlabeled'):
                self.unlabelled(cfg['unlabeled'], labelled, val_lists,
                                f'{where}.unlabeled')

    def overlap(self, images: ImageSet, val_lists: list[str],
                where: str) -> None:
        """Note labelled images that a validation list names."""
        suffix = images.suffixes[0]
        ids = [path.removesuffix(suffix) for path in images.images]
        try:
            audit.check_overlap(ids, val_lists, nested_ok=False)
        except ValueError as error:
            self.findings.append(
                Finding('shared-image', ERROR, LABELLED, where,
                        ' '.join(str(error).split()),
                        'Their scores would mean nothing.'))

    def labelled(self,
                 name: str,
                 cfg: dict,
                 where: str,
                 batch_size: int = 1) -> None:
        """A set with masks: a dataset, a wrapper or a concatenation."""
        for leaf in audit.leaf_configs(_as_config(cfg)):
            reason = _unknown(leaf)
            if reason:
                self.unknown(name, where, reason)
                continue
            if not self.folders(name, leaf, where):
                continue
            with self.noting(name, where):
                images, dataset = _labelled_set(name, leaf, where)
                self.sets.append(images)
                if images.masks is not None:
                    self.findings += stated(name, where, dataset)
                self.trials.append(
                    Trial(name, where,
                          leaf.get('pipeline') or [], dataset, 'dataset'
                          in cfg, batch_size))

    def unknown(self, name: str, where: str, reason: str) -> None:
        """Note a set whose files nobody can tell."""
        self.findings.append(
            Finding('not-checked', WARNING, name, where, reason,
                    'Check these files by other means.'))

    def folders(self, name: str, cfg: dict, where: str) -> bool:
        """Note missing folders and lists; whether all of them are sound."""
        before = len(self.findings)
        root = cfg.get('data_root')
        if root and not osp.isdir(root):
            with self.noting(name, where):
                require(root, 'data_root', True)
            return False  # whatever is below it is missing, too
        wanted = [(f'data_prefix.{key}', join(root, folder), True)
                  for key, folders in (cfg.get('data_prefix') or {}).items()
                  for folder in _as_tuple(folders)]
        for setting, path, folder in wanted:
            with self.noting(name, where):
                if path:
                    require(path, setting, folder)
        lists = cfg.get('ann_file')
        if isinstance(lists, str) and lists and audit.is_text_list(lists):
            with self.noting(name, where):
                audit.verify_lists([join(root, lists)], self.verify)
        return len(self.findings) == before

    def unlabelled(self, cfg: dict, labelled: list[ImageSet],
                   val_lists: list[str], where: str) -> None:
        """An UnlabeledSegDataset without the files of the labelled sets."""
        cfg = dict(dict(type='UnlabeledSegDataset'), **_stripped(cfg, True))
        if labelled and labelled[0].classes:
            cfg['metainfo'] = dict(classes=labelled[0].classes)
        pipeline = cfg.pop('pipeline')
        dataset = DATASETS.build(dict(cfg, pipeline=[]))
        if not isinstance(dataset, UnlabeledSegDataset):
            raise TypeError(f'it is a {type(dataset).__name__}, which may '
                            'open masks. Use UnlabeledSegDataset')
        audit.verify_lists([*dataset.ann_file, *dataset.exclude], self.verify)
        dataset.exclude += tuple(val_lists)
        dataset.drop_labeled(
            [path for images in labelled for path in images.images],
            [path for images in labelled for path in images.masks or ()])
        dataset.full_init()
        self.sets.append(
            ImageSet(
                UNLABELLED, [info['img_path'] for info in dataset.data_list],
                folders=tuple(dataset.data_prefix['img_path']),
                suffixes=tuple(dataset.img_suffix),
                searched=not dataset.ann_file,
                color_type=_color_type(pipeline),
                tolerated=dataset.bad_images.limit,
                where=where))
        self.trials.append(Trial(UNLABELLED, where, pipeline, dataset))

    @contextmanager
    def noting(self, name: str, where: str):
        """Make a finding of an error."""
        try:
            yield
        except Exception as error:  # of whatever the dataset does
            if getattr(error, 'errno', None) == errno.ELOOP:
                self.findings.append(
                    Finding('link-loop', ERROR, name,
                            _first_link(error.filename),
                            'a symbolic link that leads in a circle',
                            'Remove the link: the search does not end.'))
            else:
                # Configs often leave the test set of their base as it is.
                severity = WARNING if name == TEST else ERROR
                self.findings.append(
                    Finding('set-not-built', severity, name, where,
                            ' '.join(str(error).split()), _remedy(error)))


def _remedy(error: Exception) -> str:
    """What to do about an error of a dataset's constructor."""
    if isinstance(error, TypeError):
        for old, new in _RENAMED.items():
            if f"'{old}'" in str(error):
                return f'Write {new} instead of {old}.'
    return _MEND


def _labelled_set(name: str, cfg: dict,
                  where: str) -> tuple[ImageSet, BaseSegDataset]:
    classes = (cfg.get('metainfo') or {}).get('classes')
    if isinstance(classes, str):
        raise ValueError(
            f'metainfo.classes is the string {classes!r}; it must be a list '
            f'of names. One class is written ({classes!r}, ), with a comma.')
    for key in ('img_suffix', 'seg_map_suffix'):
        if not isinstance(cfg.get(key, ''), str):
            raise ValueError(
                f'{key} is {cfg[key]!r}; it must be one string. Images of '
                'several suffixes are a set each: labeled=dict(datasets=['
                '..., ...]).')
    cfg = _stripped(cfg, False)
    color_type = _color_type(cfg.pop('pipeline'))
    dataset = DATASETS.build(dict(cfg, pipeline=[]))
    infos = dataset.data_list
    with_masks = all('seg_map_path' in info for info in infos)
    if name != TEST and not with_masks:
        raise ValueError('The set has no masks. Set its '
                         'data_prefix.seg_map_path.')
    classes = dataset.metainfo.get('classes')
    ann_file = dataset.ann_file
    images = ImageSet(
        name, [info['img_path'] for info in infos],
        [info['seg_map_path'] for info in infos] if with_masks else None,
        None if classes is None else tuple(classes),
        bool(dataset.reduce_zero_label),
        dataset.label_map,
        dataset.ignore_index,
        folders=_as_tuple(dataset.data_prefix.get('img_path') or '.'),
        suffixes=_as_tuple(dataset.img_suffix),
        any_case=isinstance(dataset, UnlabeledSegDataset),
        searched=not ann_file,
        color_type=color_type,
        where=where)
    return images, dataset


def _stripped(cfg: dict, lazy: bool) -> dict:
    """A config of a dataset that only finds its files."""
    cfg = copy.deepcopy(dict(cfg))
    cfg.setdefault('pipeline', [])
    return dict(cfg, lazy_init=lazy, serialize_data=False)


def _unknown(cfg: dict) -> str:
    """Why the files of a dataset cannot be known; empty if they can."""
    kind = cfg.get('type')
    cls = DATASETS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(cls, type) and issubclass(cls, BaseSegDataset)):
        return f'{kind} is no BaseSegDataset and does not say its files'
    if not audit.is_local(cfg.get('backend_args')):
        return f'backend_args={dict(cfg["backend_args"])}: files elsewhere'
    return ''


def _color_type(pipeline: list) -> str | None:
    """How the first transform loads images; None for another loader."""
    for transform in pipeline:
        if isinstance(transform, dict):
            kind = transform.get('type')
            name = getattr(kind, '__name__', kind)
            if name == 'LoadBands':
                return BANDS
            if name in _LOADERS:
                return transform.get('color_type', 'color')
    return 'color' if not pipeline else None


def _first_link(path: str) -> str:
    """The shortest part of a path that is a symbolic link."""
    parent = osp.dirname(path)
    above = _first_link(parent) if parent not in ('', path) else path
    return above if osp.islink(above) else path


def _as_tuple(value: str | list | tuple | None) -> tuple:
    return tuple(value) if isinstance(value, (list, tuple)) else (value, )


def _as_config(cfg: dict | list) -> dict:
    return dict(datasets=cfg) if isinstance(cfg, (list, tuple)) else cfg


def _batch_size(loader: dict) -> int:
    """Images of a batch, however it is stated."""
    sampler = loader.get('batch_sampler') or {}
    return loader.get('batch_size') or sampler.get('batch_size') or 1


def _dataset(cfg: Config, loader: str) -> dict | list | Dataset:
    """The dataset of a loader, built or not; empty if there is none."""
    loader = cfg.get(f'{loader}_dataloader') or {}
    if not isinstance(loader, dict):  # built: a DataLoader
        return loader.dataset
    return loader.get('dataset') or {}

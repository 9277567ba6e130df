# Copyright (c) mmseg_semi authors.
"""The outermost training dataset: labelled images, then unlabelled ones."""
import bisect
import copy
import itertools
from collections.abc import Sequence

import numpy as np
from mmengine.logging import print_log
from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from . import audit
from .class_pixels import class_pixels
from .held_out import ChosenSamples, choose_held_out, held_out_number
from .paths import first_few
from .sampler import StreamIndex
from .seeding import position_seed
from .splits import split_hash
from .stock_pipelines import branch_labelled
from .unlabeled import UnlabeledSegDataset, file_keys


@DATASETS.register_module()
class SemiSegDataset(Dataset):
    """Labelled and unlabelled images as one dataset.

    Indices ``[0, n_l)`` are labelled, ``[n_l, n_l + n_u)`` unlabelled; the
    labelled images of a source domain, if there is one, follow. Before
    anything is built, folders and lists are checked; afterwards every labelled
    image and mask must exist. Labelled images leave the unlabelled set by
    themselves, validation images through lists. A labelled sample that cannot
    be loaded stops training with its path, an unlabelled one is replaced
    (:class:`UnlabeledSegDataset`).

    Given a :class:`StreamIndex`, the random numbers of the pipeline are a
    function of its seed and position. A plain ``int`` uses the global ones.

    Args:
        labeled (dict | list[dict]): Config of any registered segmentation
            dataset; a list is concatenated (equal classes required). A
            pipeline that ends with ``PackSegInputs`` makes the branch
            ``sup``.
        unlabeled (dict, optional): Config of an
            :class:`UnlabeledSegDataset` (the default ``type``). It inherits
            classes and palette. Defaults to None: supervised training.
        val_ann_file (str | Sequence[str]): Validation list(s), relative to
            the labelled ``data_root``. Labelled images in them are an error,
            unlabelled ones are left out. Defaults to none. They are about
            the target domain, not about ``labeled_source``.
        verify_split (bool): Whether lists with the name of a published split
            must hold its images. Defaults to True.
        labeled_source (dict | list[dict], optional): Labelled images of
            another domain with the same classes (semi-supervised domain
            adaptation; GTA5 for Cityscapes). Their samples carry the meta
            information ``domain='source'``. Defaults to None.
        checked (bool): Whether lists, files and their overlap were checked
            before, as the training loop does for all sets at once: then it is
            not done again. Defaults to False.
        held_out (int | float): Labelled images of the target domain that are
            not trained on, a number or, below 1, a share of them: what is
            measured on them (:class:`.PrecisionGateHook`) holds for images
            that the training has not seen. They are not among the unlabelled
            images either. Which ones depends on the names of the labelled
            images alone; every class is among them and among the rest where
            it can be. Defaults to 0.

    Attributes:
        source_lengths (tuple[int]): Labelled and unlabelled images to train
            on, and those of the source domain if there is one.
        split_info (dict): ``name`` of the labelled list, ``sha256`` of the
            images to train on, numbers ``labeled`` and ``unlabeled``;
            ``held_out``, a number, if there are some; with a source domain
            also ``source`` and ``source_sha256``.
        held_out (tuple[str]): Images that are held out.

    Raises:
        FileNotFoundError: If a folder, list, image or mask is missing.
        ValueError: If a list is malformed, differs from the published one of
            its name, or shares images with a validation list; if ``held_out``
            leaves no image.
    """

    def __init__(self,
                 labeled: dict | list[dict],
                 unlabeled: dict | None = None,
                 val_ann_file: str | Sequence[str] = (),
                 verify_split: bool = True,
                 labeled_source: dict | list[dict] | None = None,
                 checked: bool = False,
                 held_out: int | float = 0) -> None:
        self._checked, verify_split = checked, verify_split and not checked
        labeled = _one_config(labeled)
        branch_labelled(labeled, unlabeled)
        lists = audit.check_labeled(labeled, verify_split)
        val_lists = audit.val_lists(labeled, val_ann_file, verify_split)
        self.labeled = DATASETS.build(labeled)
        samples = audit.labeled_samples(self.labeled, not checked)
        if not checked:
            audit.check_overlap(samples.ids, val_lists, nested_ok=False)
        self._labeled_cfg, self.held_out = labeled, ()
        trained = samples.names
        if held_out:
            trained = self._hold_out(held_out, samples)

        self.labeled_source, source = None, audit.LabeledSamples()
        if labeled_source is not None:
            labeled_source = _one_config(labeled_source)
            branch_labelled(labeled_source, unlabeled)
            source = self._build_source(labeled_source, samples, verify_split)
        self.unlabeled = None
        if unlabeled is not None:
            self.unlabeled = self._build_unlabeled(
                copy.deepcopy(unlabeled), samples, source, val_lists,
                verify_split)
        lengths = [
            len(dataset or ()) for dataset in self._sets[:2 + bool(source.ids)]
        ]
        self.source_lengths = tuple(lengths)
        self._ends = tuple(itertools.accumulate(lengths))
        self.split_info = dict(
            name='+'.join(lists) or 'all images of the folder',
            labeled=self.source_lengths[0],
            unlabeled=self.source_lengths[1],
            sha256=split_hash(trained))
        if self.held_out:
            self.split_info['held_out'] = len(self.held_out)
        if labeled_source is not None:
            self.split_info.update(
                source=lengths[2], source_sha256=split_hash(source.names))
        self._log()

    @property
    def metainfo(self) -> dict:
        """dict: Meta information of the labelled set."""
        return copy.deepcopy(self.labeled.metainfo)

    def full_init(self) -> None:
        """Nothing: the constructor has built everything."""

    def class_pixels(self) -> np.ndarray:
        """Labelled pixels of every labelled image of the target domain.

        Reads all masks that no check of the data has read.

        Returns:
            np.ndarray: int64 (labelled images, classes).

        Raises:
            ValueError: If a mask is no label map.
        """
        return class_pixels(self.labeled)

    def held_out_set(self, pipeline: Sequence[dict]) -> Dataset:
        """The images that are held out, each once, with their labels.

        Args:
            pipeline (Sequence[dict]): How they are loaded, as validation
                images are.

        Returns:
            Dataset: With ``metainfo``, ``get_data_info`` and
            ``ignore_index``; empty if none is held out.
        """
        cfg = copy.deepcopy(self._labeled_cfg)
        for leaf in audit.leaf_configs(cfg):
            leaf['pipeline'] = copy.deepcopy(list(pipeline))
        dataset, wanted = DATASETS.build(cfg), set(file_keys(self.held_out))
        first = {}
        for index, key in enumerate(file_keys(_images(dataset))):
            if key in wanted:
                first.setdefault(key, index)
        return ChosenSamples(dataset, first.values())

    def set_work_dir(self, work_dir: str) -> None:
        """Say where ``bad_images.txt`` goes, before workers start."""
        if self.unlabeled is not None:
            self.unlabeled.set_work_dir(work_dir)

    def get_data_info(self, idx: int) -> dict:
        """Annotation of a sample, before the pipeline."""
        source, local = self._locate(idx)
        info = self._sets[source].get_data_info(local)
        info['sample_idx'] = int(idx)
        return info

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, idx: int) -> dict:
        source, local = self._locate(idx)
        if not isinstance(idx, StreamIndex):
            return self._load(source, local)
        with position_seed(idx.seed, idx.position):
            return self._load(source, local)

    def _locate(self, idx: int) -> tuple[int, int]:
        value = int(idx)
        if value < 0:
            value += len(self)
        if not 0 <= value < len(self):
            raise IndexError(f'Index {int(idx)} is outside of the '
                             f'{len(self)} images of SemiSegDataset.')
        source = bisect.bisect_right(self._ends, value)
        return source, value - (self._ends[source - 1] if source else 0)

    @property
    def _sets(self) -> tuple:
        return self.labeled, self.unlabeled, self.labeled_source

    def _load(self, source: int, local: int) -> dict:
        if source == 1:
            return self.unlabeled[local]
        try:
            sample = self._sets[source][local]
        except ModuleNotFoundError:
            raise  # not the file's fault: a package that it needs
        except Exception as err:
            info = self._sets[source].get_data_info(local)
            raise RuntimeError(
                f'The labelled sample {info.get("img_path", local)} (mask '
                f'{info.get("seg_map_path")}) cannot be loaded: '
                f'{type(err).__name__}: {str(err).rstrip(".")}. Repair it or '
                'take it off the labelled list.') from err
        if source == 2:
            _mark_source(sample)
        return sample

    def _hold_out(self, held_out: int | float,
                  samples: audit.LabeledSamples) -> list[str]:
        """Keep images out of the labelled set; names of the others."""
        names = dict(zip(file_keys(samples.images), samples.names))
        # By name, so that the order of the list is of no account.
        keys = sorted(names, key=lambda key: (names[key], key))
        number = held_out_number(held_out, len(keys))
        rows = {key: row for row, key in enumerate(keys)}
        at = [rows[key] for key in file_keys(_images(self.labeled))]
        presence = np.zeros((len(keys), len(self.metainfo['classes'])), bool)
        np.logical_or.at(presence, at, class_pixels(self.labeled) > 0)
        chosen = choose_held_out(presence, number,
                                 int(split_hash(samples.names)[:15], 16))
        self.held_out = tuple(
            sorted(image for image, key in zip(samples.images,
                                               file_keys(samples.images))
                   if chosen[rows[key]]))
        self.labeled = ChosenSamples(
            self.labeled, [i for i, row in enumerate(at) if not chosen[row]])
        return [names[key] for key in keys if not chosen[rows[key]]]

    def _build_source(self, cfg: dict, samples: audit.LabeledSamples,
                      verify_split: bool) -> audit.LabeledSamples:
        """Build the labelled set of the source domain."""
        audit.check_labeled(cfg, verify_split)
        self.labeled_source = DATASETS.build(cfg)
        target, source = (
            list(dataset.metainfo.get('classes') or ())
            for dataset in (self.labeled, self.labeled_source))
        if target != source:
            raise ValueError(
                f'SemiSegDataset: the source domain has the classes {source}, '
                f'the labelled set {target}. Both domains need the same '
                'classes in the same order: choose another dataset type or '
                'convert the masks.')
        found = audit.labeled_samples(self.labeled_source, not self._checked)
        shared = sorted(
            set(file_keys(found.images)) & set(file_keys(samples.images)))
        if shared:
            raise ValueError(
                f'{len(shared)} image(s) are in the labelled set and in '
                'labeled_source: '
                f'{first_few("/".join(key) for key in shared)}. An image '
                'belongs to one domain: take it off one of the lists.')
        return found

    def _build_unlabeled(self, cfg: dict, samples: audit.LabeledSamples,
                         source: audit.LabeledSamples, val_lists: list[str],
                         verify_split: bool) -> UnlabeledSegDataset:
        if not isinstance(cfg, dict):
            raise TypeError(
                'SemiSegDataset: `unlabeled` must be one config, but is a '
                f'{type(cfg).__name__}. Several folders go into its '
                'data_prefix=dict(img_path=[...]).')
        cfg.setdefault('type', 'UnlabeledSegDataset')
        classes = self.metainfo.get('classes')
        own = (cfg.get('metainfo') or {}).get('classes', classes)
        if list(own or ()) != list(classes or ()):
            raise ValueError(
                f'SemiSegDataset: the unlabelled set names the classes {own}, '
                f'the labelled one {classes}. Leave `metainfo` out of '
                '`unlabeled`: it is inherited.')
        cfg['metainfo'] = {
            key: self.metainfo[key]
            for key in ('classes', 'palette') if key in self.metainfo
        }
        cfg['lazy_init'] = True
        dataset = DATASETS.build(cfg)
        if not isinstance(dataset, UnlabeledSegDataset):
            raise TypeError(
                f'SemiSegDataset: `unlabeled` is a {type(dataset).__name__}, '
                'which may open masks. Use UnlabeledSegDataset or a subclass.')
        audit.verify_lists([*dataset.ann_file, *dataset.exclude], verify_split)
        audit.check_overlap(samples.ids, dataset.exclude, nested_ok=True)
        dataset.exclude += tuple(val_lists)
        dataset.drop_labeled([*samples.images, *source.images],
                             [*samples.masks, *source.masks])
        dataset.full_init()
        return dataset

    def _log(self) -> None:
        info = self.split_info
        text = (f'Labelled: {info["labeled"]} images, {info["name"]}, '
                f'SHA-256 {info["sha256"]}.')
        if self.held_out:
            text += (f' Held out, not trained on: {info["held_out"]} more '
                     f'({first_few(self.held_out)}).')
        if self.labeled_source is not None:
            text += f' Labelled source domain: {info["source"]} images.'
        if self.unlabeled is None:
            text += ' No unlabelled images: supervised training.'
        else:
            dropped = self.unlabeled.dropped
            text += (f' Unlabelled: {info["unlabeled"]} images from '
                     f'{first_few(self.unlabeled.data_prefix["img_path"])} '
                     f'(left out: {dropped["labeled"]} labelled, '
                     f'{dropped["excluded"]} excluded by '
                     f'{first_few(self.unlabeled.exclude) or "no list"}).')
            if self.unlabeled.namesakes:
                text += (f' {self.unlabeled.namesakes} of them have the name '
                         'of a labelled image of another folder: if these are '
                         'copies, add the labelled list to `exclude`.')
        print_log(text, logger='current')


def _one_config(cfg: dict | list[dict]) -> dict:
    """A copy of a config; a list becomes a concatenation."""
    cfg = copy.deepcopy(cfg)
    if isinstance(cfg, Sequence):
        cfg = dict(type='ConcatDataset', datasets=list(cfg))
    return cfg


def _images(dataset: Dataset) -> list[str]:
    """The image of every sample."""
    return [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]


def _mark_source(sample: dict) -> None:
    """Write ``domain='source'`` into the packed samples."""
    packed = sample['data_samples']
    branches = packed.values() if isinstance(packed, dict) else [packed]
    for data_sample in branches:
        if data_sample is not None:
            data_sample.set_metainfo(dict(domain='source'))

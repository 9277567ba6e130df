# Copyright (c) mmseg_semi authors.
"""What :class:`SemiSegDataset` checks before and after building."""
import os.path as osp
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from torch.utils.data import Dataset

from .paths import first_few, join, nearest, require
from .splits import image_id, read_list, split_name, verify_split


@dataclass
class LabeledSamples:
    """Files of a labelled set.

    Attributes:
        images (list[str]): Image files.
        masks (list[str]): Mask files.
        ids (list[str]): Image files without ``img_suffix``.
        names (list[str]): The same relative to the image folder.
    """
    images: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


def check_labeled(cfg: dict, verify: bool) -> list[str]:
    """Check folders and lists of a labelled config before it is built.

    Args:
        cfg (dict): Config of a dataset, of a wrapper (``dataset``) or of a
            concatenation (``datasets``).
        verify (bool): Whether lists must match the published ones.

    Returns:
        list[str]: Names of the labelled lists.
    """
    names = []
    for leaf in leaf_configs(cfg):
        root = leaf.get('data_root')
        if not is_local(leaf.get('backend_args')):
            continue
        if root:
            require(root, 'labelled data_root', True)
        for key, folder in (leaf.get('data_prefix') or {}).items():
            if folder and isinstance(folder, str):
                require(
                    join(root, folder), f'labelled data_prefix.{key}', True)
        if leaf.get('ann_file'):
            path = join(root, leaf['ann_file'])
            require(path, 'labelled ann_file', False)
            if is_text_list(path):
                verify_lists([path], verify)
            names.append(split_name(path))
    return names


def val_lists(cfg: dict, paths: str | Sequence[str],
              verify: bool) -> list[str]:
    """Validation lists, joined to the labelled ``data_root`` and checked."""
    paths = [paths] if isinstance(paths, str) else list(paths or ())
    leaf = next(leaf_configs(cfg))
    paths = [join(leaf.get('data_root'), path) for path in paths if path]
    verify_lists(paths, verify)
    return paths


def verify_lists(paths: Iterable[str], verify: bool) -> None:
    """Check that lists exist, are well formed and match their name."""
    for path in paths:
        require(path, 'list of images', False)
        entries = read_list(path)
        if verify:
            verify_split(path, entries)


def labeled_samples(dataset: Dataset, look: bool = True) -> LabeledSamples:
    """Collect the files of a built labelled set and check that they exist.

    Args:
        dataset (Dataset): The set, a wrapper or a concatenation.
        look (bool): Whether to check that.

    Raises:
        FileNotFoundError: If an image or mask is missing.
        ValueError: If the set is empty or knows no masks.
    """
    samples = LabeledSamples()
    for leaf in _leaves(dataset):
        infos = [leaf.get_data_info(i) for i in range(len(leaf))]
        if any('seg_map_path' not in info for info in infos):
            raise ValueError(
                f'The labelled {type(leaf).__name__} has no masks. Set its '
                'data_prefix.seg_map_path.')
        images = [info['img_path'] for info in infos]
        masks = [info['seg_map_path'] for info in infos]
        if look and is_local(getattr(leaf, 'backend_args', None)):
            _require_all(images, 'images', 'data_prefix.img_path, img_suffix',
                         leaf)
            _require_all(masks, 'masks',
                         'data_prefix.seg_map_path, seg_map_suffix', leaf)
        samples.images += images
        samples.masks += masks
        ids = [p.removesuffix(getattr(leaf, 'img_suffix', '')) for p in images]
        samples.ids += ids
        folder = leaf.data_prefix.get('img_path') or '.'
        samples.names += [osp.relpath(path, folder) for path in ids]
    if not samples.images:
        raise ValueError('The labelled set is empty. Check its ann_file, '
                         'data_prefix and img_suffix.')
    return samples


def check_overlap(ids: Sequence[str], paths: Iterable[str],
                  nested_ok: bool) -> None:
    """Check that no labelled image is in a validation list.

    Args:
        ids (Sequence[str]): Labelled image files without suffix.
        paths (Iterable[str]): Lists that should hold none of them.
        nested_ok (bool): Whether to accept a list that holds all labelled
            images, or nothing else: leaving a training list out of the
            unlabelled set is no leak.

    Raises:
        ValueError: If a list and the labelled set overlap.
    """
    tails = {}
    for image in ids:
        parts = image_id(image).split('/')
        for i in range(len(parts)):
            tails['/'.join(parts[i:])] = image
    for path in paths:
        entries = {image_id(entry) for entry in _entries(path)}
        shared = sorted(entries & tails.keys())
        nested = len({tails[s]
                      for s in shared}) == len(
                          set(ids)) or len(shared) == len(entries)
        if shared and not (nested_ok and nested):
            raise ValueError(
                f'{len(shared)} labelled image(s) are also in {path}: '
                f'{first_few(shared)}. Validation images must not be trained '
                'on: take them off the labelled list, or name the right '
                'list. (Sets in separate folders, with names that only look '
                'alike, need no list.)')


def is_local(backend_args: dict | None) -> bool:
    return (backend_args or {}).get('backend', 'local') == 'local'


def is_text_list(path: str) -> bool:
    return not path.endswith(('.json', '.yaml', '.yml'))


def _entries(path: str) -> list[str]:
    require(path, 'list of images', False)
    return read_list(path)


def _require_all(paths: list[str], what: str, settings: str,
                 leaf: Dataset) -> None:
    missing = [path for path in paths if not osp.isfile(path)]
    if not missing:
        return
    hint = ''
    listed = leaf.ann_file if is_text_list(leaf.ann_file) else ''
    if listed and any(len(entry.split()) > 1 for entry in read_list(listed)):
        hint = (' The list seems to have several columns: import it with '
                'tools/dataset_converters/import_splits.py.')
    source = leaf.ann_file or 'the image folder'
    raise FileNotFoundError(
        f'{len(missing)} of the {len(paths)} labelled {what} that {source} '
        f'names do not exist: {first_few(missing)}. {nearest(missing[0])} '
        f'Check {settings} of the labelled set and the list.{hint}')


def leaf_configs(cfg: dict) -> Iterator[dict]:
    if 'datasets' in cfg:
        for inner in cfg['datasets']:
            yield from leaf_configs(inner)
    elif 'dataset' in cfg:
        yield from leaf_configs(cfg['dataset'])
    else:
        yield cfg


def _leaves(dataset: Dataset) -> Iterator[Dataset]:
    if hasattr(dataset, 'datasets'):
        for inner in dataset.datasets:
            yield from _leaves(inner)
    elif hasattr(dataset, 'dataset'):
        yield from _leaves(dataset.dataset)
    else:
        yield dataset

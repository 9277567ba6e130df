# Copyright (c) mmseg_semi authors.
"""What a config says to train on an import."""
from pathlib import Path

from . import tree


def dataset_settings(out: str) -> dict:
    """Settings of the data sets of an import.

    Args:
        out (str): The folder, as configs name it.

    Returns:
        dict: ``classes``; ``images``, what labelled, validation and test sets
        share; ``labeled``, ``val``, ``unlabeled``, what each has besides
        (None if there is no such list).
    """
    folder = Path(out)
    content = tree.read_json(folder / tree.CLASSES)
    classes = tuple(content['names'])
    has = {
        name: (folder / path).is_file()
        for name, path in tree.LISTS.items()
    }

    def listed(name: str, **settings) -> dict | None:
        return dict(settings, ann_file=tree.LISTS[name]) if has[name] else None

    return dict(
        classes=classes,
        images=dict(
            type='BaseSegDataset',
            data_root=out,
            data_prefix=dict(
                img_path=content['photos'], seg_map_path=tree.MASKS),
            metainfo=dict(classes=classes, palette=content['palette']),
            img_suffix='',
            seg_map_suffix='.png'),
        labeled=listed('train'),
        val=listed('val'),
        unlabeled=listed(
            'unlabelled',
            data_root=out,
            data_prefix=dict(img_path=content['photos'])))


def data_loaders(out: str) -> dict:
    """The sets of an import as a config has them, without pipelines.

    Args:
        out (str): The folder.

    Returns:
        dict: ``train_dataloader`` with a ``SemiSegDataset`` and, if there is
        a validation list, ``val_dataloader``.

    Raises:
        FileNotFoundError: If no import wrote the folder.
    """
    if not (Path(out) / tree.CLASSES).is_file():
        raise FileNotFoundError(
            f'{out} was not written by `mmseg-semi import`: it has no '
            f'{tree.CLASSES}. Import the photographs and their masks first, '
            'or give a config.')
    settings = dataset_settings(out)
    images, loaders = settings['images'], {}
    if settings['labeled']:
        train = dict(
            type='SemiSegDataset', labeled={
                **images,
                **settings['labeled']
            })
        if settings['unlabeled']:
            train['unlabeled'] = settings['unlabeled']
        if settings['val']:
            train['val_ann_file'] = settings['val']['ann_file']
        loaders['train_dataloader'] = dict(dataset=train)
    if settings['val']:
        loaders['val_dataloader'] = dict(dataset={**images, **settings['val']})
    return loaders


def config_lines(out: str) -> list[str]:
    """The three lines of a config that use an import."""
    settings = dataset_settings(out)
    images = ', '.join(f'{key}={value!r}'
                       for key, value in settings['images'].items())
    parts = []
    if settings['labeled']:
        parts.append(f"labeled=dict(**images, ann_file="
                     f"{settings['labeled']['ann_file']!r}, "
                     'pipeline=train_pipeline)')
    if settings['unlabeled']:
        parts.append('unlabeled=dict(' +
                     ', '.join(f'{k}={v!r}'
                               for k, v in settings['unlabeled'].items()) +
                     ')')
    if settings['val']:
        parts.append(f"val_ann_file={settings['val']['ann_file']!r}")
    lines = [
        f'images = dict({images})',
        f'train_dataloader = dict(dataset=dict({", ".join(parts)}))'
    ]
    if settings['val']:
        lines.append('val_dataloader = test_dataloader = dict(dataset=dict('
                     f"**images, ann_file={settings['val']['ann_file']!r}))")
    return lines

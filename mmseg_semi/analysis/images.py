# Copyright (c) mmseg_semi authors.
"""The images that trained models are looked at with."""
from pathlib import Path
from typing import Iterator, List, Optional, Sequence, Tuple

from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.runner import Runner
from mmseg.registry import DATASETS
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .features import labels_at_input


def build_dataset(cfg: Config, loader: str, lazy: bool = False):
    """The data set of a loader.

    Args:
        cfg (Config): Of :func:`load_for_analysis`.
        loader (str): ``val_dataloader``, ....
        lazy (bool): The files are not looked for: only the pipeline and the
            names of the classes are of use then.

    Raises:
        ValueError: The config has no such loader, or it has no images.
    """
    if not cfg.get(loader):
        known = [name for name in cfg if name.endswith('_dataloader')]
        raise ValueError(f'{cfg.filename} has no {loader}: use one of '
                         f'{known}.')
    source = cfg[loader].dataset
    if lazy:
        return DATASETS.build({**source, 'lazy_init': True})
    dataset = DATASETS.build(source)
    if not len(dataset):
        raise ValueError(f'The {loader} of {cfg.filename} has no images.')
    return dataset


def build_loader(cfg: Config, loader: str, dataset) -> DataLoader:
    """The loader over what :func:`build_dataset` made for it."""
    return Runner.build_dataloader({**cfg[loader], 'dataset': dataset}, seed=0)


def class_names(dataset, num_classes: int) -> List[str]:
    """Names of the C classes, their ids where the data set names none.

    Raises:
        ValueError: The data set has another number of classes.
    """
    names = dataset.metainfo.get('classes') or range(num_classes)
    if len(names) != num_classes:
        raise ValueError(f'Here the model has {num_classes} classes, the data '
                         f'set {len(names)} ({type(dataset).__name__}).')
    return [str(name) for name in names]


def class_palette(dataset, num_classes: int) -> Optional[List[List[int]]]:
    """C colours [R, G, B] in 0..255, None if the data set has too few."""
    palette = dataset.metainfo.get('palette') or ()
    return [list(color) for color in palette[:num_classes]
            ] if len(palette) >= num_classes else None


def class_ids(wanted: Sequence[str], names: Sequence[str]) -> List[int]:
    """Ids of classes given by name or id; a name goes first.

    Args:
        wanted (Sequence[str]): Names or ids, as a command line has them.
        names (Sequence[str]): C names, in the order of the ids.

    Returns:
        list[int]: In the order of ``wanted``, each once.

    Raises:
        ValueError: There is no such class.
    """
    found = []
    for word in wanted:
        if word in names:
            found.append(list(names).index(word))
        elif word.isdigit() and int(word) < len(names):
            found.append(int(word))
        else:
            raise ValueError(f'There is no class {word!r}: use an id below '
                             f'{len(names)} or one of {list(names)}.')
    return list(dict.fromkeys(found))


def read_image(dataset, image: str) -> dict:
    """One image through a data set's pipeline.

    Args:
        dataset (BaseSegDataset): Of :func:`build_dataset`.
        image (str): A file, or the index of an image of the data set.

    Returns:
        dict: ``inputs`` and ``data_samples``, lists of one item, as the
        preprocessor takes them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There is no image of this index, or the data set has no
            pipeline of its own.
    """
    if image.isdigit():
        if int(image) >= len(dataset):
            raise ValueError(f'There is no image {image}: the data set has '
                             f'{len(dataset)} images, 0 is the first.')
        sample = dataset[int(image)]
    elif not Path(image).is_file():
        raise FileNotFoundError(f'There is no image {image}: give a file, or '
                                'the index of an image of the data set.')
    elif not hasattr(dataset, 'pipeline'):
        raise ValueError(f'{type(dataset).__name__} has no pipeline to read '
                         f'{image} with: give indices of its images.')
    else:
        steps = dataset.pipeline.transforms
        read = Compose([t for t in steps if not _loads_labels(t)])
        sample = read(dict(img_path=image, reduce_zero_label=False))
    return dict(
        inputs=[sample['inputs']], data_samples=[sample['data_samples']])


def _loads_labels(transform) -> bool:
    name = type(transform).__name__
    return name.startswith('Load') and name.endswith('Annotations')


def labelled_batches(model: nn.Module, loader: DataLoader,
                     title: str) -> Iterator[Tuple[Tensor, Tensor]]:
    """Normalised images and their labels; a terminal shows the progress.

    Args:
        model (nn.Module): Whose preprocessor is used.
        loader (DataLoader): Of :func:`build_loader`.
        title (str): Of the progress.

    Yields:
        tuple[Tensor, Tensor]: Images (B, 3, H, W) and labels (B, H, W) long,
        255 where ignored.
    """
    progress = Console(stderr=True)
    for data in track(
            loader, title, console=progress, disable=not progress.is_terminal):
        data = model.data_preprocessor(data, False)
        images = data['inputs']
        labels = labels_at_input(data['data_samples'], images.shape[-2:],
                                 model.num_classes)
        yield images, labels.to(images.device)

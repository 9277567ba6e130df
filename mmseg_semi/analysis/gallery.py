# Copyright (c) mmseg_semi authors.
"""Pictures of what trained models do, for a page about them."""
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from torch import nn

from ..engine.atomic import write_atomically
from ..reporting.predictions import show_images
from ..starting.picture import draw_comparison
from ..starting.scoring import validation_set
from ..starting.trained import Trained, read_record
from .activation import activate
from .arguments import picture_title
from .drawing import draw_activations, draw_confidence, draw_points
from .features import load_for_analysis
from .images import (build_dataset, build_loader, class_names, class_palette,
                     labelled_batches)
from .prototypes import open_space, prototype_heads
from .tsne import embed, sample_points

LOADER = 'val_dataloader'
PROTOTYPE_ROWS = 2  # images: the picture has six columns
NAMES = ('predictions', 'confidence', 'prototypes', 'tsne')


class Gallery:
    """Pictures of trained models on their validation images.

    Args:
        runs (Sequence[Trained]): One or more, of the same validation images.
            All of them are in ``predictions``, the others show the first.
        count (int): Images in a picture. Defaults to 3.
        pixels (int): Of every class in ``tsne``. Defaults to 100.
        seed (int): Of ``tsne``. Defaults to 0.

    Raises:
        CheckpointError: Weights do not fit their config.
        ValueError: A model has no validation images.
    """

    def __init__(self,
                 runs: Sequence[Trained],
                 count: int = 3,
                 pixels: int = 100,
                 seed: int = 0) -> None:
        self.runs, self.first = list(runs), runs[0]
        self.pixels, self.seed = pixels, seed
        total = len(validation_set(self.first))
        self.count = min(count, total)
        # As draw_comparison has them.
        self.indices = [(2 * i + 1) * total // (2 * self.count)
                        for i in range(self.count)]
        self.cfg, model = load_for_analysis(self.first.cfg.filename,
                                            self.first.checkpoint)
        self.model: nn.Module = model
        self.dataset = build_dataset(self.cfg, LOADER)
        self.names = class_names(self.dataset, self.model.num_classes)
        self.palette = class_palette(self.dataset, len(self.names))

    def draw(self) -> Iterator[tuple[str, bytes]]:
        """Draw one picture after the other.

        Yields:
            tuple[str, bytes]: One of ``NAMES``, and a PNG file. A model
            without prototypes has no ``prototypes``.
        """
        draw: dict[str, Callable[[], bytes]] = {
            name: getattr(self, f'_{name}')
            for name in NAMES
        }
        if not prototype_heads(self.model):
            del draw['prototypes']
        for name, picture in draw.items():
            yield name, picture()

    def _predictions(self) -> bytes:
        return draw_comparison(self.runs, '', self.count)

    def _confidence(self) -> bytes:
        return draw_confidence(self.first.name,
                               list(show_images(self.first, self.indices)),
                               self.names, self.palette)

    def _prototypes(self) -> bytes:
        space = open_space(self.model)
        rows = [
            activate(space, self.dataset, str(index), number=4)
            for index in self.indices[:PROTOTYPE_ROWS]
        ]
        return draw_activations(
            picture_title(self.first.name, space), rows, self.names,
            self.palette)

    def _tsne(self) -> bytes:
        space = open_space(self.model)
        loader = build_loader(self.cfg, LOADER, self.dataset)
        batches = labelled_batches(self.model, loader, self.first.name)
        points = sample_points(space, batches, range(len(self.names)),
                               self.pixels, self.seed)
        plane = embed(points.vectors, seed=self.seed)
        title = f'{picture_title(self.first.name, space)}, t-SNE'
        return draw_points(title, points, plane, self.names, self.palette)


def caption(run: Trained) -> str:
    """What a reader must know of a model to judge its pictures.

    Args:
        run (Trained): Whose ``record.json`` says it, as far as there is one.
    """
    record = read_record(run.folder)
    config = Path(record.get('config') or run.cfg.filename).name
    said = [f'{run.name} ({config})']
    if record.get('labels') is not None:
        said.append(f'{record["labels"]} labels')
    if record.get('unlabeled'):
        said.append(f'{record["unlabeled"]} images without')
    if run.iteration is not None:
        said.append(f'{run.iteration} iterations')
    score = dict(map(tuple, record.get('curve') or ())).get(run.iteration)
    if score is not None:
        said.append(f'{record["metric"]} {score:.1f}')
    if record.get('seed') is not None:
        said.append(f'seed {record["seed"]}')
    return ', '.join(said)


def write_gallery(gallery: Gallery,
                  out: str | Path,
                  force: bool = False) -> list[Path]:
    """Write all pictures of a gallery.

    Args:
        gallery (Gallery): The pictures.
        out (str | Path): Folder; missing ones are made.
        force (bool): Replace pictures that are there. Defaults to False.

    Returns:
        list[Path]: ``gallery_<name>.png`` each.

    Raises:
        FileExistsError: There are such pictures.
        NotADirectoryError: ``out`` is a file.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f'{out} is a file. Name a folder for the '
                                 'pictures.')
    files = {name: folder / f'gallery_{name}.png' for name in NAMES}
    existing = [str(path) for path in files.values() if path.exists()]
    if existing and not force:
        raise FileExistsError(f'{", ".join(existing)} exists already: choose '
                              'another --out, or replace with --force.')
    written = []
    for name, picture in gallery.draw():
        write_atomically(picture, files[name])
        written.append(files[name])
    return written

# Copyright (c) mmseg_semi authors.
"""An ONNX file against PyTorch on images."""
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, TRANSFORMS
from mmseg.structures import SegDataSample

from ..datasets.paths import first_few
from ..quiet import nothing_printed
from .exportable import Exportable
from .onnx_graph import INPUT, Graph
from .to_onnx import as_probabilities, session

MOST = 8
SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')
_LABELS = 'Annotations'


@dataclass(frozen=True)
class Compared:
    """How an ONNX file and PyTorch differ.

    Attributes:
        what (str): What they were compared on.
        images (int): How many.
        largest_difference (float): Of probabilities.
        differing_pixels (float): Share of pixels with another class.
        pytorch_ms (float): Median time of an image on the CPU.
        onnx_ms (float): Likewise.
        threads (int): That both had.
    """
    what: str
    images: int
    largest_difference: float
    differing_pixels: float
    pytorch_ms: float
    onnx_ms: float
    threads: int


def find_images(exportable: Exportable,
                given: str | None) -> tuple[list[str], str]:
    """Files to compare on, at most ``MOST`` spread over all.

    Args:
        exportable (Exportable): Its config has validation images.
        given (str, optional): A file or a folder, instead of those.

    Returns:
        tuple[list[str], str]: The files, and what they are in words. No file
        if the config's images are not there.

    Raises:
        FileNotFoundError: ``given`` holds no image.
    """
    if given is not None:
        path = Path(given)
        files = [path] if path.is_file() else sorted(
            p for p in path.rglob('*') if p.suffix.lower() in SUFFIXES)
        if not files:
            raise FileNotFoundError(
                f'--images: {given} is no image and no folder with images '
                f'({", ".join(SUFFIXES)}).')
        return _spread([str(f) for f in files]), f'images of {given}'
    loader = exportable.cfg.get('val_dataloader') or exportable.cfg.get(
        'test_dataloader')
    if loader:
        try:
            with DefaultScope.overwrite_default_scope(
                    exportable.scope), nothing_printed():
                dataset = DATASETS.build(loader['dataset'])
                files = [
                    dataset.get_data_info(i)['img_path']
                    for i in range(len(dataset))
                ]
        except OSError:  # a list or a folder is not here
            files = []
        files = [f for f in files if Path(f).is_file()]
        if files:
            return _spread(files), 'validation images of the config'
    return [], ('noise: the validation images of the config are not here. '
                '--images FOLDER compares on photographs')


def pixel_type(exportable: Exportable) -> type[np.generic]:
    """Of the pixels that the test pipeline loads."""
    pipeline = exportable.cfg.get('test_pipeline') or [{}]
    deep = any('Bands' in str(t.get('type')) or t.get('to_float32')
               for t in pipeline)
    return np.float32 if deep else np.uint8


def compare(exportable: Exportable, graph: Graph, content: bytes,
            files: list[str], what: str,
            size: tuple[int, int] | None) -> Compared:
    """Run both on the same images.

    PyTorch runs the model with its own data preprocessor, not the graph.

    Args:
        exportable (Exportable): The trained model.
        graph (Graph): What was exported.
        content (bytes): The ONNX file.
        files (list[str]): Images; none compares on noise.
        what (str): The images in words.
        size (tuple[int, int], optional): The only height and width that the
            file takes: its part of every image is compared.

    Raises:
        ValueError: Not one of the images can be read. Single ones are left
            out, which ``Compared.what`` says.
    """
    images, unread = _loaded(exportable, graph, files, size)
    if unread:
        what += f' (not {first_few(unread)}, which cannot be read)'
    runner, names = session(content), list(graph.options.outputs)
    largest, wrong, pixels, times = 0., 0, 0, []
    for image in images:
        theirs, slow = _pytorch(graph, image)
        given = _as_given(graph, image)
        found, fast = _timed(
            lambda given=given: runner.run(names, {INPUT: given}))
        ours = as_probabilities(graph, found)
        largest = max(largest, (ours - theirs).abs().max().item())
        classes = graph.classes(ours)
        if graph.options.post:
            classes = torch.from_numpy(found[1])
        wrong += (classes != graph.classes(theirs)).sum().item()
        pixels += classes.numel()
        times.append((slow, fast))
    slow, fast = np.median(np.array(times), axis=0) * 1e3
    return Compared(what, len(times), largest, wrong / pixels,
                    round(float(slow), 1), round(float(fast), 1),
                    torch.get_num_threads())


def _spread(files: list[str]) -> list[str]:
    places = np.linspace(0, len(files) - 1, min(MOST, len(files)))
    return [files[int(round(p))] for p in places]


def _loaded(
        exportable: Exportable, graph: Graph, files: list[str],
        size: tuple[int, int] | None) -> tuple[list[np.ndarray], list[str]]:
    """Images (bands, H, W) as the test pipeline gives them, and bad files."""
    kind = pixel_type(exportable)
    if not files:
        return [
            _noise((graph.bands, *(size or (224, 288))), kind, seed)
            for seed in range(2)
        ], []
    with DefaultScope.overwrite_default_scope(exportable.scope):
        steps = Compose([
            TRANSFORMS.build(t) for t in exportable.cfg.test_pipeline
            if _LABELS not in str(t['type'])
        ])
    images, unread = [], []
    for path in files:
        try:
            image = steps(dict(img_path=path))['inputs'].numpy()
        except Exception as error:  # decoders raise their own kinds
            unread.append(path)
            if len(unread) == len(files):
                raise ValueError(
                    f'{path} cannot be read as the test pipeline of the '
                    f'config reads it: {error}') from error
            continue
        if size is not None:
            image = _fitted(image, size)
        images.append(image.astype(kind))
    return images, unread


def _noise(shape: tuple[int, ...], kind: type, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(kind)


def _fitted(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The part of a size, mirrored where the image is smaller."""
    image = image[:, :size[0], :size[1]]
    missing = [(0, 0), *((0, s - n) for s, n in zip(size, image.shape[1:]))]
    return np.pad(image, missing, mode='symmetric')


def _as_given(graph: Graph, image: np.ndarray) -> np.ndarray:
    """An image as the graph takes it."""
    if not graph.options.pre:
        return graph.normalise(torch.from_numpy(image)[None], 'bgr').numpy()
    if graph.bands == 3 and graph.options.colors == 'rgb':
        image = image[::-1]
    if graph.options.pre == 'nhwc':
        image = image.transpose(1, 2, 0)
    return np.ascontiguousarray(image[None])


def _pytorch(graph: Graph, image: np.ndarray) -> tuple[torch.Tensor, float]:
    """Probabilities by the model itself, and seconds."""
    model, size = graph.model, image.shape[1:]
    inputs, sample = torch.from_numpy(image), SegDataSample()
    whole = graph.windows and not graph.options.size

    def run() -> torch.Tensor:
        batch = model.data_preprocessor(
            dict(inputs=[inputs], data_samples=[sample]))
        images, shape = batch['inputs'], tuple(batch['inputs'].shape[2:])
        metas = [dict(ori_shape=size, img_shape=size, pad_shape=shape)]
        if whole:  # in windows it is given, which the caller lays
            return model.encode_decode(images, metas)
        return model.inference(images, metas)

    with torch.no_grad():
        scores, seconds = _timed(run)
        return graph.probabilities(scores[:, :, :size[0], :size[1]]), seconds


def _timed(run) -> tuple:
    """A result and the seconds of its second run."""
    run()
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start

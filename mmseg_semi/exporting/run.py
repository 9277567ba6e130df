# Copyright (c) mmseg_semi authors.
"""Trained models for those who do not have this package."""
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from ..engine.atomic import write_atomically
from ..engine.trained_files import model_files, model_name
from .comparing import compare, find_images, pixel_type
from .exportable import Exportable, load_exportable
from .onnx_graph import INPUT, Graph, GraphOptions
from .to_mmseg import export_mmseg
from .to_onnx import OPSET, check_packages, onnx_bytes

TARGETS = ('mmseg', 'onnx')
_LABELS = 'Annotations'


def export(config: str,
           checkpoint: str,
           out: str,
           to: Sequence[str] = TARGETS,
           network: str | None = None,
           options: GraphOptions = GraphOptions(),
           images: str | None = None,
           force: bool = False,
           cfg_options: dict | None = None,
           say: Callable[[str], None] = print) -> dict:
    """Write a trained model in forms that do not need this package.

    Args:
        config (str): Of the training, or its work directory.
        checkpoint (str): Its weights; of a work directory also ``last`` or
            ``best``.
        out (str): Folder to write into; made if it is not there.
        to (Sequence[str]): Of ``TARGETS``.
        network (str, optional): See :func:`.load_exportable`.
        options (GraphOptions): What is inside the ONNX file.
        images (str, optional): File or folder to compare on; None takes the
            validation images of the config.
        force (bool): Replace files that are there. Defaults to False.
        cfg_options (dict, optional): Over the config's settings.
        say (Callable): Takes lines for people.

    Returns:
        dict: For JSON: what was written, by target.

    Raises:
        FileExistsError: A file is there.
        ModuleNotFoundError: A package for ONNX is missing.
        NotExportableError: The model has no such form.
        PermissionError: The folder cannot be written.
        ValueError: An unknown target.
    """
    unknown = [target for target in to if target not in TARGETS]
    if unknown or not to:
        raise ValueError(f'--to {",".join(to)}: choose from '
                         f'{" and ".join(TARGETS)}.')
    if 'onnx' in to:
        check_packages()
    folder = Path(out)
    _check_writable(folder)

    def refuse(files: Sequence[Path]) -> None:
        there = [str(f) for f in files if f.exists()]
        if there and not force:
            raise FileExistsError(f'{", ".join(there)} exists. Choose another '
                                  'folder, or replace it with --force.')

    name = model_name(config)
    config, checkpoint = model_files(config, checkpoint)
    if 'onnx' in to:
        refuse([folder / f'{name}.onnx', folder / f'{name}.json'])
    if 'mmseg' in to:
        refuse([folder / f'{name}.py', folder / f'{name}.pth'])
    exportable = load_exportable(config, checkpoint, network, cfg_options,
                                 name)
    which = exportable.network_name or type(exportable.network).__name__
    say(f'{name}: {which}, {len(exportable.classes)} classes')
    result = dict(network=exportable.network_name, classes=exportable.classes)
    if 'mmseg' in to:
        result['mmseg'] = _mmseg(exportable, folder, refuse, say)
    if 'onnx' in to:
        result['onnx'] = _onnx(exportable, folder, options, images, say)
    return result


def _check_writable(folder: Path) -> None:
    """Before minutes are spent."""
    nearest = next(
        p for p in (folder, *folder.absolute().parents) if p.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f'--out {folder}: {nearest} is a file. Give '
                                 'a folder.')
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(f'--out {folder}: {nearest} cannot be written. '
                              'Give a folder of yours.')


def _mmseg(exportable: Exportable, folder: Path, refuse: Callable,
           say: Callable[[str], None]) -> dict:
    made = export_mmseg(exportable, folder, refuse)
    say(f'mmseg   {made.config}, {made.checkpoint}')
    if made.parts:
        say(f'        {made.parts}: {", ".join(made.classes)}')
    for line in made.replaced:
        say(f'        {line}')
    if made.imports:
        say(f'        needs {", ".join(made.imports)}')
    equal = f'differ by up to {made.difference:.1e}' if made.difference else \
        'are equal'
    say(f'        scores of trained and plain model {equal}')
    return dict(
        config=str(made.config),
        checkpoint=str(made.checkpoint),
        parts=str(made.parts) if made.parts else None,
        classes=made.classes,
        imports=made.imports,
        replaced=made.replaced,
        difference=made.difference)


def _onnx(exportable: Exportable, folder: Path, options: GraphOptions,
          images: str | None, say: Callable[[str], None]) -> dict:
    files, what = find_images(exportable, images)
    graph = Graph(exportable, options)
    if options.colors == 'rgb' and not options.pre:
        raise ValueError('--colors rgb is the order of what --pre takes: give '
                         '--pre, or normalise in the order of the model.')
    pixels = pixel_type(exportable)
    example = example_size(exportable, options)
    content, free, size, why = onnx_bytes(graph, pixels, example)
    found = compare(exportable, graph, content, files, what, size)
    path = folder / f'{exportable.name}.onnx'
    about = _about(exportable, graph, pixels, free, size)
    about['compared'] = asdict(found)
    write_atomically(content, path)
    write_atomically(
        json.dumps(about, indent=2).encode(), path.with_suffix('.json'))
    say(f'onnx    {path}, {path.with_suffix(".json").name}: opset {OPSET}, '
        f'{len(content) / 2**20:.1f} MiB')
    sizes = f'free: {", ".join(free)}' if free else 'free: nothing'
    if size:
        sizes += f'; height x width {size[0]} x {size[1]}'
    say(f'        {sizes}' + (f' ({why})' if why else ''))
    if about['windows'] and not options.size:
        say('        The model predicts in windows, the file does not: cut '
            'windows as the JSON file says, or give --size.')
    say(f'        {found.images} {found.what}: probabilities differ by up to '
        f'{found.largest_difference:.1e}, {found.differing_pixels:.4%} of the '
        'pixels have another class')
    say(f'        an image takes {found.onnx_ms} ms, PyTorch '
        f'{found.pytorch_ms} ms (CPU, threads: {found.threads})')
    return dict(model=str(path), **about)


def example_size(exportable: Exportable,
                 options: GraphOptions) -> tuple[int, int] | None:
    """Height and width of what is traced, and of a file of fixed size.

    Args:
        exportable (Exportable): The trained model.
        options (GraphOptions): What was asked for.

    Returns:
        tuple[int, int] | None: None if nothing says any.
    """
    pre = exportable.model.data_preprocessor
    sizes = (options.size, getattr(pre, 'only_size', None),
             exportable.model.test_cfg.get('crop_size'),
             exportable.network_cfg.get('data_preprocessor', {}).get('size'))
    return next((tuple(s) for s in sizes if s), None)


def _about(exportable: Exportable, graph: Graph, pixels: type, free: tuple,
           size: tuple[int, int] | None) -> dict:
    """What a program must know to use the file."""
    options, pre = graph.options, exportable.model.data_preprocessor
    swaps = graph.bands == 3
    order = {True: 'rgb', False: 'bgr'}[bool(pre.channel_conversion)]
    sides = [
        n if n in free else s
        for n, s in zip(('height', 'width'), size or (None, None))
    ]
    batch = 'batch' if 'batch' in free else 1
    shape = [batch, graph.bands, *sides]
    if options.pre == 'nhwc':
        shape = [batch, *sides, graph.bands]
    normal = None
    if pre._enable_normalize:
        normal = dict(
            mean=pre.mean.flatten().tolist(), std=pre.std.flatten().tolist())
    inputs = dict(
        name=INPUT,
        shape=shape,
        dtype=pixels.__name__ if options.pre else 'float32',
        bands=(options.colors if options.pre else order) if swaps else None,
        normalised=not options.pre,
        **(normal or {}))
    maps = [batch, graph.model.out_channels, *sides]
    outputs = {
        'scores': dict(shape=maps, dtype='float32', meaning=_meaning(graph)),
        'probabilities': dict(shape=maps, dtype='float32'),
        'classes': dict(shape=[batch, *sides], dtype='int32')
    }
    windows = None
    if graph.windows:
        windows = {k: v for k, v in graph.windows.items() if k != 'mode'}
    return dict(
        input=inputs,
        outputs=[dict(name=n, **outputs[n]) for n in options.outputs],
        classes=list(exportable.classes),
        palette=exportable.palette,
        threshold=graph.threshold,
        windows=windows,
        windows_inside=bool(windows and options.size),
        before=_before(exportable),
        opset=OPSET,
        pytorch=torch.__version__)


def _meaning(graph: Graph) -> str:
    if graph.model.out_channels == 1:
        return 'sigmoid gives the probability of class 1'
    if graph.scores_are_shares:
        return 'divided by their sum over the classes: probabilities'
    return 'softmax over the classes gives probabilities'


def _before(exportable: Exportable) -> list[str]:
    """What the test pipeline does between the file and the input."""
    steps = exportable.cfg.get('test_pipeline') or []
    return [
        str(dict(step)) for step in steps
        if not any(w in str(step['type']) for w in (_LABELS, 'Pack'))
    ]

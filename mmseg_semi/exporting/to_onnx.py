# Copyright (c) mmseg_semi authors.
"""A trained model as an ONNX file."""
import importlib.util
import inspect
import tempfile
from pathlib import Path

import numpy as np
import torch

from ..quiet import no_notes
from .onnx_graph import INPUT, Graph
from .onnx_mends import exact_equivalents
from .plain_model import NotExportableError

OPSET = 17
PACKAGES = ('onnx', 'onnxruntime')
TOLERANCE = 1e-3  # of probabilities, on noise
SIZE, FIXED = (128, 160), (512, 512)  # of an example, of a file
# What may differ from call to call, from the most to nothing.
FREEDOMS = (('batch', 'height', 'width'), ('height', 'width'), ())


def check_packages() -> None:
    """Raise unless all packages are there.

    Raises:
        ModuleNotFoundError: Says how to install them.
    """
    missing = [n for n in PACKAGES if importlib.util.find_spec(n) is None]
    if missing:
        raise ModuleNotFoundError(
            f'ONNX needs {" and ".join(missing)}: pip install '
            f'{" ".join(missing)} (or pip install "mmseg_semi[onnx]").')


def onnx_bytes(
    graph: Graph, pixels: type[np.generic], size: tuple[int, int] | None
) -> tuple[bytes, tuple[str, ...], tuple[int, int] | None, str]:
    """Make an ONNX file, as free in its sizes as the model allows.

    Every file is run by onnxruntime on noise of other sizes before it is
    taken.

    Args:
        graph (Graph): What to export.
        pixels (type): Of the pixels that the file takes with ``pre``.
        size (tuple[int, int], optional): Height and width of the example,
            which a file of fixed size keeps. None: 512 x 512 for such a file.

    Returns:
        tuple: The file; which of batch, height and width may differ; the one
        size it takes, or None; and why not more may differ, or ''.

    Raises:
        NotExportableError: The model does not become an ONNX file, or one
            that says something else.
    """
    fixed = graph.options.size is not None or getattr(
        graph.model.data_preprocessor, 'only_size', None) is not None
    why = 'one size was asked for, or the network takes no other' if fixed \
        else ''
    for free in FREEDOMS[-1:] if fixed else FREEDOMS:
        shape = size or (SIZE if free else FIXED)
        try:
            content = _traced(graph, noise(graph, pixels, 1, shape), free)
            _check(graph, content, pixels, shape, free)
            return content, free, None if free else shape, why
        except NotExportableError as error:
            why = str(error)
    raise NotExportableError(why)


def noise(graph: Graph, pixels: type[np.generic], batch: int,
          size: tuple[int, int]) -> np.ndarray:
    """Random images as a graph takes them."""
    generator = np.random.default_rng(0)
    shape = (batch, graph.bands, *size)
    if not graph.options.pre:
        return generator.standard_normal(shape).astype(np.float32)
    image = generator.integers(0, 256, shape).astype(pixels)
    if graph.options.pre == 'nhwc':
        image = np.ascontiguousarray(image.transpose(0, 2, 3, 1))
    return image


def session(content: bytes):
    """An onnxruntime session with as many threads as PyTorch has."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        content, options, providers=['CPUExecutionProvider'])


def as_probabilities(graph: Graph, outputs: list) -> torch.Tensor:
    """First output of a graph -> probabilities."""
    first = torch.as_tensor(outputs[0])
    return first if graph.options.post else graph.probabilities(first)


def _traced(graph: Graph, example: np.ndarray, free: tuple) -> bytes:
    outputs = graph.options.outputs
    axes = {INPUT: _axes(free, graph.options.pre == 'nhwc')}
    for name in outputs:
        axes[name] = _axes(free, name == 'classes', len(outputs) > 1)
    options = dict(
        input_names=[INPUT],
        output_names=list(outputs),
        dynamic_axes=axes if free else None,
        opset_version=OPSET)
    # The exporter by tracing: the other one takes minutes, and fixes a batch.
    if 'dynamo' in inspect.signature(torch.onnx.export).parameters:
        options['dynamo'] = False
    with tempfile.TemporaryDirectory() as folder, no_notes(
            'torch.onnx'), exact_equivalents(), torch.no_grad():
        path = Path(folder, 'model.onnx')
        try:
            torch.onnx.export(graph, (torch.from_numpy(example), ), str(path),
                              **options)
        except Exception as error:  # of whatever kind an operation raises
            raise NotExportableError('PyTorch cannot export it: '
                                     f'{_first_line(error)}') from error
        content = path.read_bytes()
    return content


def _axes(free: tuple, last: bool, post: bool = False) -> dict[int, str]:
    """Which axes of (N, C, H, W), or of (N, H, W[, C]), are free."""
    first = 1 if last else 2
    places = dict(batch=0, height=first, width=first + 1)
    return {places[name]: name for name in free}


def _check(graph: Graph, content: bytes, pixels: type[np.generic],
           size: tuple[int, int], free: tuple) -> None:
    """Run a file on noise of sizes that it must take.

    Raises:
        NotExportableError: It fails, or says something else.
    """
    import onnx
    try:
        onnx.checker.check_model(onnx.load_model_from_string(content))
        runner = session(content)
    except Exception as error:
        raise NotExportableError('The file is not valid: '
                                 f'{_first_line(error)}') from error
    height, width = size
    sizes = [(1, height, width)]
    if 'height' in free:
        sizes += [(1, height + 37, width - 27), (1, height - 31, width + 64)]
    if 'batch' in free:
        sizes.append((2, height + 5, width))
    for batch, *shape in sizes:
        image = noise(graph, pixels, batch, tuple(shape))
        where = f'{batch} x {shape[0]} x {shape[1]} pixels'
        try:
            found = as_probabilities(graph, runner.run(None, {INPUT: image}))
        except Exception as error:
            raise NotExportableError(f'onnxruntime fails on {where}: '
                                     f'{_first_line(error)}') from error
        with torch.no_grad():
            outputs = graph(torch.from_numpy(image))
        expected = as_probabilities(
            graph, outputs if graph.options.post else [outputs])
        if found.shape != expected.shape:
            raise NotExportableError(
                f'onnxruntime gives {tuple(found.shape)} instead of '
                f'{tuple(expected.shape)} on {where}.')
        difference = (found - expected).abs().max().item()
        if not difference <= TOLERANCE:
            raise NotExportableError(
                f'onnxruntime differs by {difference:.2g} from PyTorch on '
                f'{where}.')


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]

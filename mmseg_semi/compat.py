# Copyright (c) mmseg_semi authors.
"""Everything that exists because of a version of a dependency.

:func:`install` is the first thing that ``import mmseg_semi`` does. It

- refuses an environment in which we know training cannot work, with one
  message that lists every problem and the command that mends it;
- lets MMSegmentation import without compiled mmcv operators;
- lets the stock MMEngine runner train in several processes on a machine
  without accelerator.

A config that says ``custom_imports=dict(imports=['mmseg_semi'])`` runs it
from inside stock ``tools/train.py``, before anything is built.
"""
import atexit
import functools
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import pkgutil
import sys
import time
import types
import warnings
from unittest import mock

from packaging.requirements import Requirement
from packaging.version import Version

# (import name, lowest version this package is tested with, what to install).
# There are no upper bounds: when a newer release breaks us, a failing test
# says where, while an assertion would only lock users out.
REQUIREMENTS = (
    ('torch', '2.1.0', 'torch>=2.1'),
    ('mmengine', '0.10.7', 'mmengine>=0.10.7'),
    ('mmcv', '2.1.0', 'mmcv-lite==2.1.0'),
    ('mmseg', '1.2.2', 'mmsegmentation>=1.2.2'),
)
SETUPTOOLS = 'setuptools>=77.0.3,<82'

_MISSING_OP = (
    '`mmcv._ext.{name}` was called, but the installed mmcv {version} has no '
    'compiled operators (mmcv-lite). Either choose a model that does not '
    'need this operator, or replace mmcv-lite by a compiled mmcv: see '
    'docs/install.md.')


class _MissingOp:
    """An mmcv operator that is not there. Calling it is the error."""

    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version

    def __call__(self, *args, **kwargs):
        raise RuntimeError(
            _MISSING_OP.format(name=self.name, version=self.version))

    def __repr__(self) -> str:
        return f'<missing mmcv operator {self.name}>'


class _MissingExt(types.ModuleType):
    """Stand-in for the compiled extension module ``mmcv._ext``.

    ``mmcv.ops`` looks its operators up at import time, and ``mmseg.models``
    imports ``mmcv.ops`` although most models call none of them. The lookup
    succeeds here; only the call fails.
    """

    def __init__(self, mmcv_version: str) -> None:
        super().__init__('mmcv._ext', 'Stand-in for compiled operators.')
        # A spec without a loader: `importlib.util.find_spec` raises on a
        # module without a spec, and mmengine's `mmcv_full_available` must go
        # on to answer no.
        self.__spec__ = importlib.machinery.ModuleSpec('mmcv._ext', None)
        self.mmcv_version = mmcv_version

    def __getattr__(self, name: str):
        if name.startswith('__'):
            raise AttributeError(name)
        return _MissingOp(name, self.mmcv_version)


def install() -> None:
    """Check the environment and mend what can be mended. Idempotent.

    Raises:
        ImportError: If a dependency is missing or too old, or mmsegmentation
            refuses the mmcv that is installed. The message lists every
            problem with its remedy.
    """
    _check_installed()
    # Its advice contradicts what mmengine needs, see SETUPTOOLS.
    warnings.filterwarnings('ignore', 'pkg_resources is deprecated')
    _install_mmcv_stand_in()
    _check_versions()
    _patch_cpu_training()


def _check_installed() -> None:
    """Report everything that is absent in one message."""
    problems = [
        f'{name} is not installed: pip install "{spec}"'
        for name, _, spec in REQUIREMENTS
        if importlib.util.find_spec(name) is None
    ]
    # mmengine resolves every 'mmseg::...' config path with `pkg_resources`,
    # which setuptools 82 removed and new virtual environments do not bring.
    if (importlib.util.find_spec('pkg_resources') is None
            and _is_classic_mmengine()):
        problems.append('mmengine needs pkg_resources, which only older '
                        f'setuptools have: pip install "{SETUPTOOLS}"')
    if not hasattr(pkgutil, 'find_loader') and _is_classic_mmengine():
        problems.append('mmengine needs pkgutil.find_loader, which Python '
                        '3.14 removed: use Python 3.10 to 3.13')
    _raise_if(problems)


def _is_classic_mmengine() -> bool:
    """Whether mmengine is OpenMMLab's, not the maintained OneDL fork."""
    try:
        importlib.metadata.version('onedl-mmengine')
    except importlib.metadata.PackageNotFoundError:
        return True
    return False


def _install_mmcv_stand_in() -> None:
    """Register ``mmcv._ext`` unless a real one can be imported."""
    import mmcv
    if 'mmcv._ext' in sys.modules:
        return
    if importlib.util.find_spec('mmcv._ext') is not None:
        return
    sys.modules['mmcv._ext'] = mmcv._ext = _MissingExt(mmcv.__version__)


def _check_versions() -> None:
    """Report everything that is too old in one message."""
    problems = []
    for name, lowest, spec in REQUIREMENTS:
        try:
            found = importlib.import_module(name).__version__
        except AssertionError as error:
            # mmsegmentation 1.2.2 accepts mmcv<2.2.0 only and says so with
            # an assertion that names the wrong remedy.
            problems.append(f'{name} cannot be imported ({error}); known to '
                            'work: pip install "mmcv-lite==2.1.0" '
                            '"mmengine==0.10.7" "mmsegmentation==1.2.2"')
            continue
        # Builds of a coming release (2.1.0a0+nv23) count as that release.
        if Version(found).release < Version(lowest).release:
            problems.append(f'{name} {found} is too old, {lowest} is the '
                            f'oldest supported: pip install "{spec}"')
    problems += _torchvision_problems()
    _raise_if(problems)


def _torchvision_problems() -> list:
    """A torchvision made for another torch stops MMEngine's runner.

    It need not be there, but where it is, the runner imports it to list the
    environment, and fails with "operator torchvision::nms does not exist".
    """
    import torch
    try:
        lines = importlib.metadata.requires('torchvision') or []
        found = importlib.metadata.version('torchvision')
    except importlib.metadata.PackageNotFoundError:
        return []
    wanted = [
        str(requirement.specifier) for requirement in map(Requirement, lines)
        if requirement.name == 'torch'
        and not requirement.specifier.contains(torch.__version__, True)
    ]
    if not wanted:
        return []
    try:  # a build of one's own may state another torch and yet fit
        importlib.import_module('torchvision')
    except Exception as error:
        return [
            f'torchvision {found} was made for torch{wanted[0]}, found '
            f'{torch.__version__} ({error}): install both at once (pip '
            'install --upgrade torch torchvision), or pip uninstall '
            'torchvision, which only mmpretrain needs'
        ]
    return []


def _raise_if(problems: list) -> None:
    if problems:
        raise ImportError(
            f'mmseg_semi cannot run in this environment ({sys.executable}):' +
            ''.join(f'\n  - {problem}' for problem in problems) +
            '\nThe tested combinations are listed in docs/install.md.')


def _patch_cpu_training() -> None:
    """Make ``--launcher pytorch`` work where there is no accelerator.

    Stock MMEngine (0.10.7) calls ``torch.cuda.set_device`` before it creates
    the process group, asks for NCCL because the config says so, and gives
    ``device_ids`` to DistributedDataParallel, which is an error for a module
    on the CPU. Nothing is touched where MMEngine sees an accelerator.
    """
    from mmengine.device import get_device
    if get_device() != 'cpu':
        return
    import mmengine.dist.utils as dist_utils
    from mmengine.model import MMDistributedDataParallel
    for launcher in ('pytorch', 'mpi', 'slurm'):
        name = f'_init_dist_{launcher}'
        _patch(dist_utils, name, _init_on_cpu)
    _patch(MMDistributedDataParallel, '__init__', _wrap_on_cpu)


def _patch(owner, name: str, decorator) -> None:
    stock = getattr(owner, name)
    if not hasattr(stock, '_mmseg_semi_patch'):
        patched = decorator(stock)
        patched._mmseg_semi_patch = True
        setattr(owner, name, patched)


def _init_on_cpu(stock):
    """Gloo instead of the configured backend, no CUDA device to choose."""

    @functools.wraps(stock)
    def init_dist(backend, *args, **kwargs):
        with mock.patch('torch.cuda.set_device', lambda device: None):
            stock('gloo', *args, **kwargs)
        # The thread that ran the last collective takes the GIL to release
        # its tensors. If the interpreter is being torn down by then, PyTorch
        # aborts the process (pytorch/pytorch#190489), so let it end first.
        atexit.register(time.sleep, 0.2)

    return init_dist


def _wrap_on_cpu(stock):
    """DistributedDataParallel over CPU parameters takes no device ids."""

    @functools.wraps(stock)
    def __init__(self, module, *args, **kwargs):
        if all(p.device.type == 'cpu' for p in module.parameters()):
            kwargs.pop('device_ids', None)
            kwargs.pop('output_device', None)
        stock(self, module, *args, **kwargs)

    return __init__

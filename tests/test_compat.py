# Copyright (c) mmseg_semi authors.
import importlib
import importlib.util
import os
import pkgutil
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from mmengine.device import get_device
from mmengine.utils.dl_utils import mmcv_full_available

from mmseg_semi import compat

ROOT = Path(__file__).resolve().parents[1]


def run_python(code, **env):
    """Run ``code`` in a new interpreter that finds the checkout."""
    env = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1', **env)
    return subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)],
        env=env,
        capture_output=True,
        text=True,
        timeout=300)


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def has_stand_in():
    import mmcv
    return isinstance(getattr(mmcv, '_ext', None),
                      compat._MissingExt)  # a compiled mmcv is used as it is


needs_stand_in = pytest.mark.skipif(
    not has_stand_in(), reason='a compiled mmcv is installed')


@needs_stand_in
def test_mmseg_imports_without_compiled_mmcv():
    # In a new process, because here other tests have imported everything.
    # One of these fails in stock mmseg with "No module named 'mmcv._ext'".
    result = run_python('''
        import mmseg_semi
        import mmseg.apis, mmseg.datasets, mmseg.models, mmseg.visualization
        ''')
    assert result.returncode == 0, result.stderr


@needs_stand_in
def test_stand_in_does_not_claim_to_be_compiled():
    spec = importlib.util.find_spec('mmcv._ext')
    assert spec is not None and spec.loader is None
    if compat._is_classic_mmengine():  # the fork asks for the spec only
        assert not mmcv_full_available()


@needs_stand_in
def test_calling_a_missing_operator_says_what_to_do():
    from mmcv.ops import nms
    with pytest.raises(RuntimeError, match=r'mmcv\._ext\.nms.*docs/install'):
        nms(torch.rand(2, 4), torch.rand(2), 0.5)


@needs_stand_in
def test_stand_in_has_no_invented_dunder_attributes():
    # Tools walk over sys.modules and ask for __file__, __path__ and others.
    assert not hasattr(sys.modules['mmcv._ext'], '__file__')
    assert not hasattr(sys.modules['mmcv._ext'], '__wrapped__')


def test_compiled_extension_is_left_alone(tmp_path):
    (tmp_path / '_ext.py').write_text('def __getattr__(name): return len')
    result = run_python('''
        import os, mmcv
        mmcv.__path__.insert(0, os.environ['FAKE_EXT'])
        import mmseg_semi, mmseg.models, mmcv._ext
        print(mmcv._ext.__file__)
        from mmengine.utils.dl_utils import mmcv_full_available
        assert mmcv_full_available()
        ''', FAKE_EXT=str(tmp_path))  # yapf: disable
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == str(tmp_path / '_ext.py')


def test_mmcv_that_mmseg_refuses_is_explained():
    result = run_python('''
        import mmcv
        mmcv.__version__ = '2.2.0'
        import mmseg_semi
        ''')
    if result.returncode == 0:
        pytest.skip('this mmsegmentation has no upper bound for mmcv')
    assert 'ImportError: mmseg_semi cannot run' in result.stderr
    assert 'pip install "mmcv-lite==2.1.0"' in result.stderr


def test_every_old_dependency_is_listed_at_once(monkeypatch):
    monkeypatch.setattr(compat, 'REQUIREMENTS',
                        (('torch', '999.0', 'torch>=999'),
                         ('mmengine', '0.1', 'mmengine>=0.1'),
                         ('mmseg', '999.0', 'mmsegmentation>=999')))
    with pytest.raises(ImportError) as error:
        compat._check_versions()
    message = str(error.value)
    assert f'torch {torch.__version__} is too old, 999.0' in message
    assert 'pip install "mmsegmentation>=999"' in message
    assert 'mmengine' not in message


def test_prerelease_build_counts_as_its_release(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.1.0a0+32f93b1')
    compat._check_versions()
    monkeypatch.setattr(torch, '__version__', '2.0.1')
    with pytest.raises(ImportError, match='torch 2.0.1 is too old'):
        compat._check_versions()


@pytest.mark.parametrize('wanted, code, refused', [
    ('torch==1.0.1', 'raise RuntimeError("no operator nms")', True),
    ('torch==1.0.1', '', False),
    (f'torch=={torch.__version__.split("+")[0]}', 'raise RuntimeError', False),
    ('numpy', 'raise RuntimeError', False),
])
def test_torchvision_of_another_torch(tmp_path, wanted, code, refused):
    """Named with its remedy before MMEngine's runner stops at it."""
    info = tmp_path / 'torchvision-0.3.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text(
        'Metadata-Version: 2.1\nName: torchvision\nVersion: 0.3.0\n'
        f'Requires-Dist: {wanted}')
    (tmp_path / 'torchvision.py').write_text(code)
    result = run_python(f'''
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import mmseg_semi
        ''')
    assert (result.returncode != 0) == refused, result.stderr
    if refused:
        assert 'torchvision 0.3.0 was made for torch==1.0.1' in result.stderr
        assert 'no operator nms' in result.stderr
        assert 'pip uninstall torchvision' in result.stderr


@pytest.mark.parametrize('missing, remedy', [
    ('pkg_resources', compat.SETUPTOOLS),
    ('mmseg', 'mmsegmentation>=1.2.2'),
    ('mmcv', 'mmcv-lite==2.1.0'),
])
def test_missing_package_is_named_with_its_remedy(monkeypatch, missing,
                                                  remedy):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, 'find_spec', lambda name, *args: None
        if name == missing else real(name, *args))
    monkeypatch.setattr(compat, '_is_classic_mmengine', lambda: True)
    with pytest.raises(ImportError) as error:
        compat._check_installed()
    assert f'pip install "{remedy}"' in str(error.value)
    assert missing in str(error.value)


def test_python_without_find_loader_is_explained(monkeypatch):
    monkeypatch.delattr(pkgutil, 'find_loader')
    monkeypatch.setattr(compat, '_is_classic_mmengine', lambda: True)
    with pytest.raises(ImportError, match='use Python 3.10 to 3.13'):
        compat._check_installed()
    monkeypatch.setattr(compat, '_is_classic_mmengine', lambda: False)
    compat._check_installed()


def test_install_is_idempotent():
    import mmengine.dist.utils as dist_utils
    from mmengine.model import MMDistributedDataParallel
    before = (sys.modules.get('mmcv._ext'), dist_utils._init_dist_pytorch,
              MMDistributedDataParallel.__init__)
    compat.install()
    after = (sys.modules.get('mmcv._ext'), dist_utils._init_dist_pytorch,
             MMDistributedDataParallel.__init__)
    assert before == after


def test_nothing_is_patched_beside_an_accelerator(monkeypatch):
    import mmengine.device
    monkeypatch.setattr(mmengine.device, 'get_device', lambda: 'cuda')
    monkeypatch.setattr(compat, '_patch', lambda *args: pytest.fail(str(args)))
    compat._patch_cpu_training()


LAST_WORDS = '''
import os
os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=os.environ['PORT'],
                  RANK='0', WORLD_SIZE='1', LOCAL_RANK='0')
import mmseg_semi
import torch
from mmengine.dist import init_dist
init_dist('pytorch')
torch.distributed.all_reduce_coalesced(
    [torch.ones(1) for _ in range(1000)])  # each is released under the GIL
'''


@pytest.mark.dist
@pytest.mark.skipif(
    get_device() != 'cpu', reason='for machines without accelerator')
def test_processes_that_end_with_a_collective_are_not_aborted():
    # Without the pause at exit about one in three is, so four are started.
    processes = [
        subprocess.Popen([sys.executable, '-c', LAST_WORDS],
                         env=dict(
                             os.environ,
                             PYTHONPATH=str(ROOT),
                             OMP_NUM_THREADS='1',
                             PORT=str(free_port())),
                         stderr=subprocess.DEVNULL) for _ in range(4)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0] * 4


TOY_MODULE = '''
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, MODELS
from torch.utils.data import Dataset


@MODELS.register_module()
class Line(BaseModel):

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, inputs, mode):
        inputs = torch.stack(inputs)
        return dict(loss=self.linear(inputs).square().mean())


@DATASETS.register_module()
class Points(Dataset):
    metainfo = {}

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(inputs=torch.tensor([index, 1.0]))


@HOOKS.register_module()
class Verify(Hook):

    def before_train(self, runner):
        assert dist.get_backend() == 'gloo' and dist.get_world_size() == 2
        self.start = runner.model.module.linear.weight.detach().clone()

    def after_train(self, runner):
        weight = runner.model.module.linear.weight.detach()
        rows = [torch.empty_like(weight) for _ in range(2)]
        dist.all_gather(rows, weight)
        assert torch.equal(rows[0], rows[1]), 'gradients were not averaged'
        assert not torch.equal(weight, self.start), 'nothing was trained'
        Path(f'verified_{dist.get_rank()}').touch()
'''

# It asks for NCCL, as every stock mmseg config does.
TOY_CONFIG = '''
custom_imports = dict(imports=['mmseg_semi', 'toy'])
default_scope = 'mmseg'
model = dict(type='Line')
env_cfg = dict(dist_cfg=dict(backend='nccl'))
train_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(type='Points'),
    sampler=dict(type='InfiniteSampler', shuffle=True))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
custom_hooks = [dict(type='Verify')]
train_cfg = dict(by_epoch=False, max_iters=2)
'''


def stock_train():
    """MMSegmentation's own script, started as its dist_train.sh does."""
    import mmseg
    script = Path(mmseg.__file__).parent / '.mim' / 'tools' / 'train.py'
    if not script.exists():
        pytest.skip('this mmsegmentation brings no tools')
    return [
        sys.executable, '-m', 'torch.distributed.run', '--standalone',
        '--nproc_per_node=2',
        str(script), 'config.py', '--launcher', 'pytorch'
    ]


def our_train():
    return ['bash', str(ROOT / 'tools' / 'dist_train.sh'), 'config.py', '2']


@pytest.mark.dist
@pytest.mark.skipif(
    get_device() != 'cpu', reason='for machines without accelerator')
@pytest.mark.parametrize('command, wrapper', [
    pytest.param(stock_train, '', id='stock'),
    pytest.param(
        our_train,
        'model_wrapper_cfg = dict(broadcast_buffers=False)',
        id='ours'),
])
def test_training_in_two_cpu_processes(tmp_path, command, wrapper):
    (tmp_path / 'toy.py').write_text(TOY_MODULE)
    (tmp_path / 'config.py').write_text(TOY_CONFIG + wrapper)
    env = dict(
        os.environ,
        PYTHONPATH=f'{ROOT}{os.pathsep}{tmp_path}',
        MMSEG_SEMI_PYTHON=sys.executable,
        OMP_NUM_THREADS='1')
    result = subprocess.run(
        command(),
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]
    verified = {path.name for path in tmp_path.glob('verified_*')}
    assert verified == {'verified_0', 'verified_1'}

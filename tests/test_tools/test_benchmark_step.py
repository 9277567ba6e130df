# Copyright (c) mmseg_semi authors.
import importlib.util
import json
import math
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from mmseg_semi.engine.step_benchmark import GivenGradient, summarize
from mmseg_semi.engine.step_timing import StepTimer, peak_memory, replaced

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs/brpg/brpg_r18_digits_50.py'
CPU = torch.device('cpu')

_spec = importlib.util.spec_from_file_location(
    'benchmark_step', ROOT / 'tools/analysis_tools/benchmark_step.py')
tool = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tool)


def run(*arguments):
    return tool.run(
        tool.parse_args(
            [str(CONFIG), '--counts', '2', '2', '--iters', '2', *arguments]))


@pytest.fixture(scope='module')
def result(tmp_path_factory):
    path = tmp_path_factory.mktemp('benchmark') / 'out.json'
    returned = run('--json', str(path))
    assert json.loads(path.read_text()) == returned
    return returned


def test_every_stage_is_measured(result):
    assert [stage['name'] for stage in result['stages']
            ] == ['burn-in, before', 'before', 'sampling', 'prototypes']
    assert result['inputs'] == {
        'sup': [2, 3, 64, 64],
        'unsup_teacher': [2, 3, 64, 64],
        'unsup_student': [2, 3, 64, 64]
    }
    before, _, sampling, prototypes = (
        s['state_mib'] for s in result['stages'])
    assert sampling > before == pytest.approx(prototypes, rel=1e-3)  # banks
    for stage in result['stages']:
        for step in ('bare', 'full', 'supervised'):
            assert stage[f'{step}_ms'] > 0
            assert stage['peak_mib'][step] > 0
        low, high = stage['own_share_quartiles']
        assert low <= stage['own_share'] <= high


def test_phases_are_those_of_the_stage(result):
    phases = {
        stage['name']:
        {name
         for name, row in stage['phases'].items() if row['full_ms'] > 0}
        for stage in result['stages']
    }
    always = {'forward', 'backward', 'optimizer', 'EMA', 'views'}
    assert all(always <= names for names in phases.values())
    assert 'mix' not in phases['burn-in, before']
    for name in ('before', 'sampling', 'prototypes'):
        assert {'mix', 'pseudo-labels', 'consistency.keep'} <= phases[name]


def test_phases_add_up(result):
    # Medians of parts and of the whole, of two runs: the same mean.
    for stage in result['stages']:
        for step in ('full', 'bare'):
            parts = sum(row[f'{step}_ms'] for row in stage['phases'].values())
            assert parts == pytest.approx(stage[f'{step}_ms'])


def test_stages_and_options_can_be_chosen(capsys):
    result = run('--stage', 'prototypes', '--cfg-options',
                 'model.terms.brpg.window=(400, 500)')
    stage, = result['stages']
    assert stage['name'] == 'prototypes' and stage['iteration'] == 500
    text = capsys.readouterr().out
    assert 'own share' in text and 'brpg.loss' in text
    with pytest.raises(ValueError, match="'sampling'"):
        run('--stage', 'clustering')


@pytest.mark.parametrize('method', ['cps', 'pps', 'fixmatch'])
def test_frameworks_of_pairs_mix_in_their_step(method):
    config = ROOT / f'configs/{method}/{method}_r18_digits_50.py'
    result = tool.run(
        tool.parse_args([str(config), '--counts', '2', '2', '--iters', '2']))
    assert result['stages'][-1]['phases']['mix']['full_ms'] > 0
    assert 'mix' not in result['stages'][0]['phases']  # labels alone


@pytest.fixture
def benchmark():
    cfg = tool.Config.fromfile(CONFIG)
    tool.init_default_scope('mmseg')
    torch.manual_seed(0)
    model = tool.MODELS.build(cfg.model).train()
    model.total_iters = 4000
    optim_wrapper = tool.build_optim_wrapper(model, cfg.optim_wrapper)
    for group in optim_wrapper.param_groups:
        group['lr'] = 0.
    return tool.StepBenchmark(model, tool.random_batch(cfg, counts=(2, 2)),
                              optim_wrapper, StepTimer(CPU))


def forwards(model, step):
    """Every network module's calls and modes in a step."""
    calls = []
    handles = [
        module.register_forward_hook(
            lambda m, args, out, name=name: calls.append(
                (name, m.training, torch.is_grad_enabled(), out.shape)))
        for name, module in model.named_modules()
        if isinstance(module, (nn.Conv2d, nn.BatchNorm2d))
    ]
    step()
    for handle in handles:
        handle.remove()
    return calls


def gradients(benchmark, step):
    kept = {}

    def keep():
        kept.update({
            name: p.grad is not None
            for name, p in benchmark.model.named_parameters()
        })

    with replaced(benchmark.optim_wrapper, 'step', keep):
        step()
    return kept


def test_bare_step_runs_the_same_passes(benchmark):
    model = benchmark.model
    for name, iteration in tool.find_stages(model).items():
        benchmark.enter(iteration)
        bare = forwards(model, benchmark.bare)
        assert bare and bare == forwards(model, benchmark.full)
        reached = gradients(benchmark, benchmark.bare)
        head = [
            value for key, value in reached.items()
            if key.startswith('student.semi_heads')
        ]
        # Elsewhere the head's gradient is an exact zero without a backward.
        assert all(head) if name == 'prototypes' else not any(head)
        assert all(value for key, value in reached.items()
                   if key.startswith(('student.backbone', 'student.decode')))
        assert model.iteration == iteration + 1


def test_measuring_leaves_weights_and_model_alone(benchmark):
    before = [p.clone() for p in benchmark.model.student.parameters()]
    benchmark.enter(0)
    attributes = set(vars(benchmark.model))
    with tool.timed(benchmark.model, benchmark.timer):
        runs = benchmark.measure(2)
    assert len(runs['full']) == 2 and 'EMA' in runs['full'][0]
    assert set(vars(benchmark.model)) == attributes
    for old, new in zip(before, benchmark.model.student.parameters()):
        assert torch.equal(old, new)


def test_given_gradient_is_what_arrives():
    value = torch.ones(3, requires_grad=True)
    zero = GivenGradient.apply(value, torch.arange(3.))
    (2 * zero).backward()
    assert zero == 0 and value.grad.tolist() == [0, 2, 4]


def test_timer_counts_inner_phases_once():
    timer = StepTimer(CPU)

    def function():
        time.sleep(.01)
        with timer.phase('outer'):
            time.sleep(.02)
            timer.wrap('inner', time.sleep)(.04)

    seconds = timer.measure(function)
    assert set(seconds) == {'other', 'outer', 'inner'}
    assert .01 <= seconds['other'] and .02 <= seconds['outer']
    assert .04 <= seconds['inner']
    start = time.perf_counter()
    total = sum(timer.measure(function).values())
    assert total <= time.perf_counter() - start


def test_cpu_clock_does_not_count_waiting():
    seconds = StepTimer(CPU, 'cpu').measure(lambda: time.sleep(.05))
    assert seconds['other'] < .04


def test_peak_memory_counts_what_is_alive_at_once():
    mib = torch.zeros(2**18)

    def function():
        for _ in range(3):
            torch.zeros_like(mib) + mib

    assert math.isclose(peak_memory(function, CPU), 2, abs_tol=.01)


def test_summary_pairs_neighbouring_runs():
    times = dict(bare=[1., 10., 100.], full=[1.5, 12., 110.])
    runs = {
        name: [dict(forward=t) for t in times.get(name, [1.] * 3)]
        for name in ('bare', 'full', 'supervised')
    }
    result = summarize(runs)
    assert result['own_share'] == pytest.approx(.2)  # of .5, .2 and .1
    assert result['bare_ms'] == 10_000
    assert result['phases']['forward']['own_share'] == pytest.approx(.2)
    assert result['outside_passes'] == 0

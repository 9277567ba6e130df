# Copyright (c) mmseg_semi authors.
"""tools/misc/wrap_check.py and mmseg_semi.wrapping."""
import json
import logging
import os
import runpy
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MMLogger
from torch import nn

from mmseg_semi.wrapping import (METHODS, NUM_CLASSES, Cell, as_page, as_text,
                                 cell, check_families, checks, families,
                                 find_families, networks, runs)
from mmseg_semi.wrapping.batches import (image_batch, random_labels, sample_of,
                                         train_batch, with_edges)
from mmseg_semi.wrapping.checks import Gap

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools/misc/wrap_check.py'
SEGFORMER = find_families()['segformer']


@pytest.fixture(scope='module')
def main():
    threads = os.environ.get('OMP_NUM_THREADS')
    yield runpy.run_path(str(TOOL))['main']
    if threads:
        os.environ['OMP_NUM_THREADS'] = threads


def made(family='fcn', method='cmb', reason='', **options):
    return Cell(family, method, not reason, reason, 1.5, **options)


class TestFamilies:

    def test_every_folder_has_one_config_that_exists(self):
        root = families.config_root()
        found = find_families()
        assert set(found) == {
            path.name
            for path in root.iterdir() if path.is_dir()
        } - {'_base_'}
        for family, config in found.items():
            assert config.startswith(f'mmseg::{family}/')
            assert Path(families.config_path(config)).is_file()

    @pytest.mark.parametrize('family, start', [
        ('fcn', 'fcn_r18-d8_'),
        ('segformer', 'segformer_mit-b0_'),
        ('hrnet', 'fcn_hr18s_'),
        ('vit', 'vit_deit-s16'),
        ('knet', 'knet-s3_r50'),
        ('pidnet', 'pidnet-s_'),
        ('swin', 'swin-tiny-patch4-window7-in1k'),
        ('fastfcn', 'fastfcn_r50-d32_jpu_enc'),
    ])
    def test_the_smallest_is_chosen(self, family, start):
        assert find_families()[family].split('/')[1].startswith(start)

    def test_order_of_sizes(self):
        names = [
            'x_hr18s_a-512x512.py', 'x_hr18_a-64x64.py', 'x_r50_a-512x512.py',
            'x_r50_a-769x769.py', 'x_r101_a-64x64.py', 'x_tiny_a-64x64.py',
            'x_vit-s16_a-64x64.py', 'x_b0_a-64x64.py', 'x_b5_a-64x64.py',
            'x_large_a-64x64.py'
        ]
        for i in range(len(names)):
            assert families.representative('x', names[i:][::-1]) == names[i]

    def test_an_exception_that_is_gone_is_an_error(self):
        with pytest.raises(FileNotFoundError, match='EXCEPTIONS'):
            families.representative('swin', ['swin_other.py'])


class TestInputs:

    def test_nothing_is_downloaded_and_the_rest_stays(self):
        path = 'mmseg::pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py'
        cfg = networks.small_input(path, 64)
        assert 'Pretrained' not in str(cfg)
        losses = cfg.decode_head.loss_decode
        assert [loss.get('class_weight') for loss in losses] == [None] * 4
        assert [loss.type for loss in losses] == [
            'CrossEntropyLoss', 'OhemCrossEntropy', 'BoundaryLoss',
            'OhemCrossEntropy'
        ]

    def test_position_embeddings_fit_the_input(self):
        assert networks.small_input(find_families()['vit'],
                                    64)['backbone']['img_size'] == (64, 64)
        assert 'img_size' not in networks.small_input(SEGFORMER,
                                                      64).get('backbone', {})

    def test_labels_have_ignored_pixels_and_several_classes(self):
        labels = random_labels(70, torch.Generator().manual_seed(0))
        assert labels.shape == (70, 70) and labels.dtype == torch.long
        assert set(labels[:, :2].unique().tolist()) == {255}
        assert 2 < len(labels[:, 2:].unique()) <= NUM_CLASSES
        assert labels[:, 2:].max() < NUM_CLASSES

    @pytest.mark.parametrize('method', METHODS)
    def test_a_batch_has_the_branches_of_its_method(self, method):
        batch = train_batch(METHODS[method], 32)
        assert set(batch['inputs']) == {'sup', *METHODS[method].branches}
        for branch, images in batch['inputs'].items():
            assert len(images) == len(batch['data_samples'][branch])
            assert all(image.dtype == torch.uint8 for image in images)

    def test_edges_lie_between_classes(self):
        labels = torch.zeros(32, 32).long()
        labels[:, 16:] = 3
        plain = [sample_of(32, gt_sem_seg=labels)]
        edges = with_edges(plain)[0].gt_edge_map.data[0]
        assert edges[:, 15:17].all() and not edges[:, :10].any()
        assert 'gt_edge_map' not in plain[0]


class Head(nn.Module):
    """A network of one learner, as the checks see it."""

    def __init__(self):
        super().__init__()
        self.backbone, self.decode_head = nn.Linear(2, 2), nn.Linear(2, 1)
        self.semi_heads = nn.ModuleDict()

    def forward(self, x):
        return self.decode_head(self.backbone(x)).sum()


@pytest.fixture
def model():
    net, teacher = Head(), Head().requires_grad_(False)
    return SimpleNamespace(
        learners=('student', ),
        student=net,
        teacher=teacher,
        net=lambda name: net)


class TestChecks:
    """Every check passes what is right and stops what is wrong."""

    def test_gradients_of_all(self, model):
        gradients = checks.Gradients(model)
        model.student(torch.ones(1, 2)).backward()
        gradients.check_step()
        gradients.check_reached()

    def test_a_parameter_without_gradient(self, model):
        model.student.extra = nn.Parameter(torch.ones(1))
        model.student(torch.ones(1, 2)).backward()
        with pytest.raises(Gap, match='no gradient for extra of student$'):
            checks.Gradients(model).check_step()
        with pytest.raises(Gap, match='nor in stock training'):
            checks.Gradients(model, ['extra']).check_step()

    def test_a_gradient_that_is_not_finite(self, model):
        model.student(torch.full((1, 2), float('nan'))).backward()
        with pytest.raises(Gap, match='not finite'):
            checks.Gradients(model).check_step()

    def test_a_part_that_is_never_reached(self, model):
        gradients = checks.Gradients(model)
        nn.init.zeros_(model.student.decode_head.weight)
        model.student(torch.ones(1, 2)).backward()
        gradients.check_step()
        with pytest.raises(Gap, match='zero in all steps .*backbone'):
            gradients.check_reached()

    def test_teacher(self, model):
        moves = checks.TeacherMoves(model)
        nn.init.ones_(model.teacher.backbone.weight)
        with pytest.raises(Gap, match='does not move: decode_head'):
            moves.check()
        nn.init.ones_(model.teacher.decode_head.weight)
        moves.check()
        model.teacher.requires_grad_(True)(torch.ones(1, 2)).backward()
        with pytest.raises(Gap, match='gets a gradient'):
            moves.check()

    def test_without_teacher(self, model):
        del model.teacher
        checks.TeacherMoves(model).check()

    def test_losses(self):
        losses = dict(
            loss_sup=torch.ones(()),
            **{'student1.loss_unsup': torch.zeros(())})
        checks.check_losses(losses, ['loss_unsup'])
        with pytest.raises(Gap, match='no loss_proto'):
            checks.check_losses(losses, ['loss_unsup', 'loss_proto'])
        with pytest.raises(Gap, match='no sup'):
            checks.check_losses(losses, ['sup'])
        losses['loss_sup'] /= 0
        with pytest.raises(Gap, match='loss_sup is inf'):
            checks.check_losses(losses, [])

    def test_padding(self):
        checks.check_not_padded(dict(sup=torch.zeros(1, 3, 8, 8)), 8)
        with pytest.raises(Gap, match='8 x 8 to 16 x 16'):
            checks.check_not_padded(dict(sup=torch.zeros(1, 3, 16, 16)), 8)

    def test_outputs(self):
        one = torch.rand(2, 3)
        checks.check_same(one, one.clone())
        with pytest.raises(Gap, match='differ'):
            checks.check_same(one, one + 1e-3)


@pytest.fixture(scope='module')
def segformer():
    from mmengine.registry import DefaultScope
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield cell.build_model(SEGFORMER, METHODS['rc2l'], 64)


class TestModel:

    def test_own_losses(self, segformer):
        data = segformer.data_preprocessor(
            train_batch(METHODS['rc2l'], 64), True)
        state = {k: v.clone() for k, v in segformer.state_dict().items()}
        assert checks.supervised_difference(segformer, data) < 1e-5
        for key, value in segformer.state_dict().items():
            assert torch.equal(value, state[key]), key

    def test_other_losses_are_noticed(self, segformer, monkeypatch):
        data = segformer.data_preprocessor(
            train_batch(METHODS['rc2l'], 64), True)
        own = segformer.student.loss

        def other(*args):
            return {k: v * 1.01 for k, v in own(*args).items()}

        monkeypatch.setattr(segformer.student, 'loss', other)
        with pytest.raises(Gap, match='own losses are .* segmentor.loss'):
            checks.supervised_difference(segformer, data)

    def test_prediction(self, segformer):
        logits = checks.predicted(segformer, image_batch(64), NUM_CLASSES)
        assert logits.shape == (NUM_CLASSES, 64, 64)
        handles = [
            net.decode_head.pixel_embed.register_forward_hook(
                lambda module, args, out: out + torch.rand(()))
            for net in (segformer.student, segformer.teacher)
        ]
        noisy = [
            checks.predicted(segformer, image_batch(64), NUM_CLASSES)
            for _ in range(2)
        ]
        for handle in handles:
            handle.remove()
        assert not torch.equal(noisy[0], logits)
        checks.check_same(*noisy)
        with pytest.raises(Gap, match='logits are'):
            checks.predicted(segformer, image_batch(64), NUM_CLASSES + 1)


def test_errors_become_one_line():
    points = cell.Points()
    with points.point('build'):
        raise ValueError('first\nsecond')
    for step in (1, 2):
        with points.point(f'step {step}'):
            raise Gap('no gradient')
    assert points.reasons == [
        'build: ValueError: first', 'step 1: no gradient'
    ]


@pytest.mark.parametrize('family, error, refused', [
    ('psanet', ImportError('psamask: no compiled operators'), True),
    ('psanet', ImportError('disk full'), False),
    ('fcn', ImportError('psamask: no compiled operators'), False),
])
def test_refusals(monkeypatch, family, error, refused):

    def fails(*args, **kwargs):
        raise error

    logger = MMLogger.get_current_instance()
    level = logger.level
    monkeypatch.setattr(cell, 'build_model', fails)
    monkeypatch.setattr(cell, 'stock_training',
                        lambda config: networks.Stock(64))
    found = cell.check_cell(family, 'mmseg::x', 'cps')
    assert not found.ok and found.refused == refused
    assert found.reason == f'build: ImportError: {error}'
    assert logger.level == level != logging.ERROR


@pytest.mark.parametrize('reasons, tried', [
    ((['gradients: gradient is zero in all steps for x'], []), [0, 1]),
    ((['teacher: the teacher does not move: x'], ) * 3, [0, 1, 2]),
    ((['predict: Error: y'], []), [0]),
    (([], ), [0]),
])
def test_chance_is_given_other_weights(monkeypatch, reasons, tried):
    seeds = []

    def check(config, method, points, seed):
        points.reasons.extend(reasons[len(seeds)])
        seeds.append(seed)

    monkeypatch.setattr(cell, '_check', check)
    found = cell.check_cell('fcn', 'mmseg::x', 'brpg')
    assert seeds == tried
    assert found.reason == '; '.join(reasons[len(tried) - 1])


class TestTool:

    def test_two_families(self, main, capsys):
        status = main([
            '--family', 'segformer', 'erfnet', '--method', 'mean_teacher',
            '--jobs', '2', '--json'
        ])
        out = capsys.readouterr()
        found = json.loads(out.out)
        assert [(c['family'], c['method'], c['ok'], c['reason'])
                for c in found] == [('erfnet', 'mean_teacher', True, ''),
                                    ('segformer', 'mean_teacher', True, '')]
        assert all(c['seconds'] > 0 for c in found)
        assert status == 0
        assert '[2/2]' in out.err and 'segformer mean_teacher' in out.err

    def test_a_config_of_the_user(self, main, capsys, tmp_path):
        path = tmp_path / 'my_model.py'
        path.write_text("_base_ = ['mmseg::_base_/models/erfnet_fcn.py']\n"
                        "data_preprocessor = dict(type='SegDataPreProcessor')")
        assert main(['--config', str(path), '--method', 'cps']) == 0
        assert 'my_model  ok' in capsys.readouterr().out
        other = tmp_path / 'fcn.py'
        other.write_text(path.read_text())
        with pytest.raises(SystemExit):
            main(['--config', str(other)])
        assert 'another row fcn, rename' in capsys.readouterr().err

    @pytest.mark.parametrize('arguments, known',
                             [(['--family', 'fcm'], 'fastscnn fcn gcnet'),
                              (['--config', 'no.py'], 'no.py does not exist'),
                              (['--method', 'BRPG'], 'brpg pcr cmb'),
                              (['--rows', 'no.json'], 'no.json')])
    def test_misuse(self, main, capsys, arguments, known):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 2
        assert known in capsys.readouterr().err

    @pytest.mark.parametrize('options, status',
                             [({}, 0), (dict(reason='x', refused=True), 0),
                              (dict(reason='x'), 1)])
    def test_earlier_rows(self, main, capsys, tmp_path, options, status):
        """Cells of a file are printed and written, not checked again."""
        rows = tmp_path / 'rows.json'
        rows.write_text(json.dumps([made(**options).as_dict()]))
        page = tmp_path / 'models.md'
        arguments = ['--family', 'fcn', '--method', 'cmb', '--rows']
        assert main([*arguments, str(rows), '--write', str(page)]) == status
        verdict = 'ok' if not options else 'refused' if status == 0 else 'gap'
        assert f'fcn     {verdict} 1.5' in capsys.readouterr().out
        assert f'| fcn | {verdict} 1.5 |' in page.read_text()


def _dies(family, config, method):
    if method == 'cps':
        os._exit(3)
    time.sleep(.01)
    return made(family, method)


@pytest.mark.skipif(runs.START != 'fork', reason='patches what is forked')
def test_a_process_that_dies_takes_its_own_cells_only(monkeypatch):
    monkeypatch.setattr(runs, 'check_cell', _dies)
    methods = dict(a=['cmb', 'cps', 'rc2l'], b=['cmb'], c=[])
    seen = []
    found = check_families(
        dict.fromkeys('abc', 'x'), methods, jobs=2, report=seen.append)
    assert [(c.family, c.method, c.ok)
            for c in found] == [('a', 'cmb', True), ('a', 'cps', False),
                                ('a', 'rc2l', False), ('b', 'cmb', True)]
    assert found[1].reason == ('process: ended with exit code 3 in this cell '
                               'or before')
    assert sorted(c.method for c in seen) == ['cmb', 'cmb', 'cps', 'rc2l']


def test_text_and_page():
    cells = [
        made('ann', 'cmb', difference=1e-7),
        made('ann', 'cps', difference=2e-7),
        made('psanet', 'cmb', 'build: <x>', refused=True),
        made('psanet', 'cps', 'build: <x>', refused=True),
    ]
    text = as_text(cells)
    assert text.splitlines()[:3] == [
        'family  cmb          cps', 'ann     ok 1.5       ok 1.5',
        'psanet  refused 1.5  refused 1.5'
    ]
    assert 'psanet (cmb, cps): refused: build: <x>' in text
    assert '4 cells: 2 ok, 2 refused, 0 with a gap; 6 s' in text
    assert 'in 2 cells: largest difference 2e-07' in text
    page = as_page(cells, dict(ann='mmseg::ann/a.py'), (64, 256), 5)
    assert '| psanet | refused 1.5 | refused 1.5 |' in page
    assert '- psanet (cmb, cps): refused: build: \\<x\\>' in page
    assert '- ann: `mmseg::ann/a.py`' in page
    assert f'torch {torch.__version__}' in page

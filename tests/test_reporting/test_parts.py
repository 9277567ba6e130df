# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
import torch

from mmseg_semi.benchmarking.curves import TrackError
from mmseg_semi.evaluation import PerImageAreas
from mmseg_semi.reporting.curves import (curve_groups, published_groups,
                                         read_others)
from mmseg_semi.reporting.differences import config_differences
from mmseg_semi.reporting.gate import read_gate
from mmseg_semi.reporting.pictures import choose, image_miou
from mmseg_semi.reporting.predictions import (Predictions, as_photo,
                                              pixel_confidence)
from mmseg_semi.reporting.runs import Run
from mmseg_semi.reporting.scores import class_tables, confusion, score
from .given import GATE, work_dir


class TestDifferences:

    def test_parts_are_compared_and_named(self):
        one = dict(
            model=dict(type='A', depth=18),
            train_dataloader=dict(dataset=dict(unlabeled=dict(a=1, b=2))),
            val_cfg=dict(pipeline=[dict(
                type='L'), dict(crop=32)]))
        other = dict(
            model=dict(type='A', depth=50),
            train_dataloader=dict(dataset=dict(unlabeled=None)),
            val_cfg=dict(pipeline=[dict(
                type='L'), dict(crop=64)]))
        assert config_differences([one, other]) == [
            ('model.depth', ['18', '50']),
            ('train_dataloader.dataset.unlabeled',
             ["{'a': 1, 'b': 2}", 'None']),
            ('val_cfg.pipeline[1].crop', ['32', '64'])
        ]

    def test_equal_configs_and_helpers_have_none(self):
        one, other = dict(model=dict(a=1), crop=3), dict(model=dict(a=1))
        assert config_differences([one, other]) == []
        assert config_differences([one]) == []

    def test_what_one_has_not_and_what_is_long(self):
        (name, values), = config_differences(
            [dict(model=dict(a=list(range(999)))),
             dict(model=dict())])
        assert name == 'model.a' and values[1] == 'not set'
        assert len(values[0]) == 160 and values[0].endswith('…')

    def test_one_and_true_differ(self):
        assert config_differences([dict(model=1), dict(model=True)])


class TestCurves:

    def run_of(self, **log):
        return Run(
            'run',
            None,
            log={k: (np.array([1, 2]), np.array([1., 2.]))
                 for k in log})

    def test_groups(self):
        names = ('iter', 'mIoU', 'loss', 'decode.loss_ce', 'lr', 'pseudo/x',
                 'time')
        groups = curve_groups([self.run_of(**dict.fromkeys(names))])
        assert {
            g.title: [c.title for c in g.charts]
            for g in groups
        } == dict(
            scores=['mIoU'],
            losses=['loss', 'decode.loss_ce'],
            rates=['lr'],
            health=['pseudo/x'],
            other=['time'])

    def test_a_name_for_each_of_many_classes_is_folded_and_cut(self):
        names = [f'pseudo/class_{i:03d}' for i in range(70)]
        group, = curve_groups([self.run_of(**dict.fromkeys(names))])
        assert (len(group.charts), len(group.more)) == (9, 51)
        assert group.left_out == names[60:]

    def test_others(self, tmp_path):
        folder = work_dir(tmp_path / 'old', weights=False)
        others = read_others([folder, 'unimatch_xception65_coco_925'])
        assert [name for name, _ in others.earlier] == ['old']
        group, = published_groups([], others.published)
        assert [c.title.split(',')[0] for c in group.charts
                ] == ['mIoU in %', 'loss', 'kept share of pseudo-labels']
        run = self.run_of(loss=0)
        charts = curve_groups([run], others.earlier)[0].charts
        assert 'class="earlier"' in charts[0].svg

    @pytest.mark.parametrize('name, text', [
        ('unimatch', 'Name one: unimatch'),
        ('unimatch_xception65_coco_92', 'Nearest recipes: unimatch_xcep'),
        ('', 'holds no log'),
    ])
    def test_others_that_are_not_there(self, tmp_path, name, text):
        with pytest.raises(TrackError, match=text):
            read_others([name or str(tmp_path)])

    def test_a_run_of_another_recipe_has_no_published_curves(self, tmp_path):
        work_dir(tmp_path / 'run', weights=False)
        assert published_groups([Run('run', tmp_path / 'run')], []) == []


class TestGate:

    def test_rows_and_lines(self):
        gate = read_gate('run', GATE)
        assert gate.thresholds == ['0.5', '0.7', '0.9', '0.95']
        assert gate.kept == [.9, .8, .5, .2]
        assert dict(gate.rows)['kind 1'][3] is None
        assert '12 held-out labelled images' in gate.lines[0]
        assert 'Suggested threshold 0.95' in gate.lines[1]
        assert [name for _, name in gate.legend
                ] == ['kept', 'kind 1', 'kind 2', 'kind 0']

    def test_a_class_named_kept(self):
        precision = {'kept': [.1, .2, .3, .4]}
        gate = read_gate('run', dict(GATE, precision=precision))
        assert gate.rows == list(precision.items())
        assert gate.kept == [.9, .8, .5, .2]

    @pytest.mark.parametrize('change', [
        dict(kept=[1.]),
        dict(threshold=.3),
        dict(thresholds=None),
        dict(precision=[1]),
        dict(precision={'a': ['x'] * 4})
    ])
    def test_another_form_is_refused(self, change):
        with pytest.raises(ValueError, match='"gate" of its record'):
            read_gate('run', dict(GATE, **change))


class TestScores:
    areas = PerImageAreas(
        np.array(['a', 'b']), np.array([[8, 0, 0], [2, 1, 0]]),
        np.array([[10, 4, 0], [10, 4, 0]]))

    def test_classes_side_by_side(self):
        meta = dict(classes=['x', 'y', 'z'], palette=[[1, 2, 3]])
        scored = score(self.areas, meta)
        assert scored.miou.value == pytest.approx((50 + 12.5) / 2)
        runs = [Run('one', None), Run('two', None), Run('three', None)]
        (rows, lowest), = class_tables(runs, [scored, None, scored])
        assert [row.name for row in rows] == ['x', 'y', 'z']
        assert [entry[:2] for entry in rows[0].entries] == [('c0', 'one'),
                                                            ('c2', 'three')]
        assert rows[0].colour == 'rgb(1,2,3)' and rows[2].entries[0][2] is None
        assert lowest == []

    def test_many_classes_show_the_lowest(self):
        hits = np.arange(150)[None].repeat(2, 0)
        areas = PerImageAreas(self.areas.ids, hits, np.full((2, 150), 150))
        scored = score(areas, dict(classes=map(str, range(150))))
        (rows, lowest), = class_tables([Run('one', None)], [scored])
        assert len(rows) == 150
        assert [row.name for row in lowest] == list(map(str, range(15)))

    def test_scores_of_other_classes_are_refused(self):
        with pytest.raises(ValueError, match='of 3 classes, but .* 2'):
            score(self.areas, dict(classes=['x', 'y']))

    def test_confusion(self):
        found = Predictions(
            np.arange(2), 2, self.areas,
            np.array([[90, 10, 0], [3, 1, 0], [0, 0, 0]]), np.ones(2))
        content = confusion(found, ['x', 'y', 'z'], 'run')
        assert '>90<' in content['svg'] and '>75<' in content['svg']
        assert content['pairs'] == [('x', 'y', 10., 100 * 10 / 104),
                                    ('y', 'x', 75., 100 * 3 / 104)]


class TestPictures:

    def test_the_worst_and_then_the_least_sure_others(self):
        hits = np.arange(10)[:, None]
        union = np.full((10, 1), 10)
        union[0] = 0  # nothing in label and prediction
        areas = PerImageAreas(np.arange(10).astype(str), hits, union)
        assert image_miou(areas)[3] == 30 and np.isnan(image_miou(areas)[0])
        confidence = np.array([.9, .1, .9, .9, .9, .9, .2, .9, .3, .4])
        found = Predictions(np.arange(10), 10, areas, None, confidence)
        assert choose(found) == [(i, 'worst') for i in (1, 2, 3, 4)
                                 ] + [(i, 'least sure') for i in (6, 8, 9, 0)]

    def test_confidence_of_logits_shares_and_one_channel(self):
        logits = torch.tensor([2., -1., 0.])
        expected = logits.softmax(0).max()
        found = pixel_confidence(logits.view(3, 1, 1))
        assert found.item() == pytest.approx(expected.item())
        shares = torch.tensor([.6, .2]).view(2, 1, 1)
        assert pixel_confidence(shares).item() == pytest.approx(.75)
        for value in (-2., 2.):
            found = pixel_confidence(torch.tensor(value).view(1, 1, 1))
            assert found.item() == pytest.approx(.8808, abs=1e-4)

    def test_photos_of_any_bands(self):
        image = torch.tensor([0., 100., 255.]).view(3, 1, 1)
        assert as_photo(image).ravel().tolist() == [255, 100, 0]
        bands = torch.linspace(0, 60000, 16).view(4, 2, 2)
        found = as_photo(bands)
        assert found.shape == (2, 2, 3) and np.ptp(found) > 200
        assert (found[..., :1] == found).all()

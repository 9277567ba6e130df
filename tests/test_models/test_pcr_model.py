# Copyright (c) mmseg_semi authors.
"""PCR inside a Mean Teacher, with a tiny real network."""
import copy
import io

import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch.nn import functional as F

from mmseg_semi.models.regularizers import pcr
from mmseg_semi.models.step import Out
from .given_pcr import Z, head_of, pcr_model
from .test_brpg_model import train
from .toys import NUM_CLASSES, batch, segmentor, total


class TestStages:

    def test_passes_that_read_features(self):
        for first, window in ((0, (3, 5)), (4, (0, 2))):
            model = pcr_model(dict(window=window))
            model.iteration = first
            step = model.begin(*batch())
            reads = {
                item.role: 'pcr' in item.features
                for item in model.schedule(step)
            }
            assert reads['learner'] == (first == 4)
            assert not reads.get('labeler') and not reads['statistics']

    def test_training_goes_through_them(self):
        model = pcr_model()
        names = []
        for it in range(4):
            names.append(set(train(model, 1, first=it)))
            assert model.terms.pcr.bank.allocated == (it < 2)
        assert 'loss_proto_unsup' not in names[1]
        assert {'loss_proto', 'loss_proto_unsup', 'loss_unsup'} <= names[2]
        assert head_of(model).prototype_valid.all()
        for name in ('prototypes', 'prototype_valid'):  # copied to the teacher
            assert torch.equal(
                getattr(head_of(model), name),
                getattr(head_of(model, 'teacher'), name))

    @pytest.mark.parametrize('steps, pcr', [(1, {}), (3, {}),
                                            (3, dict(begin=5)),
                                            (6, dict(begin=5))])
    def test_resume(self, steps, pcr):
        """T12: while sampling or waiting, and after clustering."""
        model = pcr_model(pcr)
        train(model, steps)
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        other = pcr_model(pcr)
        train(other, 1)
        other.load_state_dict(torch.load(file, weights_only=True))
        for it in range(steps, steps + 3):
            ours, theirs = (train(m, 1, first=it) for m in (model, other))
            assert ours.keys() == theirs.keys()
            for name in ours:
                assert torch.equal(ours[name], theirs[name]), (it, name)
        for (name, a), b in zip(model.state_dict().items(),
                                other.state_dict().values()):
            assert torch.equal(a, b), name


def test_every_step_draws_new_pixels_once(monkeypatch):
    """T13: views of equal size share a draw."""
    draws, original = [], pcr.jittered_positions

    def record(*args):
        draws.append(original(*args))
        return draws[-1]

    monkeypatch.setattr(pcr, 'jittered_positions', record)
    train(pcr_model(), 4)
    assert len(draws) == 4
    for i, one in enumerate(draws):
        for other in draws[:i]:
            assert not torch.equal(one[0], other[0])
            assert not torch.equal(one[1], other[1])


class TestPrototypesOnly:
    """Table 4, 2."""

    def model(self, **kwargs):
        model = pcr_model(
            burn_in=3,
            label_head='pcr',
            predict_head='pcr',
            terms=dict(
                supervised=dict(
                    type='SupervisedLoss',
                    criterion=[dict(type='cross_entropy')],
                    until=2)),
            **kwargs)
        del model.terms['consistency']
        return model

    def test_the_teachers_prototypes_label(self):
        model = self.model()
        train(model, 3)
        inputs, samples = batch(seed=3, padding=4)
        kept = {}
        make = model.make_labels

        def keep(step, done):
            make(step, done)
            kept['step'] = step

        model.make_labels = keep
        model.mixer = None
        net = copy.deepcopy(model.teacher)  # the step changes its statistics
        model.loss(inputs, samples)
        labels = kept['step'].labels['student', 'unsup_student']
        with torch.no_grad(), net.taps.capture(['decoder'],
                                               grad=False) as tapped:
            net.decode_head(net.extract_feat(inputs['unsup_teacher']))
        z = tapped['decoder']
        cosine = torch.cosine_similarity(
            z[:, None, None],
            head_of(model, 'teacher').prototypes[None, ..., None, None],
            dim=3)
        scores = F.interpolate(
            cosine.amax(2) / .1, (33, 33), mode='bilinear', align_corners=True)
        conf, cls = scores.softmax(1).max(1)
        cls[:, :, -4:], conf[:, :, -4:] = 255, 0
        assert (labels['cls'] == cls).float().mean() > .999
        torch.testing.assert_close(labels['conf'], conf, rtol=0, atol=1e-4)

    def test_the_linear_classifier_learns_nothing(self):
        model = self.model()
        train(model, 3)
        model.zero_grad()
        losses = model.loss(*batch(seed=3))
        assert losses['loss_sup'] == 0 and losses['loss_proto_unsup'] > 0
        total(losses).backward()
        grads = {n: p.grad for n, p in model.student.named_parameters()}
        assert all(g is not None for g in grads.values())  # DDP
        assert not grads['decode_head.conv_seg.weight'].any()
        assert grads['decode_head.low_conv.conv.weight'].any()
        assert grads['backbone.conv1.weight'].any()

    def test_prototypes_must_come_before_the_labels(self):
        model = self.model()
        model.burn_in = 2
        with pytest.raises(RuntimeError, match='burn_in'):
            train(model, 3)

    def test_unknown_head(self):
        with pytest.raises(ValueError, match="'proto'.*pcr"):
            pcr_model(label_head='proto')


def test_averaged_prototypes():
    """As if they were parameters; the direction is what counts."""
    model = pcr_model(dict(average_prototypes=True, momentum=.5))
    train(model, 4)
    first = head_of(model, 'teacher').prototypes.clone()
    assert not torch.equal(first, head_of(model).prototypes)
    assert not head_of(model).prototypes.requires_grad
    train(model, 1, first=4)
    # The third averaging update (0, 1, 2): 2/3 of the old.
    torch.testing.assert_close(
        head_of(model, 'teacher').prototypes,
        2 / 3 * first + 1 / 3 * head_of(model).prototypes)
    assert set(model.state_dict()) == set(pcr_model().state_dict())


def test_two_classes():
    net = segmentor()
    net['decode_head'].update(num_classes=2, out_channels=2)
    model = pcr_model(segmentor=net)

    def halved(seed):
        inputs, samples = batch(seed=seed)
        for sample in samples['sup']:
            data = sample.gt_sem_seg.data
            data[data != 255] //= 2
        return inputs, samples

    for seed in range(4):
        losses = model.loss(*halved(seed))
        total(losses).backward()
        model.update_teacher()
    assert losses['loss_proto'] > 0 and losses['loss_proto_unsup'].isfinite()
    assert head_of(model).prototypes.shape == (2, 2, Z)
    model.predict_head = 'pcr'
    result = model.eval().predict(
        torch.randn(1, 3, 33, 33),
        batch()[1]['sup'][:1])[0]
    assert result.seg_logits.data.shape[0] == 2


@pytest.mark.parametrize('number', [1, 8])
def test_one_prototype_or_many(number):
    """Fig. 3."""
    model = pcr_model(dict(num_prototypes=number, threshold=0.))
    losses = train(model, 4)
    head = head_of(model)
    assert head.prototypes.shape == (NUM_CLASSES, number, Z)
    assert head.prototype_valid.any()
    for name in ('loss_proto', 'loss_proto_unsup'):
        assert losses[name].isfinite() and losses[name] > 0


def test_pixels_that_cutout_removed():
    """They have no label: no part in the loss, and they move nothing."""
    model = pcr_model(
        dict(cells=None, threshold=0.), mixing=dict(kind='cutout', prob=1.))
    train(model, 3)
    term = model.terms.pcr
    samples = []
    after = term.update_after
    term.update_after = lambda step: samples.append(
        (term.samples.target, step)) or after(step)
    model.loss(*batch(seed=3))
    target, step = samples[0]
    unlabeled = target[step.views['sup'].labels.numel():].view(-1, 33, 33)
    removed = (step.views['unsup_student'].image
               != step.originals['unsup_student'].image).any(1)
    assert removed.flatten(1).any(1).all() and not removed.all()
    assert (unlabeled[removed] == 255).all()
    assert (unlabeled[~removed] != 255).any()


@pytest.mark.parametrize('tap, width', [('pre_cls', 8), ('decoder', 16)])
def test_another_feature(tap, width):
    """Spec P10-6: `head.tap` and `head.in_channels` name it."""
    head = dict(tap=tap, in_channels=width)
    losses = train(pcr_model(dict(head=head)), 4)
    assert losses['loss_proto'] > 0
    with pytest.raises(
            ValueError, match=f'in_channels=5.*{tap}.* {width} channels'):
        pcr_model(dict(head=dict(tap=tap, in_channels=5)))
    derived = pcr_model(dict(head=dict(tap=tap)))
    assert derived.terms['pcr'].head.in_channels == width


def test_the_mixed_view_is_measured_when_wanted():
    model = pcr_model(
        dict(entropy_start=50., entropy_view='mixed'), buffers='copy')
    model.iteration = 2
    step = model.begin(*batch())
    names = {n for p in model.schedule(step) for n in (p.name, *p.aliases)}
    assert 'statistics' in names
    model.iteration = 0
    assert train(model, 4)['loss_proto_unsup'].isfinite()


def test_features_of_a_stock_head():
    model = pcr_model(
        dict(head=dict(in_channels=8)), segmentor=segmentor('fcn'))
    losses = train(model, 4)
    assert losses['loss_proto_unsup'] >= 0 and losses['loss_proto'] > 0


@pytest.mark.parametrize('full', [False, True])
def test_prediction_and_labels_share_a_definition(full):
    """Both at the stride of the features, or both at full resolution."""
    model = pcr_model(
        dict(head=dict(in_channels=Z, full_resolution=full)),
        predict_head='pcr')
    train(model, 4)
    model.eval()
    image = torch.randn(1, 3, 33, 33)
    head = head_of(model, 'teacher')
    net = model.teacher
    with torch.no_grad(), net.taps.capture(['decoder'], grad=False) as tapped:
        net.decode_head(net.extract_feat(image))
    z = tapped['decoder']

    def enlarged(maps):
        return F.interpolate(
            maps, (33, 33), mode='bilinear', align_corners=True)

    expected = head(enlarged(z)) if full else enlarged(head(z))
    with torch.no_grad():
        predicted = model.encode_decode(image, [dict(img_shape=(33, 33))])
    out = Out(
        logits=z,
        features=dict(pcr=z),
        aux=[],
        align_corners=True,
        heads=net.semi_heads)
    for logits in (predicted, out.scored_by('pcr').at((33, 33))):
        torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


def test_the_wrapper_builds_as_stock_tools_do():
    model = pcr_model()
    with DefaultScope.overwrite_default_scope('mmseg'):
        again = MODELS.build(
            dict(
                type='MeanTeacher',
                segmentor=segmentor(),
                terms=dict(
                    pcr=dict(
                        type='PCR',
                        head=dict(in_channels=Z),
                        num_prototypes=2,
                        capacity=100,
                        window=(0, 2)))))
    keys = {k for k in model.state_dict() if 'pcr' in k}
    assert keys == {k for k in again.state_dict() if 'pcr' in k}
    assert copy.deepcopy(again).terms.pcr.stages() == dict(
        before=0, sampling=0, prototypes=2)

# Copyright (c) mmseg_semi authors.
"""Pseudo-labels by way of prediction are those of the training."""
import pytest
import torch
from mmseg.registry import MODELS

from mmseg_semi.models.confidence import predicted_confidence
from mmseg_semi.models.step import Pass
from .given_families import fcn
from .test_mask_model import masks
from .toys import batch, mean_teacher, mean_teacher_cfg, sample, segmentor

SIGMOID = dict(num_classes=2, out_channels=1, threshold=.4)


def spread(net):
    """Scores far enough apart for confidences that differ."""
    factor = 1.5 if hasattr(net.decode_head, 'num_queries') else 4
    with torch.no_grad():
        for name, p in net.decode_head.named_parameters():
            if 'bn' not in name and 'norm' not in name:
                p.mul_(factor)


def predicted(model, images):
    samples = [sample() for _ in images]
    with torch.no_grad(), model.predicting_with(*model.labeler):
        found = model.predict(images, samples)
        return [
            torch.stack(maps)
            for maps in zip(*(predicted_confidence(model, item)
                              for item in found))
        ]


def labelled(model, inputs, samples):
    step = model.begin(inputs, samples)
    view, (net, head) = step.views['unsup_teacher'], model.labeler
    features = frozenset(filter(None, [head]))
    item = Pass('x', net, ('unsup_teacher', ), train=False, features=features)
    out, = model.adapter.forward(model.net(net), [view], item)
    return model.pseudo_labels(out.scored_by(head) if head else out, view)


@pytest.mark.parametrize(
    'net', [
        segmentor(),
        segmentor(
            decode_head=fcn(
                **SIGMOID,
                loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True))),
        masks(),
    ],
    ids=['dense', 'sigmoid', 'queries'])
def test_same_classes_and_confidences_as_pseudo_labels(net):
    model = mean_teacher(segmentor=net).eval()
    spread(model.teacher)  # not the student's: the teacher labels
    inputs, samples = batch()
    if 'out_channels' in net['decode_head']:
        for item in samples['sup']:
            item.gt_sem_seg.data %= 2
    wanted = labelled(model, inputs, samples)
    label, confidence = predicted(model, inputs['unsup_teacher'])
    assert label.dtype == torch.long and confidence.dtype == torch.float32
    sure = wanted['conf'] > 1e-6  # below it the logarithm of scores ends
    assert sure.float().mean() > .9
    assert torch.equal(label[sure], wanted['cls'][sure])
    torch.testing.assert_close(confidence, wanted['conf'], atol=1e-5, rtol=0)
    assert confidence.std() > 1e-3
    assert model.predict_with == 'teacher' and model.predict_head is None


def test_who_labels():
    assert mean_teacher(predict_with='student').labeler == ('teacher', None)

    def framework(kind, **kwargs):
        weak = dict(type='PixelConsistency', entropy_view='weak')
        cfg = mean_teacher_cfg(terms=dict(consistency=weak), **kwargs)
        return MODELS.build(dict(cfg, type=kind, mixing=None))

    assert framework('FixMatch').labeler == ('student', None)
    assert framework('CrossPseudo').labeler == ('student2', None)
    other = framework('CrossPseudo', predict_with='student2')
    assert other.labeler == ('student1', None)


@pytest.mark.parametrize('term, threshold', [
    (dict(filter='confidence', threshold=.9), .9),
    (dict(filter='both', threshold=.6), .6),
    (dict(filter='entropy', threshold=.6), None),
    (dict(filter='none'), None),
])
def test_threshold_of_a_training(term, threshold):
    terms = dict(consistency=dict(type='PixelConsistency', **term))
    assert mean_teacher(terms=terms).confidence_threshold == threshold


def test_the_network_comes_back_after_an_error():
    model = mean_teacher()
    with pytest.raises(RuntimeError), model.predicting_with('student', 'x'):
        assert model.predictor is model.student
        raise RuntimeError
    assert (model.predict_with, model.predict_head) == ('teacher', None)

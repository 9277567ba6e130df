# Copyright (c) mmseg_semi authors.
import pytest
import torch
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch.nn import functional as F

from mmseg_semi.analysis import FeatureReader, open_space, prototype_heads
from mmseg_semi.analysis import prototypes as module
from ..test_models.test_pps_model import pps_model, prototypes
from ..test_models.toys import NUM_CLASSES, SIZE, brpg_cfg, mean_teacher


def image(seed=0):
    return torch.randn(
        1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def brpg_model(filled=True):
    """The model, and the head that predicts; some places stay empty."""
    model = mean_teacher(terms=dict(brpg=brpg_cfg())).eval()
    head = model.teacher.semi_heads['brpg']
    if filled:
        generator = torch.Generator().manual_seed(1)
        shape = head.prototypes.shape
        valid = torch.ones(shape[:2], dtype=torch.bool)
        valid[1, 0], valid[3] = False, False
        head.set_prototypes(torch.randn(shape, generator=generator), valid)
    return model, head


@pytest.mark.parametrize('full_resolution', [False, True])
def test_stored_prototypes_are_cosines(full_resolution, monkeypatch):
    monkeypatch.setattr(module, 'PIXELS', 3 * SIZE)  # three rows at once
    model, head = brpg_model()
    head.full_resolution = full_resolution
    found = open_space(model).activation(image())
    with torch.no_grad():
        features = head.features(FeatureReader(model)(image()))
    if full_resolution:
        features = F.interpolate(
            features, (SIZE, SIZE),
            mode='bilinear',
            align_corners=head.align_corners)
    number = head.prototypes.shape[1]
    places = head.prototype_valid.nonzero().tolist()
    assert found.index.tolist() == [c * number + k for c, k in places]
    assert found.classes.tolist() == [c for c, _ in places]
    expected = torch.stack([
        F.cosine_similarity(
            features[0], head.prototypes[c, k][:, None, None], dim=0)
        for c, k in places
    ])
    assert found.maps.shape[1:] == features.shape[2:]
    torch.testing.assert_close(found.maps, expected, rtol=0, atol=1e-5)
    assert torch.equal(found.best, found.maps.argmax(0))


def test_vectors_of_stored_prototypes():
    model, head = brpg_model()
    found = open_space(model, 'brpg').prototypes()
    assert torch.equal(found.vectors, head.prototypes[head.prototype_valid])
    assert found.classes.tolist() == head.prototype_valid.nonzero()[:,
                                                                    0].tolist(
                                                                    )


def test_queries_are_prototypes_of_fixed_classes():
    model = pps_model().eval()
    head = model.student1.decode_head
    space = open_space(model)
    assert (space.feature, space.network) == ('decode_head', 'student1')
    embeds = []
    for seed in range(2):
        with torch.no_grad():
            queries = head(model.student1.extract_feat(image(seed)))
        embeds.append(queries.mask_embed[-1][0])
        features = space.features(image(seed))
        torch.testing.assert_close(features, queries.pixel_embed)
    found = space.activation(image(1))
    expected = torch.einsum('qd,dhw->qhw', embeds[1], features[0])
    torch.testing.assert_close(found.maps, expected)
    assert found.classes.tolist() == [c for c in range(4) for _ in range(3)]
    vectors, classes, index = space.prototypes()
    torch.testing.assert_close(vectors, (embeds[0] + embeds[1]) / 2)
    assert torch.equal(classes, found.classes)
    assert index.tolist() == list(range(12))


def test_queries_with_a_class_head_name_their_class():
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        net = MODELS.build(prototypes(class_head=True)).eval()
    space = open_space(net)
    found = space.activation(image())
    with torch.no_grad():
        queries = net.decode_head(net.extract_feat(image()))
    chances = queries.class_logits[-1][0].softmax(-1)
    assert torch.equal(found.classes, chances.argmax(-1))
    weight = chances[:, :NUM_CLASSES].amax(-1)
    expected = (weight[:, None, None] * found.maps.sigmoid()).argmax(0)
    assert torch.equal(found.best, expected)
    space.features(image())
    assert len(space.prototypes().vectors) == 0


def test_memory_of_cmb():
    cmb = dict(
        type='CMB',
        head=dict(in_channels=8, channels=6),
        rows_per_image=2,
        capacity=9)
    model = mean_teacher(terms=dict(cmb=cmb)).eval()
    bank = model.terms['cmb'].bank
    bank.allocate()
    rows = torch.arange(30.).view(5, 6)
    bank.push(rows, torch.tensor([2, 0, 2, 2, 0]), torch.ones(5))
    space = open_space(model)
    space.newest = 2
    vectors, classes, index = space.prototypes()
    assert torch.equal(vectors, rows[[4, 1, 3, 2]])
    assert classes.tolist() == [0, 0, 2, 2]
    assert index.tolist() == [0, 1, 4, 5]
    features = space.features(image()).permute(0, 2, 3, 1).flatten(0, 2)
    head = model.teacher.semi_heads['cmb']
    keep = torch.ones(len(features), dtype=torch.bool)
    torch.testing.assert_close(
        space.comparable(features),
        head.projections(features, keep).detach())
    with pytest.raises(TypeError, match='CMB keeps a memory'):
        space.activation(image())


def test_models_without_prototypes():
    model = mean_teacher().eval()
    space = open_space(model)
    assert prototype_heads(model) == {} and space.feature == 'decoder'
    assert len(space.prototypes().vectors) == 0
    with pytest.raises(
            TypeError, match=r'PixelConsistency, SupervisedLoss\) has no '):
        space.activation(image())


def test_other_features_of_a_model_with_prototypes():
    model, _ = brpg_model()
    space = open_space(model, 'pre_cls')
    assert len(space.prototypes().vectors) == 0
    with pytest.raises(TypeError, match=r"use one of the heads \['brpg'\]"):
        space.activation(image())


def test_prototypes_that_are_not_there_yet():
    space = open_space(brpg_model(filled=False)[0])
    assert len(space.prototypes().vectors) == 0
    with pytest.raises(ValueError, match='holds no prototypes yet'):
        space.activation(image())


def test_several_heads_must_be_told_apart():
    model = mean_teacher(
        segmentor=prototypes(),
        terms=dict(brpg=brpg_cfg(head=dict(in_channels=8)))).eval()
    with pytest.raises(ValueError, match=r"\['decode_head', 'brpg'\]"):
        open_space(model)
    assert open_space(model, 'decode_head').head is model.teacher.decode_head

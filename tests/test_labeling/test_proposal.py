# Copyright (c) mmseg_semi authors.
import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_semi.datasets.splits import read_list
from mmseg_semi.labeling import propose, write_proposal
from mmseg_semi.labeling.choosing import CRITERIA
from mmseg_semi.labeling.features import PooledFeatures, pooled_features
from ..test_importing.helpers import add_photos
from ..test_models.toys import mean_teacher_cfg
from .given import loaded, project


@pytest.fixture
def given(tmp_path):
    return loaded(project(tmp_path, free=6), keep_suffix=True)


@pytest.mark.parametrize('by', CRITERIA)
def test_the_same_images_every_time(given, by, tmp_path):
    predictor, pool = given
    first, again = (propose(predictor, pool, 3, by) for _ in range(2))
    assert first == again
    names = [one.name for one in first.images]
    assert len(set(names)) == 3
    assert all(one.reason for one in first.images)
    assert (first.images[0].distance is None) == (
        by in ('uncertainty', 'balance'))


def test_the_least_sure_first(given):
    predictor, pool = given
    found = propose(predictor, pool, 6, 'uncertainty')
    unsure = {
        pool.list_entry(source): 1 - predictor(source.path).confidence.mean()
        for source in pool.sources
    }
    assert [one.name for one in found.images] == sorted(
        unsure, key=lambda n: -unsure[n])
    for one in found.images:
        assert one.uncertainty == pytest.approx(unsure[one.name], abs=1e-5)
    assert 'number 1 of 6' in found.images[0].reason


def test_diversity_goes_by_the_encoder(given):
    """The mean over the positions of the last stage, of length 1."""
    predictor, pool = given
    last = []
    hook = predictor.model.backbone.register_forward_hook(
        lambda module, inputs, output: last.append(output[-1]))

    def feature(path):
        predictor(path)
        mean = last.pop().double().mean((0, 2, 3)).numpy()
        return mean / np.linalg.norm(mean)

    known = np.stack([feature(path) for path in pool.labelled])
    gaps = [
        np.linalg.norm(known - feature(source.path), axis=1).min()
        for source in pool.sources
    ]
    hook.remove()
    (found, ) = propose(predictor, pool, 1, 'diversity').images
    assert found.name == pool.list_entry(pool.sources[int(np.argmax(gaps))])
    assert found.distance == pytest.approx(max(gaps), abs=1e-5)
    assert not predictor.model.backbone._forward_hooks


@pytest.mark.parametrize('network', ['student', 'teacher'])
def test_the_encoder_is_that_of_the_network_that_predicts(network, tmp_path):
    predictor, pool = loaded(
        project(tmp_path, free=1), make=mean_teacher_cfg, network=network)
    with pooled_features(predictor.model) as pooled:
        hooked = [
            name for name in ('student', 'teacher')
            if predictor.model.net(name).backbone._forward_hooks
        ]
        predictor(pool.sources[0].path)
        assert pooled.take().shape == (32, )
    assert hooked == [network]
    assert len(propose(predictor, pool, 1).images) == 1


def test_balance_goes_by_the_labels(given):
    """The class that no label has, petal, counts most."""
    predictor, pool = given
    (found, ) = propose(predictor, pool, 1, 'balance').images
    shares = [(predictor(s.path).classes == 3).mean() for s in pool.sources]
    if max(shares):
        assert found.name == pool.list_entry(pool.sources[int(
            np.argmax(shares))])
        assert "is 'petal' (of the labels 0.1%)" in found.reason


def test_features_of_other_backbones():
    pooled = PooledFeatures()
    tokens = torch.tensor([[[3., 0.], [0., 4.]]])
    pooled.add((torch.zeros(1, 2, 1, 1), dict(a=tokens)))
    np.testing.assert_allclose(pooled.take(), [.6, .8])
    with pytest.raises(ValueError, match='no feature map.*uncertainty'):
        pooled.add(torch.zeros(3))
    with pytest.raises(ValueError, match='Linear has no backbone'):
        with pooled_features(torch.nn.Linear(1, 1)):
            pass


def test_broken_images_are_skipped(given, tmp_path):
    predictor, pool = given
    path = pool.sources[0].path
    with open(path, 'w') as file:
        file.write('<html>')
    with pytest.raises(ValueError, match='6 images.*only 5.*1 unreadable'):
        propose(predictor, pool, 6)
    found = propose(predictor, pool, 5)
    assert [one.image for one in found.skipped] == [path]
    assert path not in [one.path for one in found.images]


def test_wrong_numbers(given):
    predictor, pool = given
    for count, text in ((0, 'ask for 1 or more'),
                        (7, '7 images.*only 6 are left.*6 at most')):
        with pytest.raises(ValueError, match=text):
            propose(predictor, pool, count)
    with pytest.raises(ValueError, match='none of all, uncertainty'):
        propose(predictor, pool, 1, 'luck')


def test_without_labels_uncertainty_alone(given):
    predictor, pool = given
    pool = replace(pool, labelled=[])
    assert propose(predictor, pool, 1, 'uncertainty').images
    with pytest.raises(ValueError, match='by all: .*no labelled images'):
        propose(predictor, pool, 1)


def test_files(given, tmp_path):
    predictor, pool = given
    found = propose(predictor, pool, 4)
    files = write_proposal(found, predictor, str(tmp_path / 'next'))
    names = [one.name for one in found.images]
    assert read_list(files[0]) == names
    with open(files[1], newline='') as file:
        rows = list(csv.DictReader(file))
    assert [row['name'] for row in rows] == names
    assert float(rows[0]['distance']) == pytest.approx(
        found.images[0].distance, rel=1e-4)
    assert rows[0]['reason'] == found.images[0].reason
    with Image.open(files[2]) as sheet:
        assert sheet.width > 1000 and sheet.height > 400


def test_names_with_odd_letters_are_drawn(tmp_path):
    add_photos(tmp_path / 'photos', 'é 中.jpg')
    predictor, pool = loaded(project(tmp_path, free=1), keep_suffix=True)
    found = propose(predictor, pool, 2)
    assert 'é 中.jpg' in [one.name for one in found.images]
    write_proposal(found, predictor, str(tmp_path / 'next'))

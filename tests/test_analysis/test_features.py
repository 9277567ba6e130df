# Copyright (c) mmseg_semi authors.
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_semi.analysis import (FeatureReader, labels_at_input,
                                 load_for_analysis)
from mmseg_semi.engine import CheckpointError
from ..test_models.toys import (NUM_CLASSES, SIZE, brpg_cfg, mean_teacher,
                                mean_teacher_cfg, segmentor)


def images():
    return torch.randn(
        2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def plain(**kwargs):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(segmentor(**kwargs)).eval()


def test_decoder_of_a_plain_segmentor():
    net = plain()
    found = []
    net.decode_head.classifier.register_forward_hook(
        lambda module, args, output: found.append(args[0]))
    features = FeatureReader(net)(images())
    assert features.shape == (2, 16, 9, 9) and not features.requires_grad
    assert torch.equal(features, found[0])


def test_network_that_predicts_is_the_default():
    model = mean_teacher().eval()
    with torch.no_grad():
        for weight in model.student.parameters():
            weight.mul_(1.5)
    found = {
        name: FeatureReader(model, network=name)
        for name in (None, 'teacher', 'student')
    }
    assert found[None].network == 'teacher'
    maps = {name: reader(images()) for name, reader in found.items()}
    assert torch.equal(maps[None], maps['teacher'])
    assert not torch.equal(maps[None], maps['student'])


def test_head_of_a_term():
    model = mean_teacher(terms=dict(brpg=brpg_cfg())).eval()
    net = model.teacher
    expected = net.semi_heads['brpg'].features(FeatureReader(model)(images()))
    found = FeatureReader(model, 'brpg')(images())
    assert found.shape[1] == 6
    assert torch.equal(found, expected)


def test_unknown_network_and_feature():
    with pytest.raises(ValueError, match=r"use one of \['student'"):
        FeatureReader(mean_teacher(), network='techer')
    with pytest.raises(ValueError, match='it is one itself'):
        FeatureReader(plain(), network='teacher')
    with pytest.raises(KeyError, match='Feature tap'):
        FeatureReader(plain(), 'brpg')


def sample(labels, img_shape):
    out = SegDataSample(metainfo=dict(img_path='a.jpg', img_shape=img_shape))
    out.gt_sem_seg = PixelData(data=labels[None])
    return out


def test_labels_follow_the_resized_and_padded_image():
    labels = torch.tensor([[0, 1, 2], [3, 255, 1]], dtype=torch.uint8)
    found = labels_at_input([sample(labels, (4, 6))], (5, 8), NUM_CLASSES)
    expected = torch.full((1, 5, 8), 255)
    expected[0, :4, :6] = labels.repeat_interleave(2, 0).repeat_interleave(
        2, 1).long()
    assert torch.equal(found, expected)


@pytest.mark.parametrize('wrong', [-1, 4, 254])
def test_labels_out_of_range(wrong):
    labels = torch.tensor([[0, 255, wrong]])
    with pytest.raises(ValueError, match=rf'a\.jpg holds ids \[{wrong}\]'):
        labels_at_input([sample(labels, (1, 3))], (1, 3), NUM_CLASSES)


def test_missing_annotation():
    with pytest.raises(ValueError, match='LoadAnnotations'):
        labels_at_input([SegDataSample()], (1, 3), NUM_CLASSES)


@pytest.fixture
def files(tmp_path):
    """Config of a Mean Teacher, and the checkpoint of a plain segmentor."""
    net = plain()
    Config(dict(model=mean_teacher_cfg())).dump(tmp_path / 'c.py')
    torch.save(dict(state_dict=net.state_dict()), tmp_path / 'plain.pth')
    return net, str(tmp_path / 'c.py'), tmp_path / 'plain.pth'


def test_plain_checkpoint_in_a_wrapper(files):
    net, config, checkpoint = files
    _, model = load_for_analysis(config, str(checkpoint))
    assert not model.training
    assert torch.equal(
        FeatureReader(model)(images()),
        FeatureReader(net)(images()))


def test_checkpoint_that_lacks_weights(files):
    _, config, checkpoint = files
    state = torch.load(checkpoint)['state_dict']
    state = {k: v for k, v in state.items() if 'low_conv' not in k}
    torch.save(dict(state_dict=state), checkpoint)
    with pytest.raises(CheckpointError, match='lacks .*low_conv'):
        load_for_analysis(config, str(checkpoint))


def test_checkpoint_of_another_width(files):
    _, config, checkpoint = files
    other = plain(
        decode_head=dict(
            segmentor()['decode_head'], num_classes=NUM_CLASSES + 1))
    torch.save(dict(state_dict=other.state_dict()), checkpoint)
    with pytest.raises(CheckpointError, match='another number of classes'):
        load_for_analysis(config, str(checkpoint))

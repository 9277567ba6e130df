# Copyright (c) mmseg_semi authors.
"""What is said where pretrained weights cannot be had."""
import urllib.request
from urllib.error import URLError

import pytest
import torch
from mmengine.runner.checkpoint import get_external_models

from mmseg_semi.models.segmentors.downloads import address
from .toys import mean_teacher, segmentor

NAME = 'open-mmlab://resnet18_v1c'


@pytest.fixture
def offline(tmp_path, monkeypatch):

    def refuse(*args, **kwargs):
        raise URLError('Name or service not known')

    monkeypatch.setattr(urllib.request, 'urlopen', refuse)
    monkeypatch.setattr(torch.hub, 'urlopen', refuse)
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    return tmp_path


def with_weights(checkpoint):
    cfg = segmentor()
    cfg['backbone']['init_cfg'] = dict(
        type='Pretrained', checkpoint=checkpoint)
    return cfg


@pytest.mark.parametrize('name', [NAME, 'https://example.org/some/net.pth'])
def test_which_file_from_where_and_where_to(offline, name):
    with pytest.raises(ConnectionError) as caught:
        mean_teacher(segmentor=with_weights(name))
    message, url = str(caught.value), address(name)
    assert f'{name} could not be downloaded from {url}' in message
    assert 'Name or service not known' in message
    place = offline / 'hub/checkpoints' / url.split('/')[-1]
    assert f'put it at {place}.' in message
    assert 'model.pretrained=False' in message


def test_the_remedies_work(offline):
    cfg = with_weights(NAME)
    model = mean_teacher(segmentor=cfg, pretrained=False)
    weights = model.student.backbone.state_dict()
    place = offline / 'hub/checkpoints' / address(NAME).split('/')[-1]
    place.parent.mkdir(parents=True)
    torch.save(weights, place)
    model = mean_teacher(segmentor=cfg)
    for name, value in model.student.backbone.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_files_that_do_not_exist(tmp_path):
    (tmp_path / 'resnet.pth').write_text('')
    with pytest.raises(
            FileNotFoundError,
            match='(?s)resnt.pth do not exist.*'
            'nearest names: resnet.pth.*model.pretrained=False'):
        mean_teacher(segmentor=with_weights(str(tmp_path / 'resnt.pth')))


def test_other_errors_stay(tmp_path):
    (tmp_path / 'net.pth').write_text('no checkpoint')
    with pytest.raises(Exception) as caught:
        mean_teacher(segmentor=with_weights(str(tmp_path / 'net.pth')))
    assert 'model.pretrained=False' not in str(caught.value)


@pytest.mark.parametrize('name,url', [
    (NAME, get_external_models()['resnet18_v1c']),
    ('https://a.org/b.pth', 'https://a.org/b.pth'),
    ('data/b.pth', None),
    ('open-mmlab://no-such-network', None),
])
def test_addresses(name, url):
    assert address(name) == url

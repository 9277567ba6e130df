# Copyright (c) mmseg_semi authors.
"""Every framework and term on a network that classifies masks."""
import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from torch.nn.parallel import DistributedDataParallel

from mmseg_semi.models.adapters import build_adapter
from mmseg_semi.models.decode_heads.mask2former_query_head import \
    deformable_layer
from mmseg_semi.models.decode_heads.query_decoder import decoder_layer
from mmseg_semi.models.decode_heads.query_head import semantic_inference
from mmseg_semi.models.head_adapters import QueryAdapter, scoring_stage
from mmseg_semi.models.step import Pass
from .given import build_stock
from .toys import (NUM_CLASSES, SIZE, batch, brpg_cfg, mean_teacher, sample,
                   segmentor, total)

D = 8
AUX = dict(
    type='FCNHead',
    in_channels=16,
    in_index=2,
    channels=4,
    num_convs=1,
    norm_cfg=dict(type='BN'),
    num_classes=NUM_CLASSES)
DEEPLAB = dict(
    type='PublishedDeepLabV3PlusHead',
    in_channels=32,
    in_index=3,
    channels=D,
    c1_in_channels=4,
    c1_channels=8,
    dilations=(1, 2),
    norm_cfg=dict(type='BN'))


def masks(head=None, **kwargs):
    """The toy network with a MaskQueryHead of two layers."""
    decode_head = dict(
        type='MaskQueryHead',
        in_channels=[4, 8, 16, 32],
        num_classes=NUM_CLASSES,
        feat_channels=D,
        out_channels=D,
        num_queries=2 * NUM_CLASSES,
        pixel_decoder=dict(
            type='PixelDecoder', norm_cfg=dict(type='GN', num_groups=2)),
        transformer_decoder=dict(
            num_layers=2, layer_cfg=decoder_layer(D, 2, 16)))
    decode_head.update(head or {})
    return segmentor(decode_head=decode_head, **kwargs)


HEADS = dict(
    maskformer=dict(),
    prototypes=dict(class_head=False),
    deeplab=dict(pixel_decoder=DEEPLAB),
    mask2former=dict(
        type='Mask2FormerQueryHead',
        pixel_decoder=dict(
            norm_cfg=dict(type='GN', num_groups=2),
            encoder=dict(num_layers=1, layer_cfg=deformable_layer(D, 2))),
        train_cfg=dict(num_points=32)))
OWN = dict(type='SupervisedLoss', criterion=None)
BRPG = brpg_cfg(head=dict(in_channels=D), window=(0, 1))
PCR = dict(
    type='PCR',
    head=dict(in_channels=D),
    num_prototypes=2,
    window=(0, 1),
    capacity=100,
    threshold=0.,
    cells=8)
CMB = dict(
    type='CMB',
    head=dict(in_channels=D, channels=6),
    rows_per_image=3,
    capacity=10,
    memory_start=0,
    contrast_start=1,
    threshold=0.)
TERMS = dict(
    supervised=(dict(consistency=None), 'loss_sup'),
    own=(dict(supervised=OWN, consistency=None), None),
    consistency=(dict(supervised=OWN), 'loss_unsup'),
    entropy=(dict(entropy=dict(type='EntropyMinimization')), 'loss_entropy'),
    brpg=(dict(brpg=BRPG), 'loss_proto'),
    pcr=(dict(pcr=PCR), 'loss_proto_unsup'),
    cmb=(dict(cmb=CMB), 'loss_contrast_unsup'))


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('term', TERMS)
def test_every_term_trains(term, head):
    """Three steps; DDP finds a gradient for every parameter."""
    terms, name = TERMS[term]
    model = mean_teacher(segmentor=masks(HEADS[head]), terms=terms)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], 1e-3)
    for seed in range(3):
        losses = model.loss(*batch(seed=seed))
        optimizer.zero_grad()
        total(losses).backward()
        for key, p in model.student.named_parameters():
            if p.requires_grad:
                assert p.grad is not None and p.grad.isfinite().all(), key
        optimizer.step()
        model.update_teacher()
    assert total(losses).isfinite()
    # Mask2Former's queries start in one class: there is no other prototype.
    if name and (term, head) != ('brpg', 'mask2former'):
        assert losses[name] > 0


def test_one_pass():
    model = mean_teacher(segmentor=masks(auxiliary_head=AUX))
    assert isinstance(scoring_stage(model.student)[1], QueryAdapter)
    step = model.begin(*batch(labeled=1, unlabeled=3))
    views = [step.views[v] for v in ('sup', 'unsup_student')]
    item = Pass('p', 'student', ('sup', 'unsup_student'), train=False)
    outs = model.adapter.forward(model.student, views, item)
    net = model.student.eval()
    for view, out in zip(views, outs):
        alone = net.decode_head(net.extract_feat(view.image))
        torch.testing.assert_close(out.queries.mask_logits(),
                                   alone.mask_logits())
        torch.testing.assert_close(out.queries.class_logits[0],
                                   alone.class_logits[0])
        scores = semantic_inference(alone.mask_logits(),
                                    alone.class_logits[-1])
        torch.testing.assert_close(
            out.logits.softmax(1), scores / scores.sum(1, keepdim=True))


def test_own_losses_are_those_of_the_stock_interface():
    """With an auxiliary head: each head's own loss."""
    cfg = masks(auxiliary_head=AUX)
    model = mean_teacher(
        segmentor=cfg, terms=dict(supervised=OWN, consistency=None))
    stock = build_stock(cfg)
    stock.load_state_dict({
        k: v
        for k, v in model.student.state_dict().items()
        if k in stock.state_dict()
    })
    for net in (model.student, stock):
        for m in net.modules():
            if 'Dropout' in type(m).__name__:
                m.p = 0.
            if 'MultiheadAttention' in type(m).__name__:
                m.dropout = 0.
    inputs, samples = batch()
    losses = model.loss(copy.copy(inputs), samples)
    wanted = stock.train().loss(inputs['sup'], samples['sup'])
    own = {
        name: value
        for name, value in losses.items()
        if name.startswith(('decode.', 'aux.'))
    }
    assert len(own) == 8  # an accuracy, too
    for name, value in own.items():
        torch.testing.assert_close(wanted[name], value)


def test_taps():
    terms = dict(brpg=dict(BRPG, head=dict(BRPG['head'], tap='pixel_embed')))
    model = mean_teacher(segmentor=masks(), terms=terms)
    net = model.student
    names = ('decoder', 'pre_cls', 'pixel_embed', 'queries')
    net.taps = type(net.taps)(net, names)
    with net.taps.capture(names, grad=True) as tapped:
        out = net.decode_head(net.extract_feat(batch()[0]['sup']))
    for name in names[:3]:
        assert tapped[name] is out.pixel_embed
    assert tapped['queries'] is out.mask_embed[-1]


def test_prototype_labels():
    model = mean_teacher(segmentor=masks(HEADS['prototypes']))
    step = model.begin(*batch())
    item = Pass('p', 'teacher', ('sup', ), train=False)
    out, = model.adapter.forward(model.teacher, [step.views['sup']], item)
    best = out.prototype_map((SIZE, SIZE))
    assert best.shape == (2, SIZE, SIZE)
    assert best.max() < 2 * NUM_CLASSES


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('test_cfg', [
    dict(mode='whole'),
    dict(mode='slide', crop_size=(SIZE, SIZE), stride=(20, 20))
])
def test_prediction(head, test_cfg):
    """Whole images, crops and test-time augmentation, by the stock tools."""
    cfg = masks(HEADS[head])
    model = mean_teacher(
        segmentor=cfg, predict_with='student', test_cfg=test_cfg).eval()
    stock = build_stock(dict(cfg, test_cfg=test_cfg)).eval()
    stock.load_state_dict(model.student.state_dict())
    metas = [sample() for _ in range(2)]
    for meta in metas:
        meta.set_metainfo(
            dict(img_shape=(49, 49), ori_shape=(60, 50), img_path=''))
    images = torch.randn(2, 3, 49, 49)
    ours, theirs = (
        net.predict(images, copy.deepcopy(metas)) for net in (model, stock))
    for a, b in zip(ours, theirs):
        assert a.seg_logits.shape == (60, 50)
        assert torch.equal(a.seg_logits.data, b.seg_logits.data)
    tta = MODELS.build(dict(type='SegTTAModel', module=model))
    data = dict(
        inputs=[list(images), list(images.flip(-1))],
        data_samples=[copy.deepcopy(metas) for _ in range(2)])
    for meta in data['data_samples'][1]:
        meta.set_metainfo(dict(flip=True, flip_direction='horizontal'))
    for meta in data['data_samples'][0]:
        meta.set_metainfo(dict(flip=False, flip_direction=None))
    for merged in tta.test_step(data):
        assert merged.pred_sem_seg.data.shape == (1, 60, 50)


def test_maskformer_scores_are_probabilities_of_masks():
    model = mean_teacher(segmentor=masks(), predict_with='student').eval()
    inputs, samples = batch()
    with torch.no_grad():
        logits = model.encode_decode(inputs['sup'],
                                     [s.metainfo for s in samples['sup']])
        net = model.student
        out = net.decode_head(net.extract_feat(inputs['sup']))
    large = torch.nn.functional.interpolate(
        out.mask_logits(), (SIZE, SIZE), mode='bilinear')
    torch.testing.assert_close(logits,
                               semantic_inference(large, out.class_logits[-1]))


def test_a_plain_checkpoint_is_adopted():
    stock = build_stock(masks())
    model = mean_teacher(segmentor=masks())
    model.load_state_dict(copy.deepcopy(stock.state_dict()), strict=False)
    for net in (model.student, model.teacher):
        for name, value in stock.state_dict().items():
            assert torch.equal(net.state_dict()[name], value), name


def test_the_message_names_the_head():
    net = torch.nn.Module()
    net.decode_head = torch.nn.Linear(2, 2)
    with pytest.raises(TypeError, match='MaskQueryHead'):
        build_adapter(net)


def _ddp(rank):
    """Train over ranks, the second without a label in one step."""
    model = mean_teacher(
        segmentor=masks(auxiliary_head=AUX), terms=dict(supervised=OWN))
    ddp = DistributedDataParallel(model, broadcast_buffers=False)
    optimizer = torch.optim.AdamW(model.student.parameters(), 1e-3)
    for it in range(3):
        inputs, samples = batch(seed=10 * it + rank)
        if rank == 1 and it == 1:
            for item in samples['sup']:
                item.gt_sem_seg.data.fill_(255)
        losses = ddp(inputs, samples, mode='loss')
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
        model.update_teacher()
    return dict(model.student.named_parameters())


@pytest.mark.dist
def test_two_processes_stay_alike(gloo_pool):
    first, second = gloo_pool(_ddp)
    for name, value in first.items():
        assert value.isfinite().all()
        assert torch.equal(value, second[name]), name


def test_a_mask_head_builds_from_a_config_dict():
    assert MODELS.build(ConfigDict(masks()['decode_head']))


def test_pseudo_labels_are_what_maskformer_predicts():
    """Masks are enlarged before classes are weighed; S is no distribution."""
    model = mean_teacher(segmentor=masks())
    head = model.teacher.decode_head
    with torch.no_grad():  # borders of masks that differ by how they enlarge
        head.mask_embed[-1].weight.mul_(100)
        head.cls_embed.weight.mul_(30)
    step = model.begin(*batch())
    item = Pass(
        'labeler', 'teacher', ('unsup_teacher', ), role='labeler', train=False)
    model.run(step, item)
    model.make_labels(step, item)
    labels = step.labels['student', 'unsup_teacher']
    image = step.views['unsup_teacher'].image
    with torch.no_grad():
        predicted = model.teacher.eval().encode_decode(
            image,
            [dict(img_shape=image.shape[-2:], pad_shape=image.shape[-2:])] *
            len(image))
    assert torch.equal(labels['cls'], predicted.argmax(1))
    torch.testing.assert_close(labels['conf'], predicted.amax(1).clamp_max(1.))
    assert (predicted.sum(1) - 1).abs().mean() > .1


def test_losses_stay_at_the_stride_of_the_masks():
    """With gradient, all masks at image size would need much memory."""
    model = mean_teacher(segmentor=masks())
    step = model.begin(*batch())
    for grad in (True, False):
        item = Pass(f'pass{grad}', 'student', ('sup', ), grad=grad)
        out, = model.adapter.forward(model.student, [step.views['sup']], item)
        assert (out.scorer is None) is grad
        assert out.unnormalized is not grad

# Copyright (c) mmseg_semi authors.
"""Heads of unlike families under the same terms."""
import copy

import pytest
import torch

import mmseg_semi  # noqa: F401  isort: skip
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.datasets.transforms import GenerateEdge
from mmseg.models.decode_heads import (DepthwiseSeparableASPPHead,
                                       IterativeDecodeHead)
from mmseg.registry import MODELS
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from mmseg_semi.functional.edges import label_edges
from mmseg_semi.models.adapters import network_mode, perturbed, split
from mmseg_semi.models.head_adapters import scoring_stage
from mmseg_semi.models.step import Pass
from mmseg_semi.models.taps import resolve_tap
from .given_families import FAMILIES, SIDE, config, fcn, images, knet
from .toys import NUM_CLASSES as C
from .toys import mean_teacher, sample, segmentor, total

OWN = dict(type='SupervisedLoss')
CE = dict(type='SupervisedLoss', criterion=[dict(type='cross_entropy')])


@pytest.fixture(autouse=True)
def in_mmseg():
    """Parts of heads are built in the default scope."""
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


def family_batch(seed=0):
    """Labelled and unlabelled images of the size all families take."""
    labels = torch.arange(2 * SIDE * SIDE).view(2, SIDE, SIDE) // 50 % C
    labels[:, :3] = 255
    inputs = dict(
        sup=images(seed),
        unsup_teacher=images(seed + 1),
        unsup_student=images(seed + 1))
    samples = dict(
        sup=[sample(label) for label in labels],
        unsup_teacher=[sample() for _ in range(2)],
        unsup_student=[sample() for _ in range(2)])
    return inputs, samples


def with_stock_edges(samples):
    """As PIDNet's own pipeline makes them."""
    generate = GenerateEdge(edge_width=4)
    for item in samples:
        labels = item.gt_sem_seg.data
        edges = generate(
            dict(gt_seg_map=labels[0].numpy(),
                 img_shape=labels.shape[-2:]))['gt_edge_map']
        item.gt_edge_map = PixelData(data=torch.from_numpy(edges)[None].long())
    return samples


@pytest.mark.parametrize('family', FAMILIES)
def test_own_losses_are_those_of_the_stock_model(family):
    model = mean_teacher(
        segmentor=config(family),
        terms=dict(supervised=OWN, consistency=None),
        buffers='copy')
    net = model.student
    state = copy.deepcopy(net.state_dict())
    inputs, samples = family_batch()
    step = model.begin(inputs, samples)
    torch.manual_seed(1)
    model.run(
        step,
        Pass('sup', 'student', ('sup', ), 'learner', grad=True, dropout=False))
    with network_mode(net, train=True, dropout=False):  # point heads
        ours = model.terms['supervised'].loss(step)
    net.load_state_dict(state)
    torch.manual_seed(1)
    with network_mode(net, train=True, dropout=False):
        stock = net.loss(inputs['sup'], with_stock_edges(samples['sup']))
    assert set(ours) == set(stock)
    for name, value in stock.items():
        torch.testing.assert_close(ours[name], value, msg=name)


@pytest.mark.parametrize('supervised', [OWN, CE], ids=['own', 'criterion'])
@pytest.mark.parametrize('family', FAMILIES)
def test_every_parameter_gets_a_gradient(family, supervised):
    """DDP wants one, of zeros where a criterion leaves outputs unread."""
    model = mean_teacher(
        segmentor=config(family), terms=dict(supervised=supervised))
    for _ in range(2):
        losses = model.loss(*family_batch())
        total(losses).backward()
        for name, p in model.student.named_parameters():
            if p.requires_grad:
                assert p.grad is not None and p.grad.isfinite().all(), name
    backbone = [p.grad for p in model.student.backbone.parameters()]
    assert any(grad.abs().sum() > 0 for grad in backbone)


@pytest.mark.parametrize('family', FAMILIES)
def test_the_wrapper_predicts_as_the_stock_model(family):
    model = mean_teacher(segmentor=config(family)).eval()
    metas = [dict(img_shape=(SIDE, SIDE), pad_shape=(SIDE, SIDE))] * 2
    with torch.no_grad():
        wanted = model.teacher.encode_decode(images(), copy.deepcopy(metas))
        step = model.begin(*family_batch())
        view = step.views['sup']
        item = Pass('look', 'teacher', ('sup', ), train=False)
        out, = model.adapter.forward(model.teacher, [view], item)
    torch.testing.assert_close(out.at((SIDE, SIDE)), wanted)


def _train_all(rank):
    """Two steps of every family under DDP, as the stock runner wraps it."""
    sums = {}
    for family in FAMILIES:
        with DefaultScope.overwrite_default_scope('mmseg'):
            model = mean_teacher(
                segmentor=config(family), terms=dict(supervised=OWN))
        ddp = DistributedDataParallel(model, broadcast_buffers=False)
        for step in range(2):
            losses = ddp(*family_batch(seed=10 * step + rank), mode='loss')
            model.zero_grad()
            total(losses).backward()
        sums[family] = sum(p.grad.double().sum().item()
                           for p in model.student.parameters()
                           if p.requires_grad)
    return sums


def test_every_family_under_ddp(gloo_pool):
    one, two = gloo_pool(_train_all)
    assert set(one) == set(FAMILIES)
    for family, value in one.items():
        assert value == pytest.approx(two[family]), family


@pytest.mark.parametrize('family, main', [('danet', 0), ('pidnet', 1),
                                          ('ddrnet', 0), ('knet', -1)])
def test_in_train_mode_the_map_that_predicts_is_the_main_one(family, main):
    model = mean_teacher(segmentor=config(family))
    net = model.student.train()
    with network_mode(net, train=True, dropout=False):
        feats = net.extract_feat(images())
        score, aux = model.adapter.scores(net, feats)
        maps = net.decode_head(feats)
    assert torch.equal(score, maps[main])
    others = [m for m in maps if m is not maps[main] and m.shape[1] == C]
    assert len(aux) == len(others)


def test_point_rend_refines_where_it_labels_alone():
    model = mean_teacher(segmentor=config('pointrend'))
    step = model.begin(*family_batch())
    view = step.views['sup']
    item = Pass('look', 'student', ('sup', ), grad=True)
    out, = model.adapter.forward(model.student, [view], item)
    assert out.scorer is None and out.logits.requires_grad
    assert out.aux == []  # the coarse scores are the main ones


@MODELS.register_module()
class MyKNet(IterativeDecodeHead):
    """A user's subclass."""


@MODELS.register_module()
class MyASPP(DepthwiseSeparableASPPHead):
    """Another one."""


class TestSubclasses:

    def test_scores_are_those_of_the_last_stage(self):
        cfg = segmentor(decode_head=dict(knet(), type='MyKNet'))
        model = mean_teacher(
            segmentor=config('knet')
            | dict(decode_head=dict(cfg['decode_head'])))
        net = model.student.train()
        feats = net.extract_feat(images())
        torch.manual_seed(0)
        main, aux = model.adapter.scores(net, feats)
        torch.manual_seed(0)
        stages = net.decode_head(feats)
        assert torch.equal(main, stages[-1]) and len(aux) == len(stages) - 1

    def test_taps(self):
        head = fcn(
            type='MyASPP',
            c1_in_channels=4,
            c1_channels=4,
            dilations=(1, 2),
            num_convs=None)
        cfg = segmentor(decode_head={
            k: v
            for k, v in head.items() if v is not None
        })
        net = mean_teacher(segmentor=cfg).student
        assert resolve_tap(net, 'decoder') == \
            'decode_head.sep_bottleneck:input'
        assert resolve_tap(net, 'pre_cls') == 'decode_head.dropout:input'

    def test_a_head_brings_its_own_taps(self):
        net = mean_teacher(segmentor=segmentor('fcn')).student
        net.decode_head.feature_taps = dict(decoder='convs.0:output')
        assert resolve_tap(net, 'decoder') == 'decode_head.convs.0:output'
        assert resolve_tap(net, 'pre_cls') == 'decode_head.dropout:input'

    @pytest.mark.parametrize('family', [*FAMILIES, 'aspp'])
    def test_whatever_adapter_reads_it(self, family):
        cfg = segmentor() if family == 'aspp' else config(family)
        if family == 'aspp':
            cfg['decode_head']['type'] = 'DepthwiseSeparableASPPHead'
        net = mean_teacher(segmentor=cfg, terms=dict(supervised=OWN)).student
        stage = scoring_stage(net)[1]
        stage.head.feature_taps = dict(decoder='own:output')
        assert resolve_tap(net, 'decoder').endswith('.own:output')


def test_edges_are_those_of_the_stock_transform():
    gen = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (3, 17, 23), generator=gen)
    labels = labels.repeat_interleave(3, 1).repeat_interleave(2, 2)
    labels[labels == 2] = 255
    for width in (1, 3, 4):
        ours = label_edges(labels, width)
        generate = GenerateEdge(edge_width=width)
        for label, edges in zip(labels, ours):
            wanted = generate(
                dict(gt_seg_map=label.numpy(),
                     img_shape=label.shape))['gt_edge_map']
            assert edges.tolist() == wanted.tolist()


def test_channels_are_dropped_in_whatever_the_encoder_returns():
    item = Pass('p', 'student', ('sup', ), channel_dropout=.5, clean_too=True)
    maps, token = torch.ones(2, 64, 3, 3), torch.ones(2, 64)
    (new_maps, new_token), alone = perturbed([(maps, token), maps], item)
    for new, old in ((new_maps, maps), (new_token, token), (alone, maps)):
        assert len(new) == 4 and torch.equal(new[:2], old)
        dropped = new[2:].flatten(2) if new.dim() == 4 else new[2:, :, None]
        assert set(dropped.unique().tolist()) == {0., 2.}
        assert torch.equal(dropped.amin(2), dropped.amax(2))


def test_split_keeps_the_form():
    raw = [torch.arange(3), (torch.arange(6).view(3, 2), None), []]
    one, two = split(raw, [1, 2])
    assert one[0].tolist() == [0] and two[0].tolist() == [1, 2]
    assert two[1][0].tolist() == [[2, 3], [4, 5]]
    assert one[1][1] is None and one[2] == []


def test_a_threshold_is_of_one_channel_alone():
    """Stock heads with a channel for each class do not use theirs."""
    head = fcn(threshold=.01)
    model = mean_teacher(segmentor=segmentor(decode_head=head))
    step = model.begin(*family_batch())
    view = step.views['unsup_teacher']
    item = Pass('look', 'teacher', ('unsup_teacher', ), train=False)
    out, = model.adapter.forward(model.teacher, [view], item)
    labels = model.pseudo_labels(out, view)['cls']
    assert torch.equal(labels, out.at(view.size).argmax(1))


class TestOneSigmoidChannel:
    """num_classes=2 and out_channels=1."""

    CFG = dict(num_classes=2, out_channels=1, threshold=.4)
    LOSS = dict(type='CrossEntropyLoss', use_sigmoid=True)

    def model(self, **kwargs):
        head = fcn(**self.CFG, loss_decode=self.LOSS)
        return mean_teacher(segmentor=segmentor(decode_head=head), **kwargs)

    def batch(self):
        inputs, samples = family_batch()
        for item in samples['sup']:
            data = item.gt_sem_seg.data
            item.gt_sem_seg.data = torch.where(data == 255, data, data % 2)
        return inputs, samples

    def test_pseudo_labels(self):
        model = self.model()
        step = model.begin(*self.batch())
        view = step.views['unsup_teacher']
        item = Pass('look', 'teacher', ('unsup_teacher', ), train=False)
        out, = model.adapter.forward(model.teacher, [view], item)
        out.logits[:, 1] += torch.linspace(
            -3, 3, out.logits[0, 0].numel()).view(out.logits.shape[-2:])
        labels = model.pseudo_labels(out, view)
        p = (out.at(view.size)[:, 1] - out.at(view.size)[:, 0]).sigmoid()
        assert torch.equal(labels['cls'], (p > .4).long())
        assert 0 < labels['cls'].float().mean() < 1
        torch.testing.assert_close(labels['conf'], torch.maximum(p, 1 - p))

    def test_losses(self):
        inputs, samples = self.batch()
        model = self.model(
            terms=dict(supervised=OWN, consistency=None), buffers='copy')
        step = model.begin(inputs, samples)
        model.run(
            step,
            Pass(
                'sup',
                'student', ('sup', ),
                'learner',
                grad=True,
                dropout=False))
        own = model.terms['supervised'].loss(step)['decode.loss_ce']
        out, labels = step.learner('student', 'sup'), step.views['sup'].labels
        logit = F.interpolate(
            out.raw.decode[0], (SIDE, SIDE), mode='bilinear')[:, 0]
        known = labels != 255
        wanted = F.binary_cross_entropy_with_logits(
            logit[known], labels[known].float(), reduction='sum')
        number = labels.numel()  # stock: over all pixels
        torch.testing.assert_close(own, wanted / number)
        two = F.cross_entropy(
            out.at((SIDE, SIDE)), labels, ignore_index=255, reduction='sum')
        torch.testing.assert_close(two, wanted)

    @pytest.mark.parametrize('supervised', [OWN, CE])
    def test_trains_and_predicts(self, supervised):
        model = self.model(terms=dict(supervised=supervised))
        total(model.loss(*self.batch())).backward()
        for name, p in model.student.named_parameters():
            assert p.grad is not None, name
        model.eval()
        inputs, samples = self.batch()
        result = model.predict(inputs['sup'], samples['sup'])[0]
        assert result.seg_logits.data.shape[0] == 1
        wanted = result.seg_logits.data.sigmoid() > .4
        assert torch.equal(result.pred_sem_seg.data,
                           wanted.to(result.pred_sem_seg.data))

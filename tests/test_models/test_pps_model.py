# Copyright (c) mmseg_semi authors.
"""PPS inside a cross-pseudo framework, with tiny real networks."""
import io
import warnings
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

from mmseg_semi.models.segmentors import framework
from .toys import NUM_CLASSES, SIZE, batch, mean_teacher, segmentor, total

NETS = ('student1', 'student2')
SHARED = ('decode_head.decoder_input_proj', 'decode_head.transformer_decoder',
          'decode_head.query_embed', 'decode_head.mask_embed',
          'semi_heads.pps')
DECODER = 'decode_head.transformer_decoder.layers.0.cross_attn.attn.out_proj'


def prototypes(per_class=3, dropout=0., **kwargs):
    """The toy segmentor with prototypes instead of a classifier."""
    cfg = segmentor()
    pixel_decoder = dict(cfg['decode_head'], dropout_ratio=0.)
    del pixel_decoder['num_classes']
    attention = dict(
        embed_dims=8, num_heads=2, attn_drop=dropout, proj_drop=dropout)
    cfg['decode_head'] = dict(
        type='MaskQueryHead',
        in_channels=[4, 8, 16, 32],
        feat_channels=8,
        out_channels=8,
        num_classes=NUM_CLASSES,
        num_queries=per_class * NUM_CLASSES,
        class_head=False,
        align_corners=True,
        transformer_decoder=dict(
            num_layers=1,
            layer_cfg=dict(
                self_attn_cfg=attention,
                cross_attn_cfg=attention,
                ffn_cfg=dict(
                    embed_dims=8, feedforward_channels=16, ffn_drop=dropout))),
        pixel_decoder=pixel_decoder)
    cfg['decode_head'].update(kwargs)
    return cfg


def pps_model(pps=None, **kwargs):
    torch.manual_seed(0)
    term = dict(type='PPS', head=dict(in_channels=8, channels=4), samples=8)
    term.update(pps or {})
    options = dict(
        type='CrossPseudo',
        segmentor=prototypes(),
        terms=dict(
            supervised=dict(
                type='SupervisedLoss', criterion=[dict(type='cross_entropy')]),
            pps=term),
        shared=SHARED,
        halves=False)
    options.update(kwargs)
    model = MODELS.build(options)
    model.init_weights()
    model.total_iters = 100
    return model.train()


def optimizer_of(model, **kwargs):
    cfg = dict(
        type='OptimWrapper',
        constructor='SemiOptimWrapperConstructor',
        optimizer=dict(type='SGD', lr=.1, weight_decay=0.),
        **kwargs)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return build_optim_wrapper(model, cfg).optimizer


def train(model, steps, first=0):
    """Losses of the last of some steps of SGD; its rows depend on ``it``."""
    optimizer = torch.optim.SGD(model.parameters(), lr=.05)
    for it in range(first, first + steps):
        losses = model.loss(*batch(seed=it))
        optimizer.zero_grad()
        total(losses).backward()
        optimizer.step()
    return losses


def test_a_step():
    losses = train(pps_model(), 1)
    expected = {
        f'{net}.loss_{part}'
        for net in NETS
        for part in ('sup', 'sp', 'contra', 'r')
    }
    assert {name for name in losses if 'loss' in name} == expected
    for name, value in losses.items():
        assert torch.isfinite(value), name
    assert 0 < losses['proto/used_ratio'] <= 1
    assert 0 <= losses['proto/networks_agree'] <= 1


def test_one_projector_and_one_decoder():
    model = pps_model()
    one, two = (model.net(net) for net in NETS)
    for name in SHARED:
        assert one.get_submodule(name) is two.get_submodule(name)
    own = 'decode_head.pixel_decoder'
    assert one.get_submodule(own) is not two.get_submodule(own)
    optimizer = optimizer_of(
        model,
        paramwise_cfg=dict(
            norm_decay_mult=0., custom_keys={'query_embed': dict(lr_mult=.5)}))
    held = [id(p) for group in optimizer.param_groups for p in group['params']]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in model.parameters()}
    state = model.state_dict()
    for net in NETS:
        assert f'{net}.semi_heads.pps.reduce.weight' in state


def test_shared_modules_get_gradient_from_both_and_one_step():
    """Spec 9.5, 9."""
    model = pps_model(dict(prototype_weight=1., contrast_weight=1.))
    optimizer = optimizer_of(model)
    losses = model.loss(*batch())
    shared = {
        name: model.student1.get_submodule(name).weight
        for name in (DECODER, 'decode_head.query_embed',
                     'decode_head.mask_embed.0', 'semi_heads.pps.reduce')
    }
    parts = []
    for net in NETS:
        part = sum(v for n, v in losses.items()
                   if n.startswith(f'{net}.') and 'loss' in n)
        parts.append(
            torch.autograd.grad(part, shared.values(), retain_graph=True))
        assert all(g.abs().sum() > 0 for g in parts[-1])
    before = {name: p.detach().clone() for name, p in shared.items()}
    optimizer.zero_grad()
    total(losses).backward()
    optimizer.step()
    for (name, p), one, two in zip(shared.items(), *parts):
        torch.testing.assert_close(p.grad, one + two, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(p.detach(), before[name] - .1 * p.grad)


def test_each_learns_the_prototypes_of_the_other():
    model = pps_model(mixing=None)
    step = model.begin(*batch())
    for item in model.schedule(step):
        model.run(step, item)
        model.make_labels(step, item)
    for net, other in zip(NETS, NETS[::-1]):
        out = step.learner(other, 'unsup_student')
        labels = step.labels[net, 'unsup_student']
        assert torch.equal(labels['proto'], out.prototype_map((SIZE, SIZE)))
        assert not labels['proto'].requires_grad


def test_labels_are_made_without_dropout():
    """In train mode, where attention would drop too; learning drops."""
    model = pps_model(segmentor=prototypes(dropout=.5))
    step = model.begin(*batch())
    passes = {item.role: item for item in model.schedule(step)}
    for role, same in (('labeler', True), ('learner', False)):
        scores = []
        for seed in range(2):
            torch.manual_seed(seed)
            model.run(step, passes[role])
            key = passes[role].name, passes[role].views[0]
            scores.append(step.outs[key].logits.detach())
        assert torch.equal(*scores) == same


def test_one_prototype_is_a_softmax_classifier():
    """Spec 9.5, 7 and 8."""
    model = pps_model(segmentor=prototypes(per_class=1))
    step = model.begin(*batch())
    for item in model.schedule(step):
        model.run(step, item)
        model.make_labels(step, item)
    out = step.learner('student1', 'sup')
    torch.testing.assert_close(out.logits, out.queries.mask_logits())
    pps = model.terms['pps@student1']
    wanted = .01 * sum(
        torch.nn.functional.cross_entropy(
            step.learner('student1', view).at((SIZE, SIZE)),
            target,
            ignore_index=255) for view, target in
        (('sup', step.views['sup'].labels),
         ('unsup_student', step.labels['student1', 'unsup_student']['cls'])))
    torch.testing.assert_close(pps.loss(step)['loss_r'], wanted)


@pytest.mark.parametrize('pps', [{}, dict(begin=3)])
def test_resume(pps):
    segmentor = prototypes(dropout=.1)
    model = pps_model(pps, segmentor=segmentor)
    train(model, 2)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = pps_model(pps, segmentor=segmentor)
    train(other, 1)
    other.load_state_dict(torch.load(file, weights_only=True))
    for it in range(2, 5):
        ours, theirs = (train(m, 1, first=it) for m in (model, other))
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert torch.equal(ours[name], theirs[name]), (it, name)
    for (name, a), b in zip(model.state_dict().items(),
                            other.state_dict().values()):
        assert torch.equal(a, b), name


def test_it_predicts_with_the_first():
    model = pps_model().eval()
    inputs, samples = batch()
    out = model.predict(inputs['sup'], samples['sup'])
    logits = model.student1.encode_decode(inputs['sup'],
                                          [s.metainfo for s in samples['sup']])
    for result, wanted in zip(out, logits):
        assert torch.equal(result.pred_sem_seg.data[0], wanted.argmax(0))


def test_padding_teaches_nothing():
    """Garbage in the padding of unlabelled images is no label."""
    inputs, samples = batch(padding=8)
    model = pps_model(mixing=None)
    step = model.begin(inputs, samples)
    for item in model.schedule(step):
        model.run(step, item)
        model.make_labels(step, item)
    pps = model.terms['pps@student1']
    before = pps.loss(step)['loss_sp']
    step.labels['student1', 'unsup_student']['proto'][:, :, -8:] = 0
    torch.testing.assert_close(pps.loss(step)['loss_sp'], before)


def test_mixed_precision():
    model = pps_model()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = model.loss(*batch())
    for name, value in losses.items():
        assert torch.isfinite(value), name
        if 'loss' in name:
            assert value.dtype == torch.float32, name
    total(losses).backward()


def test_queries_must_be_a_multiple_of_the_classes():
    with pytest.raises(ValueError, match='10 prototypes .* 4 classes.*8'):
        pps_model(segmentor=prototypes(num_queries=10))


def test_a_dense_head_gets_prototypes():
    """Its decode head is the pixel decoder; all is shared by itself."""
    model = pps_model(
        dict(head=dict(channels=4)), segmentor=segmentor(), shared=())
    heads = [model.net(net).decode_head for net in NETS]
    assert heads[0].num_queries == 5 * NUM_CLASSES
    assert heads[0].query_embed is heads[1].query_embed
    assert heads[0].pixel_decoder is not heads[1].pixel_decoder


def test_a_head_of_another_class_is_refused():
    term = MODELS.build(
        dict(type='PPS', net='student1', num_classes=4, contrast_weight=0.))
    net = SimpleNamespace(decode_head=torch.nn.Conv2d(1, 1, 1))
    both = SimpleNamespace(net=lambda name: net, learners=NETS, shared=())
    with pytest.raises(TypeError, match='class_head=False.*got Conv2d'):
        term.check(both)


def test_queries_with_classes_are_no_prototypes():
    with pytest.raises(TypeError, match='class_head=False'):
        pps_model(segmentor=prototypes(class_head=True))


def test_one_network_is_not_enough():
    with pytest.raises(TypeError, match='MeanTeacher trains 1.*CrossPseudo'):
        mean_teacher(
            segmentor=prototypes(),
            terms=dict(
                consistency=None,
                pps=dict(type='PPS', head=dict(in_channels=8))))


def test_it_stands_in_for_the_consistency():
    with pytest.raises(ValueError, match='pps replaces'):
        pps_model(
            terms=dict(
                supervised=dict(
                    type='SupervisedLoss',
                    criterion=[dict(type='cross_entropy')]),
                consistency=dict(type='PixelConsistency', filter='none'),
                pps=dict(type='PPS', head=dict(in_channels=8))))


def test_equal_students_are_warned_about():
    with pytest.warns(UserWarning, match='start alike'):
        model = pps_model(init_seeds=(3, 3))
    with pytest.warns(UserWarning, match='no diversity'):
        model.loss(*batch())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        pps_model().loss(*batch())
    assert not any('diversity' in str(w.message) for w in caught)


def test_prototypes_have_their_decoder_in_common():
    """Named or not: their indices would have nothing in common."""
    for shared in ((), ('decode_head.query_embed', 'semi_heads.pps')):
        model = pps_model(shared=shared)
        assert set(model.shared) == set(SHARED)
        one, two = (model.net(net) for net in NETS)
        for name in SHARED:
            assert one.get_submodule(name) is two.get_submodule(name)


def test_all_processes_draw_the_same_prototypes(monkeypatch):
    """Row 20: one draw per class and iteration; pixels are drawn apart."""
    model, drawn, pixels = pps_model(), [], []
    for rank in (0, 1):
        monkeypatch.setattr(framework, 'get_rank', lambda: rank)
        step = model.begin(*batch())
        term = next(t for t in model.terms.values() if t.name == 'pps')
        drawn.append(term._draw_one_each(step, 1000))
        pixels.append(step.generator.initial_seed())
    assert torch.equal(*drawn)
    assert pixels[0] != pixels[1]

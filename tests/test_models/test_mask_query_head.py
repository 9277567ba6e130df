# Copyright (c) mmseg_semi authors.
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional as F

from mmseg_semi.functional import matching_costs
from mmseg_semi.models.decode_heads.query_decoder import (decoder_layer,
                                                          sine_encoding)
from mmseg_semi.models.decode_heads.query_head import semantic_inference
from .given_queries import SIZE, B, C, D, Q, head, maps, samples, truth

# ------------------------------------------------------------------ outputs


def test_outputs():
    module = head()
    out = module(maps())
    assert len(out.class_logits) == len(out.mask_embed) == 3
    assert out.class_logits[0].shape == (B, Q, C + 1)
    assert out.mask_embed[0].shape == (B, Q, D)
    assert out.pixel_embed.shape == (B, D, 8, 8)
    logits = module.dense_logits(out)
    assert logits.shape == (B, C, 8, 8) and logits.dtype == torch.float32


def test_only_the_last_layer_on_request():
    layers = dict(num_layers=3, layer_cfg=decoder_layer(D, 2, 16))
    every = head(transformer_decoder=layers)
    last = head(transformer_decoder=dict(layers, return_intermediate=False))
    last.load_state_dict(every.state_dict())
    out = last(maps())
    assert len(out.mask_embed) == len(out.class_logits) == 1
    assert torch.equal(out.mask_logits(), every(maps()).mask_logits())


def test_queries_of_one_image_do_not_depend_on_the_others():
    module = head()
    x = maps()
    both, alone = module(x), module([m[1:] for m in x])
    torch.testing.assert_close(both.mask_logits()[1:], alone.mask_logits())


def test_what_queries_say_without_looking():
    """From zeros only where a query looks tells it from the others."""
    apart = {}
    for start in ('zeros', 'queries'):
        module = head(initial_target=start)
        for layer in module.transformer_decoder.layers:
            # One memory for all: every query sees the mean of the image.
            layer.cross_attn.attn.in_proj_weight.data[:2 * D] = 0.
        embeds = module(maps()).mask_embed[-1]
        apart[start] = embeds.std(dim=1).max()
        embeds.pow(2).sum().backward()
        moved = module.query_embed.weight.grad.abs().amax(1)
        # Every query learns what to say, or none does.
        assert (moved > 1e-3).all() if start == 'queries' else (moved
                                                                < 1e-4).all()
    assert apart['zeros'] < 1e-5 < 1e-2 < apart['queries']


def test_the_default_start_is_maskformers():
    a, b = head(), head(initial_target='zeros')
    assert torch.equal(a(maps()).mask_logits(), b(maps()).mask_logits())


def test_semantic_inference_against_a_loop():
    out = head()(maps())
    masks, classes = out.mask_logits().double(), out.class_logits[-1].double()
    scores = semantic_inference(masks, classes)
    for b in range(B):
        for c in range(C):
            wanted = sum(classes[b, q].softmax(0)[c] * masks[b, q].sigmoid()
                         for q in range(Q))
            torch.testing.assert_close(scores[b, c], wanted)


def test_dense_scores_are_the_normalised_semantic_inference():
    module = head()
    out = module(maps())
    scores = semantic_inference(out.mask_logits(), out.class_logits[-1])
    torch.testing.assert_close(
        module.dense_logits(out).softmax(1),
        scores / scores.sum(1, keepdim=True))


@pytest.mark.parametrize('align_corners', [True, False])
def test_dense_scores_at_image_size(align_corners):
    """Masks are enlarged as the head was told, then classes are weighed."""
    module = head(align_corners=align_corners)
    out = module(maps())
    masks = F.interpolate(
        out.mask_logits(), (SIZE, SIZE),
        mode='bilinear',
        align_corners=align_corners)
    scores = semantic_inference(masks, out.class_logits[-1])
    torch.testing.assert_close(
        module.dense_logits_at(out, (SIZE, SIZE)).softmax(1),
        scores / scores.sum(1, keepdim=True))


@pytest.mark.parametrize('scale', [1e4, -1e4])
def test_dense_scores_of_extreme_masks_are_finite(scale):
    module = head()
    out = module(maps())
    out._masks[2] = torch.full_like(out.mask_logits(), scale).requires_grad_()
    logits = module.dense_logits(out)
    logits.sum().backward()
    assert logits.isfinite().all() and out._masks[2].grad.isfinite().all()


def test_sine_encoding_of_one_position():
    code = sine_encoding(3, 5, 4, torch.device('cpu'), normalize=True)
    assert code.shape == (8, 3, 5)
    for y in range(3):
        for x in range(5):
            for i, at in ((0, (y + 1) / 3), (4, (x + 1) / 5)):
                phase = torch.tensor(at * 2 * torch.pi)
                wanted = [
                    phase.sin(),
                    phase.cos(), (phase / 100).sin(), (phase / 100).cos()
                ]
                torch.testing.assert_close(
                    code[i:i + 4, y, x],
                    torch.stack(wanted),
                    rtol=0,
                    atol=1e-5)


# ------------------------------------------------------------------- losses


def slow_losses(module, out, labels, weight=(1., 20., 1.)):
    """MaskFormer's criterion: layer by layer, image by image, mask by mask."""
    result = {}
    for i in range(3):
        ce, focal, dice, weights, segments = 0., 0., 0., 0., 0
        for b in range(B):
            masks = out.mask_logits(i)[b]
            classes = [c for c in labels[b].unique().tolist() if c != 255]
            small = F.interpolate(labels[b][None, None].float(),
                                  masks.shape[-2:])[0, 0]
            costs = matching_costs(
                masks[None], out.class_logits[i][b][None],
                torch.tensor([classes]),
                torch.stack([(small == c).float() for c in classes])[None])
            target = torch.full((Q, ), C)
            for q, n in zip(*linear_sum_assignment(costs[0].numpy())):
                target[q] = classes[n]
                x = F.interpolate(
                    masks[None, q:q + 1], (SIZE, SIZE), mode='bilinear')[0, 0]
                p, t = x.sigmoid(), (labels[b] == classes[n]).double()
                p_t = p * t + (1 - p) * (1 - t)
                focal += ((.25 * t + .75 * (1 - t)) * (1 - p_t)**2 *
                          -p_t.log()).mean()
                dice += 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
                segments += 1
            for q in range(Q):
                w = .1 if target[q] == C else 1.
                ce -= w * out.class_logits[i][b, q].log_softmax(0)[target[q]]
                weights += w
        prefix = '' if i == 2 else f'd{i}.'
        values = (ce / weights, focal / segments, dice / segments)
        for name, w, value in zip(('cls', 'mask', 'dice'), weight, values):
            result[f'{prefix}loss_{name}'] = w * value
    return result


def test_losses_against_loops():
    module = head().double()
    out, labels = module([m.double() for m in maps()]), truth()
    losses = module.loss_by_feat(out, samples(labels))
    wanted = slow_losses(module, out, labels)
    assert losses.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-6, atol=1e-7)


def test_weights_and_costs_come_from_the_config():
    cost = [
        dict(type='mmdet.ClassificationCost', weight=2.),
        dict(type='mmdet.FocalLossCost', weight=3., binary_input=True)
    ]
    module = head(
        loss_cls=dict(
            type='mmdet.CrossEntropyLoss',
            loss_weight=3.,
            class_weight=[1.] * C + [.1]),
        loss_mask=dict(loss_weight=10.),
        loss_dice=dict(type='mmdet.DiceLoss', naive_dice=True, loss_weight=2.),
        train_cfg=dict(assigner=dict(match_costs=cost)))
    assert module.criterion.costs['weights'] == dict(cls=2., focal=3., dice=0.)
    module.criterion.costs['weights'] = dict(cls=1., focal=20., dice=1.)
    out, labels = module.double()([m.double() for m in maps()]), truth()
    wanted = slow_losses(module, out, labels, (3., 10., 2.))
    for name, value in module.loss_by_feat(out, samples(labels)).items():
        torch.testing.assert_close(wanted[name], value, rtol=1e-6, atol=1e-7)


def test_no_labelled_pixel_is_an_exact_zero_in_the_graph():
    module = head()
    out = module(maps())
    losses = module.loss_by_feat(out, samples(torch.full_like(truth(), 255)))
    for name, value in losses.items():
        assert value.requires_grad
        assert value == 0 or 'cls' in name  # "no object" is still learnt
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in module.parameters())


def test_more_classes_than_queries():
    module = head(num_queries=2)
    labels = truth()
    assert len(labels[1].unique()) == 4  # three classes and 255
    with pytest.warns(UserWarning, match='3 segments.*2 queries'):
        losses = module.loss_by_feat(module(maps()), samples(labels))
    assert all(value.isfinite() for value in losses.values())


def test_an_overflow_reaches_the_loss_not_the_solver():
    module = head()
    with torch.no_grad():
        module.mask_embed[4].bias[0] = torch.nan
    losses = module.loss_by_feat(module(maps()), samples(truth()))
    assert losses['loss_mask'].isnan()


def _share(rank, images):
    """One rank's losses and gradient; rank 1 may have nothing labelled."""
    module = head().double()
    labels = truth()
    if images == 'empty':
        labels[1] = 255
    out = module([m[rank:rank + 1].double() for m in maps()])
    losses = module.loss_by_feat(out, samples(labels[rank:rank + 1]))
    sum(losses.values()).backward()
    return ({
        k: v.detach()
        for k, v in losses.items()
    }, [p.grad for p in module.parameters()])


@pytest.mark.dist
@pytest.mark.parametrize('images', ['full', 'empty'])
def test_losses_do_not_depend_on_the_number_of_ranks(gloo_pool, images):
    ranks = gloo_pool(_share, images)
    module, labels = head().double(), truth()
    if images == 'empty':
        labels[1] = 255
    wanted = module.loss_by_feat(
        module([m.double() for m in maps()]), samples(labels))
    sum(wanted.values()).backward()
    for name, value in wanted.items():
        mean = sum(losses[name] for losses, _ in ranks) / 2
        torch.testing.assert_close(mean, value.detach())
    for p, *grads in zip(module.parameters(), *(grads for _, grads in ranks)):
        torch.testing.assert_close(sum(grads) / 2, p.grad)


# -------------------------------------------------------------- prototypes


def test_without_class_head_queries_are_prototypes_of_classes():
    module = head(class_head=False)
    assert not any('cls_embed' in name for name in module.state_dict())
    out = module(maps())
    assert out.class_logits == []
    scores = out.mask_logits()
    wanted = torch.stack(
        [scores[:, 2 * k:2 * k + 2].exp().sum(1).log() for k in range(C)], 1)
    torch.testing.assert_close(module.dense_logits(out), wanted)


@pytest.mark.parametrize('assign',
                         ['lse', 'sum_logits', 'literal', 'softmax_sum'])
def test_every_assignment_learns(assign):
    module = head(class_head=False, assign=assign)
    losses = module.loss_by_feat(module(maps()), samples(truth()))
    losses['loss_ce'].backward()
    assert losses['loss_ce'].isfinite()
    assert all(p.grad is not None for p in module.parameters())


def test_one_prototype_per_class_is_a_softmax_classifier():
    """PPS oracle 7: Eq. 8 at n = 1 is Eq. 1."""
    module = head(class_head=False, num_queries=C)
    out, labels = module(maps()), truth()
    wanted = F.cross_entropy(
        F.interpolate(out.mask_logits(), (SIZE, SIZE), mode='bilinear'),
        labels,
        ignore_index=255)
    loss = module.loss_by_feat(out, samples(labels))['loss_ce']
    torch.testing.assert_close(loss, wanted)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize('kwargs, message', [
    (dict(class_head=False, num_queries=7), 'multiple of 3'),
    (dict(assign='lse2'), 'unknown'), (dict(initial_target='ones'), 'unknown'),
    (dict(num_queries=0), 'at least one'), (dict(in_index=[0]), 'in_index'),
    (dict(loss_cls=dict(class_weight=[1., .1])), '2 numbers'),
    (dict(loss_dice=dict(naive_dice=False)), 'naive_dice=False'),
    (dict(loss_mask=dict(beta=1)), 'beta'),
    (dict(
        train_cfg=dict(
            assigner=dict(match_costs=[dict(type='mmdet.DiceCosts')]))),
     'DiceCosts'),
    (dict(
        transformer_decoder=dict(num_layers=1, layer_cfg=decoder_layer(4, 2))),
     'wide')
])
def test_messages(kwargs, message):
    with pytest.raises((ValueError, TypeError), match=message):
        head(**kwargs)

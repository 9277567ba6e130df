# Copyright (c) mmseg_semi authors.
"""U2PL inside a Mean Teacher, with a tiny real network."""
import io

import pytest
import torch
from torch import nn

from mmseg_semi.models import CrossPseudo, FixMatch
from .toys import batch, mean_teacher, segmentor, total


def u2pl_model(u2pl=None, **kwargs):
    """Burn-in 1, sizes for the toy network of 4 classes."""
    cfg = dict(
        type='U2PL',
        head=dict(in_channels=16, channels=6),
        num_anchors=10,
        num_negatives=8,
        ranks=(1, 4),
        threshold=.2,
        capacity=(60, 40),
        keys_per_image=5)
    cfg.update(u2pl or {})
    return mean_teacher(**{'burn_in': 1, 'terms': dict(u2pl=cfg), **kwargs})


def train(model, steps, lr=.05, first=0):
    """Take optimizer steps; returns the last step's losses."""
    losses = None
    for it in range(first, first + steps):
        losses = model.loss(*batch(seed=it))
        model.zero_grad()
        total(losses).backward()
        with torch.no_grad():
            for p in model.student.parameters():
                p -= lr * p.grad
        model.update_teacher()
    return losses


def head_parameters(model):
    return dict(model.student.semi_heads['u2pl'].named_parameters())


class TestPasses:

    def features(self, model, iteration):
        model.iteration = iteration
        step = model.begin(*batch())
        return {
            item.role: 'u2pl' in item.features
            for item in model.schedule(step)
        }

    def test_which_passes_run_the_head(self):
        model = u2pl_model()
        assert self.features(model, 0) == dict(learner=False, statistics=True)
        assert self.features(model, 1) == dict(
            labeler=False, learner=True, statistics=True)

    @pytest.mark.parametrize('buffers', ['copy', 'ema'])
    def test_asks_for_the_teachers_look_at_the_mixed_images(self, buffers):
        consistency = dict(type='PixelConsistency', entropy_view='weak')
        model = u2pl_model(buffers=buffers)
        model.terms['consistency'].entropy_view = consistency['entropy_view']
        assert self.features(model, 1)['statistics']
        assert train(model, 3, first=1)['loss_contrast'] > 0

    def test_negatives_are_the_teachers_in_train_mode(self):
        model = u2pl_model(dict(keys_per_image=200, capacity=(999, 999)))
        train(model, 1)
        outs = {}
        run = model.run

        def keep(step, item):
            run(step, item)
            for view in item.views:
                outs[item.role, view] = step.outs[item.name, view]

        model.run = keep
        model.loss(*batch(seed=1))
        queues = model.terms['u2pl'].queues
        stored = [queues.first.rows(0)[0]]
        stored += [queues.others.rows(c)[0] for c in range(3)]
        stored = torch.cat(stored)
        assert len(stored) > 50

        def found(role):
            features = torch.cat([
                outs[role,
                     view].features['u2pl'].detach().movedim(1,
                                                             -1).flatten(0, 2)
                for view in ('sup', 'unsup_student')
            ])
            rows = nn.functional.normalize(features, dim=1)
            cosine = (stored.double() @ rows.double().t()).amax(1)
            return (cosine > 1 - 1e-6).float().mean()

        assert found('statistics') == 1
        assert found('learner') < .2


class TestHead:

    def test_zero_gradient_in_burn_in(self):
        model = u2pl_model()
        losses = model.loss(*batch())
        assert losses['loss_contrast'] == 0
        total(losses).backward()
        for name, p in head_parameters(model).items():
            assert p.grad is not None and not p.grad.any(), name

    @pytest.mark.parametrize('fidelity', ['paper', 'official'])
    def test_gradient_reaches_head_and_network(self, fidelity):
        model = u2pl_model(dict(fidelity=fidelity))
        train(model, 2)
        model.zero_grad()
        losses = model.loss(*batch(seed=5))
        losses['loss_contrast'].backward()
        for name, p in head_parameters(model).items():
            assert p.grad is not None and p.grad.isfinite().all(), name
        reached = ('semi_heads.u2pl.layers.8.weight', 'backbone.conv1.weight',
                   'decode_head.low_conv.conv.weight')
        parameters = dict(model.student.named_parameters())
        for name in reached:
            assert parameters[name].grad.any(), name
        assert model.student.decode_head.conv_seg.weight.grad is None
        assert all(p.grad is None for p in model.teacher.parameters())

    def test_layers(self):
        """Two blocks and a projection, with torch's initial weights."""
        torch.manual_seed(3)
        model = u2pl_model(dict(head=dict(in_channels=16, channels=64)))
        layers = model.student.semi_heads['u2pl'].layers
        kinds = [
            nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Dropout2d, nn.Conv2d,
            nn.BatchNorm2d, nn.ReLU, nn.Dropout2d, nn.Conv2d
        ]
        assert [type(layer) for layer in layers] == kinds
        for layer in layers:
            if isinstance(layer, nn.Conv2d):
                fan_in = layer.weight[0].numel()
                bound = fan_in**-.5
                assert layer.weight.abs().max() <= bound
                assert layer.weight.detach().std().item() == pytest.approx(
                    bound / 3**.5, rel=.05)
                assert layer.bias is not None
        assert layers[-1].weight.shape == (64, 64, 1, 1)

    def test_wrong_width_is_told(self):
        with pytest.raises(ValueError, match='in_channels=5.* 16 channels'):
            u2pl_model(dict(head=dict(in_channels=5, channels=6)))

    def test_the_loss_falls(self):
        """The same batch again and again: features of classes part."""
        head = dict(in_channels=16, channels=6, dropout_ratio=0.)
        model = u2pl_model(
            dict(head=head, num_anchors=100), burn_in=0, mixing=None)
        values = []
        for _ in range(20):
            losses = model.loss(*batch())
            values.append(losses['loss_contrast'].item())
            model.zero_grad()
            (10 * losses['loss_contrast'] + losses['loss_sup']).backward()
            with torch.no_grad():
                for p in model.student.parameters():
                    p -= .05 * p.grad
            model.update_teacher()
        assert sum(values[-4:]) < .95 * sum(values[:4])


class TestPrecision:

    def test_autocast(self):
        model = u2pl_model()
        with torch.autocast('cpu', torch.bfloat16):
            train(model, 3)
            losses = model.loss(*batch(seed=9))
        assert all(v.dtype == torch.float32 for v in losses.values())
        assert all(v.isfinite() for v in losses.values())
        assert losses['loss_contrast'] > 0
        for name, value in model.terms['u2pl'].state_dict().items():
            assert value.dtype in (torch.float32, torch.int64), name
            assert value.isfinite().all(), name

    def test_padding_is_neither_anchor_nor_negative(self):
        model = u2pl_model()
        train(model, 1)
        inputs, samples = batch(labeled=1, unlabeled=1, padding=33)
        samples['sup'][0].gt_sem_seg.data.fill_(255)
        losses = model.loss(inputs, samples)
        assert losses['loss_contrast'] == 0
        assert model.terms['u2pl'].queues.count().sum() == 0


class TestCheckpoint:

    @pytest.mark.parametrize('fidelity', ['paper', 'official'])
    def test_next_step_is_the_same(self, fidelity):
        options = dict(fidelity=fidelity)
        model = u2pl_model(options)
        train(model, 3)
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        other = u2pl_model(options)
        train(other, 1)  # has other weights and host state of its own
        missing = other.load_state_dict(torch.load(file, weights_only=True))
        assert not missing.missing_keys and not missing.unexpected_keys
        for it in range(3, 6):
            ours, theirs = (train(m, 1, first=it) for m in (model, other))
            assert ours.keys() == theirs.keys()
            for name in ours:
                assert torch.equal(ours[name], theirs[name]), (it, name)
        for (name, a), b in zip(model.state_dict().items(),
                                other.state_dict().values()):
            assert torch.equal(a, b), name

    def test_state_is_complete(self):
        model = u2pl_model()
        train(model, 2)
        names = set(model.state_dict())
        assert {
            'terms.u2pl.queues.first.features',
            'terms.u2pl.queues.others.count',
            'student.semi_heads.u2pl.layers.0.weight',
            'teacher.semi_heads.u2pl.layers.8.bias'
        } <= names
        # The head belongs to the network, not to the term as well.
        assert not any(n.startswith('terms.') and 'layers' in n for n in names)

    def test_checkpoint_of_another_capacity(self):
        model = u2pl_model()
        train(model, 2)
        with pytest.raises(RuntimeError, match='capacity'):
            u2pl_model(dict(capacity=(60,
                                      41))).load_state_dict(model.state_dict())


class TestWhereItFits:

    @pytest.mark.parametrize('framework', [FixMatch, CrossPseudo])
    def test_needs_a_teacher(self, framework):
        with pytest.raises(TypeError, match='no teacher.*MeanTeacher'):
            framework(
                segmentor(),
                terms=dict(
                    supervised=dict(
                        type='SupervisedLoss',
                        criterion=[dict(type='cross_entropy')]),
                    u2pl=dict(
                        type='U2PL', head=dict(in_channels=16), ranks=(1, 3))))

    def test_another_head(self):
        """A stock head, whose scores have another stride than features."""
        model = u2pl_model(
            dict(
                head=dict(
                    in_channels=4, channels=6, tap='backbone.layer1:output')),
            segmentor=segmentor('fcn'))
        assert train(model, 3)['loss_contrast'] > 0

    def test_two_strong_views(self):
        model = u2pl_model(strong_copies=2)
        inputs, samples = batch()
        for part in (inputs, samples):
            part.pop('unsup_student')
        model.iteration = 1
        losses = model.loss(inputs, samples)
        assert losses['loss_contrast'] > 0

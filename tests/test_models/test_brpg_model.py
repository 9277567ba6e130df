# Copyright (c) mmseg_semi authors.
"""BRPG inside a Mean Teacher, with a tiny real network."""
import copy
import io

import pytest
import torch
from torch import nn

from mmseg_semi.models.banks import ClassBank
from .toys import NUM_CLASSES, batch, brpg_cfg, mean_teacher, segmentor, total

SAMPLING, CLUSTERED = 2, 4  # a step within the window, one past the clustering


def brpg_model(brpg=None, **kwargs):
    """Burn-in 1, window (1, 3): the fourth step makes the prototypes."""
    terms = dict(brpg=brpg_cfg(**(brpg or {})))
    return mean_teacher(**{'burn_in': 1, 'terms': terms, **kwargs})


def train(model, steps, lr=.05, first=0):
    """Take optimizer steps; returns the last step's losses."""
    losses = None
    for it in range(first, first + steps):
        losses = model.loss(*batch(seed=it))
        model.zero_grad()
        total(losses).backward()
        with torch.no_grad():
            for p in model.student.parameters():
                if p.requires_grad:
                    p -= lr * p.grad
        model.update_teacher()
    return losses


def head_parameters(model):
    return dict(model.student.semi_heads['brpg'].named_parameters())


class TestStages:

    def passes(self, model, iteration):
        model.iteration = iteration
        step = model.begin(*batch())
        return {
            item.role: 'brpg' in item.features
            for item in model.schedule(step)
        }

    def test_which_passes_run_the_feature_head(self):
        model = brpg_model(dict(window=(2, 3)))
        table = [self.passes(model, it) for it in range(4)]
        assert table == [
            dict(learner=False, statistics=True),
            dict(labeler=False, learner=False, statistics=True),
            dict(labeler=True, learner=True, statistics=True),
            dict(labeler=False, learner=True, statistics=True),
        ]

    def test_window_within_burn_in(self):
        """Table 7, the windows that start at epoch 0."""
        model = brpg_model(dict(window=(0, 1)))
        losses = train(model, 1)
        banks = [m for m in model.modules() if isinstance(m, ClassBank)]
        assert sum(b.count.sum() for b in banks) > 0
        assert 'loss_unsup' not in losses and losses['loss_proto'] == 0
        assert train(model, 1, first=1)['loss_proto'] > 0

    def test_stage_by_stage(self):
        model = brpg_model()
        banks = model.terms['brpg'].banks
        seen = []
        for it in range(5):
            loss = train(model, 1, first=it)['loss_proto'].item()
            seen.append(
                (banks.allocated, loss > 0,
                 bool(model.student.semi_heads['brpg'].prototype_valid.any())))
        assert seen == [(False, False, False), (True, False, False),
                        (True, False, False), (False, True, True),
                        (False, True, True)]

    def test_teacher_holds_the_students_prototypes(self):
        model = brpg_model()
        train(model, 6)
        mine, theirs = (
            net.semi_heads['brpg'] for net in (model.student, model.teacher))
        assert mine.prototype_valid.any()
        assert torch.equal(mine.prototypes, theirs.prototypes)
        assert torch.equal(mine.prototype_valid, theirs.prototype_valid)

    def test_banks_take_the_right_tensors(self):
        """Student in train mode on labelled, teacher in eval mode on weak."""
        model = brpg_model(
            dict(
                threshold=0.,
                capacity=1000,
                samples_per_image=1000,
                # So wide that no two pixels have all channels at 0.
                head=dict(channels=32)))
        train(model, 1)
        outs = {}
        run = model.run

        def keep(step, item):
            run(step, item)
            for view in item.views:
                outs[item.role, view] = step.outs[item.name, view]

        model.run = keep
        model.loss(*batch(seed=1))
        rows = torch.cat([
            model.terms['brpg'].banks.banks['high'].rows(c)[0]
            for c in range(NUM_CLASSES)
        ])
        stored = set(map(tuple, rows.tolist()))

        def share(role, view):
            features = outs[role, view].features['brpg'].detach()
            pixels = features.permute(0, 2, 3, 1).flatten(0, 2).tolist()
            return sum(tuple(p) in stored for p in pixels) / len(pixels)

        assert share('labeler', 'unsup_teacher') == 1
        assert 0 < share('learner', 'sup') < 1  # those predicted right
        assert share('learner', 'unsup_student') == 0
        assert share('statistics', 'sup') == 0
        assert len(rows) == len(stored)


class TestFeatureHead:

    @pytest.mark.parametrize('iteration', [0, 1, 2])
    def test_exactly_zero_gradient_before_prototypes(self, iteration):
        model = brpg_model()
        train(model, iteration)
        total(model.loss(*batch())).backward()
        for name, p in head_parameters(model).items():
            assert p.grad is not None and not p.grad.any(), name

    def test_gradient_from_prototypes_on(self):
        model = brpg_model()
        train(model, 3)
        model.zero_grad()
        model.loss(*batch())['loss_proto'].backward()
        for name, p in head_parameters(model).items():
            assert p.grad.isfinite().all(), name
        reached = ('semi_heads.brpg.projector.4.weight',
                   'backbone.conv1.weight', 'decode_head.low_conv.conv.weight')
        for name, p in model.student.named_parameters():
            if name in reached:
                assert p.grad.any(), name
        # The classification block is beside the feature head, not before.
        assert model.student.decode_head.conv_seg.weight.grad is None
        assert all(p.grad is None for p in model.teacher.parameters())

    def test_class_thresholds_leave_the_supervised_loss_its_graph(self):
        """Both read the same upsampled scores, the former without graph."""
        model = brpg_model(dict(class_threshold=(.2, .9), window=(0, 3)))
        losses = model.loss(*batch())
        losses['loss_sup'].backward()
        assert model.student.backbone.conv1.weight.grad.any()

    def test_teachers_head_gathers_statistics_from_the_start(self):
        """Spec S5: else its eval-mode features are not normalised."""
        model = brpg_model()
        train(model, 1)
        norm = model.teacher.semi_heads['brpg'].projector[0].bn
        assert norm.num_batches_tracked == 1 and norm.running_mean.any()

    def test_other_buffer_policies(self):
        for buffers in ('copy', 'ema'):
            model = brpg_model(buffers=buffers)
            assert train(model, 5)['loss_proto'] > 0

    @pytest.mark.parametrize('tap, channels', [('pre_cls', 8),
                                               ('decoder', 16)])
    def test_features_without_a_head(self, tap, channels):
        """Table 9, II and III."""
        head = dict(
            projector=None, tap=tap, in_channels=channels, channels=channels)
        model = brpg_model(dict(head=head))
        assert not head_parameters(model)
        losses = [train(model, 1, first=it)['loss_proto'] for it in range(5)]
        assert all(isinstance(loss, torch.Tensor) for loss in losses)
        assert [bool(loss > 0) for loss in losses] == [False] * 3 + [True] * 2
        model.zero_grad()
        model.loss(*batch())['loss_proto'].backward()
        classifier = model.student.decode_head.classifier[0].conv.weight
        assert (classifier.grad is not None) == (tap == 'pre_cls')

    def test_pretrained_head(self):
        """Table 9, I: trained on labels until T_S1, then as always."""
        model = brpg_model(dict(pretrain_head=True, window=(2, 3)))
        first = model.loss(*batch())
        assert first['loss_head'] > 0 and 'loss_proto' not in first
        total(first).backward()
        assert all(p.grad.any() for n, p in head_parameters(model).items()
                   if 'conv.bias' not in n)  # a bias before BatchNorm
        values = []
        model = brpg_model(dict(pretrain_head=True, window=(12, 13)))
        for it in range(12):
            values.append(train(model, 1, first=0 * it)['loss_head'].item())
        assert values[-1] < values[0]
        train(model, 1)
        for _ in range(2):  # sampling's next, then prototypes
            model.zero_grad()
            total(model.loss(*batch())).backward()
            for name, p in head_parameters(model).items():
                assert p.grad is not None, name  # DDP needs every one
            assert not head_parameters(model)['conv_seg.weight'].grad.any()

    def test_labelled_loss_of_pretraining(self):
        model = brpg_model(dict(pretrain_head=True, cells=4))
        step = model.begin(*batch())
        for item in model.schedule(step):
            model.run(step, item)
        loss = model.terms['brpg'].loss(step)['loss_head']
        head = model.student.semi_heads['brpg']
        logits = head.conv_seg(step.learner('student', 'sup').features['brpg'])
        expected = nn.functional.cross_entropy(
            logits[:, :, ::2, ::2],
            step.views['sup'].labels[:, ::8, ::8],
            ignore_index=255)
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


class TestPrecision:

    @pytest.mark.parametrize('steps', [SAMPLING, CLUSTERED])
    def test_autocast(self, steps):
        model = brpg_model()
        with torch.autocast('cpu', torch.bfloat16):
            train(model, steps)
            losses = model.loss(*batch(seed=9))
        assert all(v.dtype == torch.float32 for v in losses.values())
        assert all(v.isfinite() for v in losses.values())
        state = model.state_dict()
        assert all(v.isfinite().all() for v in state.values())
        kinds = {
            v.dtype
            for k, v in state.items() if 'bank' in k or 'prototypes' in k
        }
        assert kinds <= {torch.float32, torch.int64}

    def test_padding_never_enters_a_bank(self):
        model = brpg_model(
            dict(threshold=0., capacity=1000, samples_per_image=1000))
        train(model, 1)
        inputs, samples = batch(labeled=1, unlabeled=1, padding=33)
        samples['sup'][0].gt_sem_seg.data.fill_(255)
        model.loss(inputs, samples)
        banks = model.terms['brpg'].banks.banks
        assert all(bank.count.sum() == 0 for bank in banks.values())


class TestCheckpoint:

    @pytest.mark.parametrize('steps', [SAMPLING, CLUSTERED])
    def test_next_step_is_the_same(self, steps):
        """T12: in the middle of sampling and after clustering."""
        model = brpg_model(dict(class_threshold=(.2, .9)))
        train(model, steps)
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        file.seek(0)
        other = brpg_model(dict(class_threshold=(.2, .9)))
        train(other, 1)  # has other weights and host state of its own
        missing = other.load_state_dict(torch.load(file, weights_only=True))
        assert not missing.missing_keys and not missing.unexpected_keys
        assert other.iteration == steps
        for it in range(steps, steps + 3):
            ours, theirs = (train(m, 1, first=it) for m in (model, other))
            assert ours.keys() == theirs.keys()
            for name in ours:
                assert torch.equal(ours[name], theirs[name]), (it, name)
        for (name, a), b in zip(model.state_dict().items(),
                                other.state_dict().values()):
            assert torch.equal(a, b), name

    def test_state_is_complete(self):
        model = brpg_model()
        train(model, SAMPLING)
        names = set(model.state_dict())
        assert {
            '_iteration', '_ema_steps', 'terms.brpg.class_confidence',
            'terms.brpg.banks.banks.high.features',
            'terms.brpg.banks.banks.low.confidence',
            'student.semi_heads.brpg.prototypes',
            'teacher.semi_heads.brpg.prototype_valid'
        } <= names
        # The head belongs to the network, not to the term as well.
        assert not any(
            n.startswith('terms.') and 'prototype' in n for n in names)

    def test_mid_training_checkpoint_of_another_capacity(self):
        model = brpg_model()
        train(model, SAMPLING)
        other = brpg_model(dict(capacity=7))
        with pytest.raises(RuntimeError, match='capacity'):
            other.load_state_dict(model.state_dict())


def test_predicts_with_prototypes():
    model = brpg_model(predict_head='brpg')
    image, samples = torch.randn(1, 3, 33, 33), batch()[1]['sup'][:1]
    model.eval()
    with pytest.raises(RuntimeError, match='no prototypes yet'):
        model.predict(image, copy.deepcopy(samples))
    model.train()
    train(model, 5)
    model.eval()
    result = model.predict(image, copy.deepcopy(samples))[0]
    net = model.teacher
    with torch.no_grad():
        z = net.taps
        with z.capture(['decoder'], grad=False) as tapped:
            net.decode_head(net.extract_feat(image))
        head = net.semi_heads['brpg']
        features = head.features(tapped['decoder'])[0].flatten(1).t()
        cosine = torch.cosine_similarity(
            features[:, None, None], head.prototypes[None], dim=-1)
        scores = cosine.masked_fill(~head.prototype_valid, -9).amax(2) / .1
        scores = scores.t().view(1, NUM_CLASSES, 9, 9)
        scores = nn.functional.interpolate(
            scores, (33, 33), mode='bilinear', align_corners=True)
    assert torch.equal(result.pred_sem_seg.data, scores.argmax(1))
    plain = copy.deepcopy(model)
    plain.predict_head = None
    other = plain.predict(image, copy.deepcopy(samples))[0]
    assert not torch.equal(other.seg_logits.data, result.seg_logits.data)


def test_unknown_prediction_head():
    with pytest.raises(ValueError, match="'proto'.*brpg"):
        brpg_model(predict_head='proto')


def test_stock_deeplabv3plus():
    cfg = segmentor()
    cfg['decode_head'] = dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=32,
        in_index=3,
        channels=8,
        dilations=(1, 2),
        c1_in_channels=4,
        c1_channels=4,
        norm_cfg=dict(type='BN'),
        align_corners=True,
        num_classes=NUM_CLASSES)
    model = brpg_model(dict(head=dict(in_channels=12)), segmentor=cfg)
    assert train(model, 5)['loss_proto'] > 0


def test_segformer_with_a_linear_head():
    cfg = segmentor(
        backbone=dict(
            type='MixVisionTransformer',
            embed_dims=4,
            num_layers=[1, 1, 1, 1],
            num_heads=[1, 1, 1, 1],
            out_indices=(0, 1, 2, 3)),
        decode_head=dict(
            type='SegformerHead',
            in_channels=[4, 4, 4, 4],
            in_index=[0, 1, 2, 3],
            channels=6,
            dropout_ratio=.1,
            norm_cfg=dict(type='BN'),
            align_corners=False,
            num_classes=NUM_CLASSES))
    head = dict(
        projector='linear',
        tap='decode_head.fusion_conv:input',
        in_channels=24,
        channels=6)
    model = brpg_model(dict(head=head), segmentor=cfg)
    kinds = [type(m) for m in model.student.semi_heads['brpg'].projector]
    assert kinds == [nn.Conv2d, nn.Dropout2d, nn.Conv2d]
    losses = train(model, 5, lr=.01)
    assert losses['loss_proto'] > 0
    assert all(p.grad is not None and p.grad.isfinite().all()
               for p in model.student.parameters())

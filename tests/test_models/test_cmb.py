# Copyright (c) mmseg_semi authors.
"""CMB's term against loops over classes and pixels, in fp64."""
import copy
from random import Random

import pytest
import torch
from mmseg.registry import MODELS
from torch import nn
from torch.nn import functional as F

from mmseg_semi.models.regularizers.term import build_term
from mmseg_semi.models.step import Out, Step, View
from .toys import NUM_CLASSES, batch, mean_teacher, total

C, D, SIZE, SIDE = NUM_CLASSES, 6, 17, 5
FULL = (SIZE, SIZE)


def make_term(fidelity='paper', num_classes=C, **kwargs):
    """The term in fp64, and the heads of a student and of a teacher."""
    torch.manual_seed(0)
    cfg = dict(
        type='CMB',
        head=dict(in_channels=3, channels=D),
        rows_per_image=2,
        capacity=9,
        memory_start=1,
        contrast_start=2,
        threshold=.6)
    cfg.update(kwargs)
    term = build_term(cfg, 'student', num_classes, fidelity)
    heads = []
    for _ in range(2):
        head = MODELS.build(
            dict(term.heads()['cmb'], num_classes=num_classes)).double()
        for name, parameter in head.named_parameters():
            if parameter.dim() < 3:  # norms and biases away from their start
                nn.init.normal_(parameter, std=.5)
        heads.append(nn.ModuleDict(dict(cmb=head)))
    net = nn.Module()
    net.semi_heads = heads[0]
    term.bind(net)
    heads[1].requires_grad_(False)
    return term.double(), heads[0], heads[1]


def make_step(heads, iteration=2, seed=0, images=3, semi=True, part=None):
    """A step with given features, scores and labels; 255 among the labels."""
    gen = torch.Generator().manual_seed(seed)
    part = slice(None) if part is None else part

    def randn(*shape):
        return torch.randn(*shape, generator=gen, dtype=torch.float64)

    step = Step(
        iteration=iteration,
        total_iters=10,
        generator=torch.Generator().manual_seed(seed),
        random=Random(0),
        semi=semi,
        views={})
    classes = heads[0]['cmb'].selectors.weight.shape[0] if heads[0][
        'cmb'].selectors is not None else C
    names = ['sup'] + ['unsup_student', 'unsup_student2'] * semi
    for view in names:
        labels = torch.randint(0, classes, (images, *FULL), generator=gen)
        labels[:, :5] = 255
        scores = 4 * randn(images, classes, 9, 9)
        features = [randn(images, D, SIDE, SIDE) for _ in range(2)]
        right = F.one_hot(labels.clamp_max(classes - 1)[:, ::2, ::2], classes)
        scores = scores + 4 * right.permute(0, 3, 1, 2)
        step.views[view] = View(
            image=torch.zeros(images, 3, *FULL)[part],
            samples=[],
            valid=torch.ones(images, *FULL)[part] > 0,
            labels=labels[part] if view == 'sup' else None)
        step.labels['student', view] = dict(cls=labels[part])
        step.learned['student', view] = 'learn'
        for name, net, feature in zip(('learn', 'bank'), heads, features):
            feature = feature[part].clone()
            step.outs[name, view] = Out(
                logits=scores[part],
                features=dict(cmb=feature.requires_grad_(name == 'learn')),
                aux=[],
                align_corners=True,
                heads=net)
    step.labels.pop(('student', 'sup'))
    return step


def trained(heads):
    """Parameters by name; the first layer runs in the pass, not here."""
    return {
        name: parameter
        for name, parameter in heads['cmb'].named_parameters()
        if not name.startswith('reduce.')
    }


def mlp(block, rows):
    """BatchNorm1d, ReLU, Linear, on rows that all count."""
    rows = F.batch_norm(rows, None, None, block.weight, block.bias, True)
    return block.linear(rows.relu())


def selector(module, label, rows):
    hidden = F.batch_norm(rows @ module.weight[label], None, None,
                          module.norm_weight[label], module.norm_bias[label],
                          True)
    return F.leaky_relu(hidden,
                        .2) @ module.out[label] + module.out_bias[label]


def nearest(pixels, size=SIDE):
    return [int(i * SIZE / size) for i in range(size)]


def expected_push(step, head, source='bank', number=6, threshold=.6, **option):
    """Accepted vectors per class, in the order they enter (spec 1.5)."""
    out = step.outs[source, 'sup']
    view = step.views['sup']
    dense = F.interpolate(
        out.logits, FULL, mode='bilinear', align_corners=True).softmax(1)
    side = option.get('side', SIDE)
    rows, labels = [], []
    for image in range(len(dense)):
        for i in range(side):
            for j in range(side):
                y, x = i * SIZE // side, j * SIZE // side
                probability = dense[image, :, y, x]
                label = view.labels[image, y, x].item()
                good = probability.max() > threshold and (probability.argmax()
                                                          == label)
                if view.target is not None and not view.target[image, y, x]:
                    continue
                if label == 255 or (option.get('filter', True) and not good):
                    continue
                rows.append(out.features['cmb'].detach()[image, :,
                                                         i * SIDE // side,
                                                         j * SIDE // side])
                labels.append(label)
    vectors = mlp(head.projector, torch.stack(rows))
    labels = torch.tensor(labels)
    entering = {}
    for label in range(C):
        mine = vectors[labels == label]
        kind = option.get('rank', 'memory_selectors')
        if kind and len(mine) > 1:
            scores = selector(getattr(head, kind), label, mine)
            order = scores.argsort(descending=option.get('highest', True))
            mine = mine[order[:number]].flip(0)  # the best is newest
        entering[label] = mine
    return entering


def assert_same_rows(bank, entering):
    for label, rows in entering.items():
        stored = bank.rows(label)[0]
        assert len(stored) == len(rows)
        ours, theirs = (sorted(map(tuple, x.tolist())) for x in (stored, rows))
        for mine, other in zip(ours, theirs):
            assert mine == pytest.approx(other, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize('options,reference', [
    (dict(), dict()),
    (dict(rows_per_image=1), dict(number=3)),
    (dict(rows_per_image=1,
          memory_select='lowest'), dict(number=3, highest=False)),
    (dict(rows_per_image=1,
          rank_with='feature'), dict(number=3, rank='selectors')),
    (dict(rows_per_image=1,
          memory_attention=False), dict(number=3, rank='selectors')),
    (dict(rows_per_image=1, quality_filter=False), dict(
        number=3, filter=False)),
    (dict(memory_network='student'), dict(source='learn')),
    (dict(rows_per_image=9), dict(number=9)),
    (dict(feat_stride=6, quality_filter=False), dict(side=3, filter=False)),
    (dict(feat_stride=2), dict()),
])
def test_memory_takes_the_right_vectors(options, reference):
    term, student, teacher = make_term(**options)
    step = make_step((student, teacher), iteration=1)
    head = (student if reference.get('source') else teacher)['cmb']
    entering = expected_push(step, head, **reference)
    with torch.no_grad():
        term.update_before(step)
    assert_same_rows(term.bank, entering)
    assert sum(map(len, entering.values())) > 8
    if reference.get('number', 6) == 3:  # the ranking had a choice
        assert max(map(len, entering.values())) == 3


def test_memory_is_first_in_first_out():
    # Oracle 3: the best of a push are the last to leave.
    term, student, teacher = make_term(rows_per_image=2, capacity=7)
    both = []
    for seed in range(2):
        step = make_step((student, teacher), seed=seed, iteration=1)
        both.append(expected_push(step, teacher['cmb']))
        with torch.no_grad():
            term.update_before(step)
    assert_same_rows(
        term.bank, {
            label: torch.cat([both[0][label], both[1][label]])[-7:]
            for label in range(C)
        })


def test_memory_is_of_the_target_domain():
    term, student, teacher = make_term()
    step = make_step((student, teacher), iteration=1)
    target = torch.ones(3, *FULL, dtype=torch.bool)
    target[1] = False
    step.views['sup'].target = target
    entering = expected_push(step, teacher['cmb'])
    with torch.no_grad():
        term.update_before(step)
    assert_same_rows(term.bank, entering)
    step.views['sup'].target = torch.zeros_like(target)
    before = term.bank.count.clone()
    with torch.no_grad():
        term.update_before(step)
    assert torch.equal(term.bank.count, before)
    # The source domain takes part in the loss.
    step.iteration = 2
    term.loss(step)['loss_contrast'].backward()
    grad = step.learner('student', 'sup').features['cmb'].grad
    assert (grad[1] != 0).any()


def test_random_choice_without_selectors():
    term, student, teacher = make_term(rows_per_image=1, class_attention=False)
    step = make_step((student, teacher), iteration=1)
    everything = expected_push(step, teacher['cmb'], rank=None)
    with torch.no_grad():
        term.update_before(step)
    for label, rows in everything.items():
        stored = term.bank.rows(label)[0]
        assert len(stored) == min(3, len(rows))
        for row in stored:
            assert (rows - row).abs().sum(1).min() < 1e-9


def expected_loss(term, step, views, head):
    """Eq. 8-11 over the pairs, on the kept positions alone."""
    rows, labels = [], []
    for view in views:
        source = step.views[view].labels
        if source is None:
            source = step.labels['student', view]['cls']
        at = nearest(SIZE)
        labels.append(source[:, at][:, :, at].flatten())
        feature = step.learner('student', view).features['cmb']
        rows.append(feature.permute(0, 2, 3, 1).reshape(-1, D))
    rows, labels = torch.cat(rows), torch.cat(labels)
    rows, labels = rows[labels != 255], labels[labels != 255]
    projected = mlp(head.projector, rows)
    predicted = mlp(head.predictor, head.predictor_in(projected))
    loss = 0.
    for label in range(C):
        p, z = predicted[labels == label], term.bank.rows(label)[0]
        if len(p) < 2 or len(z) < 2:
            continue
        w_p, w_z = torch.ones(len(p)).double(), torch.ones(len(z)).double()
        if term.class_attention:
            a = selector(head.selectors, label, p.detach()).sigmoid()
            w_p = len(p) * a / a.sum()
        if term.memory_attention:
            seen = F.normalize(z) if term.normalize_memory else z
            b = selector(head.memory_selectors, label, seen).sigmoid()
            w_z = len(z) * b / b.sum()
        distance = 1 - F.cosine_similarity(p[:, None], z[None], dim=2)
        loss = loss + (w_p[:, None] * w_z[None] * distance).mean()
    return loss / C


@pytest.mark.parametrize('options', [
    dict(),
    dict(memory_attention=False),
    dict(class_attention=False),
    dict(normalize_memory=True),
    dict(fidelity='official'),
    dict(loss_weight=(.3, .7)),
])
def test_loss_equals_the_pairs(options):
    term, student, teacher = make_term(**options)
    step = make_step((student, teacher))
    with torch.no_grad():
        term.update_before(step)
    term.bank.count[3] = 1  # not enough in memory
    losses = term.loss(step)
    weights = options.get('loss_weight', (.1, .1))
    head = student['cmb']
    expected = [
        weight * expected_loss(term, step, views, head)
        for weight, views in zip(weights, (
            ['sup'], ['unsup_student', 'unsup_student2']))
    ]
    assert list(losses) == ['loss_contrast', 'loss_contrast_unsup']
    inputs = [
        step.learner('student', view).features['cmb'] for view in step.views
    ] + list(trained(student).values())
    # A class without features in the step may leave a parameter alone.
    ours, theirs = (
        torch.autograd.grad(sum(x), inputs, materialize_grads=True)
        for x in (losses.values(), expected))
    for loss, value in zip(losses.values(), expected):
        assert loss.item() == pytest.approx(value.item(), abs=1e-12)
        assert loss > 0
    for mine, other in zip(ours, theirs):
        assert torch.allclose(mine, other, rtol=1e-7, atol=1e-11)
        assert (other != 0).any()


def test_gradient_reaches_what_it_should():
    # Oracle 2.
    term, student, teacher = make_term()
    step = make_step((student, teacher))
    with torch.no_grad():
        term.update_before(step)
    stored = term.bank.features.clone()
    sum(term.loss(step).values()).backward()
    for name, parameter in trained(student).items():
        assert (parameter.grad != 0).any(), name
    assert all(p.grad is None for p in teacher.parameters())
    assert not term.bank.features.requires_grad
    assert torch.equal(term.bank.features, stored)
    assert step.outs['bank', 'sup'].features['cmb'].grad is None


def test_no_gradient_passes_through_the_weights():
    """With the attention frozen, features get the same gradient."""
    gradients, scores = [], []
    for constant in (False, True):
        term, student, teacher = make_term()
        selectors = student['cmb'].selectors
        score = iter(scores) if constant else None

        def forward(rows, labels, score=score, real=selectors.forward):
            if score is not None:  # the same weights, without a graph
                return next(score)
            scores.append(real(rows, labels).detach())
            return real(rows, labels)

        selectors.forward = forward
        step = make_step((student, teacher))
        with torch.no_grad():
            term.update_before(step)
        sum(term.loss(step).values()).backward()
        gradients.append(
            step.learner('student', 'unsup_student').features['cmb'].grad)
    assert torch.equal(*gradients)
    assert (gradients[0] != 0).any()


@pytest.mark.parametrize('accepted', [0, 1])
def test_memory_without_or_with_one_vector(accepted):
    term, student, teacher = make_term()
    step = make_step((student, teacher))
    labels = step.views['sup'].labels
    keep = torch.zeros_like(labels, dtype=torch.bool)
    if accepted:
        out = step.outs['bank', 'sup']
        dense = F.interpolate(
            out.logits, FULL, mode='bilinear', align_corners=True).softmax(1)
        at = torch.tensor(nearest(SIZE))
        good = ((dense.argmax(1) == labels) & (dense.amax(1) > .6))
        image, row, col = torch.nonzero(good[:, at][:, :, at])[0]
        keep[image, at[row], at[col]] = True
    step.views['sup'].target = keep
    with torch.no_grad():
        term.update_before(step)
    assert term.bank.count.sum() == 0  # one row has no statistics
    assert term.bank.features.isfinite().all()
    losses = term.loss(step)
    assert all(value == 0 for value in losses.values())
    sum(losses.values()).backward()
    for parameter in trained(student).values():
        assert (parameter.grad == 0).all()


def test_two_classes():
    term, student, teacher = make_term(num_classes=2)
    step = make_step((student, teacher))
    with torch.no_grad():
        term.update_before(step)
    losses = term.loss(step)
    assert all(value > 0 for value in losses.values())


def test_labels_that_are_all_ignored():
    term, student, teacher = make_term()
    with torch.no_grad():
        term.update_before(make_step((student, teacher)))
    step = make_step((student, teacher))
    step.views['sup'].labels[:] = 255
    before = term.bank.count.clone()
    with torch.no_grad():
        term.update_before(step)
    loss = term.loss(step)['loss_contrast']
    loss.backward()
    assert loss == 0 and torch.equal(term.bank.count, before)
    assert all((p.grad == 0).all() for p in trained(student).values())


def _filled(rank, parts):
    """The bank after two steps in which this rank has parts[rank] images."""
    term, student, teacher = make_term()
    for seed in range(2):
        step = make_step((student, teacher), seed=seed, iteration=1)
        labels = step.views['sup'].labels
        mask = torch.zeros(3, 1, 1, dtype=torch.bool)
        mask[parts[rank]] = True
        step.views['sup'].target = mask.expand_as(labels)
        with torch.no_grad():
            term.update_before(step)
    return term.bank.state_dict()


@pytest.mark.dist
@pytest.mark.parametrize('parts', [([0], [1, 2]), ([], [0, 1])])
def test_ranks_hold_the_same_memory(gloo_pool, parts):
    """Every rank sees three images; only some are of the target domain."""
    ours, theirs = gloo_pool(_filled, parts)
    for name, value in ours.items():
        assert torch.equal(value, theirs[name])
    # Rank order within a step, the steps one after the other.
    term, student, teacher = make_term()
    entering = {label: [] for label in range(C)}
    for seed in range(2):
        for part in parts:
            step = make_step((student, teacher), seed=seed, iteration=1)
            mask = torch.zeros(3, 1, 1, dtype=torch.bool)
            mask[part] = True
            step.views['sup'].target = mask.expand(3, *FULL)
            if part:
                for label, rows in expected_push(step, teacher['cmb']).items():
                    entering[label].append(rows)
    term.bank.allocate()
    term.bank.load_state_dict(ours)
    assert_same_rows(term.bank, {
        label: torch.cat(rows)[-9:]
        for label, rows in entering.items()
    })
    assert term.bank.count.sum() > 10


# ------------------------------------------------- inside a real framework


def model_cfg(**kwargs):
    cfg = dict(
        type='CMB',
        head=dict(in_channels=8, channels=6),
        rows_per_image=3,
        capacity=10,
        memory_start=1,
        contrast_start=2,
        threshold=.2)
    cfg.update(kwargs)
    return dict(
        terms=dict(cmb=cfg), joint=False, buffers='copy', labeler_mode='train')


def train(model, steps, seeds=None):
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], .05)
    history = []
    for seed in seeds or range(steps):
        losses = model.loss(*batch(seed=seed))
        optimizer.zero_grad()
        total(losses).backward()
        missing = [
            name for name, p in model.named_parameters()
            if p.requires_grad and p.grad is None
        ]
        assert not missing  # DDP would wait for them
        optimizer.step()
        model.update_teacher()
        history.append({name: value.item() for name, value in losses.items()})
    return history


def test_phases():
    model = mean_teacher(**model_cfg())
    term = model.terms.cmb
    seen = []
    original = model.run

    def run(step, item):
        seen[-1].append((item.net, item.views, 'cmb'
                         in item.features, item.train, item.dropout))
        return original(step, item)

    model.run = run
    filled, history = [], []
    for i in range(4):
        seen.append([])
        history += train(model, 1, [i])
        filled.append(int(term.bank.count.sum()))
    bank = ('teacher', ('sup', ), True, True, True)
    learners = [[x for x in passes if x[0] == 'student'] for passes in seen]
    assert [bank in passes for passes in seen] == [False, True, True, True]
    assert [all(x[2] for x in passes)
            for passes in learners] == [False, False, True, True]
    assert not any(x[2] for x in learners[1])
    assert filled[0] == 0 < filled[1]
    assert ['loss_contrast_unsup' in losses
            for losses in history] == [False, False, True, True]
    assert [losses['loss_contrast'] > 0
            for losses in history] == [False, False, True, True]
    assert term.stages() == dict(before=0, memory=1, contrast=2)


@pytest.mark.parametrize('options', [
    dict(
        memory_network='student', class_attention=False, quality_filter=False),
    dict(class_attention=False),
    dict(memory_attention=False),
    dict(memory_dropout=True),
    dict(loss_weight=(0., .1)),
    dict(loss_weight=(.1, 0.)),
    dict(loss_weight=(0., 0.)),
    dict(fidelity='official'),
    dict(memory_start=0, contrast_start=0, feat_stride=8),
    dict(
        head=dict(
            in_channels=32, channels=6, tap='decode_head.aspp_modules:input')),
])
def test_every_ablation_trains(options):
    """Tables 6 and 8, the official mechanics and other taps."""
    if options.get('head', {}).get('tap'):
        options = dict(
            options,
            head=dict(
                in_channels=32, channels=6, tap='backbone.layer4:output'))
    history = train(mean_teacher(**model_cfg(**options)), 4)
    weights = options.get('loss_weight', (.1, .1))
    assert (history[-1]['loss_contrast'] > 0) == bool(weights[0]) \
        if 'loss_contrast' in history[-1] else not weights[0]
    assert ('loss_contrast_unsup' in history[-1]) == bool(weights[1])


@pytest.mark.parametrize('buffers', ['own', 'copy'])
def test_burn_in_contrasts_labelled_features_only(buffers):
    """With ``own``, the framework's pass for statistics is CMB's."""
    cfg = dict(model_cfg(), buffers=buffers)
    model = mean_teacher(burn_in=10, **cfg)
    history = train(model, 3)
    assert history[-1]['loss_contrast'] > 0
    assert 'loss_contrast_unsup' not in history[-1]


def test_resumed_training_is_the_same():
    model = mean_teacher(**model_cfg())
    train(model, 3)
    other = mean_teacher(**model_cfg())
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    assert torch.equal(model.terms.cmb.bank.features,
                       other.terms.cmb.bank.features)
    ours, theirs = (train(m, 3, [7, 8, 9]) for m in (model, other))
    assert ours == theirs
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_memory_of_another_size_is_refused():
    model = mean_teacher(**model_cfg())
    train(model, 2)
    other = mean_teacher(**model_cfg(capacity=11))
    with pytest.raises(RuntimeError, match='cmb.bank.features.*capacity'):
        other.load_state_dict(model.state_dict(), strict=False)


@pytest.mark.parametrize('options,message', [
    (dict(rows_per_image='city'), 'num_labeled'),
    (dict(rows_per_image='coco', num_labeled=5), 'rows_per_image'),
    (dict(memory_start=3), 'contrast_start'),
    (dict(memory_start=-1), 'negative'),
    (dict(memory_select='best'), 'memory_select'),
    (dict(memory_network='ema'), 'memory_network'),
    (dict(rank_with='memory', memory_attention=False), 'rank_with'),
])
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        make_term(**options)


def test_framework_without_a_teacher():
    term, _, _ = make_term()
    framework = nn.Module()
    framework.networks = ('student', )
    step = Step(5, 10, None, None, True, {})
    with pytest.raises(TypeError, match='memory_network="student"'):
        term.passes(framework, step)

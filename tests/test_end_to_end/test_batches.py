# Copyright (c) mmseg_semi authors.
"""The images of an iteration, shared by processes and by batches."""
import json

import pytest
import torch

from .harness import (ROOT, STOCK, add_hook, run_ranks, run_tool, run_tools,
                      write_config)

# Nothing that looks at several images or many pixels at once: no BatchNorm,
# mixing, dropout, filter or ignored pixel, and a mean over all pixels.
SEPARATE = dict(
    burn_in=1,
    mixing=None,
    segmentor=dict(
        backbone=dict(norm_cfg=dict(type='GN', num_groups=4)),
        decode_head=dict(
            norm_cfg=dict(type='GN', num_groups=4), dropout_ratio=0.)),
    terms=dict(
        supervised=dict(criterion=[dict(type='cross_entropy', weight=1.)]),
        consistency=dict(filter='none', normalizer='all'),
        brpg=None))

# A shifted image would have ignored pixels.
UNSHIFTED = [
    f'train_dataloader.dataset.{source}.pipeline.2.max_shift=0'
    for source in ('labeled', 'unlabeled')
]


def separate(path, digits, **kwargs):
    extra = '\noptim_wrapper = dict(optimizer=dict(_delete_=True, ' \
        'type="SGD", lr=0.01, momentum=0.9))\n'
    return write_config(
        path, digits, model=SEPARATE, max_iters=6, images=4, extra=extra)


def weights(folder):
    return torch.load(folder / 'iter_6.pth', weights_only=True)['state_dict']


@pytest.mark.slow
def test_accumulated_batches_take_the_same_steps(tmp_path, digits):
    config = separate(tmp_path / 'config.py', digits)
    ours, stock = ROOT / 'tools/train.py', STOCK / 'train.py'
    runs = dict(
        whole=[ours, config, '--cfg-options', *UNSHIFTED],
        parts=[ours, config, '--accumulate', 4, '--cfg-options', *UNSHIFTED],
        stock=[
            stock, config, '--cfg-options', *UNSHIFTED,
            'train_cfg.accumulate=4'
        ])
    for name, command in runs.items():
        finished = run_tool(
            *command,
            '--work-dir',
            tmp_path / name,
            log=tmp_path / f'{name}.txt')
        assert finished.code == 0, finished.output
    assert '4 batches of 1 labelled + 1 unlabelled' in finished.output
    compare(tmp_path, 'parts', 'stock')


@pytest.mark.slow
@pytest.mark.dist
def test_two_processes_accumulate_batches(tmp_path, digits):
    config = separate(tmp_path / 'config.py', digits)
    command = [ROOT / 'tools/train.py', config]
    options = ['--cfg-options', *UNSHIFTED]
    finished = run_tool(
        *command,
        *options,
        '--work-dir',
        tmp_path / 'whole',
        log=tmp_path / 'whole.txt')
    assert finished.code == 0, finished.output
    finished = run_ranks(
        *command,
        '--accumulate',
        2,
        *options,
        '--work-dir',
        tmp_path / 'both',
        ranks=2,
        log=tmp_path / 'both.txt')
    assert finished.code == 0, finished.output
    assert '2 batches of 1 labelled + 1 unlabelled' in finished.output
    compare(tmp_path, 'both')


def compare(folder, *names):
    whole = weights(folder / 'whole')
    for name in names:
        for key, value in weights(folder / name).items():
            torch.testing.assert_close(
                value, whole[key], rtol=0, atol=1e-6, msg=key)


@pytest.mark.slow
@pytest.mark.dist
def test_processes_share_an_iteration(tmp_path, digits):
    """The same images, augmented alike, on one process and on two."""
    config = write_config(
        tmp_path / 'config.py',
        digits,
        images=4,
        max_iters=5,
        model=dict(terms=dict(brpg=dict(window=(1, 3)))),
        extra=add_hook(type='DumpImages'))
    read, records = [], []
    for ranks in (1, 2):
        folder = tmp_path / str(ranks)
        command = [ROOT / 'tools/train.py', config, '--work-dir', folder]
        log = folder / 'log.txt'
        finished = run_tools(
            command, log=log) if ranks == 1 else run_ranks(
                *command, log=log, ranks=ranks)
        assert finished.code == 0, finished.output
        parts = [
            json.loads((folder / f'images{rank}.json').read_text())
            for rank in range(ranks)
        ]
        assert {len(images)
                for part in parts
                for images in part} == {12 // ranks
                                        }  # labelled, weak and strong
        read.append([sorted(sum(images, [])) for images in zip(*parts)])
        records.append(json.loads((folder / 'record.json').read_text()))
    assert read[0] == read[1]
    assert records[0]['config_hash'] == records[1]['config_hash']
    for record, ranks in zip(records, (1, 2)):
        assert record['total_batch'] == [4, 4]
        assert record['world_size'] == ranks


@pytest.mark.slow
@pytest.mark.dist
def test_a_number_of_processes_that_does_not_divide(tmp_path, digits):
    config = write_config(tmp_path / 'config.py', digits, images=4)
    finished = run_ranks(
        ROOT / 'tools/train.py',
        config,
        '--work-dir',
        tmp_path / 'run',
        ranks=3,
        log=tmp_path / 'log.txt')
    assert finished.code == 3
    assert 'error: An iteration has 4 + 4 images in all' in finished.output
    assert 'Train with 1, 2 or 4 process(es)' in finished.output
    assert 'Traceback' not in finished.output

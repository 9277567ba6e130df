# Copyright (c) mmseg_semi authors.
"""What a user is told about mistakes in data, config and checkpoint."""
import importlib.util
import json
import math
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from .harness import ROOT, run_ranks, run_tool, write_config

LABELED = 'ImageSets/Semi/digits-40.txt'
METHODS = ('brpg', 'cmb', 'cps', 'pcr', 'pps', 'rc2l')
UNCHECKED = 'train_cfg.check_data=False'
UNSUPERVISED = ('model.terms.consistency=None', 'model.terms.brpg=None')


def load_tool(name):
    spec = importlib.util.spec_from_file_location(f'bad_input_{name}',
                                                  ROOT / f'tools/{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Bench:
    """A copy of the data to spoil, and the tools."""

    def __init__(self, root, folder):
        self.root, self.folder = root, folder
        self.work_dir = folder / 'work'
        self.labeled = (root / LABELED).read_text().split()
        train = (root / 'ImageSets/Segmentation/train.txt').read_text()
        self.unlabeled = sorted(set(train.split()) - set(self.labeled))
        self.use('brpg')

    def use(self, method):
        self.config = write_config(
            self.folder / f'{method}.py', self.root, method, max_iters=30)

    def image(self, name):
        return self.root / f'JPEGImages/{name}.jpg'

    def mask(self, name):
        return self.root / f'SegmentationClass/{name}.png'

    def relist(self, *names):
        (self.root / LABELED).write_text('\n'.join(names) + '\n')

    def arguments(self, *options):
        # Loggers and visualizers are kept by their names.
        quiet = (f'experiment_name={self.folder.name}',
                 f'visualizer.name={self.folder.name}',
                 'train_cfg.val_interval=100',
                 'default_hooks.checkpoint.interval=100',
                 'default_hooks.checkpoint.save_last=False')
        return (self.config, '--work-dir', str(self.work_dir), '--cfg-options',
                *quiet, *options)

    def refusal(self, *options, tool='train', checkpoint=()):
        """The message with which the tool ends."""
        config, *arguments = self.arguments(*options)
        with pytest.raises(SystemExit) as caught:
            load_tool(tool).main([config, *checkpoint, *arguments])
        message = caught.value.code
        assert message.startswith('\nerror: ')
        return message

    def train(self, *options):
        load_tool('train').main(list(self.arguments(*options)))

    def logged(self):
        """The scalars of every step."""
        (path, ) = self.work_dir.glob('*/vis_data/scalars.json')
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [row for row in rows if 'loss' in row]  # not of validation

    def trained(self):
        """Whether a training step was taken."""
        return any('Iter(train)' in log.read_text()
                   for log in self.work_dir.glob('*/*.log'))


@pytest.fixture
def bench(tmp_path, digits, monkeypatch):
    monkeypatch.delenv('MMSEG_SEMI_TRACEBACK', raising=False)
    # Formatting the config is four fifths of the time that a runner takes.
    monkeypatch.setattr(Config, 'pretty_text',
                        property(lambda cfg: str(cfg.to_dict())))
    root = tmp_path / 'DigitScenes'
    shutil.copytree(digits, root)
    return Bench(root, tmp_path)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-200])


def test_missing_data_root(bench):
    wrong = bench.root.with_name('DigitScnes')
    message = bench.refusal(
        f'train_dataloader.dataset.labeled.data_root={wrong}')
    assert f'data_root: there is no folder {wrong}' in message
    assert 'nearest names: DigitScenes' in message


def test_list_names_a_missing_file(bench):
    bench.relist(*bench.labeled, 'train_99999')
    message = bench.refusal()
    assert str(bench.image('train_99999')) in message
    assert str(bench.mask('train_99999')) in message
    assert 'take the image off the list' in message
    assert not bench.trained()


def test_everything_is_named_at_once(bench):
    """Faults of three sets, in the order in which they stop a training."""
    truncate(bench.image(bench.labeled[0]))
    Image.open(bench.mask('val_00001')).convert('RGB').save(
        bench.mask('val_00001'))
    message = bench.refusal(
        'train_dataloader.dataset.unlabeled.data_prefix.img_path=none')
    assert '3 errors' in message
    for words in (str(bench.image(bench.labeled[0])),
                  str(bench.mask('val_00001')), 'data_prefix.img_path'):
        assert words in message
    assert not bench.trained()


@pytest.mark.slow
@pytest.mark.dist
def test_all_processes_stop(bench):
    """Process 0 says why; the other one neither hangs nor repeats it."""
    name = bench.labeled[0]
    Image.open(bench.mask(name)).convert('RGB').save(bench.mask(name))
    finished = run_ranks(
        ROOT / 'tools/train.py', *bench.arguments(), log=bench.folder / 'log')
    assert finished.code == 2  # of 1 each
    assert finished.output.count(str(bench.mask(name))) == 1
    assert finished.output.count('process 0 says why') == 1
    assert not bench.trained()


def test_what_is_accepted_only_warns(bench):
    bench.relist(*bench.labeled[:-1], 'val_00003')
    assert '2 errors' in bench.refusal()  # by the list, and by the files
    assert 'no finding of the kind shred' in bench.refusal(
        'train_cfg.check_data=[shred]')
    bench.train('train_cfg.check_data=[shared-image]', 'train_cfg.max_iters=1')
    assert bench.trained()


def test_data_that_are_not_looked_at(bench):
    name = bench.labeled[0]
    bench.image(name).write_bytes(bench.image('val_00003').read_bytes())
    assert 'shared-image' in bench.refusal()
    bench.train('train_cfg.max_iters=1', '--no-check')
    assert bench.trained()


def test_list_leaves_the_folder(bench):
    bench.relist(*bench.labeled, '../x')
    message = bench.refusal()
    assert f"{LABELED}, line 41 ('../x')" in message
    assert 'list images below it' in message


def test_list_holds_a_validation_image(bench):
    bench.relist(*bench.labeled, 'val_00003')
    message = bench.refusal()
    assert '1 labelled image(s) are also in ' in message
    assert 'val.txt: ' in message and 'val_00003' in message
    assert 'take them off the labelled list' in message


def test_mask_with_ids_out_of_range(bench):
    name = bench.labeled[0]
    bench.relist(name)
    ids = np.array(Image.open(bench.mask(name)))
    ids[0, :2] = 11, 12
    Image.fromarray(ids).save(bench.mask(name))
    message = bench.refusal()
    assert str(bench.mask(name)) in message
    assert '11 (in 1 mask), 12 (in 1 mask); there are 11 classes' in message
    message = bench.refusal(UNCHECKED)
    assert str(bench.mask(name)) in message
    assert 'holds ids [11, 12] but there are 11 classes' in message
    assert 'Check num_classes' in message
    assert not bench.trained()


def test_colour_mask(bench):
    name = bench.labeled[0]
    bench.relist(name)
    Image.open(bench.mask(name)).convert('RGB').save(bench.mask(name))
    message = bench.refusal()
    assert str(bench.mask(name)) in message
    assert 'Map every colour to its class id' in message
    message = bench.refusal(UNCHECKED)
    assert str(bench.mask(name)) in message
    assert '3 channels' in message
    assert 'map each colour to its id' in message


def test_truncated_labelled_image(bench):
    name = bench.labeled[0]
    bench.relist(name)
    truncate(bench.image(name))
    for options, remedy in (((), 'Replace these images'),
                            ((UNCHECKED, ),
                             'Repair it or take it off the labelled list')):
        message = bench.refusal(*options)
        assert str(bench.image(name)) in message
        assert 'truncated' in message
        assert remedy in message


@pytest.mark.slow
def test_truncated_labelled_image_in_a_worker(bench):
    """The error crosses two processes; its last line still says it."""
    name = bench.labeled[0]
    bench.relist(name)
    truncate(bench.image(name))
    finished = run_tool(
        ROOT / 'tools/train.py',
        *bench.arguments('train_dataloader.num_workers=2', UNCHECKED),
        log=bench.folder / 'log.txt')
    assert finished.code == 1
    last = finished.output.strip().splitlines()[-1]
    assert last.startswith('RuntimeError: ')
    assert str(bench.image(name)) in last


def test_truncated_unlabelled_image_is_skipped(bench):
    for name in bench.unlabeled[:3]:
        truncate(bench.image(name))
    bench.train('train_cfg.max_iters=20')  # a whole pass: 40 images
    lines = (bench.work_dir / 'bad_images.txt').read_text().splitlines()
    assert sorted(line.split('\t')[0] for line in lines) == [
        str(bench.image(name)) for name in bench.unlabeled[:3]
    ]
    assert all('truncated' in line for line in lines)


def test_too_many_truncated_unlabelled_images(bench):
    for name in bench.unlabeled[:3]:
        truncate(bench.image(name))
    limit = 'train_dataloader.dataset.unlabeled.max_bad_images=2'
    assert 'unreadable-image' in bench.refusal(limit)
    message = bench.refusal(limit, UNCHECKED)
    assert '3 unlabelled images cannot be read' in message
    assert 'max_bad_images=2' in message
    assert str(bench.work_dir / 'bad_images.txt') in message


def test_num_classes_that_disagrees(bench):
    message = bench.refusal('model.segmentor.decode_head.num_classes=10')
    assert 'num_classes=10' in message and 'has 11 classes' in message
    assert 'Set model.num_classes=11' in message
    assert not bench.trained()


def test_unlabelled_terms_without_unlabelled_source(bench):
    message = bench.refusal('train_dataloader.dataset.unlabeled=None')
    assert 'unlabelled image(s) per iteration, but the dataset has none' \
        in message
    message = bench.refusal('train_dataloader.dataset.unlabeled=None',
                            'train_dataloader.sampler.counts=(2,0)',
                            'train_dataloader.batch_size=2')
    assert "'consistency'" in message and "'brpg'" in message
    assert '`unlabeled` source' in message
    assert not bench.trained()


def test_supervised_needs_no_unlabelled_source(bench):
    """The remedy that the message above names."""
    bench.train('train_dataloader.dataset.unlabeled=None',
                'train_dataloader.sampler.counts=(2,0)',
                'train_dataloader.batch_size=2', 'train_cfg.max_iters=1',
                *UNSUPERVISED)
    assert bench.trained()


def test_batch_size_that_is_not_the_counts(bench):
    message = bench.refusal('train_dataloader.batch_size=6')
    assert 'batch_size is 6' in message and 'counts=(2, 2)' in message
    assert 'Set batch_size=4' in message
    assert not bench.trained()


@pytest.mark.parametrize('method', METHODS)
def test_labelled_images_of_one_class_and_of_none(bench, method):
    """There is nothing to compare with, and nothing breaks."""
    bench.use(method)
    for name, value in zip(bench.labeled, (255, 3)):
        ids = np.full_like(Image.open(bench.mask(name)), value)
        Image.fromarray(ids).save(bench.mask(name))
    bench.relist(*bench.labeled[:2])
    assert 'one-class' in bench.refusal()
    bench.train('train_cfg.max_iters=12', UNCHECKED)
    rows = bench.logged()
    assert len(rows) == 12
    for row in rows:
        assert all(math.isfinite(row[name]) for name in row if 'loss' in name)


def test_queries_that_do_not_divide_by_the_classes(bench):
    bench.use('pps')
    message = bench.refusal('model.segmentor.decode_head.num_queries=54')
    assert '54 prototypes cannot be shared out evenly among 11' in message
    assert 'use a multiple of 11, for example 44' in message


def test_fewer_queries_than_segments(bench):
    bench.use('rc2l')
    with pytest.warns(UserWarning, match='left over .* Raise num_queries'):
        bench.train('model.segmentor.decode_head.num_queries=1',
                    'train_cfg.max_iters=6')
    assert bench.trained()


def test_a_network_that_gives_nan(bench):
    bench.use('rc2l')
    with pytest.warns(UserWarning, match='cost is NaN.*learning rate'):
        message = bench.refusal('optim_wrapper.optimizer.lr=1e30',
                                'train_cfg.max_iters=2')
    assert 'iteration 2 are not finite: loss=nan' in message
    assert not list(bench.work_dir.glob('*.pth'))


def test_students_of_the_same_seed(bench):
    bench.use('cps')
    with pytest.warns(UserWarning, match='Without diversity'):
        bench.train('model.init_seeds=(3,3)', 'train_cfg.max_iters=1')
    assert bench.trained()


class Unsafe:
    """Something that unpickling would run."""

    def __reduce__(self):
        return os.mkdir, ('ran', )


def write_checkpoint(path, kind):
    if kind == 'unsafe':
        torch.save(dict(state_dict={}, meta=Unsafe()), path)
    elif kind == 'pickle':
        path.write_bytes(pickle.dumps(dict(state_dict={}, meta=Unsafe())))
    elif kind == 'other':
        torch.save(dict(state_dict={'encoder.w': torch.ones(2)}), path)
    else:
        path.write_text('<html>404</html>')
    return str(path)


@pytest.mark.parametrize('tool', ['train', 'test'])
@pytest.mark.parametrize('kind,words', [
    ('unsafe', ['pickled Python objects', 'convert it once']),
    ('pickle', ['pickled Python objects', 'convert it once']),
    ('other', ['fits neither', 'encoder.w', 'Give a checkpoint']),
    ('html', ['not a checkpoint (neither zip', 'Use another file']),
])
def test_checkpoint_that_is_not_ours(bench, monkeypatch, tool, kind, words):
    monkeypatch.chdir(bench.folder)
    path = write_checkpoint(bench.folder / 'foreign.pth', kind)
    if tool == 'test':
        message = bench.refusal(tool='test', checkpoint=(path, ))
    else:
        message = bench.refusal(f'load_from={path}')
    assert path in message
    for word in words:
        assert word in message
    assert not (bench.folder / 'ran').exists()
    assert not bench.trained()


@pytest.mark.parametrize('kind,words', [
    ('unsafe', 'convert it once'),
    ('other', 'optimizer'),
])
def test_resume_from_what_is_not_ours(bench, kind, words):
    path = write_checkpoint(bench.folder / 'foreign.pth', kind)
    message = bench.refusal(checkpoint=('--resume', path))
    assert path in message and words in message


def test_missing_checkpoint(bench):
    path = bench.folder / 'absent.pth'
    assert f'no checkpoint {path}' in bench.refusal(f'load_from={path}')

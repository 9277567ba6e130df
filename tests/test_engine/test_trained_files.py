# Copyright (c) mmseg_semi authors.
import pytest
import torch

from mmseg_semi.apis import test_config as config_of_a_test
from mmseg_semi.engine.trained_files import model_files, model_name


@pytest.fixture
def work_dir(tmp_path, monkeypatch):
    """One with two configs, two best and two other checkpoints."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'leaves'
    for start in ('1', '2'):
        (folder / start / 'vis_data').mkdir(parents=True)
        config = f'start = {start}\ntest_evaluator = dict(type="IoUMetric")\n'
        (folder / start / 'vis_data' / 'config.py').write_text(config)
    content = dict(
        state_dict={}, meta=dict(), optimizer={}, param_schedulers=[])
    for name in ('iter_9', 'iter_20', 'best_mIoU_iter_9', 'best_mIoU_iter_12'):
        torch.save(content, folder / f'{name}.pth')
    return folder


@pytest.mark.parametrize('given, wanted', [
    (None, 'leaves/iter_20.pth'),
    ('last', 'leaves/iter_20.pth'),
    ('best', 'leaves/best_mIoU_iter_12.pth'),
    ('other.pth', 'other.pth'),
])
def test_a_work_directory_has_a_config_and_weights(work_dir, given, wanted):
    assert model_files('leaves',
                       given) == ('leaves/2/vis_data/config.py', wanted)
    assert model_name('leaves') == model_name('leaves/') == 'leaves'


def test_config_and_weights_stay_as_given(work_dir):
    assert model_files('a/tiles.py', 'b.pth') == ('a/tiles.py', 'b.pth')
    assert model_files('mmseg_semi::a/b.py',
                       'https://c/d.pth') == ('mmseg_semi::a/b.py',
                                              'https://c/d.pth')
    assert model_name('a/tiles.py') == 'tiles'


@pytest.mark.parametrize('place, checkpoint, error, text', [
    ('leafs', 'last', FileNotFoundError, 'no work directory leafs'),
    ('leaves/iter_9.pth', 'last', ValueError, 'the work directory leaves'),
    ('leaves/2/vis_data/config.py', 'best', ValueError, 'give the file'),
    ('bare', 'last', FileNotFoundError, 'bare has no last checkpoint'),
    ('bare', 'best', FileNotFoundError, 'bare has no best checkpoint'),
    ('empty', 'last', FileNotFoundError, 'holds 0 configs'),
])
def test_what_is_refused(work_dir, place, checkpoint, error, text):
    (work_dir.parent / 'empty').mkdir()
    bare = work_dir.parent / 'bare'
    bare.mkdir()
    (bare / 'bare.py').write_text('')
    with pytest.raises(error, match=text) as caught:
        model_files(place, checkpoint)
    assert '--checkpoints' not in str(caught.value)


def test_a_test_takes_a_work_directory(work_dir):
    cfg = config_of_a_test('leaves', 'best')
    assert cfg.start == 2
    assert cfg.load_from == 'leaves/best_mIoU_iter_12.pth'

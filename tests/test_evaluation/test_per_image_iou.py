# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
import torch
from mmseg.evaluation import IoUMetric

from mmseg_semi.evaluation import PerImageAreas, PerImageIoUMetric

CLASSES = ('a', 'b', 'c')


def make_samples(num, seed=0):
    rng = np.random.default_rng(seed)
    samples = []
    for i in range(num):
        label = rng.choice([0, 1, 2, 255], size=(1, 5, 4))
        pred = rng.integers(3, size=(1, 5, 4))
        samples.append(
            dict(
                img_path=f'/data/JPEGImages/val_{i:02d}.jpg',
                pred_sem_seg=dict(data=torch.from_numpy(pred)),
                gt_sem_seg=dict(data=torch.from_numpy(label))))
    return samples


def make_metric(kind=PerImageIoUMetric, **kwargs):
    metric = kind(iou_metrics=['mIoU', 'mDice'], **kwargs)
    metric.dataset_meta = dict(classes=CLASSES)
    return metric


def evaluate(metric, samples, size=None, batch=3):
    for i in range(0, len(samples), batch):
        metric.process({}, samples[i:i + batch])
    return metric.evaluate(size or len(samples))


def reference_areas(sample):
    """Counted pixel by pixel."""
    pred, label = (
        sample[key]['data'].flatten().tolist()
        for key in ('pred_sem_seg', 'gt_sem_seg'))
    pairs = [(p, t) for p, t in zip(pred, label) if t != 255]
    intersect = [sum(p == c == t for p, t in pairs) for c in range(3)]
    union = [sum(c in (p, t) for p, t in pairs) for c in range(3)]
    return intersect, union


def test_results_are_those_of_the_stock_metric():
    samples = make_samples(8)
    stock = evaluate(make_metric(IoUMetric), samples)
    ours = evaluate(make_metric(), samples)
    assert ours == stock and 0 < ours['mIoU'] < 100


def test_areas_are_those_of_each_image():
    samples, metric = make_samples(8), make_metric()
    assert metric.per_image is None
    evaluate(metric, samples)
    areas = metric.per_image
    assert areas.ids.tolist() == [f'val_{i:02d}' for i in range(8)]
    for i, sample in enumerate(samples):
        intersect, union = reference_areas(sample)
        assert areas.intersect[i].tolist() == intersect
        assert areas.union[i].tolist() == union


def test_a_second_evaluation_replaces_the_first():
    metric = make_metric()
    evaluate(metric, make_samples(8))
    evaluate(metric, make_samples(4, seed=1))
    assert metric.per_image.intersect.shape == (4, 3)


def test_format_only_has_no_areas(tmp_path):
    metric = make_metric(format_only=True, output_dir=str(tmp_path))
    samples = make_samples(2)
    for sample in samples:
        del sample['gt_sem_seg']
    assert evaluate(metric, samples) == {}
    assert metric.per_image is None
    assert len(list(tmp_path.glob('*.png'))) == 2


@pytest.mark.parametrize('largest, dtype', [(200, np.uint8), (4096, np.uint16),
                                            (250_000, np.uint32)])
def test_file_round_trip_in_the_narrowest_integers(tmp_path, largest, dtype):
    union = np.array([[largest, 3], [0, 1]])
    areas = PerImageAreas(np.array(['x', 'y']), union // 2, union)
    path = tmp_path / 'a.npz'
    path.write_bytes(areas.to_bytes(40))
    with np.load(path) as file:
        assert file['union'].dtype == dtype
    loaded, iteration = PerImageAreas.load(path)
    assert iteration == 40 and loaded.union.dtype == np.int64
    for one, other in zip(areas, loaded):
        assert np.array_equal(one, other)


def _evaluate_shard(rank, num):
    # As DefaultSampler: interleaved, the last batch padded from the start.
    samples = make_samples(num)
    indices = [*range(num), *range(-num % 2)]
    metric = make_metric()
    result = evaluate(metric, [samples[i] for i in indices[rank::2]], num)
    per_image = metric.per_image
    return result, per_image and [part.tolist() for part in per_image]


@pytest.mark.dist
def test_processes_together_give_every_image_once(gloo_pool):
    (main, areas), (other, nothing) = gloo_pool(_evaluate_shard, 7)
    metric = make_metric()
    assert main == other == evaluate(metric, make_samples(7))
    assert areas == [part.tolist() for part in metric.per_image]
    assert nothing is None

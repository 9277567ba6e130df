# Copyright (c) mmseg_semi authors.
"""PCR's Algorithm 2: which pixels are clustered, with which features."""
import pytest
import torch
from torch.nn import functional as F

from mmseg_semi.functional import class_prototypes
from mmseg_semi.models import prototype_extraction
from mmseg_semi.models.prototype_extraction import (PixelReservoir,
                                                    cluster_sample,
                                                    sample_pixels)

CLASSES, D = 3, 5
SIZES = [(17, 21), (13, 9), (25, 8)]
SMALL = [(5, 6), (4, 3), (7, 2)]


def images(seed=0):
    """Feature maps (1, D, h, w) with the labels (H, W) of their images."""
    gen = torch.Generator().manual_seed(seed)
    for size, small in zip(SIZES, SMALL):
        labels = torch.randint(0, CLASSES, size, generator=gen)
        labels[0, :3], labels[-1] = 255, CLASSES  # ignored, no class
        yield torch.randn(
            1, D, *small, generator=gen, dtype=torch.float64), labels


def sample(capacity, seed=3, align_corners=True):
    return sample_pixels(lambda features: features, images(), CLASSES,
                         capacity, seed, align_corners)


def reference(capacity, seed=3, align_corners=True):
    """Keys and features of the least keys, over the whole upsampled maps."""
    gen = torch.Generator().manual_seed(seed)
    found = {c: [] for c in range(CLASSES)}
    for features, labels in images():
        keys = torch.rand(labels.numel(), generator=gen).view(labels.shape)
        full = F.interpolate(
            features,
            labels.shape,
            mode='bilinear',
            align_corners=align_corners)[0]
        for c, rows in found.items():
            for y, x in (labels == c).nonzero().tolist():
                rows.append((keys[y, x].item(), full[:, y, x]))
    return [
        sorted(found[c], key=lambda row: row[0])[:capacity]
        for c in range(CLASSES)
    ]


@pytest.mark.parametrize('align_corners', [True, False])
@pytest.mark.parametrize('capacity', [7, 60, 10_000])
def test_the_least_keys_of_all_images_stay(capacity, align_corners):
    found = sample(capacity, align_corners=align_corners)
    counts = torch.stack([
        labels[labels < CLASSES].bincount(minlength=CLASSES)
        for _, labels in images()
    ]).sum(0)
    assert found.seen == counts.tolist()
    for c, rows in enumerate(reference(capacity, align_corners=align_corners)):
        assert len(rows) == min(capacity, counts[c])
        assert found.keys[c].tolist() == [key for key, _ in rows]
        torch.testing.assert_close(
            found.features[c],
            torch.stack([row for _, row in rows]),
            rtol=0,
            atol=1e-12)


def test_every_image_gives_its_share():
    """No matter in which order the images come."""
    shares = torch.zeros(4)
    for seed in range(40):
        pixels = PixelReservoir(1, 100, seed)
        for image in range(4):
            side = 20 if image < 3 else 40
            pixels.add(
                torch.full((1, 1, 2, 2), float(image)),
                torch.zeros(side, side).long(), True)
        shares += pixels.features[0].round().long().flatten().bincount(
            minlength=4) / 4000
    expected = torch.tensor([1., 1., 1., 4.]) / 7
    assert (shares - expected).abs().max() < .03


def test_the_seed_decides():
    first, again, other = sample(20), sample(20), sample(20, seed=4)
    for c in range(CLASSES):
        assert torch.equal(first.features[c], again.features[c])
        assert not torch.equal(first.features[c], other.features[c])


def test_features_are_read_at_the_chosen_pixels_alone(monkeypatch):
    """A class may fill a large image while the reservoir is empty."""
    read, original = [], prototype_extraction.features_at

    def count(features, image, *args):
        read.append(len(image))
        return original(features, image, *args)

    monkeypatch.setattr(prototype_extraction, 'features_at', count)
    pixels = PixelReservoir(1, 10, 0)
    for _ in range(5):
        pixels.add(torch.randn(1, D, 4, 4), torch.zeros(50, 50).long(), True)
    assert read[0] == 10 and max(read) == 10 and sum(read) < 40


class TestClusters:

    def test_few_rows_and_none(self):
        pixels = PixelReservoir(3, 100, 0)
        labels = torch.full((6, 6), 255)
        labels[:2] = 0
        labels[4, 1], labels[5, 4] = 1, 1
        pixels.add(torch.randn(1, D, 6, 6), labels, True)
        prototypes, valid = cluster_sample(pixels, 4, 'faiss', 0)
        assert prototypes.shape == (3, 4, D)
        assert valid.sum(1).tolist() == [4, 2, 0]
        rows = sorted(pixels.features[1].tolist())
        assert sorted(prototypes[1, :2].tolist()) == rows
        assert not prototypes[~valid].any()

    def test_prototypes_are_means_of_their_pixels(self):
        """Of the raw features, in exactly K groups."""
        pixels = sample(10_000)
        prototypes, valid = cluster_sample(pixels, 2, 'faiss', 0)
        assert valid.all()
        for c, rows in enumerate(pixels.features):
            nearest = torch.cdist(rows, prototypes[c]).argmin(1)
            for k in range(2):
                torch.testing.assert_close(
                    prototypes[c, k],
                    rows[nearest == k].mean(0),
                    rtol=0,
                    atol=.05)
            total = torch.stack([(nearest == k).sum() for k in range(2)])
            torch.testing.assert_close(
                (prototypes[c] * total[:, None]).sum(0) / len(rows),
                rows.mean(0),
                rtol=0,
                atol=.05)

    def test_by_direction(self):
        pixels = sample(300)
        prototypes, _ = cluster_sample(pixels, 2, 'faiss', 0, normalize=True)
        for c, rows in enumerate(pixels.features):
            assert torch.equal(prototypes[c],
                               class_prototypes(rows, 2, normalize=True))

    def test_no_labelled_pixel(self):
        pixels = PixelReservoir(3, 100, 0)
        pixels.add(torch.randn(1, D, 6, 6), torch.full((6, 6), 255), True)
        with pytest.raises(ValueError, match='no labelled pixel'):
            cluster_sample(pixels, 4, 'faiss', 0)

# Copyright (c) mmseg_semi authors.
import pytest
import torch

from mmseg_semi.models.regularizers import feature_sampling as sampling


def pool(labels, predicted, confidence):
    """Candidates (1, 1, N); the feature of pixel i is (i,)."""
    labels, predicted = (
        torch.tensor(v)[None, None] for v in (labels, predicted))
    features = torch.arange(labels.numel()).float().view(1, 1, 1, -1)
    return sampling.Candidates(features, labels, predicted,
                               torch.tensor(confidence)[None, None])


class TestCandidates:

    @pytest.mark.parametrize('full, side', [(513, 129), (769, 193), (33, 9)])
    def test_labels_are_nearest_as_the_official_code(self, full, side):
        """Source index floor(i * H / h), up to 3 px from the feature."""
        labels = torch.randint(0, 4, (1, full, full))
        result = sampling.candidates(
            torch.randn(1, 4, side, side), torch.randn(1, 2, side, side),
            labels)
        index = torch.tensor([i * full // side for i in range(side)])
        assert torch.equal(result.labels, labels[:, index][:, :, index])

    def test_confidence_is_that_of_the_scores_stride(self):
        logits = torch.randn(2, 3, 5, 5, requires_grad=True)
        features = torch.randn(2, 4, 5, 5, requires_grad=True)
        result = sampling.candidates(logits, features)
        probability, predicted = logits.softmax(1).max(1)
        assert torch.equal(result.confidence, probability)
        assert torch.equal(result.predicted, predicted)
        assert torch.equal(result.labels, predicted)
        assert not any(part.requires_grad for part in result)

    def test_half_precision_features_become_full(self):
        result = sampling.candidates(
            torch.randn(1, 2, 3, 3),
            torch.randn(1, 2, 3, 3).bfloat16())
        assert result.features.dtype == torch.float32

    def test_scores_of_another_stride(self):
        result = sampling.candidates(
            torch.randn(1, 3, 4, 4), torch.randn(1, 2, 8, 8))
        assert result.labels.shape == result.confidence.shape == (1, 8, 8)
        assert torch.equal(result.labels, result.predicted)

    def test_padding(self):
        maps = sampling.candidates(
            torch.randn(1, 3, 9, 9), torch.randn(1, 2, 9, 9))
        valid = torch.ones(1, 33, 33, dtype=torch.bool)
        valid[..., 14:] = False  # feature column 4 reads pixel 14
        masked = sampling.mask_padding(maps, valid).labels
        assert (masked[..., 4:] == 255).all()
        assert torch.equal(masked[..., :4], maps.labels[..., :4])


class TestGroups:
    labeled = pool([0, 0, 1, 1, 1, 255], [0, 0, 1, 1, 0, 1],
                   [.80, .79, .60, .59, .99, .99])
    unlabeled = pool([0, 1, 1, 255, 0, 0], [0, 1, 1, 1, 0, 0],
                     [.8, .79, .9, .99, .1, .1])

    def test_high_and_low(self):
        """Thresholds per class for labelled pixels, wrong ones never."""
        groups = sampling.confidence_groups(self.labeled, self.unlabeled,
                                            torch.tensor([.8, .6]), .8)
        high, low = (groups[g][:, 0].int().tolist() for g in ('high', 'low'))
        assert high == [[1, 0, 1, 0, 0, 0], [1, 0, 1, 0, 0, 0]]
        assert low == [[0, 1, 0, 1, 0, 0], [0] * 6]

    def test_random_group(self):
        group = sampling.random_group(self.labeled, self.unlabeled,
                                      .8)['all'][:, 0]
        assert group.int().tolist() == [[1, 1, 1, 1, 1, 0], [1, 0, 1, 0, 0, 0]]


class TestDraws:

    def draw(self, mask, quota):
        maps = sampling.candidates(
            torch.randn(2, 3, 4, 4), torch.randn(2, 5, 4, 4))
        return maps, sampling.draw_rows(maps, mask, quota,
                                        torch.Generator().manual_seed(0))

    def test_rows_are_those_of_their_pixel(self):
        mask = torch.rand(2, 4, 4) < .5
        maps, (features, labels, confidence) = self.draw(mask, 32)
        assert (labels >= 0).sum() == mask.sum()
        every = maps.features.permute(0, 2, 3, 1)[mask]
        for row, label, conf in zip(features, labels, confidence):
            if label >= 0:
                place = (every == row).all(1).nonzero().item()
                assert label == maps.labels[mask][place]
                assert conf == maps.confidence[mask][place]

    def test_at_most_the_quota(self):
        _, (features, labels,
            _) = self.draw(torch.ones(2, 4, 4, dtype=torch.bool), 7)
        assert len(features) == 7 and (labels >= 0).all()
        assert len(features.unique(dim=0)) == 7

    def test_nothing_to_draw(self):
        _, (features, labels,
            _) = self.draw(torch.zeros(2, 4, 4, dtype=torch.bool), 7)
        assert len(features) == 7 and (labels == -1).all()


def _push(rank):
    banks = sampling.FeatureBanks(('high', 'low'), 2, 1, 4, 1)
    banks.allocate()
    for step in range(2):
        rows = torch.arange(3 if rank else 1) + 10 * step + 100 * rank
        banks.push('high', rows[:, None].float(), torch.zeros_like(rows),
                   torch.ones(len(rows)))
    return banks.state_dict()


@pytest.mark.dist
def test_every_rank_enqueues_the_rows_of_all(gloo_pool):
    """In rank order, keeping the last V: spec B3."""
    first, second = gloo_pool(_push)
    for name in first:
        assert torch.equal(first[name], second[name])
    banks = sampling.FeatureBanks(('high', 'low'), 2, 1, 4, 1)
    banks.load_state_dict(first)
    rows, _ = banks.banks['high'].rows(0)
    assert rows[:, 0].tolist() == [10, 110, 111, 112]
    assert len(banks.banks['low'].rows(0)[0]) == 0

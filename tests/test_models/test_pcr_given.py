# Copyright (c) mmseg_semi authors.
"""PCR that starts from given prototypes, or a file of them."""

import pytest
import torch
from mmengine.logging import MessageHub

from mmseg_semi.models.prototype_file import save_prototypes
from .given_pcr import NAMES, Z, head_of, pcr_model
from .test_brpg_model import train
from .toys import NUM_CLASSES, batch


class TestGivenPrototypes:
    """A checkpoint's prototypes start another training (load_from)."""

    def test_they_stay_and_are_used_at_once(self):
        model = pcr_model(dict(momentum=1.))
        train(model, 4)
        other = pcr_model(dict(momentum=1.))
        train(other, 1)  # the bank is in use
        other.load_state_dict(model.state_dict())
        other.iteration = 0
        for it in range(4):
            losses = train(other, 1, first=it)
            assert losses['loss_proto'] > 0
            assert not other.terms.pcr.bank.allocated
        assert torch.equal(
            head_of(other).prototypes,
            head_of(model).prototypes)

    def test_begin_holds(self):
        model = pcr_model()
        train(model, 4)
        other = pcr_model(dict(begin=3))
        other.load_state_dict(model.state_dict())
        other.iteration = 0
        found = [train(other, 1, first=it)['loss_proto'] for it in range(4)]
        assert [bool(loss > 0) for loss in found] == 3 * [False] + [True]

    def test_resume_of_such_a_training(self):
        """Its window is passed over again."""
        model = pcr_model(dict(window=(0, 9)))
        first = pcr_model()
        train(first, 4)
        model.load_state_dict(first.state_dict())
        model.iteration = 0
        train(model, 2)
        other = pcr_model(dict(window=(0, 9)))
        other.load_state_dict(model.state_dict())
        for it in (2, 3):
            ours, theirs = (train(m, 1, first=it) for m in (model, other))
            for name in ours:
                assert torch.equal(ours[name], theirs[name]), (it, name)

    def test_the_device_is_not_read_every_step(self, monkeypatch):
        model = pcr_model()
        train(model, 4)
        monkeypatch.setattr(torch.Tensor, 'any', None)
        model.terms.pcr.stage(model.begin(*batch()))


class TestFile:

    @pytest.fixture
    def path(self, tmp_path):
        gen = torch.Generator().manual_seed(0)
        path = str(tmp_path / 'sub/prototypes.pth')
        valid = torch.ones(NUM_CLASSES, 2, dtype=torch.bool)
        valid[2, 1] = valid[3] = False
        save_prototypes(path, torch.randn(NUM_CLASSES, 2, Z, generator=gen),
                        valid, NAMES)
        return path

    @pytest.fixture
    def hub(self):
        hub = MessageHub.get_current_instance()
        yield hub
        hub.runtime_info.pop('dataset_meta', None)

    def test_it_starts_the_training(self, path, hub):
        hub.update_info('dataset_meta', dict(classes=tuple(NAMES)))
        model = pcr_model(dict(prototypes=path, momentum=1.))
        losses = train(model, 1)
        stored = torch.load(path, weights_only=True)
        assert torch.equal(head_of(model).prototypes, stored['prototypes'])
        assert torch.equal(head_of(model).prototype_valid, stored['valid'])
        assert losses['loss_proto'] > 0 and not model.terms.pcr.bank.allocated

    def test_a_checkpoints_prototypes_stay(self, path):
        model = pcr_model(dict(prototypes=path))
        train(model, 2)
        other = pcr_model(dict(prototypes='gone.pth'))
        other.load_state_dict(model.state_dict())
        other.iteration = 0
        train(other, 1)
        assert torch.equal(
            head_of(other).prototype_valid,
            head_of(model).prototype_valid)

    @pytest.mark.parametrize('change, message', [
        (dict(num_prototypes=3), '2 prototypes per class.*has 3'),
        (dict(prototypes='/no/such/file.pth'), 'init_prototypes.py CONFIG'),
    ])
    def test_another_shape_or_none(self, path, change, message):
        model = pcr_model({'prototypes': path, **change})
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            train(model, 1)

    @pytest.mark.parametrize('classes, message', [
        (['sky', 'tree', 'road', 'car'], "another order: class 1 is 'road'"),
        (['sky', 'road', 'tree', 'bus'], "other classes: class 3 is 'car'"),
    ])
    def test_other_classes(self, path, hub, classes, message):
        hub.update_info('dataset_meta', dict(classes=tuple(classes)))
        with pytest.raises(ValueError, match=message):
            train(pcr_model(dict(prototypes=path)), 1)

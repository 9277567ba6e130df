# Copyright (c) mmseg_semi authors.
"""The wrapper: any stock segmentor config as one or several networks."""
import copy
from contextlib import contextmanager, nullcontext
from typing import Dict, Optional, Sequence, Union

import torch
from mmengine.config import ConfigDict
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import revert_sync_batchnorm
from mmseg.models import BaseSegmentor, BEiT, EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..adapters import build_adapter
from ..band_weights import settle_channels, widen_on_load
from ..class_weights import allow_ignored_pixels
from ..data_preprocessor import build_preprocessor, preprocessor_config
from ..decode_heads.stock_query_heads import has_queries
from ..decode_heads.with_queries import with_queries
from ..probe import Probe, input_size
from ..regularizers.supervised import DECLARED, with_class_weight
from ..regularizers.term import build_term, term_class
from ..taps import TapRecorder
from .checkpoint_keys import adopt_checkpoint
from .downloads import readable_downloads
from .sliding import check_test_cfg, slide_inference
from .wrapped import (check_segmentor, drop_pretrained, predicts_itself,
                      resolve_segmentor)


def _without_sync_on_cpu(module: nn.Module) -> nn.Module:
    """SyncBatchNorm refuses CPU tensors and CPU processes."""
    if get_device() == 'cpu':
        module = revert_sync_batchnorm(module)
    return module


@contextmanager
def random_stream(seed: int):
    """Random numbers of this seed, and the caller's as before afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def own_random_stream(number: int):
    """Random numbers apart from those of the networks.

    A term's heads draw from it, so that a method and its baseline start from
    the same network when they share the seed.

    Args:
        number (int): Distinguishes streams of one seed.
    """
    return random_stream((torch.initial_seed() + 1 + number) % 2**63)


class SemiSegmentor(BaseSegmentor):
    """One or several copies of a segmentor, trained by loss terms.

    Frameworks (:class:`MeanTeacher`, ...) derive from it and say which
    passes a step makes and where pseudo-labels come from. Stock tools see an
    ordinary segmentor: what they read is forwarded to the network that
    predicts.

    Args:
        segmentor (str | dict): See :func:`.wrapped.resolve_segmentor`.
        terms (dict[str, dict | None]): Loss terms by a name of your choice,
            in order; None switches a term off.
        predict_with (str): The network that predicts.
        num_classes (int, optional): Of the data set, for all heads that
            score its classes. None takes what the wrapped config says.
        class_weight (str | Sequence[float], optional): Weights of the
            classes in the supervised losses, see :class:`.SupervisedLoss`:
            a number for each class, ``'balanced'``, or None for none.
            Defaults to ``'declared'``: those that the wrapped config and the
            terms declare.
        predict_head (str, optional): Predict with a term's prototype head of
            this name instead of the decode head.
        fidelity (str): ``paper`` or ``official``, handed to every term that
            does not set its own: the mechanics of the terms, nothing else.
            Schedules, augmentation and the framework's options are the
            config's. Defaults to ``paper``.
        data_preprocessor (dict, optional): Options over those of the wrapped
            one, or, with a ``type``, another one.
        pretrained (str | bool, optional): As in :class:`EncoderDecoder`, or
            False for random weights whatever the wrapped config names.
        train_cfg (dict, optional): Accepted for stock tools.
        test_cfg (dict, optional): Options over those of the wrapped one;
            has those of :func:`.sliding.slide_inference` beside the stock
            ones.
    """
    networks: Sequence[str] = ()
    """Names of all networks, those that learn first."""
    learners: Sequence[str] = ()
    """Names of the networks that receive gradient."""
    network_cfg: ConfigDict
    """Config of one of the networks, as a segmentor of its own."""
    takes_other_classes = False
    """Whether a checkpoint of another number of classes is loaded without
    what belongs to them. The training loop says so when it starts a training
    from a checkpoint; one that is resumed or tested must fit."""

    def __init__(self,
                 segmentor: Union[str, dict, None] = None,
                 terms: Optional[Dict[str, Optional[dict]]] = None,
                 predict_with: str = '',
                 predict_head: Optional[str] = None,
                 num_classes: Optional[int] = None,
                 class_weight: Union[str, Sequence[float], None] = DECLARED,
                 fidelity: str = 'paper',
                 data_preprocessor: Optional[dict] = None,
                 pretrained: Union[str, bool, None] = None,
                 train_cfg: Optional[dict] = None,
                 test_cfg: Optional[dict] = None,
                 **unknown) -> None:
        self._check_given(segmentor, terms, unknown)
        if class_weight != DECLARED:
            terms = with_class_weight(terms, class_weight)
        cfg = resolve_segmentor(segmentor, num_classes,
                                class_weight == DECLARED)
        self._input = input_size(cfg), settle_channels(cfg, data_preprocessor)
        # Built here: mmengine's own registry would need a default scope.
        preprocessor = preprocessor_config(
            cfg.pop('data_preprocessor', None), data_preprocessor)
        super().__init__(
            data_preprocessor=build_preprocessor(None, preprocessor))
        if pretrained is False:
            drop_pretrained(cfg)
        elif pretrained is not None:
            cfg.pretrained = pretrained
        cfg.test_cfg = ConfigDict({
            'mode': 'whole',  # as MMSegmentation reads a missing one
            **(cfg.get('test_cfg') or {}),
            **(test_cfg or {})
        })
        self.train_cfg, self.test_cfg = train_cfg, cfg.test_cfg
        check_test_cfg(self.test_cfg)
        if predict_with not in self.networks:
            raise ValueError(f'predict_with={predict_with!r} names no network '
                             f'of {type(self).__name__}: use one of '
                             f'{list(self.networks)}.')
        self.predict_with, self.predict_head = predict_with, predict_head
        cfg = self._with_queries(cfg, terms)
        self.network_cfg = copy.deepcopy(
            ConfigDict({
                **cfg, 'data_preprocessor': preprocessor
            }))
        for name in self.learners:
            with self.network_stream(name):
                self.add_module(name, self._build_network(cfg))
        backbone = self.net(self.learners[0]).backbone
        # Its position biases (MAE's too) are of one size of image.
        if isinstance(backbone, BEiT):
            self.data_preprocessor.only_size = tuple(backbone.img_size)
        self._build_terms(terms, fidelity)
        self._register_load_state_dict_pre_hook(self._adopt_checkpoint)
        print_log(
            f'{type(self).__name__} predicts with the {predict_with} network' +
            (f', prototype head {predict_head!r}' if predict_head else ''),
            'current')

    @classmethod
    def _check_given(cls, segmentor, terms, unknown: dict) -> None:
        """Refuse a config that lacks a part or has one of something else.

        Raises:
            TypeError: Names it.
        """
        needed = dict(
            segmentor=(segmentor, "'mmseg::family/name.py' or a model"),
            terms=(terms, 'a dict of losses, as a method base brings it'))
        for name, (value, example) in needed.items():
            if value is None:
                raise TypeError(f'{cls.__name__} needs model.{name}: '
                                f'{example}.')
        if unknown:
            raise TypeError(
                f'{cls.__name__} has no option {sorted(unknown)}. Options of '
                'another framework come along when a method base of that one '
                'is given another `type`: take a base of this framework '
                '(configs/_base_/methods), or write the model with '
                '_delete_=True.')

    def network_stream(self, name: str):
        """Context whose random numbers a learner is initialised from."""
        return nullcontext()

    def share_modules(self) -> None:
        """Called once all networks and their heads are built."""

    def _with_queries(self, cfg: ConfigDict,
                      terms: Dict[str, Optional[dict]]) -> ConfigDict:
        """The config with a head with queries, if a term works on one."""
        wanted = {
            term_class(term).queries
            for term in terms.values() if term is not None
        } - {None}
        if not wanted:
            return cfg
        if len(wanted) > 1:
            raise ValueError(
                'One term wants queries that say their class and another '
                'queries that are prototypes: a network has one kind.')
        if has_queries(cfg.decode_head):  # its widths are not asked
            classes = cfg.decode_head.num_classes
            return ConfigDict(with_queries(cfg, None, classes, *wanted))
        with random_stream(0):  # it is built to be looked at
            dense = self._build_network(copy.deepcopy(cfg))
        return ConfigDict(
            with_queries(cfg, Probe(dense, *self._input), dense.num_classes,
                         *wanted))

    def _build_network(self, cfg: ConfigDict) -> nn.Module:
        net = MODELS.build(cfg)
        check_segmentor(type(net))
        allow_ignored_pixels(net)
        widen_on_load(net, self.in_channels)
        return _without_sync_on_cpu(net)

    def _build_terms(self, cfgs: Dict[str, Optional[dict]],
                     fidelity: str) -> None:
        """Build the terms, and the heads they own inside every learner."""
        first = self.net(self.learners[0])
        self.adapter, num_classes = build_adapter(first), first.num_classes
        widths = Probe(first, *self._input)
        single = len(self.learners) == 1
        self.terms = nn.ModuleDict({
            name if single else f'{name}@{net}':
            build_term(cfg, net, num_classes, fidelity, widths)
            for name, cfg in cfgs.items() if cfg is not None
            for net in self.learners
        })
        names = [term.name for term in self.terms.values()]
        for term in self.terms.values():
            term.check(self)
            clash = set(term.replaces) & set(names)
            if clash:
                raise ValueError(f'{term.name} replaces {sorted(clash)}: '
                                 'remove the replaced term from the config.')
        self._build_heads(num_classes)
        self.share_modules()
        for net in map(self.net, self.learners):
            mine = [t for t in self.terms.values() if self.net(t.net) is net]
            taps = {head.tap for head in net.semi_heads.values()}
            for term in mine:
                taps |= set(term.taps()) - set(net.semi_heads)
            net.taps = TapRecorder(net, taps)
            for term in mine:
                term.bind(net)
        if self.predict_head and self.predict_head not in net.semi_heads:
            raise ValueError(
                f'predict_head={self.predict_head!r} is no head of a term: '
                f'use one of {sorted(net.semi_heads)} or None.')

    def _build_heads(self, num_classes: int) -> None:
        for i, net_name in enumerate(self.learners):
            net = self.net(net_name)
            mine = [t for t in self.terms.values() if t.net == net_name]
            with own_random_stream(i):
                net.semi_heads = _without_sync_on_cpu(
                    nn.ModuleDict({
                        name:
                        MODELS.build({
                            'align_corners': net.align_corners,
                            **cfg, 'num_classes': num_classes
                        })
                        for term in mine
                        for name, cfg in term.heads().items()
                    }))

    def net(self, name: str) -> nn.Module:
        return getattr(self, name)

    @property
    def in_channels(self) -> int:
        """Bands of the images."""
        return self._input[1]

    @property
    def predictor(self) -> nn.Module:
        """The network that predicts."""
        return self.net(self.predict_with)

    @contextmanager
    def predicting_with(self, net: str, head: Optional[str] = None):
        """Predict with another network, and prototype head, for a while."""
        before = self.predict_with, self.predict_head
        self.predict_with, self.predict_head = net, head
        try:
            yield self
        finally:
            self.predict_with, self.predict_head = before

    # What the stock tools read from a segmentor.
    @property
    def backbone(self) -> nn.Module:
        return self.predictor.backbone

    @property
    def neck(self) -> nn.Module:
        return self.predictor.neck

    @property
    def decode_head(self) -> nn.Module:
        return self.predictor.decode_head

    @property
    def auxiliary_head(self) -> nn.Module:
        return self.predictor.auxiliary_head

    @property
    def align_corners(self) -> bool:
        return self.predictor.align_corners

    @property
    def num_classes(self) -> int:
        return self.predictor.num_classes

    @property
    def out_channels(self) -> int:
        """Of what is predicted: prototypes score every class."""
        if self.predict_head is not None:
            return self.num_classes
        return self.predictor.out_channels

    def predict(self, inputs: Tensor, data_samples: Optional[list] = None):
        """As :meth:`EncoderDecoder.predict`, or the wrapped class's own."""
        if self.predict_head is None and predicts_itself(type(self.predictor)):
            return self.predictor.predict(inputs, data_samples)
        return EncoderDecoder.predict(self, inputs, data_samples)

    # Prediction is the stock one, with `encode_decode` of one network and
    # with more ways to lay windows.
    inference = EncoderDecoder.inference
    whole_inference = EncoderDecoder.whole_inference
    slide_inference = slide_inference

    def extract_feat(self, inputs: Tensor):
        return self.predictor.extract_feat(inputs)

    def encode_decode(self, inputs: Tensor,
                      batch_img_metas: Sequence[dict]) -> Tensor:
        """Logits (B, C, H, W) of the predicting network and head."""
        net = self.predictor
        if self.predict_head is None:
            return net.encode_decode(inputs, batch_img_metas)
        head = net.semi_heads[self.predict_head]
        features = self.adapter.map_at(net, inputs, head.tap)
        return head.predict(features, batch_img_metas, self.test_cfg)

    def _forward(self, inputs: Tensor, data_samples=None) -> Tensor:
        return self.predictor._forward(inputs, data_samples)

    def init_weights(self) -> None:
        """Initialise every learner; frameworks copy the others from them."""
        for name in self.learners:
            self.init_network(name)

    def init_network(self, name: str) -> None:
        """Initialise a learner and the heads that terms own inside it."""
        net = self.net(name)
        with self.network_stream(name):
            with readable_downloads(net):
                net.init_weights()
        with own_random_stream(self.learners.index(name)):
            for head in net.semi_heads.values():
                head.init_weights()

    def _adopt_checkpoint(self, state_dict: Dict[str, Tensor], prefix: str,
                          *args) -> None:
        adopt_checkpoint(self, state_dict, prefix)

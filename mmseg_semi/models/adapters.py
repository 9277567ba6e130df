# Copyright (c) mmseg_semi authors.
"""One pass of a network: any head family, in one common form."""
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.dropout import _DropoutNd

from .head_adapters import auxiliary_stages, decode_stages, scoring_stage
from .step import Out, Pass, QueryOut, View
from .taps import TapRecorder


@contextmanager
def network_mode(net: nn.Module, train: bool, dropout: bool):
    """Put ``net`` into the mode a pass declares and restore it after.

    ``net.train()`` is called rather than flags being set, so that frozen
    stages and ``norm_eval`` of stock backbones are respected. Without
    ``dropout`` nothing is random: attention, which drops by itself, and
    stochastic depth (mmcv's and timm's) are silenced too.
    """
    before = net.training
    if before != train:
        net.train(train)
    silenced = [] if dropout or not train else [
        m for m in net.modules()
        if m.training and (isinstance(m, (_DropoutNd, nn.MultiheadAttention))
                           or type(m).__name__ == 'DropPath')
    ]
    for module in silenced:
        module.eval()
    try:
        yield
    finally:
        for module in silenced:
            module.train()
        if before != train:
            net.train(before)


def perturbed(feats, item: Pass):
    """Drop whole channels of the encoder's output, as the pass declares.

    Args:
        feats: Maps (B, C_i, h_i, w_i) and vectors (B, C_i), class tokens
            say, in tuples and lists.
        item (Pass): The declaration.

    Returns:
        The same; with ``clean_too`` twice as many images, the clean ones
        first.
    """
    if not item.channel_dropout:
        return feats
    if not isinstance(feats, Tensor):
        return [perturbed(part, item) for part in feats]
    drop = F.dropout2d if feats.dim() == 4 else F.dropout
    dropped = drop(feats, item.channel_dropout)
    return torch.cat([feats, dropped]) if item.clean_too else dropped


def split(value, sizes: Sequence[int]) -> list:
    """Cut the batch dimension of all that a head returns.

    Args:
        value: A tensor, a :class:`QueryOut`, or tuples and lists of them.
        sizes (Sequence[int]): Images of each share.

    Returns:
        list: One value per share, tuples and lists as they were.
    """
    if value is None:
        return [None] * len(sizes)
    if isinstance(value, (tuple, list)):
        return [
            type(value)(parts)
            for parts in zip(*(split(part, sizes) for part in value))
        ] if value else [value] * len(sizes)
    return value.split(sizes)


def two_classes(logits: Tensor) -> Tensor:
    """Scores of one sigmoid channel as those of two classes.

    The softmax over them is (1 - p, p). More channels stay as they are.
    """
    if logits.shape[1] > 1:
        return logits
    return torch.cat([torch.zeros_like(logits), logits], dim=1)


@dataclass
class Heads:
    """What the heads returned for some images.

    Args:
        decode (list): Raw output of every decode head.
        auxiliary (list): Likewise; empty without gradient.
    """
    decode: list
    auxiliary: list

    def split(self, sizes: Sequence[int]) -> List['Heads']:
        """Cut the batch dimension into shares."""
        return [
            Heads(*parts) for parts in zip(
                split(self.decode, sizes), split(self.auxiliary, sizes))
        ] if self.auxiliary else [
            Heads(part, []) for part in split(self.decode, sizes)
        ]


class NetworkAdapter:
    """Runs a network and reads its heads through their adapters.

    Cascades contribute the scores of their last stage (PointRend: of the one
    before, which it refines) and the earlier ones as auxiliary outputs; so
    do heads that return several maps.
    """

    def decode(self, net: nn.Module, feats) -> list:
        """Raw outputs of the decode heads, one after the other."""
        outputs, previous = [], None
        for _, stage in decode_stages(net):
            outputs.append(stage.forward(feats, previous))
            previous = stage.scores(outputs[-1])
        return outputs

    def scores(self, net: nn.Module, feats) -> Tuple[Tensor, List[Tensor]]:
        """Class scores and auxiliary scores, each (B, C, h, w)."""
        return self.read(net, Heads(self.decode(net, feats), []))[:2]

    def outputs(self, net: nn.Module,
                feats) -> Tuple[Tensor, List[Tensor], Optional[QueryOut]]:
        """:meth:`scores`, and the queries of a head that has some."""
        raw = self.decode(net, feats)
        queries = decode_stages(net)[-1][1].queries(raw[-1])
        return (*self.read(net, Heads(raw, []))[:2], queries)

    def read(self, net: nn.Module,
             heads: Heads) -> Tuple[Tensor, List[Tensor], List[Tensor]]:
        """What the raw outputs score.

        Returns:
            tuple: Class scores (B, C, h, w), those of auxiliary outputs, and
            tensors that no criterion but the heads' own reads.
        """
        main, aux, rest = [], [], []
        for (_, stage), raw in zip(decode_stages(net), heads.decode):
            if not stage.refines:
                main.append(two_classes(stage.scores(raw)))
            aux += stage.auxiliary(raw)
            rest += stage.rest(raw)
        for (_, stage), raw in zip(auxiliary_stages(net), heads.auxiliary):
            if stage.own_classes:
                rest.append(stage.scores(raw))
            else:
                aux += [stage.scores(raw), *stage.auxiliary(raw)]
            rest += stage.rest(raw)
        return main[-1], main[:-1] + list(map(two_classes, aux)), rest

    def features(self, net: nn.Module, taps: Dict[str, Tensor],
                 heads: Heads) -> Dict[str, Tensor]:
        """The tapped tensors as feature maps."""
        path, stage = scoring_stage(net)
        raw = heads.decode[[p for p, _ in decode_stages(net)].index(path)]
        return {n: stage.as_map(n, value, raw) for n, value in taps.items()}

    def map_at(self,
               net: nn.Module,
               images: Tensor,
               tap: str,
               recorder: Optional[TapRecorder] = None) -> Tensor:
        """A feature map (B, D, h, w), without gradient.

        Args:
            net (nn.Module): In the mode it is to be read in.
            images (Tensor): (B, 3, H, W), normalised.
            tap (str): One that the recorder has.
            recorder (TapRecorder, optional): Defaults to the network's own.
        """
        recorder = recorder or net.taps
        with recorder.capture([tap], grad=False) as tapped:
            raw = self.decode(net, net.extract_feat(images))
        return self.features(net, tapped, Heads(raw, []))[tap]

    def forward(self, net: nn.Module, views: Sequence[View],
                item: Pass) -> List[Out]:
        """Run one pass: one network forward over all its views.

        Args:
            net (nn.Module): A segmentor prepared by ``SemiSegmentor``.
            views (Sequence[View]): In the order of ``item.views``.
            item (Pass): The declaration.

        Returns:
            list[Out]: One per name in ``item.outputs``.
        """
        images = views[0].image if len(views) == 1 else torch.cat(
            [view.image for view in views])
        own = {n: h for n, h in net.semi_heads.items() if n in item.features}
        taps = {h.tap for h in own.values()} | (item.features - set(own))
        with network_mode(net, item.train, item.dropout), \
                torch.set_grad_enabled(item.grad), \
                net.taps.capture(taps, grad=item.grad) as tapped:
            feats = perturbed(net.extract_feat(images), item)
            heads = Heads(self.decode(net, feats), [])
            if item.grad:
                heads.auxiliary = [
                    stage.forward(feats) for _, stage in auxiliary_stages(net)
                ]
            maps = self.features(net, tapped, heads)
            features = {
                name:
                own[name].features(maps[own[name].tap])
                if name in own else maps[name]
                for name in item.features
            }
            scored = self.read(net, heads)
        sizes = [len(view.image) for view in views]
        sizes *= len(item.outputs) // len(views)
        return self.split(net, heads, scored, features, sizes)

    def split(self, net: nn.Module, heads: Heads, scored: tuple,
              features: Dict[str, Tensor], sizes: Sequence[int]) -> List[Out]:
        """Cut the batch dimension of every map into the views' shares."""
        main, aux, rest = scored
        stage = decode_stages(net)[-1][1]
        logits = main.float().split(sizes)
        auxiliary = [a.float().split(sizes) for a in aux]
        named = {n: f.split(sizes) for n, f in features.items()}
        outs = []
        for i, part in enumerate(heads.split(sizes)):
            queries = stage.queries(part.decode[-1])
            outs.append(
                Out(logits=logits[i],
                    aux=[a[i] for a in auxiliary],
                    features={
                        n: f[i]
                        for n, f in named.items()
                    },
                    align_corners=net.align_corners,
                    heads=net.semi_heads,
                    queries=queries,
                    raw=part,
                    rest=rest,
                    threshold=_threshold(stage.head),
                    scorer=_scorer(stage, part, net.test_cfg)))
            outs[-1].unnormalized = bool(queries and outs[-1].scorer)
        return outs

    def losses(self, net: nn.Module, out: Out,
               samples: list) -> Dict[str, Tensor]:
        """The losses the wrapped config itself declares.

        Those of ``segmentor.loss``, by the same names.

        Args:
            net (nn.Module): The network that produced ``out``.
            out (Out): Of the labelled view.
            samples (list[SegDataSample]): Labelled samples.

        Returns:
            dict[str, Tensor]: Prefixed ``decode.`` and ``aux.``; where there
            are several heads ``decode_i.`` and ``aux_i.``.
        """
        losses = {}
        for kind, stages, outputs in (('decode', decode_stages(net),
                                       out.raw.decode), ('aux',
                                                         auxiliary_stages(net),
                                                         out.raw.auxiliary)):
            for i, ((path, stage), raw) in enumerate(zip(stages, outputs)):
                # A list of one auxiliary head is counted, as stock does.
                prefix = f'{kind}_{i}' if path.endswith(f'.{i}') else kind
                own = stage.losses(raw, samples, net.train_cfg)
                losses.update({f'{prefix}.{n}': v for n, v in own.items()})
        return losses


def _threshold(head: nn.Module) -> Optional[float]:
    """That of one sigmoid channel; stock heads with more ignore theirs."""
    return head.threshold if head.out_channels == 1 else None


def _scorer(stage, heads: Heads, test_cfg):
    scorer = stage.scorer(heads.decode[-1], test_cfg)
    return scorer and (lambda size: two_classes(scorer(size)))


def build_adapter(net: nn.Module) -> NetworkAdapter:
    """The adapter of a network whose heads are all known.

    Raises:
        TypeError: A head neither scores pixels densely nor has queries.
    """
    decode_stages(net), auxiliary_stages(net)
    return NetworkAdapter()

# Copyright (c) mmseg_semi authors.
"""Head adapters: one forward of any head family, in one common form."""
from contextlib import contextmanager
from functools import partial
from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.dropout import _DropoutNd

from .step import Out, Pass, QueryOut, View

# Heads that return several maps in train mode: index of the class scores.
MAIN_OUTPUT = {'PIDHead': 1, 'IterativeDecodeHead': -1}


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


def perturbed(feats: Sequence[Tensor], item: Pass) -> Sequence[Tensor]:
    """Drop whole channels of the encoder's maps, as the pass declares.

    Args:
        feats (Sequence[Tensor]): (B, C_i, h_i, w_i).
        item (Pass): The declaration.

    Returns:
        Sequence[Tensor]: The same; with ``clean_too`` twice as many images,
        the clean ones first.
    """
    if not item.channel_dropout:
        return feats
    dropped = [F.dropout2d(f, item.channel_dropout) for f in feats]
    if not item.clean_too:
        return dropped
    return [torch.cat(pair) for pair in zip(feats, dropped)]


class DenseAdapter:
    """Heads that score every pixel: all mmseg heads on ``BaseDecodeHead``.

    Cascades contribute their last stage as the score and the earlier ones as
    auxiliary outputs; so do heads that return a tuple in train mode.
    """

    def scores(self, net: nn.Module,
               feats: Sequence[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        """Class scores and auxiliary scores, each (B, C, h, w)."""
        if isinstance(net.decode_head, nn.ModuleList):
            stages = [net.decode_head[0](feats)]
            for head in net.decode_head[1:]:
                stages.append(head(feats, stages[-1]))
            return stages[-1], stages[:-1]
        raw = net.decode_head(feats)
        if isinstance(raw, Tensor):
            return raw, []
        maps = list(raw)
        main = maps.pop(MAIN_OUTPUT.get(type(net.decode_head).__name__, 0))
        return main, [
            m for m in maps
            if m.dim() == main.dim() and m.shape[1] == main.shape[1]
        ]

    def outputs(
        self, net: nn.Module, feats: Sequence[Tensor]
    ) -> Tuple[Tensor, List[Tensor], Optional[QueryOut]]:
        """:meth:`scores`, and the queries of a head that has some."""
        return (*self.scores(net, feats), None)

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
        heads = {n: h for n, h in net.semi_heads.items() if n in item.features}
        taps = {h.tap for h in heads.values()} | (item.features - set(heads))
        with network_mode(net, item.train, item.dropout), \
                torch.set_grad_enabled(item.grad), \
                net.taps.capture(taps, grad=item.grad) as tapped:
            feats = perturbed(net.extract_feat(images), item)
            logits, aux, queries = self.outputs(net, feats)
            if item.grad and net.with_auxiliary_head:
                aux = aux + self._auxiliary(net, feats)
            features = {
                name:
                heads[name].features(tapped[heads[name].tap])
                if name in heads else tapped[name]
                for name in item.features
            }
        sizes = [len(view.image) for view in views]
        sizes *= len(item.outputs) // len(views)
        return self.split(net, logits, aux, queries, features, sizes)

    def _auxiliary(self, net: nn.Module, feats) -> List[Tensor]:
        heads = net.auxiliary_head
        heads = heads if isinstance(heads, nn.ModuleList) else [heads]
        return [head(feats) for head in heads]

    def split(self, net: nn.Module, logits: Tensor, aux: List[Tensor],
              queries: Optional[QueryOut], features: dict,
              sizes: Sequence[int]) -> List[Out]:
        """Cut the batch dimension of every map into the views' shares."""
        cut = [logits.float().split(sizes)]
        cut += [a.float().split(sizes) for a in aux]
        named = {n: f.split(sizes) for n, f in features.items()}
        asked = queries.split(sizes) if queries else [None] * len(sizes)
        return [
            Out(logits=cut[0][i],
                aux=[a[i] for a in cut[1:]],
                features={
                    n: f[i]
                    for n, f in named.items()
                },
                align_corners=net.align_corners,
                heads=net.semi_heads,
                queries=asked[i]) for i in range(len(sizes))
        ]

    def head_losses(self, net: nn.Module, out: Out, samples: list) -> dict:
        """The losses the wrapped config itself declares.

        Args:
            net (nn.Module): The network that produced ``out``.
            out (Out): Scores of the labelled view.
            samples (list[SegDataSample]): Labelled samples.

        Returns:
            dict[str, Tensor]: Prefixed ``decode.`` and ``aux_i.``.
        """
        head, cascade = net.decode_head, isinstance(net.decode_head,
                                                    nn.ModuleList)
        auxiliary = []
        if net.with_auxiliary_head:
            auxiliary = net.auxiliary_head
            auxiliary = list(auxiliary) if isinstance(
                auxiliary, nn.ModuleList) else [auxiliary]
        decode = list(head) if cascade else [head]
        if len(out.aux) != len(decode) - 1 + len(auxiliary):
            raise TypeError(
                f'{type(head).__name__} returns several maps in train mode; '
                'its own loss needs them unsplit. Give SupervisedLoss a '
                'criterion instead of criterion=None.')
        heads = decode[:-1] + auxiliary + decode[-1:]
        own = out.logits if out.queries is None else out.queries
        maps = [*out.aux, own]
        losses = {}
        for i, (module, scores) in enumerate(zip(heads, maps)):
            for name, value in module.loss_by_feat(scores, samples).items():
                losses[f'head{i}.{name}'] = value
        return losses


class MaskAdapter(DenseAdapter):
    """Heads that classify masks: the dense score is semantic inference."""

    def scores(self, net: nn.Module,
               feats: Sequence[Tensor]) -> Tuple[Tensor, List[Tensor]]:
        return self.outputs(net, feats)[:2]

    def outputs(
        self, net: nn.Module, feats: Sequence[Tensor]
    ) -> Tuple[Tensor, List[Tensor], Optional[QueryOut]]:
        queries = net.decode_head(feats)
        return net.decode_head.dense_logits(queries), [], queries

    def split(self, net: nn.Module, *args) -> List[Out]:
        """Pseudo-labels are decided at image size, as MaskFormer predicts.

        Losses of pixels stay at the stride of the masks: with gradient, all
        masks at image size would need much memory.
        """
        outs = super().split(net, *args)
        head = net.decode_head
        for out in outs:
            if head.cls_embed is not None and not out.logits.requires_grad:
                out.scorer = partial(head.dense_logits_at, out.queries)
                out.unnormalized = True
        return outs


def build_adapter(net: nn.Module) -> DenseAdapter:
    """Choose the adapter of a network's head family.

    Raises:
        TypeError: The head neither scores pixels densely nor has queries.
    """
    head = net.decode_head
    last = head[-1] if isinstance(head, nn.ModuleList) else head
    if hasattr(last, 'dense_logits'):
        return MaskAdapter()
    if not hasattr(last, 'cls_seg'):
        raise TypeError(
            f'{type(last).__name__} does not score every pixel (it has no '
            'cls_seg); supported are the heads built on BaseDecodeHead, '
            'cascades of them, heads returning a tuple of score maps, and '
            'MaskQueryHead, which takes the config of MaskFormerHead.')
    return DenseAdapter()

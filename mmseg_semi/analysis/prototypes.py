# Copyright (c) mmseg_semi authors.
"""The prototypes of trained networks, and the features they compare with.

Prototypes are class-major: prototype j of class k has the index k n + j,
where n is the number per class (the most any class may have).
"""
from typing import Dict, NamedTuple, Optional

import torch
from torch import Tensor, nn

from ..functional import upcast
from ..functional.prototype_assignment import prototypes_per_class
from ..functional.sampling import row_features
from ..models.decode_heads.contrast_head import ContrastHead
from ..models.decode_heads.prototype_head import PIXELS, PrototypeHead
from ..models.decode_heads.query_head import QueryHead
from .features import FeatureReader, find_network


class Prototypes(NamedTuple):
    """P prototypes of fixed classes.

    Args:
        vectors (Tensor): (P, D) fp32, not normalised.
        classes (Tensor): (P,) long.
        index (Tensor): (P,) long, see the module.
    """
    vectors: Tensor
    classes: Tensor
    index: Tensor


class Activation(NamedTuple):
    """What P prototypes say of one image.

    Args:
        maps (Tensor): (P, h, w) fp32, scores of the prototypes.
        classes (Tensor): (P,) long; C for a query that found no object.
        index (Tensor): (P,) long, see the module.
        best (Tensor): (h, w) long in [0, P), whose pixel it is.
        align_corners (bool): How the network resizes these maps.
    """
    maps: Tensor
    classes: Tensor
    index: Tensor
    best: Tensor
    align_corners: bool


class FeatureSpace:
    """A feature map of a network, and the prototypes that live in it: none.

    Args:
        model (nn.Module): See :class:`FeatureReader`.
        feature (str): See :class:`FeatureReader`.
        network (str, optional): See :class:`FeatureReader`.
    """

    def __init__(self,
                 model: nn.Module,
                 feature: str,
                 network: Optional[str] = None) -> None:
        self.model, self.feature = model, feature
        self.reader = FeatureReader(model, self.tap(feature), network)
        self.network, self.net = self.reader.network, self.reader.net

    @staticmethod
    def tap(feature: str) -> str:
        """What :class:`FeatureReader` calls this feature."""
        return feature

    def features(self, images: Tensor) -> Tensor:
        """(B, D, h, w) of normalised images (B, 3, H, W)."""
        return self.reader(images)

    def comparable(self, rows: Tensor) -> Tensor:
        """Pixels (N, D) of :meth:`features` in the space of the prototypes,
        (N, D')."""
        return rows

    def prototypes(self) -> Prototypes:
        """Those there are, of the images that were read."""
        empty = torch.zeros(0, dtype=torch.long)
        return Prototypes(torch.zeros(0, 0), empty, empty)

    def activation(self, image: Tensor) -> Activation:
        """The scores of a normalised image (1, 3, H, W).

        Raises:
            TypeError: There are no prototypes.
            ValueError: There are none yet.
        """
        heads = list(prototype_heads(self.model, self.network))
        terms = getattr(self.model, 'terms', {}).values()
        names = sorted({type(term).__name__ for term in terms})
        raise TypeError(
            f'{self.feature!r} of {type(self.net).__name__}' +
            (f' ({type(self.model).__name__} with {", ".join(names)})'
             if names else '') + ' has no prototypes to show: ' +
            (f'use one of the heads {heads}.' if heads else
             'BRPG and PCR have them in a PrototypeHead, and the queries of a '
             'MaskQueryHead (PPS, RC2L) count as some.'))


class StoredPrototypes(FeatureSpace):
    """The prototypes of a :class:`PrototypeHead` (BRPG, PCR).

    The score is the cosine similarity of Eq. 2 of PCR, before it is divided
    by the temperature.
    """

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.head = self.reader.head or self.net.decode_head
        self.valid = self.head.prototype_valid.flatten()

    @staticmethod
    def tap(feature: str) -> str:
        if feature == 'decode_head':  # of a stock segmentor
            return 'decode_head.projector:output'
        return feature

    def prototypes(self) -> Prototypes:
        index = self.valid.nonzero().squeeze(1)
        vectors = self.head.prototypes.detach().flatten(0, 1)[index]
        return Prototypes(
            upcast(vectors).cpu(), (index // self._per_class()).cpu(),
            index.cpu())

    def _per_class(self) -> int:
        return self.head.prototype_valid.shape[1]

    @torch.no_grad()
    def activation(self, image: Tensor) -> Activation:
        index = self.valid.nonzero().squeeze(1)
        if not len(index):
            raise ValueError(
                f'The head {self.feature!r} holds no prototypes yet: give a '
                'checkpoint of the training after the clustering.')
        features = self.features(image)
        if self.head.full_resolution:
            maps = self._maps_at(features, image.shape[-2:], index)
        else:
            maps = self._maps(features, index)
        return Activation(maps, index // self._per_class(), index,
                          maps.argmax(dim=0), self.head.align_corners)

    def _maps(self, features: Tensor, index: Tensor) -> Tensor:
        """(1, D, h, w) -> (P, h, w)."""
        rows = features.permute(0, 2, 3, 1).flatten(0, 2)
        similarity = self.head.similarity(rows).flatten(1)[:, index]
        return similarity.T.reshape(len(index), *features.shape[-2:])

    def _maps_at(self, features: Tensor, size, index: Tensor) -> Tensor:
        """(1, D, h, w) -> (P, H, W), some rows after the other."""
        rows = torch.arange(size[0], device=features.device)
        return torch.cat([
            self._maps(
                row_features(features, part, size, self.head.align_corners),
                index) for part in rows.split(max(1, PIXELS // size[1]))
        ],
                         dim=1)


class QueryPrototypes(FeatureSpace):
    """The queries of a :class:`QueryHead` (PPS, RC2L).

    The score is the mask logit: the product of the query's mask embedding,
    which depends on the image, and the pixel's. Without class head the
    queries are prototypes of fixed classes, and as vectors those of all
    images that were read are averaged. With class head a query has the class
    that it names in the image, and is the index of nothing else.
    """

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.head = self.net.decode_head
        self.total, self.images = 0., 0

    @staticmethod
    def tap(feature: str) -> str:
        return 'pixel_embed'

    @torch.no_grad()
    def _queries(self, images: Tensor):
        return self.reader.adapter.outputs(self.net,
                                           self.net.extract_feat(images))[2]

    def features(self, images: Tensor) -> Tensor:
        queries = self._queries(images)
        self.total = self.total + upcast(queries.mask_embed[-1]).sum(0).cpu()
        self.images += len(images)
        return queries.pixel_embed

    def _index(self) -> Tensor:
        return torch.arange(self.head.num_queries)

    def _fixed_classes(self) -> Tensor:
        return self._index() // prototypes_per_class(self.head.num_queries,
                                                     self.head.num_classes)

    def prototypes(self) -> Prototypes:
        if self.head.has_classes or not self.images:
            return super().prototypes()
        return Prototypes(self.total / self.images, self._fixed_classes(),
                          self._index())

    def activation(self, image: Tensor) -> Activation:
        queries = self._queries(image)
        maps = queries.mask_logits()[0]
        weighted, classes = maps, None
        if not self.head.has_classes:
            classes = self._fixed_classes()
        else:  # as MaskFormer decides which query a pixel belongs to
            chances = upcast(queries.class_logits[-1][0]).softmax(-1)
            classes = chances.argmax(-1)
            weighted = chances[:, :-1].amax(-1)[:, None, None] * maps.sigmoid()
        return Activation(maps, classes, self._index(), weighted.argmax(dim=0),
                          self.head.align_corners)


class BankVectors(FeatureSpace):
    """The newest vectors in CMB's memory, of every class at most ``newest``.

    They are projections by g, whose BatchNorm takes its statistics from the
    pixels at hand: here all that are passed to :meth:`comparable`. The index
    counts from the newest.
    """
    newest = 20

    def __init__(self, *args) -> None:
        super().__init__(*args)
        found = [
            t for t in self.model.terms.values() if t.name == self.feature
        ]
        own = [t for t in found if t.net == self.network]
        self.bank = (own or found)[0].bank

    @torch.no_grad()
    def comparable(self, rows: Tensor) -> Tensor:
        head = self.reader.head
        device = head.reduce.weight.device
        keep = torch.ones(len(rows), dtype=torch.bool, device=device)
        return head.projections(rows.to(device), keep).cpu()

    def prototypes(self) -> Prototypes:
        rows, classes, index = [], [], []
        for label in range(self.bank.num_classes):
            newest = self.bank.rows(label)[0].flip(0)[:self.newest]
            rows.append(upcast(newest).cpu())
            classes += [label] * len(newest)
            index += [label * self.newest + age for age in range(len(newest))]
        return Prototypes(
            torch.cat(rows), torch.tensor(classes, dtype=torch.long),
            torch.tensor(index, dtype=torch.long))

    def activation(self, image: Tensor) -> Activation:
        raise TypeError(
            f'The head {self.feature!r} has no prototypes to show: CMB keeps '
            'a memory of features, whose projections compare over the pixels '
            'of a batch only. tools/analysis_tools/feature_tsne.py shows '
            'them.')


SPACES = {
    PrototypeHead: StoredPrototypes,
    QueryHead: QueryPrototypes,
    ContrastHead: BankVectors
}


def prototype_heads(model: nn.Module,
                    network: Optional[str] = None) -> Dict[str, type]:
    """The heads of a network that have something like prototypes.

    Args:
        model (nn.Module): See :func:`find_network`.
        network (str, optional): See :func:`find_network`.

    Returns:
        dict[str, type]: The space by the name of the head: ``decode_head``,
        or that of a term.
    """
    _, net = find_network(model, network)
    heads = dict(decode_head=net.decode_head)
    heads.update(getattr(net, 'semi_heads', {}).items())
    return {
        name: space
        for name, head in heads.items()
        for kind, space in SPACES.items() if isinstance(head, kind)
    }


def open_space(model: nn.Module,
               feature: Optional[str] = None,
               network: Optional[str] = None) -> FeatureSpace:
    """A feature space, with its prototypes if it has some.

    Args:
        model (nn.Module): In eval mode.
        feature (str, optional): A head of :func:`prototype_heads`, or any
            feature of :class:`FeatureReader`. Defaults to the only head
            there is, or else to ``decoder``.
        network (str, optional): See :func:`find_network`.

    Raises:
        ValueError: There are several such heads and none is named.
    """
    heads = prototype_heads(model, network)
    if feature is None and len(heads) > 1:
        raise ValueError(f'The network has the heads {list(heads)} with '
                         'prototypes: name one of them.')
    feature = feature or next(iter(heads), 'decoder')
    return heads.get(feature, FeatureSpace)(model, feature, network)

# Copyright (c) mmseg_semi authors.
"""Stock MaskFormer and Mask2Former configs as configs of our heads."""
import copy
import inspect
from typing import Any, Dict, Optional

from mmengine.logging import print_log
from mmseg.models.decode_heads import Mask2FormerHead, MaskFormerHead
from mmseg.registry import MODELS

from .deformable_attention import DeformableEncoder, DeformableLayer
from .deformable_pixel_decoder import MSDeformAttnPixelDecoder
from .mask2former_query_head import Mask2FormerQueryHead
from .mask_query_head import MaskQueryHead
from .pixel_decoder import PixelDecoder, TransformerEncoderPixelDecoder
from .query_decoder import (MaskedTransformerDecoder, MaskedTransformerLayer,
                            TransformerDecoder, TransformerEncoder,
                            TransformerLayer)
from .query_head import QueryHead

_PROJECT = 'enforce_decoder_input_project'


def head_class(kind: Any) -> Optional[type]:
    """The class that ``type`` of a head's config names; None if unknown."""
    return MODELS.get(kind) if isinstance(kind, str) else kind


def own_query_head(cfg: dict) -> dict:
    """Translate the config of a stock head with queries into ours.

    ``MaskFormerHead`` becomes :class:`MaskQueryHead` and
    ``Mask2FormerHead`` :class:`Mask2FormerQueryHead`: every setting is kept,
    parameters have the same names, outputs and losses are the same. One line
    in the log says so. mmdet, which the stock heads need, is not.

    Args:
        cfg (dict): Config of any decode head.

    Returns:
        dict: Another config; ``cfg`` itself if its head is none of the two.
        Of a stock config whose ``type`` was changed to ``MaskQueryHead`` an
        option that the class does without is left out.

    Raises:
        ValueError: A setting cannot be kept.
    """
    stock = head_class(cfg['type'])
    if stock is MaskQueryHead and _PROJECT in cfg:  # over a stock config
        cfg = dict(cfg)
        _only(cfg, 'decode_head', **{_PROJECT: False})
    if stock not in _TRANSLATIONS:
        return cfg
    own, translate = _TRANSLATIONS[stock]
    result = copy.deepcopy(dict(cfg, type=own.__name__))
    # Without effect in MMSegmentation's heads, whose `num_classes` counts.
    for key in ('num_things_classes', 'num_stuff_classes'):
        result.pop(key, None)
    _only(result, 'decode_head', **{_PROJECT: False})
    translate(result)
    _known(result, own, 'decode_head')
    print_log(
        f'The decode head {stock.__name__} is built as {own.__name__}, '
        'with all its settings and the names of its parameters.', 'current')
    return result


def with_num_classes(cfg: dict, num_classes: int) -> dict:
    """The config of a head with queries for another number of classes.

    Args:
        cfg (dict): Of a :class:`QueryHead`, or of a stock head that
            :func:`own_query_head` knows.
        num_classes (int): C.

    Returns:
        dict: Another config. ``class_weight`` keeps the weight of the
        classes and that of "no object"; prototypes stay as many per class.

    Raises:
        ValueError: The classes' weights differ and are not C, or the
            prototypes are not as many in each class.
    """
    result = copy.deepcopy(dict(cfg))
    before = result.get('num_classes')
    result['num_classes'] = num_classes
    loss = result.get('loss_cls') or {}
    weights = loss.get('class_weight')
    if weights is not None and len(weights) != num_classes + 1:
        if len(set(weights[:-1])) > 1:
            raise ValueError(
                f'decode_head.loss_cls.class_weight has {len(weights)} '
                f'numbers that differ, num_classes={num_classes} needs '
                f'{num_classes + 1}: one for each class and one for "no '
                'object". Give them.')
        loss['class_weight'] = [weights[0]] * num_classes + [weights[-1]]
    queries = result.get('num_queries')
    changes = before not in (None, num_classes)
    if result.get('class_head') is False and changes and queries:
        if queries % before:
            raise ValueError(
                f'decode_head.num_queries={queries} is no multiple of '
                f'num_classes={before}: give as many prototypes to each of '
                f'the {num_classes} classes.')
        result['num_queries'] = queries // before * num_classes
    return result


# ------------------------------------------------------------- translation


def _maskformer(cfg: dict) -> None:
    cfg.setdefault('num_classes', 150)  # mmseg's
    decoder = cfg['pixel_decoder']
    kinds = {
        c.__name__: c
        for c in (PixelDecoder, TransformerEncoderPixelDecoder)
    }
    own = _pixel_decoder(decoder, kinds)
    if 'encoder' in decoder:
        _transformer(decoder['encoder'], TransformerEncoder, TransformerLayer,
                     'pixel_decoder.encoder')
    _known(decoder, own, 'pixel_decoder')
    _transformer(cfg['transformer_decoder'], TransformerDecoder,
                 TransformerLayer, 'transformer_decoder')


def _mask2former(cfg: dict) -> None:
    # Positions are relative to the size of each map, whatever its stride.
    cfg.pop('strides', None)
    decoder = cfg['pixel_decoder']
    decoder.pop('strides', None)
    own = _pixel_decoder(
        decoder, {MSDeformAttnPixelDecoder.__name__: MSDeformAttnPixelDecoder})
    levels = decoder['encoder']['layer_cfg']['self_attn_cfg'].get(
        'num_levels', 4)
    _only(cfg, 'decode_head', num_transformer_feat_level=levels)
    if decoder.pop('num_outs', 3) < levels:
        raise ValueError('pixel_decoder.num_outs must not be less than the '
                         f'{levels} maps that the queries read.')
    _transformer(decoder['encoder'], DeformableEncoder, DeformableLayer,
                 'pixel_decoder.encoder')
    _known(decoder, own, 'pixel_decoder')
    _only(
        cfg['transformer_decoder'],
        'transformer_decoder',
        return_intermediate=True)
    _transformer(cfg['transformer_decoder'], MaskedTransformerDecoder,
                 MaskedTransformerLayer, 'transformer_decoder')


_TRANSLATIONS: Dict[type, tuple] = {
    MaskFormerHead: (MaskQueryHead, _maskformer),
    Mask2FormerHead: (Mask2FormerQueryHead, _mask2former),
}


def _pixel_decoder(cfg: dict, kinds: Dict[str, type]) -> type:
    """Our class of a pixel decoder; what the head gives it is taken out."""
    kind = str(cfg['type']).rsplit('.')[-1]
    if kind not in kinds:
        raise ValueError(f'pixel_decoder.type={cfg["type"]!r} cannot be '
                         f'built: use one of {sorted(kinds)}.')
    cfg['type'] = kind
    for key in ('in_channels', 'feat_channels', 'out_channels'):
        cfg.pop(key, None)
    return kinds[kind]


def _transformer(cfg: dict, own: type, layer: type, where: str) -> None:
    _only(cfg, where, num_cp=-1)
    _known(cfg, own, where)
    _known(cfg['layer_cfg'], layer, f'{where}.layer_cfg')


def _only(cfg: dict, where: str, **values) -> None:
    """Take options out that may have one value."""
    for key, value in values.items():
        if cfg.pop(key, value) != value:
            raise ValueError(f'{where}.{key} must be {value!r}: another '
                             'value cannot be kept.')


def _known(cfg: dict, own: type, where: str) -> None:
    """Refuse options that our class, with its parents, does not have."""
    known = {
        name
        for cls in own.__mro__
        for name, option in inspect.signature(cls.__init__).parameters.items()
        if option.kind is option.POSITIONAL_OR_KEYWORD
    } - {'self'}
    unknown = sorted(set(cfg) - known - {'type'})
    if unknown:
        raise ValueError(
            f'{where}: {own.__name__} cannot keep {unknown}. Remove what it '
            f'does without; it has {sorted(known)}.')


def has_queries(cfg: dict) -> bool:
    """Whether a decode head's config is that of a head with queries.

    Args:
        cfg (dict): Of a decode head, ours or stock.
    """
    if not isinstance(cfg, dict):  # a cascade
        return False
    kind = head_class(cfg['type'])
    return kind in _TRANSLATIONS or (isinstance(kind, type)
                                     and issubclass(kind, QueryHead))

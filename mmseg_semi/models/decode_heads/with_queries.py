# Copyright (c) mmseg_semi authors.
"""A head with queries around any dense model."""
import copy
from typing import Callable, List, Optional, Union

from mmengine.logging import print_log
from mmseg.models.decode_heads import IterativeDecodeHead, PIDHead, PointHead

from .mask_query_head import MaskQueryHead
from .stock_query_heads import (has_queries, head_class, own_query_head,
                                with_num_classes)

# Paths of heads whose input has another form in train than in eval mode: the
# map of the branch that predicts, by class of the head.
MEMORIES = {PIDHead: 'i_head:input'}
# Attention to more positions than those of a map of 128 x 128 is too dear.
MEMORY_POSITIONS = 128 * 128


def with_queries(segmentor: dict,
                 widths: Callable[[str], int],
                 num_classes: int,
                 class_head: bool,
                 prototypes: int = 5,
                 num_queries: int = 100,
                 width: int = 256,
                 transformer_decoder: Optional[dict] = None) -> dict:
    """Put :class:`MaskQueryHead` around a dense model.

    Its decode head, or the heads of its cascade, become the pixel decoder
    and the last map of its encoder the memory of the transformer decoder.
    All else of the config, auxiliary heads too, stays. A model that has
    queries keeps its head: for prototypes it loses its class head.

    Args:
        segmentor (dict): Config of the dense model.
        widths (Callable): Channels of a feature tap of this model, as
            :class:`mmseg_semi.models.probe.Probe` gives them; its ``stages``
            are the channels of the encoder's maps. Not asked for a model
            that has queries.
        num_classes (int): C.
        class_head (bool): Queries say which class they segment (RC2L); False
            makes them prototypes of classes (PPS).
        prototypes (int): Without class head, queries of every class.
            Defaults to 5, PPS' n on VOC (Table 5).
        num_queries (int): With class head. Defaults to 100, MaskFormer's.
        width (int): Of transformer and embeddings. Defaults to 256.
        transformer_decoder (dict, optional): See :class:`MaskQueryHead`.

    Returns:
        dict: Another config. One line in the log says what was made.

    Raises:
        TypeError: The model's head cannot be a pixel decoder.
    """
    result = copy.deepcopy(dict(segmentor))
    head = result['decode_head']
    if has_queries(head):
        result['decode_head'] = _with_prototypes(head, num_classes, class_head,
                                                 prototypes)
        return result
    stages = dense_stages(head)
    last = stages[-1]
    result['decode_head'] = dict(
        type=MaskQueryHead.__name__,
        in_channels=_memory_channels(widths, stages),
        num_classes=num_classes,
        num_queries=num_queries if class_head else num_classes * prototypes,
        feat_channels=width,
        out_channels=width,
        class_head=class_head,
        initial_target='zeros' if class_head else 'queries',
        transformer_decoder=transformer_decoder,
        align_corners=last.get('align_corners', False),
        ignore_index=last.get('ignore_index', 255),
        pixel_decoder=_pixel_decoder(stages, widths, num_classes))
    if len(stages) > 1 or isinstance(head, (list, tuple)):
        result['type'] = 'EncoderDecoder'
        result.pop('num_stages', None)
    print_log(
        f'{_names(stages)} has no queries: it is the pixel decoder of a '
        f'MaskQueryHead with {result["decode_head"]["num_queries"]} queries.',
        'current')
    return result


def dense_stages(head: Union[dict, list]) -> List[dict]:
    """The heads up to the one that scores every pixel last.

    Args:
        head (dict | list[dict]): ``decode_head`` of a segmentor's config.

    Returns:
        list[dict]: PointRend's point head is left out: it refines single
        points. Of K-Net it is the head that makes the kernels, as what
        comes after scores the same map again.
    """
    stages = list(head) if isinstance(head, (list, tuple)) else [head]
    while len(stages) > 1 and _is(stages[-1], PointHead):
        stages.pop()
    if _is(stages[-1], IterativeDecodeHead):
        stages[-1] = stages[-1]['kernel_generate_head']
    return stages


def _is(cfg: dict, kind: type) -> bool:
    cls = head_class(cfg['type'])
    return isinstance(cls, type) and issubclass(cls, kind)


def _names(stages: List[dict]) -> str:
    return ' and '.join(str(stage['type']) for stage in stages)


def _memory(stages: List[dict]) -> Optional[str]:
    found = [tap for cls, tap in MEMORIES.items() if _is(stages[-1], cls)]
    return found[0] if found else None


def _memory_channels(widths: Callable[[str], int],
                     stages: List[dict]) -> List[int]:
    tap = _memory(stages)
    if tap is not None:
        return [widths(f'decode_head.{tap}')]
    return [list(widths.stages)[-1]]


def _pixel_decoder(stages: List[dict], widths: Callable[[str], int],
                   num_classes: int) -> dict:
    heads = []
    for stage in stages:
        # The classes may be a part of what it attends to (OCR, tokens).
        stage = dict(stage, num_classes=num_classes)
        stage.pop('out_channels', None)  # of the classifier, cut off
        heads.append(stage)
    try:
        embed_channels = widths('pre_cls')
    except (KeyError, ValueError) as err:
        raise TypeError(
            f'{_names(stages)} cannot be a pixel decoder of queries, which '
            f'this method needs: {err}') from err
    return dict(
        type='StockPixelDecoder',
        head=heads if len(heads) > 1 else heads[0],
        embed_channels=embed_channels,
        memory=_memory(stages),
        memory_positions=MEMORY_POSITIONS)


def _with_prototypes(head: dict, num_classes: int, class_head: bool,
                     prototypes: int) -> dict:
    """A head with queries as the method wants it, unless it says so."""
    head = with_num_classes(own_query_head(head), num_classes)
    if class_head or 'class_head' in head:
        return head
    head.update(class_head=False, num_queries=num_classes * prototypes)
    for key in ('loss_cls', 'loss_mask', 'loss_dice', 'train_cfg'):
        head.pop(key, None)  # of queries with classes
    if head_class(head['type']) is MaskQueryHead:
        head.setdefault('initial_target', 'queries')
    print_log(
        f'The queries of {head["type"]} are prototypes, {prototypes} of each '
        'class: it has no class head.', 'current')
    return head

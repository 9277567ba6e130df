# Copyright (c) mmseg_semi authors.
"""What a config must still spell out, found from the wrapped network."""
import torch
from mmengine.config import ConfigDict

from ..models.adapters import build_adapter
from ..models.segmentors.semi_segmentor import resolve_segmentor
from ..models.taps import TapRecorder
from .networks import build_stock


def explicit_options(model: ConfigDict, size: int) -> ConfigDict:
    """Classes of every head, widths, queries and the padded size.

    Args:
        model (ConfigDict): With ``num_classes``, which is taken out.
        size (int): Height and width of the input.
    """
    classes = model.pop('num_classes')
    segmentor = resolve_segmentor(model.segmentor)
    segmentor.data_preprocessor.size = (size, size)
    for name in ('decode_head', 'auxiliary_head'):
        heads = segmentor.get(name) or []
        for head in heads if isinstance(heads, list) else [heads]:
            if 'num_classes' in head:
                head.num_classes = classes
    model.segmentor = segmentor
    for kind in ('pps', 'rc2l'):
        if kind in model.terms:
            width = _put_queries_around(segmentor, size, classes,
                                        kind == 'rc2l')
            if kind == 'pps':
                model.terms.pps.head.in_channels = width
    for name, default in (('brpg', 'decoder'), ('pcr', 'decoder'),
                          ('cmb', 'pre_cls')):
        term = model.terms.get(name)
        if term is not None:
            head = term.setdefault('head', ConfigDict())
            head.in_channels = _width(segmentor, size,
                                      head.get('tap', default))
    return model


@torch.no_grad()
def _width(segmentor: ConfigDict, size: int, tap: str) -> int:
    net = build_stock(segmentor).eval()
    recorder = TapRecorder(net, [tap])
    with recorder.capture([tap], grad=False) as tapped:
        feats = net.extract_feat(torch.zeros(1, 3, size, size))
        build_adapter(net).scores(net, feats)
    return tapped[tap].shape[1]


@torch.no_grad()
def _put_queries_around(segmentor: ConfigDict, size: int, classes: int,
                        class_head: bool) -> int:
    net = build_stock(segmentor).eval()
    feats = net.extract_feat(torch.zeros(1, 3, size, size))
    width = segmentor.decode_head.get('channels', 256)
    segmentor.decode_head = ConfigDict(
        type='MaskQueryHead',
        in_channels=[feat.shape[1] for feat in feats],
        num_classes=classes,
        out_channels=width,
        class_head=class_head,
        num_queries=20 if class_head else 2 * classes,
        pixel_decoder=segmentor.decode_head)
    return width

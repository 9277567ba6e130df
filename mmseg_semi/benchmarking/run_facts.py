# Copyright (c) mmseg_semi authors.
"""What of a config usually explains that a run goes another way."""
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from ..engine.pretrained_files import pretrained_files

_CROPS = ('RandomPadCrop', 'RandomCrop')


def facts_of(cfg: Config, record: dict | None = None) -> dict:
    """What decides how a training goes, from its config and record.

    Args:
        cfg (Config): The resolved config that was trained.
        record (dict, optional): Its record, if it has one.

    Returns:
        dict: Of these what is known: ``network`` (``r101``), ``batch``
        (labelled and unlabelled images of an iteration in all), ``list``
        (labelled list), ``sha256`` of it, ``optimizer``, ``lr`` (``encoder``
        and ``decoder``), ``weights`` the encoder starts from (``none`` for
        random ones), ``threshold`` of the confidence filter, ``crop``,
        ``iterations``.
    """
    record = record or {}
    model = cfg.get('model') or {}
    segmentor = model.get('segmentor') or model
    if not isinstance(segmentor, dict):  # the path of a stock config
        segmentor = {}
    loader = cfg.get('train_dataloader') or {}
    labeled = (loader.get('dataset') or {}).get('labeled') or {}
    facts = dict(
        network=_network(segmentor.get('backbone') or {}),
        batch=_batch(loader, record),
        list=Path(labeled.get('ann_file') or '').stem or None,
        sha256=record.get('split_sha256'),
        weights=_weights(cfg,
                         segmentor.get('backbone') or {}),
        threshold=_threshold(model),
        crop=_crop(labeled.get('pipeline') or []),
        iterations=(cfg.get('train_cfg') or {}).get('max_iters'),
        **_optimizer(cfg.get('optim_wrapper') or {}))
    return {key: value for key, value in facts.items() if value is not None}


def _network(backbone: dict) -> str | None:
    if 'depth' in backbone:
        return f'r{backbone["depth"]}'
    name = backbone.get('type')
    return name and str(name).lower()


def _batch(loader: dict, record: dict) -> list | None:
    total = record.get('total_batch')
    if isinstance(total, (list, tuple)):
        return list(total[:2])
    counts = (loader.get('sampler') or {}).get('counts')
    if not counts:
        return None
    # Without a batch sampler counts are those of one process.
    times = 1 if loader.get('batch_sampler') else record.get('world_size', 1)
    return [count * times for count in counts[:2]]


def _weights(cfg: Config, backbone: dict) -> str | None:
    if cfg.get('load_from') and not cfg.get('resume'):
        return str(cfg.load_from)
    return next(iter(pretrained_files(backbone)), 'none')


def _terms(model: dict) -> Iterator[dict]:
    yield from (term for term in (model.get('terms') or {}).values() if term)


def _threshold(model: dict) -> float | None:
    return next(
        (term['threshold']
         for term in _terms(model) if term.get('threshold') is not None), None)


def _crop(pipeline: list) -> int | None:
    for transform in pipeline:
        if transform['type'] in _CROPS:
            size = transform['crop_size']
            return size if isinstance(size, int) else size[0]
    return None


def _optimizer(wrapper: dict) -> dict:
    optimizer = wrapper.get('optimizer') or {}
    if 'lr' not in optimizer:
        return {}
    keys = (wrapper.get('paramwise_cfg') or {}).get('custom_keys') or {}

    def rate(name: str) -> float:
        factor = (keys.get(name) or {}).get('lr_mult', 1.)
        return optimizer['lr'] * factor

    return dict(
        optimizer=optimizer.get('type'),
        lr=dict(encoder=rate('backbone'), decoder=rate('decode_head')))

# Copyright (c) mmseg_semi authors.
"""Any shipped config as a small experiment of the same wiring."""
from typing import Dict

from mmengine.config import Config

from .cases import parse

ITERATIONS = 4
CROP = 65
# Encoders whose four stages have 8, 16, 32 and 64 channels.
_RESNET = dict(depth=18, base_channels=8, stem_channels=8, init_cfg=None)
_XCEPTION = dict(base_channels=4, init_cfg=None)  # 32 and 256 channels
_SEGFORMER = dict(
    backbone=dict(embed_dims=8, num_layers=[1, 1, 1, 1], init_cfg=None),
    decode_head=dict(in_channels=[8, 16, 40, 64], channels=16))
_DECODER = dict(in_channels=64, c1_in_channels=8, channels=16, c1_channels=16)


def _layer(width: int) -> dict:
    attention = dict(embed_dims=width, num_heads=2)
    return dict(
        num_layers=1,
        layer_cfg=dict(
            self_attn_cfg=attention,
            cross_attn_cfg=attention,
            ffn_cfg=dict(embed_dims=width, feedforward_channels=8)))


def small_network(cfg: Config) -> None:
    """Shrink the segmentor in place; heads of terms read its widths."""
    _small_segmentor(cfg)
    for name, term in cfg.model.terms.items():
        head = (term or {}).get('head')
        if head and 'in_channels' in head:
            head.in_channels = 32 if name == 'pps' else _width(cfg, head)
            if name == 'brpg' and head.get('projector', 'conv') is None:
                head.channels = head.in_channels


def _small_segmentor(cfg: Config) -> None:
    segmentor = cfg.model.segmentor
    if 'segformer' in segmentor.get('config', ''):
        cfg.merge_from_dict(dict(model=dict(segmentor=_SEGFORMER)))
        return
    xception = segmentor.backbone.get('type') == 'Xception65'
    segmentor.backbone.update(_XCEPTION if xception else _RESNET)
    head = segmentor.decode_head
    head.init_cfg = None
    kind = head.get('type')
    if kind == 'MaskQueryHead':
        head.update(in_channels=[8, 16, 32, 64])
        width = 32
        head.update(
            feat_channels=width,
            out_channels=width,
            transformer_decoder=_layer(width))
        if head.pixel_decoder.type == 'PublishedDeepLabV3PlusHead':
            head.pixel_decoder.update(_DECODER, channels=width)
    elif kind == 'DeepLabV2Head':
        head.in_channels = 64
    else:
        head.update(_DECODER)
    if xception:
        head.update(in_channels=256, c1_in_channels=32)
    if not head.init_cfg:
        head.pop('init_cfg')
    if segmentor.get('auxiliary_head'):
        segmentor.auxiliary_head.update(in_channels=32, channels=8)


def _width(cfg: Config, head: dict) -> int:
    """Channels that a head of a term reads."""
    segmentor = cfg.model.segmentor
    if 'segformer' in segmentor.get('config', ''):
        return 64
    if segmentor.decode_head.get('type') == 'DeepLabV2Head':
        return 64
    return 16 if head.get('tap') == 'pre_cls' else 32


def small_terms(cfg: Config) -> None:
    """Stages of one iteration, few samples, thresholds that let pass."""
    terms = {k: v for k, v in cfg.model.terms.items() if v}
    numbers: Dict[str, dict] = dict(
        brpg=dict(
            window=(1, 2),
            schedule_begin=2,
            threshold=.01,
            confidence=(.01, .02),
            capacity=50,
            samples_per_image=40,
            draws_per_image=40),
        pcr=dict(prototypes=None, window=(0, 1), threshold=.01, capacity=100),
        u2pl=dict(num_negatives=8, capacity=(100, 100), threshold=.01),
        cmb=dict(memory_start=1, contrast_start=2, capacity=6, threshold=.01),
        class_balance=dict(windows=(2, 2), begin=3))
    for name, options in numbers.items():
        if name in terms:
            terms[name].update(options)
    for name in ('brpg', 'pcr', 'u2pl', 'cmb'):
        if name in terms:
            if 'channels' in terms[name].head:
                terms[name].head.channels = 16
    if 'brpg' in terms:
        if terms['brpg'].get('class_threshold'):
            terms['brpg'].class_threshold = (.01, .02)
        if terms['brpg'].head.get('projector', 'conv') is None:
            terms['brpg'].head.channels = terms['brpg'].head.in_channels
    if 'pps' in terms and terms['pps'].get('head'):
        terms['pps'].head.channels = 4
    if terms.get('consistency', {}).get('ramp'):
        terms['consistency'].ramp.length = 2
    for name in ('burn_in', ):
        if cfg.model.get(name):
            cfg.model[name] = 1
    if cfg.model.get('label_head') == 'pcr':
        cfg.model.burn_in = 2  # the teacher has prototypes one later
    if (cfg.model.get('mixing') or {}).get('begin'):
        cfg.model.mixing.begin = 2


def _small_crops(node) -> None:
    if isinstance(node, dict):
        # The size of a padded evaluation is its name.
        if 'crop_size' in node and node.get('type') != 'PadCenterCrop':
            pair = isinstance(node['crop_size'], (tuple, list))
            node['crop_size'] = (CROP, CROP) if pair else CROP
        if 'scales' in node:
            node['scales'] = [48, 80]
        if node.get('mode') == 'slide':
            node['stride'] = (43, 43)
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            _small_crops(child)


def small_data(cfg: Config, path: str, roots: Dict[str, str]) -> None:
    """Two labelled images an iteration, of a miniature, in one process."""
    loader = cfg.train_dataloader
    labeled, unlabeled = loader.sampler.counts
    same = cfg.model.get('same_image_mix', False)
    pairs = 4 if unlabeled > labeled or same else 2
    loader.sampler.counts = (2, pairs if unlabeled else 0)
    loader.batch_size = sum(loader.sampler.counts)
    if loader.sampler.get('alternate'):
        loader.sampler.target_only_last = 1
    loader.dataset.verify_split = False
    data = parse(path).data
    for key in ('labeled', 'unlabeled', 'labeled_source'):
        if loader.dataset.get(key):
            kind = 'gta5' if key == 'labeled_source' else data
            loader.dataset[key].data_root = roots[kind]
    for each in (cfg.val_dataloader, cfg.test_dataloader):
        each.dataset.data_root = roots[data]
    for each in (loader, cfg.val_dataloader, cfg.test_dataloader):
        each.update(num_workers=0, persistent_workers=False)
        _small_crops(each.dataset)
    _small_crops(cfg.model.get('test_cfg'))


def shrink(cfg: Config, path: str, roots: Dict[str, str]) -> Config:
    """A few iterations on a CPU.

    Args:
        cfg (Config): Changed in place.
        path (str): Its path below configs/, without suffix.
        roots (dict[str, str]): Miniature by data set.
    """
    small_network(cfg)
    small_terms(cfg)
    small_data(cfg, path, roots)
    cfg.train_cfg.update(max_iters=ITERATIONS, val_interval=ITERATIONS)
    cfg.default_hooks.logger.interval = 1
    for hook in cfg.custom_hooks:
        if hook.type == 'NormRefreshHook':
            hook.forwards = 2
    return cfg

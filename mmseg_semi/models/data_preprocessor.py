# Copyright (c) mmseg_semi authors.
from typing import Any, Dict

from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS


@MODELS.register_module()
class SemiDataPreProcessor(SegDataPreProcessor):
    """:class:`SegDataPreProcessor` for batches with several branches.

    A training batch is ``{'inputs': {branch: [image | None, ...]},
    'data_samples': {branch: [sample | None, ...]}}``; ``None`` marks the
    samples that do not take part in a branch. Every branch is normalised and
    padded by the ordinary preprocessor. Batches without branches (validation,
    test, inference) go through unchanged.
    """

    def forward(self, data: dict, training: bool = False) -> Dict[str, Any]:
        """Normalise and stack.

        Args:
            data (dict): As collated.
            training (bool): Whether to pad to the training size.

        Returns:
            dict: ``inputs`` {branch: (B, 3, H, W) float32 Tensor} and
            ``data_samples`` {branch: list}, or the plain pair.
        """
        if not isinstance(data['inputs'], dict):
            return super().forward(data, training)
        result: Dict[str, Any] = dict(inputs={}, data_samples={})
        for branch, images in data['inputs'].items():
            kept = [i for i, image in enumerate(images) if image is not None]
            if not kept:
                continue
            samples = data['data_samples'][branch]
            out = super().forward(
                dict(
                    inputs=[images[i] for i in kept],
                    data_samples=[samples[i] for i in kept]), training)
            for key in result:
                result[key][branch] = out[key]
        return result

# Copyright (c) mmseg_semi authors.
import copy
from typing import Callable, List, Optional, Union

import numpy as np
from mmcv.transforms import BaseTransform, Compose, to_tensor
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class InitValidMap(BaseTransform):
    """Start the map that tells real pixels from padding.

    Put it right after loading an unlabelled image. It is one more label map
    (listed in ``seg_fields``), so every transform that moves label maps moves
    it, and padding marks it.

    Required Keys: img

    Added Keys: valid_map (uint8 (H, W), 0 = real pixel, 255 = padding);
    seg_fields gets its name
    """

    def transform(self, results: dict) -> dict:
        """Add an all-valid map of the image's size."""
        results['valid_map'] = np.zeros(results['img'].shape[:2], np.uint8)
        fields = results.setdefault('seg_fields', [])
        if 'valid_map' not in fields:
            fields.append('valid_map')
        return results

    def __repr__(self) -> str:
        return f'{self.__class__.__name__}()'


def _compose(pipeline: List[Union[dict, Callable]]) -> Compose:
    """Build a pipeline in mmseg's registry.

    mmcv's Compose alone finds mmseg's transforms only while mmseg is the
    default scope.
    """
    return Compose([
        TRANSFORMS.build(step) if isinstance(step, dict) else step
        for step in pipeline
    ])


@TRANSFORMS.register_module()
class MultiBranch(BaseTransform):
    """Send copies of one sample through the pipelines of several branches.

    What was drawn before (geometry, say) is shared by the branches; what a
    branch pipeline draws is its own. Every sample has all branch names, the
    absent ones are None, so that samples of different sources collate.

    Args:
        branch_field (list[str]): All branch names of the training batch, the
            same for every source.
        branch_pipelines (list[dict | callable]): By name, the pipelines of
            the branches this source takes part in. Each ends with
            PackSemiInputs.

    Examples:
        >>> branches = ['sup', 'unsup_teacher', 'unsup_student']
        >>> unlabeled_pipeline = [
        >>>     dict(type='LoadStrictImage'),
        >>>     dict(type='InitValidMap'),
        >>>     dict(type='RandomLongSideResize'),
        >>>     dict(type='RandomPadCrop', crop_size=513, pad='corner'),
        >>>     dict(type='RandomFlip', prob=0.5),
        >>>     dict(
        >>>         type='MultiBranch',
        >>>         branch_field=branches,
        >>>         unsup_teacher=[dict(type='PackSemiInputs')],
        >>>         unsup_student=[
        >>>             dict(type='SemiColorJitter'),
        >>>             dict(type='PackSemiInputs')
        >>>         ])
        >>> ]
    """

    def __init__(self, branch_field: List[str],
                 **branch_pipelines: List[Union[dict, Callable]]) -> None:
        unknown = sorted(set(branch_pipelines) - set(branch_field))
        if unknown or not branch_pipelines:
            raise ValueError(
                f'Pipelines are given for {sorted(branch_pipelines)}, '
                f'branch_field is {list(branch_field)}: at least one '
                f'pipeline, and only named branches (unknown: {unknown}).')
        self.branch_field = list(branch_field)
        self.branch_pipelines = {
            branch: _compose(pipeline)
            for branch, pipeline in branch_pipelines.items()
        }

    def transform(self, results: dict) -> Optional[dict]:
        """Run the branch pipelines.

        Args:
            results (dict): The sample before packing; it is not changed.

        Returns:
            dict | None: ``inputs`` and ``data_samples``, each a dict with
            every branch name; None if a branch dropped the sample.
        """
        packed = dict(
            inputs=dict.fromkeys(self.branch_field),
            data_samples=dict.fromkeys(self.branch_field))
        for branch, pipeline in self.branch_pipelines.items():
            sample = pipeline(copy.deepcopy(results))
            if sample is None:
                return None
            for field, branches in packed.items():
                if field not in sample:
                    raise KeyError(
                        f"The pipeline of branch '{branch}' returned no "
                        f"'{field}'; end it with PackSemiInputs.")
                branches[branch] = sample[field]
        return packed

    def __repr__(self) -> str:
        return (f'{self.__class__.__name__}('
                f'branch_field={self.branch_field}, '
                f'branch_pipelines={self.branch_pipelines})')


@TRANSFORMS.register_module()
class PackSemiInputs(PackSegInputs):
    """mmseg's PackSegInputs that also packs the map of valid pixels.

    ``valid_map``, if there is one, becomes ``data_sample.valid_map``
    (PixelData with data uint8 (1, H, W), 0 = real pixel, 255 = padding).
    Arguments are those of :class:`mmseg.datasets.transforms.PackSegInputs`.
    """

    def transform(self, results: dict) -> dict:
        """Pack image, label map, valid map and meta information."""
        packed = super().transform(results)
        if 'valid_map' in results:
            valid_map = np.ascontiguousarray(results['valid_map'][None])
            packed['data_samples'].set_data(
                dict(valid_map=PixelData(data=to_tensor(valid_map))))
        return packed

# Copyright (c) mmseg_semi authors.
"""What goes into an ONNX file: a model, and what is before and after it."""
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.decode_heads.query_head import EPS, QueryHead
from .exportable import Exportable
from .plain_model import NotExportableError

LAYOUTS = ('nhwc', 'nchw')
COLORS = ('bgr', 'rgb')
INPUT, SCORES, PROBABILITIES, CLASSES = ('images', 'scores', 'probabilities',
                                         'classes')


@dataclass(frozen=True)
class GraphOptions:
    """What an ONNX file does beside the network.

    Attributes:
        pre (str, optional): It takes pixels of 0 to 255 as they are loaded
            and normalises them: ``nhwc``, height and width before the bands,
            or ``nchw``. None: normalised images (N, C, H, W) float32.
        colors (str): With ``pre``, order of three bands: ``bgr``, as OpenCV
            loads, or ``rgb``.
        post (bool): It gives probabilities and classes, not scores.
        size (tuple[int, int], optional): The one height and width it takes;
            a model that predicts in windows has them inside then. None: any,
            as far as the model allows.
    """
    pre: str | None = None
    colors: str = 'bgr'
    post: bool = False
    size: tuple[int, int] | None = None

    @property
    def outputs(self) -> tuple[str, ...]:
        """tuple[str]: Names of the outputs."""
        return (PROBABILITIES, CLASSES) if self.post else (SCORES, )


class Graph(nn.Module):
    """A model as it is exported.

    Args:
        exportable (Exportable): The trained model.
        options (GraphOptions): What is inside beside it.

    Raises:
        NotExportableError: The data preprocessor does what cannot go into a
            graph.
    """

    def __init__(self, exportable: Exportable, options: GraphOptions) -> None:
        super().__init__()
        self.model, self.options = exportable.model, options
        pre = self.model.data_preprocessor
        self.head = getattr(exportable.network, 'decode_head', None)
        self.prototypes = exportable.prototype_head is not None
        mean = getattr(pre, 'mean', None)
        self.bands = len(mean) if isinstance(mean, Tensor) else 3
        test = dict(getattr(pre, 'test_cfg', None) or {})
        self.divisor = test.pop('size_divisor', None)
        if any(test.values()):
            raise NotExportableError(
                f'data_preprocessor.test_cfg={test} pads images to one size, '
                'which an ONNX file of any size cannot. Remove it, or write '
                'size_divisor.')
        self.windows = None
        if self.model.test_cfg.get('mode') == 'slide':
            self.windows = dict(self.model.test_cfg)
        self.eval()

    def forward(self, images: Tensor) -> 'Tensor | tuple[Tensor, Tensor]':
        """Images as :class:`GraphOptions` says.

        Returns:
            Tensor | tuple[Tensor, Tensor]: Scores (N, C, H, W) float32; or
            probabilities likewise and classes (N, H, W) int32.
        """
        scores = self.scores(
            self.normalised(images) if self.options.pre else images)
        if not self.options.post:
            return scores
        probabilities = self.probabilities(scores)
        return probabilities, self.classes(probabilities)

    def normalised(self, images: Tensor) -> Tensor:
        """What is given with ``pre`` -> what the network wants."""
        if self.options.pre == 'nhwc':
            images = images.permute(0, 3, 1, 2)
        return self.normalise(images, self.options.colors)

    def normalise(self, images: Tensor, colors: str) -> Tensor:
        """Pixels of 0 to 255 (N, C, H, W) -> float32, as the model's own."""
        pre = self.model.data_preprocessor
        images = images.float()
        swaps = pre.channel_conversion == (colors == 'bgr')
        if self.bands == 3 and swaps:
            images = torch.cat(images.split(1, dim=1)[::-1], dim=1)
        if pre._enable_normalize:
            images = (images - pre.mean) / pre.std
        return images

    def scores(self, images: Tensor) -> Tensor:
        """Scores (N, C, H, W) of normalised images, at their size."""
        height, width = images.shape[-2:]
        if self.divisor:
            pad = self.model.data_preprocessor.pad_val
            down, right = (
                torch.remainder(-torch.as_tensor(n), self.divisor)
                for n in (height, width))
            images = F.pad(images, [0, right, 0, down], value=pad)
        size = images.shape[2:]
        metas = [dict(ori_shape=size, img_shape=size, pad_shape=size)]
        if self.windows and self.options.size:
            scores = self.model.slide_inference(images, metas)
        else:
            scores = self.model.encode_decode(images, metas)
        return scores[:, :, :height, :width] if self.divisor else scores

    def probabilities(self, scores: Tensor) -> Tensor:
        """Scores -> probabilities (N, C, H, W), of C classes or of one."""
        if scores.shape[1] == 1:
            return scores.sigmoid()
        if self.scores_are_shares:
            shares = scores + EPS
            return shares / shares.sum(dim=1, keepdim=True)
        return scores.softmax(dim=1)

    def classes(self, probabilities: Tensor) -> Tensor:
        """Probabilities -> classes (N, H, W) int32."""
        if probabilities.shape[1] == 1:
            return (probabilities[:, 0] > self.threshold).int()
        return probabilities.argmax(dim=1).int()

    @property
    def scores_are_shares(self) -> bool:
        """bool: Scores are at least 0 and sums over queries, not logits."""
        return not self.prototypes and isinstance(
            self.head, QueryHead) and self.head.has_classes

    @property
    def threshold(self) -> float | None:
        """float: Above it one sigmoid channel says class 1."""
        if self.model.out_channels != 1:
            return None
        return float(self.head.threshold)

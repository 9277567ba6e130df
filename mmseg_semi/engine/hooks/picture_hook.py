# Copyright (c) mmseg_semi authors.
import os.path as osp
from collections.abc import Sequence

from mmengine.runner import Runner
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer


class _EveryProcess(SegLocalVisualizer):
    """Draws in every process, each of which has other images of a test.

    The stock one knows classes and draws in the first process alone, by
    decorators of what is replaced here.
    """
    dataset_meta = None
    add_datasample = SegLocalVisualizer.add_datasample.__wrapped__


@HOOKS.register_module()
class PictureHook(SegVisualizationHook):
    """Draw predictions over the images as the network sees them.

    As mmseg's ``SegVisualizationHook``, but images are read by the loader of
    the test pipeline, so that 16 bits, floats and other numbers of bands are
    no darker than photographs; and with ``out_dir`` every image of every
    process has a file of its own name.

    Args:
        out_dir (str, optional): Folder of the pictures, one
            ``<path below the folder of all images>.png`` for an image: its
            label on the left, where there is one, and the prediction.
            Defaults to None: the visualizer's back ends get them.
        **kwargs: Of ``SegVisualizationHook``.
    """

    def __init__(self, *args, out_dir: str | None = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.out_dir = out_dir
        self._pipeline = None
        self._names = {}

    def _after_iter(self,
                    runner: Runner,
                    batch_idx: int,
                    data_batch: dict,
                    outputs: Sequence[SegDataSample],
                    mode: str = 'val') -> None:
        """Draw the images of a batch.

        Args:
            runner (Runner): Of the test or validation.
            batch_idx (int): Number of the batch; every ``interval``-th is
                drawn.
            data_batch (dict): Is not used.
            outputs (Sequence[SegDataSample]): The predictions.
            mode (str): ``val`` or ``test``. Defaults to ``val``.
        """
        # Predicting imports the engine; here both are loaded.
        from mmseg_semi.predicting.outputs import as_picture
        if not self.draw or mode == 'train' or not self.every_n_inner_iters(
                batch_idx, self.interval):
            return
        if self._pipeline is None:
            self._prepare(runner, mode)
        for output in outputs:
            name = self._names.get(output.img_path,
                                   osp.basename(output.img_path))
            self._visualizer.add_datasample(
                name,
                as_picture(self._pipeline.load(output.img_path)['img']),
                data_sample=output,
                show=self.show,
                wait_time=self.wait_time,
                out_file=self.out_dir
                and osp.join(self.out_dir, f'{name}.png'),
                step=runner.iter)

    def _prepare(self, runner: Runner, mode: str) -> None:
        from mmseg_semi.predicting.images import own_names
        from mmseg_semi.predicting.pipeline import TestPipeline
        self._pipeline = TestPipeline(runner.cfg)
        if not self.out_dir:
            return
        loop = runner.test_loop if mode == 'test' else runner.val_loop
        images = loop.dataloader.dataset
        self._names = own_names(
            images.get_data_info(i)['img_path'] for i in range(len(images)))
        if type(self._visualizer) is SegLocalVisualizer:
            drawing = _EveryProcess(alpha=self._visualizer.alpha)
            drawing.dataset_meta = images.metainfo
            self._visualizer = drawing

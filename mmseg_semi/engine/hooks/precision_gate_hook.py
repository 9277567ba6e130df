# Copyright (c) mmseg_semi authors.
import logging
from collections.abc import Sequence

import torch
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmseg.registry import HOOKS

from ...evaluation.gate import (HELD_OUT, VALIDATION, earlier_points,
                                gate_alarms, gate_lines, history_point,
                                suggest_threshold)
from ...evaluation.label_precision import THRESHOLDS, LabelPrecision
from ..label_gate import measure_labels, test_pipeline
from ..plain import to_plain
from ..unwrap import unwrap

# Where the message hub, and so a checkpoint, keeps what was measured.
GATE_KEY = 'precision_gate'


@HOOKS.register_module()
class PrecisionGateHook(Hook):
    """Measure how often confident pseudo-labels are right, per class.

    The images are those that the training set holds out
    (``SemiSegDataset(held_out=0.1)``), which are labelled and not trained on.
    Without such images it takes the validation images, and says so.

    They are predicted whole, through the pipeline of the validation images,
    by the network that makes the pseudo-labels: the teacher, the peer of the
    predicting student (CPS), the student (FixMatch); in evaluation mode,
    which a method may leave for its pseudo-labels. Pixels of ``ignore_index``
    are left out. All processes share the images.

    ``record.json`` gets what was found last as ``gate``, see :meth:`found`;
    the log ``gate/precision`` and ``gate/kept``, both at the threshold of the
    training, over all classes. A class that is often wrong there is named in
    a warning once burn-in is over. Nothing of the training depends on it.

    Args:
        thresholds (Sequence[float]): Confidences to judge, in [0, 1]. The
            training's own and 0 are added.
        every_validation (bool, optional): Measure at each validation; False
            measures once, when the training ends. Defaults to None: at each
            where images are held out, which are few, else once.
        target (float): Precision that the suggested threshold shall give
            every class. Defaults to 0.9.
        alarm (float): Precision below which a class is named. Defaults to
            0.7.
        min_pixels (int): A class is judged by at least so many predicted
            pixels. Defaults to 100.
        min_images (float): And, to suggest a threshold, by so many images.
            Defaults to 5.
        ignore_index (int): Defaults to 255.

    Raises:
        ValueError: If a number is out of its range.
    """

    # Before LoggerHook, which writes what is measured, and RunRecordHook.
    priority = 'NORMAL'

    def __init__(self,
                 thresholds: Sequence[float] = THRESHOLDS,
                 every_validation: bool | None = None,
                 target: float = 0.9,
                 alarm: float = 0.7,
                 min_pixels: int = 100,
                 min_images: float = 5,
                 ignore_index: int = 255) -> None:
        LabelPrecision(1, thresholds)  # refuses what is no confidence
        if not 0 < target <= 1 or not 0 <= alarm <= 1:
            raise ValueError(f'PrecisionGateHook: target={target} must be in '
                             f'(0, 1], alarm={alarm} in [0, 1].')
        if min_pixels < 1:
            raise ValueError('PrecisionGateHook: min_pixels counts pixels, at '
                             f'least 1; got {min_pixels}.')
        self.thresholds, self.every_validation = thresholds, every_validation
        self.target, self.alarm = target, alarm
        self.min_pixels, self.min_images = min_pixels, min_images
        self.ignore_index = ignore_index
        self._source = ''  # that of a training that has begun
        self._loader = None

    def before_train(self, runner) -> None:
        """Find images to measure on.

        Raises:
            TypeError: If the model makes no pseudo-labels.
            ValueError: If the held-out images cannot be loaded.
        """
        model = unwrap(runner.model)
        if not hasattr(model, 'labeler'):
            raise TypeError(
                f'PrecisionGateHook: {type(model).__name__} makes no '
                "pseudo-labels. Remove dict(type='PrecisionGateHook') from "
                'custom_hooks, or train a framework of this package.')
        self._source, self._loader = '', None
        held_out = getattr(runner.train_dataloader.dataset, 'held_out', ())
        if not model.needs_unlabeled:
            reason = 'no loss learns from unlabelled images'
        elif held_out:
            self._source, reason = HELD_OUT, ''
            test_pipeline(runner.cfg)  # rather now than at a validation
        elif runner.val_loop is not None:
            self._source, reason = VALIDATION, ''
        else:
            reason = ('no labelled images are held out (train_dataloader.'
                      'dataset.held_out=0.1) and there are none for '
                      'validation')
        if reason:
            print_log(f'Pseudo-labels are not measured: {reason}.', 'current')

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Measure, if it is time."""
        every = self.every_validation
        if every is None:
            every = self._source == HELD_OUT
        if not self._source or not every:
            return
        for name, value in self._measure(runner).items():
            runner.message_hub.update_scalar(f'val/{name}', value)

    def after_train(self, runner) -> None:
        """Measure what the training came to, unless it has been."""
        known = runner.message_hub.runtime_info.get(GATE_KEY) or {}
        if self._source and known.get('iteration') != runner.iter:
            scalars = self._measure(runner)
            if scalars:
                runner.visualizer.add_scalars(scalars, step=runner.iter)
        self._source, self._loader = '', None

    def found(self, runner, counts: LabelPrecision) -> dict:
        """What the record says of a measurement.

        Args:
            runner (Runner): Of the training.
            counts (LabelPrecision): Of all processes.

        Returns:
            dict: ``source`` (``held_out`` or ``validation``), ``iteration``,
            ``network`` and ``head`` that label, everything of
            :meth:`.LabelPrecision.as_dict`; ``threshold``, the training's
            own, None if it keeps pixels by another rule; ``target``,
            ``suggested``, a threshold or None, and ``suggestion``, a
            sentence; ``alarms``, sentences; ``history``, earlier
            measurements and this one, see :func:`.history_point`.
        """
        model = unwrap(runner.model)
        dataset = runner.train_dataloader.dataset
        content = counts.as_dict(dataset.metainfo['classes'])
        own = model.confidence_threshold
        suggested, sentence = suggest_threshold(content, self.target,
                                                self.min_pixels,
                                                self.min_images)
        before = runner.message_hub.runtime_info.get(GATE_KEY) or {}
        network, head = model.labeler
        return dict(
            source=self._source,
            iteration=runner.iter,
            network=network,
            head=head,
            **content,
            threshold=own,
            target=self.target,
            suggested=suggested,
            suggestion=sentence,
            alarms=gate_alarms(content, own, self.alarm, self.min_pixels),
            history=[
                *earlier_points(before.get('history', ()), runner.iter),
                history_point(content, runner.iter)
            ])

    def _measure(self, runner) -> dict[str, float]:
        """Measure, note and tell; the scalars for the log."""
        model = unwrap(runner.model)
        own = model.confidence_threshold
        device = next(model.parameters()).device
        with torch.autocast(
                device.type, enabled=getattr(runner.val_loop, 'fp16', False)):
            counts = measure_labels(
                model, self._batches(runner),
                [*self.thresholds, *([] if own is None else [own])],
                self.ignore_index)
        found = self.found(runner, counts.summed(device))
        runner.message_hub.update_info(GATE_KEY, to_plain(found, GATE_KEY))
        for line in gate_lines(found):
            print_log(line, 'current')
        if found['alarms'] and runner.iter > model.burn_in:
            print_log(
                f'{" ".join(found["alarms"])} {_REMEDY}',
                'current',
                level=logging.WARNING)
        place = found['thresholds'].index(own or 0.)
        scalars = {
            'gate/precision': found['precision_of_all'][place],
            'gate/kept': found['kept'][place]
        }
        return {k: v for k, v in scalars.items() if v is not None}

    def _batches(self, runner):
        """This process's share of the images, none of them twice."""
        if self._loader is None:
            val = runner.val_loop and runner.val_loop.dataloader
            workers, size = (val.num_workers, val.batch_size) if val else (0,
                                                                           1)
            if self._source == HELD_OUT:  # of any size, so one at a time
                dataset, size = runner.train_dataloader.dataset.held_out_set(
                    test_pipeline(runner.cfg)), 1
            else:
                dataset = val.dataset
            self._loader = runner.build_dataloader(
                dict(
                    dataset=dataset,
                    batch_size=size or 1,
                    num_workers=workers,
                    sampler=dict(
                        type='DefaultSampler', shuffle=False, round_up=False)),
                seed=runner.seed)
        return self._loader


_REMEDY = ('Train longer on labels alone (model.burn_in), label more of these '
           'classes, or take a higher model.terms.consistency.threshold.')

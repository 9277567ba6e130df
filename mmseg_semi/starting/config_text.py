# Copyright (c) mmseg_semi authors.
"""Writing the config of a training for people to read and change."""
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from ..engine.atomic import write_atomically
from ..importing import dataset_settings
from .recipe import LITE, SUPERVISED, Recipe

# They make their strong views themselves; the others get them from the data.
_WEAK = ('brpg_cps', 'cmb', 'cps', 'cutmix_seg', 'pps', 'rc2l')
_TWO_STRONG = ('unimatch', )
# Labels alone for a tenth of the training, as in the configs for DigitScenes:
# pseudo-labels of a network that knows nothing yet teach the largest class.
# The stages of the other methods follow from the length as published.
_BURN_IN = dict.fromkeys(
    ('cps', 'cutmix_seg', 'fixmatch', 'mean_teacher', 'unimatch'), 0.1)
_LITE_FILE = 'models/deeplabv3plus_efficientnet-lite0'
# More names and colours than so many characters stay in classes.json.
_LONGEST = 200
_TEMPLATE = """\
# {{ title }}: written by `mmseg-semi init`, yours to change.
_base_ = [__import__('mmseg_semi').base(f'{name}.py') for name in (
    {{ bases }})]
model = dict(segmentor={{ segmentor }}, num_classes={{ num_classes }}\
{% if burn_in %}, burn_in={{ burn_in }}{% endif %}
{% if not pretrained %}, pretrained=False{% endif %}
{% if more %},
             {{ more }}\
{% endif %})
{% if loader %}
loader = {{ loader }}
{% endif %}
{% if resize %}
resize = dict(type='Resize', scale=({{ resize }}, 10**6), keep_ratio=True)
{% endif %}
{% if loader %}
test_pipeline, tta_pipeline = [loader{{ resized }}, \
*_base_.test_pipeline[1:]], [loader, *_base_.tta_pipeline[1:]]
{% elif resize %}
test_pipeline = [_base_.test_pipeline[0], resize, *_base_.test_pipeline[1:]]
{% endif %}
crop = dict(type='RandomPadCrop', crop_size={{ crop }})
train_pipeline = [{{ loaded }}load_labelled{{ rest }}{{ resized }}, \
*_base_.vary, crop, *_base_.pack_labelled]
{% if unlabelled %}
unlabelled_pipeline = [{{ loaded }}load_unlabelled{{ rest }}{{ resized }}, \
*_base_.vary, crop, *_base_.pack_unlabelled]
{% endif %}
images = dict(
    data_root={{ root }}, data_prefix={{ prefix }},
    metainfo={{ metainfo }})
train_dataloader = dict(
    batch_size={{ batch }}, sampler=dict(counts={{ counts }}), dataset=dict(
        labeled=dict(**images, ann_file={{ train }}, pipeline=train_pipeline),
{% if unlabelled %}
        unlabeled=dict(data_root={{ root }}, data_prefix={{ photos }}, \
ann_file={{ unlabelled }}, pipeline=unlabelled_pipeline),
{% else %}
        unlabeled=None,
{% endif %}
        val_ann_file={{ val or '()' }}\
{% if held_out %}, held_out={{ held_out }}{% endif %}))
{% if val %}
val_dataloader = test_dataloader = dict(dataset=dict(**images, \
ann_file={{ val }}\
{% if resize or loader %}, pipeline=test_pipeline{% endif %}))
{% else %}
val_dataloader = val_evaluator = val_cfg = None
test_dataloader = test_evaluator = test_cfg = None
{% endif %}
{% if rate %}
optim_wrapper = dict(optimizer=dict(lr={{ rate }}))
{% endif %}
train_cfg = dict(max_iters={{ iters }}, val_interval={{ interval }})
default_hooks = dict(logger=dict(interval={{ log }}), \
checkpoint=dict(interval={{ interval }}\
{% if not val %}, save_best=None{% endif %}))
{% if gate or patience %}
custom_hooks = [*_base_.custom_hooks\
{% if gate %}, dict(type='PrecisionGateHook'){% endif %}\
{% if patience %}, dict(type='PatienceHook', patience={{ patience }})\
{% endif %}]
{% endif %}
randomness = dict(seed={{ seed }})
"""


def config_text(folder: str,
                recipe: Recipe,
                seed: int = 0,
                patience: int | None = None) -> str:
    """The config of one training.

    Args:
        folder (str): What an import wrote, as the training will find it.
        recipe (Recipe): What to train.
        seed (int): Of everything random. Defaults to 0.
        patience (int, optional): Validations without a better score after
            which to stop; without validation images it is left out.

    Returns:
        str: A Python config of at most 25 lines.
    """
    data = dataset_settings(folder)
    prefix = data['images']['data_prefix']
    labelled, unlabelled = recipe.images
    loader = recipe.pixels.loader
    environment = Environment(
        trim_blocks=True,
        lstrip_blocks=False,
        undefined=StrictUndefined,
        keep_trailing_newline=True)
    return environment.from_string(_TEMPLATE).render(
        title=f'{recipe.method} on {folder}',
        bases=_bases(recipe),
        segmentor='_base_.segmentor'
        if recipe.model == LITE else repr(recipe.model),
        num_classes=len(data['classes']),
        burn_in=_BURN_IN.get(recipe.method),
        pretrained=recipe.pretrained,
        resize=recipe.resize,
        resized=', resize' * bool(recipe.resize),
        loader=loader and _dict(loader),
        loaded='loader, *_base_.' if loader else '*_base_.',
        rest='[1:]' if loader else '',
        crop=recipe.crop,
        more=', '.join(_more(recipe)),
        root=repr(folder),
        prefix=_dict(prefix),
        photos=_dict(dict(img_path=prefix['img_path'])),
        metainfo=_metainfo(folder, data['images']['metainfo']),
        batch=labelled + unlabelled,
        counts=recipe.images,
        train=_file(data['labeled']),
        val=_file(data['val']),
        unlabelled=_file(data['unlabeled']) if unlabelled else None,
        held_out=recipe.held_out,
        gate=recipe.method != SUPERVISED and (recipe.held_out or data['val']),
        iters=recipe.iters,
        rate=recipe.rate,
        interval=recipe.val_interval,
        log=max(1, min(50, recipe.iters // 20)),
        patience=patience if data['val'] else None,
        seed=seed)


def write_text(text: str,
               path: str | Path,
               force: bool = False,
               dry_run: bool = False) -> str:
    """Write a config, but never over another one.

    Args:
        text (str): Its content.
        path (str | Path): The file.
        force (bool): Replace a file of other content. Defaults to False.
        dry_run (bool): Only say what would happen. Defaults to False.

    Returns:
        str: ``written``, ``unchanged`` or ``replaced``.

    Raises:
        FileExistsError: There is a file of other content, and no ``force``.
    """
    path = Path(path)
    there = path.exists()
    if there and path.is_file() and path.read_text('utf-8') == text:
        return 'unchanged'
    if there and not (force and path.is_file()):
        raise FileExistsError(
            f'--out: {path} exists and differs from what would be written. '
            'Choose another file, or replace it with --force.')
    if not dry_run:
        write_atomically(text.encode(), path)
    return 'replaced' if there else 'written'


def twin_path(path: str | Path) -> Path:
    """Where the supervised twin of a config is."""
    path = Path(path)
    return path.with_name(f'{path.stem}_{SUPERVISED}{path.suffix}')


def _more(recipe: Recipe) -> list[str]:
    """Settings of the model that not every config has."""
    settings, size = [], recipe.crop
    if recipe.pixels.preprocessor:
        settings.append(
            f'data_preprocessor={_dict(recipe.pixels.preprocessor)}')
    if recipe.stride:
        settings.append(f"test_cfg=dict(mode='slide', crop_size={size, size}, "
                        f'stride={recipe.stride, recipe.stride})')
    return settings


def _bases(recipe: Recipe) -> str:
    photos = 'photos'
    if recipe.method in _WEAK:
        photos += '_weak'
    elif recipe.method in _TWO_STRONG:
        photos += '_two-strong'
    names = [f'methods/{recipe.method}', f'datasets/{photos}']
    if recipe.model == LITE:
        names.append(_LITE_FILE)
    return ', '.join(map(repr, names))


def _metainfo(folder: str, metainfo: dict) -> str:
    text = _dict(metainfo)
    if len(text) <= _LONGEST:
        return text
    return f"__import__('mmseg_semi').imported_classes({folder!r})"


def _file(settings: dict | None) -> str | None:
    return settings and repr(settings['ann_file'])


def _dict(content: dict) -> str:
    return f'dict({", ".join(f"{k}={v!r}" for k, v in content.items())})'

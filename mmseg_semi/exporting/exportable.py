# Copyright (c) mmseg_semi authors.
"""The network of a trained model that predicts."""
import copy
import warnings
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from mmseg.models import EncoderDecoder
from mmseg.registry import DATASETS, MODELS
from torch import nn

from ..engine.checkpoint import CheckpointError, check_checkpoint
from ..engine.config_reading import read_config
from ..models.segmentors.semi_segmentor import SemiSegmentor
from ..models.segmentors.wrapped import drop_pretrained
from ..quiet import nothing_printed

SHOWN = 3


@dataclass(frozen=True)
class Exportable:
    """A trained model, ready to be exported.

    Attributes:
        name (str): Of the files that are made.
        cfg (Config): Of the training.
        model (nn.Module): As the config builds it, with the weights of the
            checkpoint, in evaluation mode, on the CPU. Its ``predict`` is
            what an export must equal.
        network (EncoderDecoder): The part of it that predicts.
        network_name (str, optional): ``student`` or another name of a
            framework's network; None for a plain segmentor.
        network_cfg (ConfigDict): Builds the network, with its
            ``data_preprocessor`` and ``test_cfg``.
        classes (tuple[str]): Names.
        palette (list, optional): Colours of the classes, RGB.
    """
    name: str
    cfg: Config
    model: nn.Module
    network: EncoderDecoder
    network_name: str | None
    network_cfg: ConfigDict
    classes: tuple[str, ...]
    palette: list | None

    @property
    def scope(self) -> str:
        """str: Registry scope of the config."""
        return self.cfg.get('default_scope') or 'mmseg'

    @property
    def prototype_head(self) -> nn.Module | None:
        """nn.Module: The head of a term that predicts, if one does."""
        name = getattr(self.model, 'predict_head', None)
        return None if name is None else self.network.semi_heads[name]


def load_exportable(config: str,
                    checkpoint: str,
                    network: str | None = None,
                    cfg_options: dict | None = None,
                    name: str | None = None) -> Exportable:
    """Load a trained model.

    Args:
        config (str): Path of its config, or ``mmseg_semi::folder/name.py``.
        checkpoint (str): Local path of its weights.
        network (str, optional): The network that predicts, instead of
            ``predict_with`` of the config.
        cfg_options (dict, optional): Dotted key -> value, over the config's.
        name (str, optional): Of the files that are made. Defaults to None:
            the stem of the config's file.

    Raises:
        FileNotFoundError: No such config, or no such checkpoint.
        CheckpointError: The checkpoint is not whole, not safe, or of another
            model.
        ValueError: There is no such network, or the model does not score the
            classes of its data.
    """
    content = check_checkpoint(checkpoint)
    cfg = read_config(config)
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    if 'model' not in cfg:
        raise ValueError(f'{config} defines no model: give the config that '
                         'the checkpoint was trained with.')
    model = _build(cfg)
    semi = isinstance(model, SemiSegmentor)
    _choose_network(model, network, config)
    _load(model, content.get('state_dict', content), checkpoint)
    classes, palette = _classes(content, cfg)
    if len(classes) != model.num_classes:
        raise ValueError(
            f'{checkpoint} names {len(classes)} classes '
            f'({_listed(classes)}), the model of {config} has '
            f'{model.num_classes}: give the config that it was trained with.')
    if semi:
        network_cfg = copy.deepcopy(model.network_cfg)
    else:
        network_cfg = copy.deepcopy(cfg.model)
    drop_pretrained(network_cfg)
    return Exportable(
        name or Path(config).stem, cfg, model,
        model.predictor if semi else model,
        model.predict_with if semi else None, network_cfg, classes, palette)


def _build(cfg: Config) -> nn.Module:
    """The model, without pretrained weights, in evaluation mode."""
    settings = copy.deepcopy(cfg.model)
    settings.train_cfg = None
    kind = MODELS.get(settings.type) if isinstance(settings.type,
                                                   str) else settings.type
    if not isinstance(kind, type) or issubclass(kind, SemiSegmentor):
        settings.pretrained = False
    else:
        drop_pretrained(settings)
    scope = cfg.get('default_scope') or 'mmseg'
    with DefaultScope.overwrite_default_scope(
            scope), nothing_printed(), warnings.catch_warnings():
        # Building says what is of no use here.
        warnings.simplefilter('ignore')
        MMLogger.get_instance('export', log_level='ERROR')
        model = revert_sync_batchnorm(MODELS.build(settings))
    if not isinstance(model, (SemiSegmentor, EncoderDecoder)):
        raise ValueError(f'{type(model).__name__} is no EncoderDecoder: only '
                         'such models are exported.')
    return model.eval()


def _choose_network(model: nn.Module, name: str | None, config: str) -> None:
    if name is None:
        return
    known = list(getattr(model, 'networks', ()))
    if not known:
        raise ValueError(f'--network {name}: the model of {config} is a plain '
                         f'{type(model).__name__}. Leave --network out.')
    if name not in known:
        raise ValueError(f'--network {name}: {type(model).__name__} has '
                         f'{" and ".join(known)}.')
    if model.predict_head and name not in model.learners:
        # A copy has the heads of its learner.
        if not hasattr(model.net(name), 'semi_heads'):
            raise ValueError(f'--network {name} has no prototype head: leave '
                             '--network out.')
    model.predict_with = name


def _load(model: nn.Module, state: dict, path: str) -> None:
    """Load weights; all that predicts must be there and fit."""
    state = {k.removeprefix('module.'): v for k, v in state.items()}
    if not isinstance(model, SemiSegmentor):
        _check_shapes(model, state, path)
    with nothing_printed():
        missing = model.load_state_dict(state, strict=False).missing_keys
    prefix = f'{model.predict_with}.' if isinstance(model,
                                                    SemiSegmentor) else ''
    lacking = [
        key for key in missing
        if key.startswith(prefix) and 'auxiliary_head.' not in key
        and not key.endswith('num_batches_tracked')
    ]
    if lacking:
        raise CheckpointError(
            f'{path} lacks {len(lacking)} weights of the network that '
            f'predicts ({_listed(lacking)}): it is of another model. Give the '
            'config that it was trained with.')


def _check_shapes(model: nn.Module, state: dict, path: str) -> None:
    wrong = [
        f'{key}: checkpoint {tuple(state[key].shape)}, model '
        f'{tuple(value.shape)}' for key, value in model.state_dict().items()
        if key in state and state[key].shape != value.shape
    ]
    if wrong:
        raise CheckpointError(
            f'{path} has weights of another shape ({_listed(wrong)}): it has '
            'other classes or is of another model. Give the config that it '
            'was trained with.')


def _classes(content: dict, cfg: Config) -> tuple[tuple[str, ...], list]:
    """Names and colours: of the checkpoint, else of the config."""
    found = (content.get('meta') or {}).get('dataset_meta') or {}
    if not found.get('classes'):
        for name in ('test_dataloader', 'val_dataloader', 'train_dataloader'):
            dataset = (cfg.get(name) or {}).get('dataset') or {}
            dataset = dataset.get('labeled', dataset)
            found = dataset.get('metainfo') or _of_kind(dataset)
            if found.get('classes'):
                break
    if not found.get('classes'):
        raise ValueError('Neither checkpoint nor config names the classes: '
                         'give the data set of the config metainfo=dict('
                         'classes=(...), palette=[...]).')
    palette = found.get('palette')
    return tuple(found['classes']), palette and [list(c) for c in palette]


def _of_kind(dataset: dict) -> dict:
    kind = dataset.get('type')
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    return getattr(kind, 'METAINFO', {})


def _listed(names) -> str:
    shown = ', '.join(list(names)[:SHOWN])
    return shown + (', ...' if len(names) > SHOWN else '')

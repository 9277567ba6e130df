# Copyright (c) mmseg_semi authors.
"""A training explained by its config, without data and without training."""
import copy
from collections.abc import Sequence

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapperDict, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from ..evaluation.protocol import evaluation_protocol
from ..models.segmentors.wrapped import resolve_segmentor, settings_of
from .evaluation_protocol import describe_evaluation
from .plan import config_plan, list_facts, stage_plan, training_plan
from .pretrained_files import pretrained_files
from .run_records import config_hash

_NOT_OPTIONS = ('params', 'foreach', 'maximize', 'capturable',
                'differentiable', 'fused', 'initial_lr')


def explain(cfg: Config,
            gpus: int = 1,
            accumulate: int | None = None,
            images: Sequence[int | None] | None = None) -> dict:
    """What a config is going to train.

    The model is built, without weights where it can be, so that stages and
    learning rates are those that act.

    Args:
        cfg (Config): A training config.
        gpus (int): Number of processes.
        accumulate (int, optional): Batches of a process that make an
            iteration. Defaults to what the config says.
        images (Sequence[int | None], optional): Those of the sets, in the
            order of :data:`mmseg_semi.engine.plan.SOURCES`. Defaults to None:
            what is known of published lists.

    Returns:
        dict: Everything of :func:`mmseg_semi.engine.plan.batch_plan`, and
        ``config``, ``config_hash``, ``framework``; ``lists`` (role, name,
        count, SHA-256 where published); ``held_out``, the number or share of
        the labelled images that are not trained on; ``weights``, the files
        and addresses that training starts from; ``stages``; ``local_rules``,
        what is computed within one batch of one process; ``optimizer`` (type
        and options), ``lr`` (a group each: learning rate, weight decay,
        number of parameters, where they are), ``schedule``; ``losses``;
        ``evaluation``.

    Raises:
        ValueError: If the config has no training, or cannot train on so many
            processes.
    """
    if not cfg.get('train_cfg') or not cfg.get('train_dataloader'):
        raise ValueError(f'{cfg.filename} has no train_cfg and '
                         'train_dataloader: it is no training config.')
    if accumulate is None:
        accumulate = cfg.train_cfg.get('accumulate', 1)
    plan = config_plan(cfg, gpus, accumulate, images)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    model = _build(cfg.model)
    model.plan_training(training_plan(plan))
    optimizer, groups = learning_rates(model, cfg.optim_wrapper)
    return dict(
        config=cfg.filename,
        config_hash=config_hash(cfg),
        framework=type(model).__name__,
        **plan,
        lists=[
            dict(zip(('role', 'name', 'count', 'sha256'), fact))
            for fact in list_facts(cfg)
        ],
        held_out=cfg.train_dataloader.dataset.get('held_out', 0),
        weights=_weights(cfg.model),
        stages=stage_plan(plan, model),
        local_rules=model.local_rules(accumulate),
        optimizer=optimizer,
        lr=groups,
        schedule=schedule(cfg),
        losses=losses(cfg.model),
        evaluation=evaluation(cfg))


def _weights(model: dict) -> list[str]:
    """What a wrapper's networks start from; its own word goes first."""
    given = model.get('pretrained')
    if given is not None:
        return [given] if given else []
    return pretrained_files(resolve_segmentor(model.segmentor))


def _build(cfg: dict):
    """The model, on the meta device unless its constructor reads numbers."""
    try:
        with torch.device('meta'):
            return MODELS.build(copy.deepcopy(cfg))
    except (RuntimeError, NotImplementedError):
        return MODELS.build(copy.deepcopy(cfg))


def learning_rates(model, wrapper: dict) -> tuple[dict, list[dict]]:
    """The optimizer's options and parameter groups.

    Args:
        model (nn.Module): The built model.
        wrapper (dict): The config's ``optim_wrapper``.

    Returns:
        tuple[dict, list[dict]]: ``type`` and the options that all groups
        share; and per group ``lr``, ``weight_decay``, other options that
        differ, ``parameters`` (number of scalars) and ``modules``.
    """
    wrapper = copy.deepcopy(wrapper)
    if wrapper.get('type') == 'AmpOptimWrapper':  # would ask for a GPU
        wrapper.type = 'OptimWrapper'
        wrapper.pop('loss_scale', None)
        wrapper.pop('dtype', None)
    built = build_optim_wrapper(model, wrapper)
    wrappers = list(built.values()) if isinstance(
        built, OptimWrapperDict) else [built]
    names = {id(p): name for name, p in model.named_parameters()}
    merged = {}
    for each in wrappers:
        for group in each.optimizer.param_groups:
            options = {
                key: value
                for key, value in group.items() if key not in _NOT_OPTIONS
            }
            key = tuple(sorted((k, str(v)) for k, v in options.items()))
            entry = merged.setdefault(key, (options, []))
            entry[1].extend(group['params'])
    groups = [options for options, _ in merged.values()]
    shared = {
        key: value
        for key, value in groups[0].items()
        if key not in ('lr', 'weight_decay') and all(
            key in other and other[key] == value for other in groups)
    }
    return dict(
        type=type(wrappers[0].optimizer).__name__, **shared), [
            dict({
                k: v
                for k, v in options.items() if k not in shared
            },
                 parameters=sum(p.numel() for p in parameters),
                 modules=_modules(names[id(p)] for p in parameters))
            for options, parameters in merged.values()
        ]


def _modules(names) -> list[str]:
    """Networks and their parts: the first two steps of parameter names."""
    return list(dict.fromkeys('.'.join(n.split('.')[:2]) for n in names))


def schedule(cfg: Config) -> list[dict]:
    """Learning rate schedules, with the end that they take."""
    schedulers = cfg.get('param_scheduler') or []
    if isinstance(schedulers, dict):
        schedulers = [schedulers]
    return [
        dict(dict(type='', begin=0, end=cfg.train_cfg.max_iters), **item)
        for item in schedulers
    ]


def losses(model: dict) -> list[dict]:
    """The loss terms of a model config, without their heads."""
    return [
        dict(
            name=name,
            **{
                key: value
                for key, value in term.items() if key != 'head'
            }) for name, term in (model.get('terms') or {}).items()
        if term is not None
    ]


def evaluation(cfg: Config) -> dict:
    """When and how the config validates."""
    loader = cfg.get('val_dataloader') or {}
    return dict(
        protocol=evaluation_protocol(cfg),
        how=describe_evaluation(cfg, 'val'),
        every=cfg.train_cfg.get('val_interval'),
        predict_with=cfg.model.get('predict_with'),
        test_cfg=settings_of(cfg.model, 'test_cfg') or None,
        images=(loader.get('dataset') or {}).get('ann_file'),
        metrics=cfg.get('val_evaluator'))

# Copyright (c) mmseg_semi authors.
"""Optimizer constructors for models that contain several networks."""
import torch.nn as nn
from mmengine.optim import DefaultOptimWrapperConstructor
from mmseg.engine.optimizers import LearningRateDecayOptimizerConstructor
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SemiOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor without frozen and without double parameters.

    The stock one hands the optimizer every parameter of the teacher if there
    is no ``paramwise_cfg``, and otherwise makes one group per parameter, with
    a warning for each frozen one. Here frozen networks are left out in
    silence, parameters that two networks share enter once, and parameters
    with the same options form one group, which lets the optimizer update
    them together.

    Args:
        optim_wrapper_cfg (dict): As in the stock constructor.
        paramwise_cfg (dict, optional): As in the stock constructor.
            ``custom_keys`` match anywhere in a name, so ``backbone`` means
            ``student.backbone`` too. Defaults to None.
    """

    def __init__(self,
                 optim_wrapper_cfg: dict,
                 paramwise_cfg: dict | None = None) -> None:
        # Not empty, or the stock constructor takes `model.parameters()`.
        paramwise_cfg = {'bypass_duplicate': True, **(paramwise_cfg or {})}
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

    def add_params(self,
                   params: list[dict],
                   module: nn.Module,
                   prefix: str = '',
                   is_dcn_module=None) -> None:
        """Add the trainable parameters of ``module``, see the stock method.

        Args:
            params (list[dict]): Parameter groups, changed in place.
            module (nn.Module): Where to look for parameters.
            prefix (str): Name of ``module`` in the model, empty for the model
                itself.
            is_dcn_module (bool, optional): Whether the parent is deformable.
        """
        if any(p.requires_grad for p in module.parameters()):
            super().add_params(params, module, prefix, is_dcn_module)
        if not prefix:
            params[:] = _merged(params)


def _merged(groups: list[dict]) -> list[dict]:
    """Join groups with equal options, in order of first appearance."""
    merged = {}
    for group in groups:
        options = {k: v for k, v in group.items() if k != 'params'}
        key = repr(sorted(options.items()))
        merged.setdefault(key, dict(params=[], **options))
        merged[key]['params'] += group['params']
    return list(merged.values())


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class SemiLayerDecayOptimizerConstructor(LearningRateDecayOptimizerConstructor
                                         ):
    """mmseg's layer-wise learning rates for the networks inside a model.

    The stock constructor reads the layer off a name that begins with
    ``backbone.``; it takes ``student.backbone.stages.0`` for a decoder
    parameter and gives it the full learning rate without a word. Here every
    trainable network (a module with a ``backbone``) is handled as the stock
    constructor handles a plain segmentor. Parameters outside all networks get
    the full rate, those of frozen networks none, shared ones enter once.

    Args:
        optim_wrapper_cfg (dict): As in the stock constructor.
        paramwise_cfg (dict): ``num_layers``, ``decay_rate`` and
            ``decay_type``, as in the stock constructor.
    """

    def add_params(self, params: list[dict], module: nn.Module,
                   **kwargs) -> None:
        """Add the parameter groups of every trainable network.

        Args:
            params (list[dict]): Parameter groups, extended in place.
            module (nn.Module): The model.
        """
        seen = set()
        networks = _networks(module)
        for name, network in networks.items():
            groups = []
            super().add_params(groups, network, **kwargs)
            params += _own(groups, name, seen)
        params += _own(self._outside(module), '', seen)

    def _outside(self, module: nn.Module) -> list[dict]:
        """One group per decay rule with everything trainable in ``module``.

        Parameters of the networks are among them, to be dropped as seen.
        """
        groups = []
        for decays in (True, False):
            named = [(n, p) for n, p in module.named_parameters()
                     if p.requires_grad and (
                         p.ndim > 1 and not n.endswith('.bias')) is decays]
            group_name = f'outside_{"decay" if decays else "no_decay"}'
            groups.append(
                dict(
                    weight_decay=self.base_wd if decays else 0.,
                    params=[p for _, p in named],
                    param_names=[n for n, _ in named],
                    lr_scale=1.,
                    group_name=group_name,
                    lr=self.base_lr))
        return groups


def _networks(module: nn.Module) -> dict[str, nn.Module]:
    """Outermost trainable modules that own a ``backbone``, by name."""
    found = {}
    for name, child in module.named_modules():
        inside = any(not n or name.startswith(f'{n}.') for n in found)
        if 'backbone' in child._modules and not inside and any(
                p.requires_grad for p in child.parameters()):
            found[name] = child
    return found


def _own(groups: list[dict], network: str, seen: set) -> list[dict]:
    """Drop parameters seen before and name the rest after their network."""
    prefix = f'{network}.' if network else ''
    kept = []
    for group in groups:
        new = [(n, p) for n, p in zip(group['param_names'], group['params'])
               if id(p) not in seen]
        if not new:
            continue
        seen.update(id(p) for _, p in new)
        kept.append(
            dict(
                group,
                params=[p for _, p in new],
                param_names=[f'{prefix}{n}' for n, _ in new],
                group_name=f'{prefix}{group["group_name"]}'))
    return kept

# Copyright (c) mmseg_semi authors.
"""What two checkpoints of the same training must have in common."""
import torch

TIMES = ('time', 'memory')  # ends of names that are no matter of training


def differing(one, other, where=''):
    """Places at which two nested structures differ in any bit."""
    if type(one) is not type(other):
        return [f'{where}: {type(one)} and {type(other)}']
    if isinstance(one, torch.Tensor):
        same = one.dtype == other.dtype and torch.equal(one, other)
        return [] if same else [where]
    if isinstance(one, dict):
        found = [f'{where}.{key}' for key in one.keys() ^ other.keys()]
        for key in one.keys() & other.keys():
            found += differing(one[key], other[key], f'{where}.{key}')
        return found
    if isinstance(one, (list, tuple)):
        if len(one) != len(other):
            return [f'{where}: lengths {len(one)} and {len(other)}']
        return [
            place for i, pair in enumerate(zip(one, other))
            for place in differing(*pair, f'{where}.{i}')
        ]
    return [] if one == other else [f'{where}: {one} and {other}']


def training_state(checkpoint):
    """Everything in a checkpoint but clocks, paths and the run's names."""
    hub = checkpoint['message_hub']
    scalars = {
        name: history
        for name, history in hub['log_scalars'].items()
        if not name.endswith(TIMES)
    }
    info = {
        name: hub['runtime_info'].get(name)
        for name in ('iter', 'max_iters', 'best_score', 'last_val_iter')
    }
    parts = ('state_dict', 'optimizer', 'param_schedulers')
    return dict({part: checkpoint[part]
                 for part in parts},
                scalars=scalars,
                info=info)

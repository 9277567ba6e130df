# Copyright (c) mmseg_semi authors.
"""State that training moves without gradient, and how processes share it."""
from typing import Dict, Iterator, NamedTuple, Tuple

from torch import Tensor, nn

from ..dist import all_sum, gather_rows

OVER_RANKS = ('sum', 'gather', 'same', 'per_rank')


class Registration(NamedTuple):
    """What :func:`register_state` was told of a tensor."""
    over_ranks: str
    resizable: bool


def register_state(module: nn.Module,
                   name: str,
                   value: Tensor,
                   over_ranks: str,
                   resizable: bool = False) -> None:
    """Give a module a buffer that is moved, saved and resumed with it.

    ``over_ranks`` says how what the processes found becomes one update:

    - ``sum``: it is added up (class counts, sums of features);
    - ``gather``: the rows of all processes follow one another in the order
      of their ranks (memory banks);
    - ``same``: every process works it out of what all of them have already;
    - ``per_rank``: every process keeps its own, which differ.

    :func:`reduced` does this to an update. In the first three cases every
    process holds the same state, so a checkpoint of process 0 has it all:
    :class:`MemoryBankHook` compares checksums and stops the training where
    they differ. State ``per_rank`` is not compared; a checkpoint has that of
    process 0, with which all processes go on after a resume.

    Args:
        module (nn.Module): The owner.
        name (str): Attribute and key in ``state_dict``.
        value (Tensor): Initial value; an ``nn.Parameter`` (which takes no
            gradient) where a teacher shall average it.
        over_ranks (str): One of the above.
        resizable (bool): Its shape may change in a training, and the module
            checks what is loaded itself; any other shape in a checkpoint is
            refused before loading. Defaults to False.
    """
    if isinstance(value, nn.Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)
    _registrations(module)[name] = Registration('', resizable)
    share_state(module, name, over_ranks)


def share_state(module: nn.Module, name: str, over_ranks: str) -> None:
    """Change how registered state is shared, see :func:`register_state`."""
    if over_ranks not in OVER_RANKS:
        raise ValueError(f'{name}: over_ranks={over_ranks!r} must be one of '
                         f'{OVER_RANKS}.')
    registered = _registrations(module)
    registered[name] = registered[name]._replace(over_ranks=over_ranks)


def reduced(module: nn.Module, name: str, update: Tensor) -> Tensor:
    """What an update of some state is over all processes.

    A collective for ``sum`` and ``gather``: all processes must call it, and
    whether they do must follow from the iteration alone.

    Args:
        module (nn.Module): The owner.
        name (str): Registered state.
        update (Tensor): This process's: of the same shape everywhere for
            ``sum``, rows (n, ...) of any number for ``gather``.

    Returns:
        Tensor: Detached; ``update`` itself for ``same`` and ``per_rank``.
    """
    over_ranks = _registrations(module)[name].over_ranks
    reduce = dict(sum=all_sum, gather=gather_rows).get(over_ranks)
    return reduce(update) if reduce else update.detach()


def registered_state(
        model: nn.Module) -> Iterator[Tuple[str, Registration, Tensor]]:
    """All registered state below a module.

    Yields:
        tuple: Its name as in ``state_dict``, registration and value.
    """
    for prefix, module in model.named_modules(remove_duplicate=False):
        for name, registration in getattr(module, '_shared_state', {}).items():
            full = f'{prefix}.{name}' if prefix else name
            yield full, registration, getattr(module, name)


def _registrations(module: nn.Module) -> Dict[str, Registration]:
    if '_shared_state' not in vars(module):
        module._shared_state = {}
    return module._shared_state

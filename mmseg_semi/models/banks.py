# Copyright (c) mmseg_semi authors.
"""Memory of the most recent features of every class."""
from typing import Dict, Tuple

import torch
from torch import Tensor, nn

from .state import register_state


class ClassBank(nn.Module):
    """One ring buffer of features per class.

    All state is in buffers, so it is moved, saved, resumed and broadcast with
    the model. A bank starts released, taking no memory; a checkpoint may
    change that, because it also restores whether the bank is allocated.

    Args:
        num_classes (int): C.
        capacity (int): V, rows kept per class.
        dim (int): D, feature channels.

    Attributes:
        features (Tensor): (C, V, D), fp32; V is 0 when released.
        confidence (Tensor): (C, V), fp32.
        pointer (Tensor): (C,), long, where the next row goes.
        count (Tensor): (C,), long, rows present, at most V.
        arrival (Tensor): (C, V), long, the push that brought a row.
        pushes (Tensor): 0-dim, long, pushes so far.
    """

    def __init__(self, num_classes: int, capacity: int, dim: int) -> None:
        super().__init__()
        if capacity < 1:
            raise ValueError('ClassBank: capacity counts the rows kept per '
                             f'class, at least 1; got {capacity}.')
        self.num_classes = num_classes
        self.capacity = capacity
        self.dim = dim
        zeros = torch.zeros(num_classes, dtype=torch.long)
        values = dict(
            features=torch.zeros(num_classes, 0, dim),
            confidence=torch.zeros(num_classes, 0),
            arrival=torch.zeros(num_classes, 0, dtype=torch.long),
            pushes=torch.zeros((), dtype=torch.long),
            pointer=zeros,
            count=zeros.clone())
        for name, value in values.items():
            register_state(
                self, name, value, over_ranks='gather', resizable=True)

    @property
    def allocated(self) -> bool:
        """bool: Whether rows can be stored."""
        return self.features.shape[1] > 0

    def _resize(self, capacity: int) -> None:
        self.features = self.features.new_zeros(self.num_classes, capacity,
                                                self.dim)
        self.confidence = self.confidence.new_zeros(self.num_classes, capacity)
        self.arrival = self.arrival.new_zeros(self.num_classes, capacity)
        self.pushes.zero_()
        self.pointer.zero_()
        self.count.zero_()

    def allocate(self) -> None:
        """Reserve the memory; a bank that has it keeps its rows."""
        if not self.allocated:
            self._resize(self.capacity)

    def release(self) -> None:
        """Forget all rows and free the memory."""
        self._resize(0)

    @torch.no_grad()
    def push(self, features: Tensor, labels: Tensor,
             confidence: Tensor) -> None:
        """Store rows, overwriting the oldest of their class.

        Only this rank's rows: gather them first (``dist.gather_rows``) so
        that every rank holds the same bank. Nothing waits for the device.

        Args:
            features (Tensor): (N, D), in order of arrival. A row that is not
                finite (fp16 overflow) is skipped.
            labels (Tensor): (N,), long. Rows outside [0, C) are skipped.
            confidence (Tensor): (N,).

        Raises:
            RuntimeError: The bank is released.
        """
        if not self.allocated:
            raise RuntimeError('ClassBank.push: call allocate() first.')
        self.pushes += 1
        if len(features) == 0:
            return
        rows = features.to(self.features.dtype)
        usable = rows.sum(dim=1).isfinite()
        usable &= (labels >= 0) & (labels < self.num_classes)
        slots = labels.masked_fill(~usable, self.num_classes)
        label, order = slots.sort(stable=True)
        added = self.count.new_zeros(self.num_classes + 1)
        added.index_add_(0, slots, torch.ones_like(slots))
        source, place = self._places(label, added)
        some = usable.any()
        self._write(
            self.features.flatten(0, 1), rows, order[source], place, some)
        self._write(self.confidence.flatten(),
                    confidence.to(self.confidence.dtype), order[source], place,
                    some)
        self._write(self.arrival.flatten(), self.pushes.expand(len(rows)),
                    order[source], place, some)
        added = added[:-1]
        self.pointer.copy_((self.pointer + added) % self.capacity)
        self.count.copy_((self.count + added).clamp_max(self.capacity))

    def _places(self, label: Tensor, added: Tensor) -> Tuple[Tensor, Tensor]:
        """Where each of the rows, sorted by label, goes.

        Two rows of a push may hit the same place if the push exceeds the
        capacity, and skipped rows have none. To keep shapes fixed without a
        race, all rows that hit a place write the newest of them, and skipped
        rows repeat the last usable one.

        Returns:
            tuple[Tensor, Tensor]: Index (N,) into the sorted rows of what is
            written, and the flat place (N,) in (C * V).
        """
        start = added.cumsum(0) - added
        arange = torch.arange(len(label), device=label.device)
        last = (start[-1] - 1).clamp_min(0)
        arange = torch.minimum(arange, last)
        label = label[arange].clamp_max(self.num_classes - 1)
        rank = arange - start[label]
        newer = (added[label] - 1 - rank).clamp_min(0) // self.capacity
        slot = (self.pointer[label] + rank.clamp_min(0)) % self.capacity
        return arange + newer * self.capacity, label * self.capacity + slot

    @staticmethod
    def _write(store: Tensor, rows: Tensor, source: Tensor, place: Tensor,
               some: Tensor) -> None:
        """Copy rows to their places, or the store onto itself if none.

        Without a usable row all of them have the same place.
        """
        some = some.view((1, ) * rows.dim())
        store.index_copy_(0, place,
                          torch.where(some, rows[source], store[place[:1]]))

    def rows(self, label: int) -> Tuple[Tensor, Tensor]:
        """Read a class, oldest row first. Synchronises with the device.

        Args:
            label (int): Class.

        Returns:
            tuple[Tensor, Tensor]: features (n, D) and confidence (n,).
        """
        count = int(self.count[label])
        age = torch.arange(-count, 0, device=self.count.device)
        index = (self.pointer[label] + age) % max(self.capacity, 1)
        return self.features[label, index], self.confidence[label, index]

    def fill(self) -> Tensor:
        """Share (C,) of the capacity in use, in [0, 1]."""
        return self.count / self.capacity

    def state_health(self) -> Dict[str, Tensor]:
        """Scalars for the log; none while released.

        Returns:
            dict[str, Tensor]: Least and mean fill over classes, in [0, 1],
            mean and greatest age of the rows, in pushes.
        """
        if not self.allocated:
            return {}
        fill, age = self.fill(), self.age()
        return dict(
            fill_min=fill.min(),
            fill_mean=fill.mean(),
            age_mean=age[0],
            age_max=age[1])

    def age(self) -> Tuple[Tensor, Tensor]:
        """How old the rows of an allocated bank are, in pushes since theirs.

        Returns:
            tuple[Tensor, Tensor]: Mean and maximum over all rows present,
            0-dim, fp32; 0 in an empty bank.
        """
        places = torch.arange(
            self.arrival.shape[1], device=self.arrival.device)
        present = places < self.count[:, None]
        age = (self.pushes - self.arrival).masked_fill(~present, 0)
        mean = age.sum() / present.sum().clamp_min(1)
        return mean, age.max().to(mean.dtype)

    def _load_from_state_dict(self, state_dict, prefix, *args) -> None:
        stored = state_dict.get(prefix + 'features')
        if stored is not None:
            expected = (self.num_classes, self.capacity, self.dim)
            released = (self.num_classes, 0, self.dim)
            if tuple(stored.shape) not in (expected, released):
                # Raised here, because a non-strict load would only log it.
                raise RuntimeError(
                    f'{prefix}features: the checkpoint has the shape '
                    f'{tuple(stored.shape)}, this model {expected} (classes, '
                    'capacity, channels); restore these settings or drop the '
                    'bank from the checkpoint.')
            if bool(stored.shape[1]) != self.allocated:
                self._resize(stored.shape[1])
        super()._load_from_state_dict(state_dict, prefix, *args)

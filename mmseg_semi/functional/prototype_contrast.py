# Copyright (c) mmseg_semi authors.
"""Contrast between prototypes, over one pool of two networks (PPS Eq. 7).

Shapes depend on the settings alone: every prototype has the same number of
slots in the pool, the used ones first, so that nothing waits for the device.
"""
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .losses import global_mean
from .precision import full_precision, upcast


@torch.no_grad()
def draw_per_prototype(labels: Tensor, num_prototypes: int, samples: int,
                       generator: torch.Generator) -> Tuple[Tensor, Tensor]:
    """Random pixels of every prototype, without replacement.

    Args:
        labels (Tensor): (N,), long. Values outside [0, P) are never drawn.
        num_prototypes (int): P.
        samples (int): S, slots of a prototype.
        generator (torch.Generator): On the device of ``labels``.

    Returns:
        tuple[Tensor, Tensor]: pixels (P, S) long, arbitrary in unused slots,
        and counts (P,) long, the slots in use, at most S.
    """
    shuffled = torch.randperm(
        len(labels), generator=generator, device=labels.device)
    ordered, order = labels[shuffled].sort(stable=True)
    prototypes = torch.arange(num_prototypes, device=labels.device)
    first = torch.searchsorted(ordered, prototypes)
    counts = torch.searchsorted(ordered, prototypes, right=True) - first
    slots = first[:, None] + torch.arange(samples, device=labels.device)
    pixels = shuffled[order[slots.clamp_max(len(labels) - 1)]]
    return pixels, counts.clamp_max(samples)


@torch.no_grad()
def draw_partners(counts: Tensor, samples: int,
                  generator: torch.Generator) -> Tuple[Tensor, Tensor]:
    """One random positive of every pool entry.

    Args:
        counts (Tensor): (2, P), long, used slots by network and prototype.
        samples (int): S.
        generator (torch.Generator): On the device of ``counts``.

    Returns:
        tuple[Tensor, Tensor]: partner (2, P, S) long, its index in the pool
        flattened to (2 P S,): an entry of the same prototype, of the other
        network if that has one, and never the entry itself; and exists
        (2, P, S) bool, False for unused entries and those without partner
        (their index is then arbitrary).
    """
    networks, prototypes = counts.shape
    slot = torch.arange(samples, device=counts.device)
    own, other = counts[..., None], counts.flip(0)[..., None]
    crosses = other > 0
    candidates = torch.where(crosses, other, own - 1)
    draws = torch.rand((networks, prototypes, samples),
                       generator=generator,
                       device=counts.device)
    chosen = (draws * candidates).long().clamp_min(0)
    # Among its own, the entry itself is left out.
    chosen = chosen + (~crosses & (chosen >= slot)).long()
    chosen = chosen.clamp_max(samples - 1)
    network = torch.arange(networks, device=counts.device)[:, None, None]
    network = torch.where(crosses, 1 - network, network)
    prototype = torch.arange(prototypes, device=counts.device)[:, None]
    partner = (network * prototypes + prototype) * samples + chosen
    return partner, (slot < own) & (candidates > 0)


@full_precision
def prototype_contrast(pool: Tensor,
                       counts: Tensor,
                       partner: Tensor,
                       exists: Tensor,
                       network: int,
                       temperature: float = .1,
                       negatives: Optional[int] = None,
                       generator: Optional[torch.Generator] = None,
                       both_sides: bool = True) -> Tensor:
    """One network's share of Eq. 7: anchors of it, the pool of both.

    The mean over anchors a of -log(e^(a.p/T) / (e^(a.p/T) + sum over o of
    e^(a.o/T))), with p the partner and o the entries of all other prototypes,
    those of the same class included. Anchors are counted over both networks
    and all ranks, so the sum of both shares is the mean over all anchors,
    where the paper prints a sum. Negatives come from the
    pool of the own rank.

    Args:
        pool (Tensor): (2, P, S, D), projections; normalised here.
        counts (Tensor): (2, P), used slots, as in :func:`draw_partners`.
        partner (Tensor): (2, P, S), of :func:`draw_partners`.
        exists (Tensor): (2, P, S), the same.
        network (int): 0 or 1, whose entries are the anchors.
        temperature (float): tau, positive.
        negatives (int, optional): r, so many random negatives per anchor.
            None takes all.
        generator (torch.Generator, optional): Draws them.
        both_sides (bool): Positives and negatives have a gradient too, not
            the anchors alone.

    Returns:
        Tensor: 0-dim, fp32 (fp64 for an fp64 pool). 0, attached to the
        graph, without anchors.
    """
    _, prototypes, samples, dim = pool.shape
    used = torch.arange(samples, device=pool.device) < counts[..., None]
    # An unused slot holds any pixel: its vector must not reach the graph.
    pool = upcast(pool).masked_fill(~used[..., None], 0.)
    vectors = F.normalize(pool, dim=-1)
    rows, columns = vectors[network].reshape(-1, dim), vectors.view(-1, dim)
    if not both_sides:
        columns = columns.detach()
    partner = partner[network].reshape(-1, 1)
    anchors, exists = exists.sum(), exists[network].flatten()
    similarity = rows @ columns.t() / temperature
    owner = torch.arange(prototypes, device=pool.device)
    owner = owner[:, None].expand(prototypes, samples).flatten()
    contrasts = used.flatten() & (owner[:, None] != owner.repeat(2))
    if negatives is not None:
        contrasts = _some(contrasts, negatives, generator)
    # The positive joins its negatives: a softmax with the partner as class.
    contrasts.scatter_(1, partner, True)
    similarity = similarity.masked_fill(~contrasts, -torch.inf)
    losses = F.cross_entropy(similarity, partner[:, 0], reduction='none')
    return global_mean(losses.masked_fill(~exists, 0.).sum(), anchors)


@torch.no_grad()
def _some(candidates: Tensor, number: int,
          generator: torch.Generator) -> Tensor:
    """At most ``number`` random True of every row, (M, N) bool."""
    keys = torch.rand(
        candidates.shape, generator=generator, device=candidates.device)
    keys = keys.masked_fill(~candidates, -1.)
    chosen = keys.topk(min(number, keys.shape[1]), dim=1).indices
    some = torch.zeros_like(candidates).scatter_(1, chosen, True)
    return some & candidates

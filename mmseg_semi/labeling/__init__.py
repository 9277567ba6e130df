# Copyright (c) mmseg_semi authors.
"""Which images to label next, and labels to begin with."""
from .pool import Pool, find_pool
from .proposal import Proposal, Proposed, propose, write_proposal
from .pseudo import PseudoOptions, PseudoReport, label_images

__all__ = [
    'Pool', 'Proposal', 'Proposed', 'PseudoOptions', 'PseudoReport',
    'find_pool', 'label_images', 'propose', 'write_proposal'
]

# Copyright (c) mmseg_semi authors.
"""The methods, each short enough to see all of its stages in three steps."""
from typing import Dict, NamedTuple, Sequence

STEPS = 3
WEAK, STRONG, STRONG2 = 'unsup_teacher', 'unsup_student', 'unsup_student2'


class Method(NamedTuple):
    """How one method is checked.

    Args:
        base (str): Its file in ``configs/_base_/methods``, without ``.py``.
        losses (Sequence[str]): Entries that the last step must have, without
            the prefix of a network: the last stage was reached.
        model (dict): Phases and thresholds, merged over the base's model. An
            untrained network is sure of nothing, so thresholds are near 0.
        branches (Sequence[str]): Of an unlabelled image.
        unlabeled (int): Unlabelled images in a batch; the CPS family makes
            two batches of them.
    """
    base: str
    losses: Sequence[str]
    model: dict = dict()
    branches: Sequence[str] = (WEAK, STRONG)
    unlabeled: int = 2


METHODS: Dict[str, Method] = dict(
    brpg=Method(
        base='brpg',
        losses=('loss_unsup', 'loss_proto'),
        model=dict(
            terms=dict(
                brpg=dict(
                    threshold=.01,
                    confidence=(.01, .02),
                    capacity=200,
                    samples_per_image=50,
                    draws_per_image=50)))),
    pcr=Method(
        base='pcr',
        losses=('loss_unsup', 'loss_proto', 'loss_proto_unsup'),
        model=dict(
            terms=dict(
                consistency=dict(threshold=.01),
                pcr=dict(threshold=.01, capacity=200)))),
    cmb=Method(
        base='cmb',
        losses=('loss_unsup', 'loss_entropy', 'loss_contrast',
                'loss_contrast_unsup'),
        model=dict(terms=dict(cmb=dict(threshold=.01))),
        branches=(WEAK, )),
    pps=Method(
        base='pps',
        losses=('loss_sp', 'loss_contra', 'loss_r'),
        branches=(WEAK, ),
        unlabeled=4),
    rc2l=Method(
        base='rc2l',
        losses=('loss_rcc', 'loss_smc', 'loss_rmc', 'loss_rfc'),
        branches=(WEAK, )),
    cps=Method(
        base='cps', losses=('loss_unsup', ), branches=(WEAK, ), unlabeled=4),
    fixmatch=Method(
        base='fixmatch',
        losses=('loss_unsup', ),
        model=dict(terms=dict(consistency=dict(threshold=.01)))),
    unimatch=Method(
        base='unimatch',
        losses=('consistency.loss_unsup', 'features.loss_unsup'),
        model=dict(
            terms=dict(
                consistency=dict(threshold=.01), features=dict(
                    threshold=.01))),
        branches=(WEAK, STRONG, STRONG2)),
    mean_teacher=Method(base='mean_teacher', losses=('loss_unsup', )))

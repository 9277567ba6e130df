# Copyright (c) mmseg_semi authors.
"""Say which images to label next.

DIR gets next.txt (their names, the first one first, as lists of labelled
images have them), next.csv (scores, and a reason for each) and next.png
(image, prediction, and where it is unsure). Images that have a label and those
for validation and test are left out. The same call gives the same images.

--by uncertainty: what the model is least sure of; balance: what holds classes
that are rare in the labels; diversity: what looks unlike everything labelled;
all: of the least sure images those that are unlike the others, rare classes
preferred.

example:
  mmseg-semi next 20 work_dirs/leaves last --out to_label
"""
import argparse

from .arguments import add_json
from .labeling_arguments import (add_labeling_arguments, load_labeling,
                                 skipped_lines)
from .output import print_json
from .run_arguments import positive

NAME = 'next'
HELP = 'which images to label next, and why'
LIGHT = False
# mmseg_semi.labeling.choosing.CRITERIA, which cannot be imported here.
CRITERIA = ('all', 'uncertainty', 'balance', 'diversity')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmseg-semi next``."""
    parser.add_argument(
        'count', metavar='N', type=positive, help='how many images')
    add_labeling_arguments(parser)
    parser.add_argument(
        '--by',
        choices=CRITERIA,
        default='all',
        help='what counts (default: %(default)s)')
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Choose, write, and print the images."""
    from ..labeling import propose, write_proposal
    from ..labeling.proposal import check_free
    from .progress import show_progress
    check_free(args.out, args.force)
    predictor, pool = load_labeling(args, keep_suffix=True)
    proposal = propose(predictor, pool, args.count, args.by, show_progress)
    files = write_proposal(proposal, predictor, args.out, show_progress)
    if args.json:
        print_json(dict(proposal.as_dict(), files=files))
    else:
        print(_as_text(proposal, files))
    return 0


_SHOWN = 10


def _as_text(proposal, files: list[str]) -> str:
    told = ', '.join(f'{n} {kind}' for kind, n in proposal.left_out.items())
    lines = [
        f'{proposal.candidates} images without a label' +
        (f'; left out: {told}' if told else '')
    ]
    lines += skipped_lines(proposal.skipped)
    lines.append(f'{len(proposal.images)} to label next, by {proposal.by}:')
    lines += [
        f'  {rank:3d} {one.name}: {one.reason}'
        for rank, one in enumerate(proposal.images[:_SHOWN], 1)
    ]
    if len(proposal.images) > _SHOWN:
        lines.append(f'  and {len(proposal.images) - _SHOWN} more')
    return '\n'.join([*lines, f'written: {", ".join(files)}'])

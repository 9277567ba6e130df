# Copyright (c) mmseg_semi authors.
"""The pictures of a gallery, from work directories.

    gallery.py work_dirs/brpg_r18_digits_50 --out docs/images

writes, of validation images that are evenly spaced over their list,

- ``gallery_predictions.png``: photo, label, and the predictions of all runs;
- ``gallery_confidence.png``: how sure the first run is of each pixel;
- ``gallery_prototypes.png``: its prototypes that have the most pixels, and
  their similarity with every pixel, where its method has prototypes;
- ``gallery_tsne.png``: pixels and prototypes in the plane, by t-SNE.

It prints a caption of every run: what a reader must know to judge them.
"""
import argparse
import warnings

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # noqa: F401  isort: skip
from mmengine.logging import MMLogger

from mmseg_semi.analysis.gallery import Gallery, caption, write_gallery
from mmseg_semi.engine.readable_errors import readable_errors
from mmseg_semi.engine.trained_files import WEIGHTS
from mmseg_semi.starting.trained import find_trained


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Pictures of trained models for a page about them')
    parser.add_argument(
        'runs',
        nargs='+',
        help='work directories of trainings with the same validation images; '
        'the first one is shown more closely')
    parser.add_argument(
        '--out', default='gallery', help='a folder (default: gallery)')
    parser.add_argument(
        '--weights',
        choices=WEIGHTS,
        default='last',
        help='which checkpoints (default: last)')
    parser.add_argument(
        '--images', type=int, default=3, help='in a picture (default: 3)')
    parser.add_argument(
        '--pixels',
        type=int,
        default=100,
        help='of every class in the t-SNE (default: 100)')
    parser.add_argument(
        '--seed', type=int, default=0, help='of the t-SNE (default: 0)')
    parser.add_argument(
        '--force', action='store_true', help='replace existing pictures')
    args = parser.parse_args(argv)
    for name in ('images', 'pixels'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} {getattr(args, name)}: at least one is '
                         'needed')
    return args


def main(argv=None) -> None:
    args = parse_args(argv)
    MMLogger.get_instance('mmengine', log_level='ERROR')
    # Of torch and mmseg, for who writes models.
    warnings.simplefilter('ignore')
    with readable_errors(__name__):
        runs = [find_trained(run, weights=args.weights) for run in args.runs]
        gallery = Gallery(runs, args.images, args.pixels, args.seed)
        files = write_gallery(gallery, args.out, args.force)
    for run in runs:
        print(caption(run))
    for file in files:
        print(f'-> {file} ({file.stat().st_size / 1000:.0f} kB)')


if __name__ == '__main__':
    main()

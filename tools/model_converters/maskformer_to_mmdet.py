# Copyright (c) mmseg_semi authors.
"""Convert an official MaskFormer so that RC2L can start from it.

    python tools/model_converters/maskformer_to_mmdet.py SOURCE TARGET

SOURCE is a .pkl or .pth of facebookresearch/MaskFormer with a ResNet; TARGET
the checkpoint to write, for example data/checkpoints/maskformer_r101_coco.pth.
"""
import argparse

from mmseg_semi.engine.maskformer_weights import write_converted
from mmseg_semi.engine.readable_errors import readable_errors


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(
        description='Convert an official MaskFormer to the names of '
        'MMDetection')
    parser.add_argument('source', help='.pkl or .pth of the official code')
    parser.add_argument('target', help='checkpoint to write')
    args = parser.parse_args(argv)
    with readable_errors(__name__):
        number = write_converted(args.source, args.target)
        print(f'{number} weights -> {args.target}')


if __name__ == '__main__':
    main()

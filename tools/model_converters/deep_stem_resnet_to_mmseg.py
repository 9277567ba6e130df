# Copyright (c) mmseg_semi authors.
"""Convert a ResNet with a 64-64-128 stem to the names of MMSegmentation.

    python tools/model_converters/deep_stem_resnet_to_mmseg.py SOURCE TARGET

SOURCE is the file of ImageNet weights that UniMatch, U2PL or CPS start from
(resnet50.pth, resnet101.pth; the stem is named conv1.0 to conv1.6 and bn1);
TARGET the checkpoint to write, for example
data/checkpoints/resnet101_stem128.pth, which the configs read.
"""
import argparse

from mmseg_semi.engine.deep_stem_weights import write_deep_stem
from mmseg_semi.engine.readable_errors import readable_errors


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(
        description='Convert a ResNet with a 64-64-128 stem to the names of '
        'MMSegmentation')
    parser.add_argument('source', help='.pth of UniMatch, U2PL or CPS')
    parser.add_argument('target', help='checkpoint to write')
    args = parser.parse_args(argv)
    with readable_errors(__name__):
        number = write_deep_stem(args.source, args.target)
        print(f'{number} weights -> {args.target}')


if __name__ == '__main__':
    main()

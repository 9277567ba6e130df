# Copyright (c) mmseg_semi authors.
"""Convert the published Xception-65 so that COCO configs can start from it.

    python tools/model_converters/xception65_to_mmseg.py SOURCE TARGET

SOURCE is the xception.pth that UniMatch and BRPG link, trained on ImageNet;
TARGET the checkpoint to write: data/checkpoints/xception65_imagenet.pth is
where the configs look.
"""
import argparse

from mmseg_semi.engine.readable_errors import readable_errors
from mmseg_semi.engine.xception_weights import write_converted


def main(argv=None) -> None:
    parser = argparse.ArgumentParser(
        description='Convert the published Xception-65 to the names of our '
        'backbone')
    parser.add_argument('source', help='xception.pth of UniMatch and BRPG')
    parser.add_argument('target', help='checkpoint to write')
    args = parser.parse_args(argv)
    with readable_errors(__name__):
        number = write_converted(args.source, args.target)
        print(f'{number} weights -> {args.target}')


if __name__ == '__main__':
    main()

# Copyright (c) mmseg_semi authors.
"""Train a segmentor. Same arguments as MMSegmentation's ``tools/train.py``."""
import argparse

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # isort: skip  # noqa: F401
from mmengine.config import Config

from mmseg_semi.apis import train, train_config
from mmseg_semi.cli.run_arguments import add_train_arguments, train_settings
from mmseg_semi.engine.readable_errors import readable_errors


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a segmentor')
    add_train_arguments(parser)
    return parser.parse_args(argv)


def load_config(args: argparse.Namespace) -> Config:
    """Read the config file and apply the arguments to it."""
    return train_config(args.config, **train_settings(args))


def main(argv=None) -> None:
    with readable_errors(__name__):
        train(load_config(parse_args(argv)))


if __name__ == '__main__':
    main()

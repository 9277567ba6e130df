# Copyright (c) mmseg_semi authors.
import pytest

from mmseg_semi.datasets.digit_scenes import (DigitScenesRecipe,
                                              write_digit_scenes)


@pytest.fixture(scope='session')
def digits(tmp_path_factory):
    """A small DigitScenes: 80 scenes to train on, 40 labelled, 12 to test."""
    root = tmp_path_factory.mktemp('data') / 'DigitScenes'
    recipe = DigitScenesRecipe(num_train=80, num_val=12, labeled=(40, ))
    write_digit_scenes(root, recipe)
    return root

# Copyright (c) mmseg_semi authors.
from typing import Union

from mmseg.registry import MODELS

from .framework import Framework


@MODELS.register_module(name='SemiSegmentor')
def build_framework(framework: Union[str, type] = 'MeanTeacher',
                    **kwargs) -> Framework:
    """``type='SemiSegmentor'``: a framework by an option of the config.

    Args:
        framework (str | type): ``MeanTeacher``, ``CrossPseudo``,
            ``FixMatch`` or another registered :class:`.Framework`.
        **kwargs: Its arguments.

    Returns:
        Framework: The model.

    Raises:
        TypeError: There is no such framework.
    """
    cls = MODELS.get(framework) if isinstance(framework, str) else framework
    if not isinstance(cls, type) or not issubclass(cls, Framework):
        raise TypeError(f'framework={framework!r} is none: use "MeanTeacher", '
                        '"CrossPseudo", "FixMatch" or a registered Framework.')
    return cls(**kwargs)

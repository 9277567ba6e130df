# Copyright (c) mmseg_semi authors.
from mmseg.models.decode_heads import FCNHead
from mmseg.registry import MODELS

from .initial_weights import DrawnWeights


@MODELS.register_module()
class PublishedFCNHead(DrawnWeights, FCNHead):
    """mmseg's FCN head with initial weights as U2PL's auxiliary head.

    U2PL and PCR train it on the third stage on Cityscapes, with
    ``num_convs=1`` and ``concat_input=False``. Names of parameters are those
    of :class:`FCNHead`.

    Args:
        init (str): The law of the initial weights, see
            :class:`~.initial_weights.DrawnWeights`. Defaults to ``torch``.
        **kwargs: As in :class:`mmseg.models.decode_heads.FCNHead`.
    """

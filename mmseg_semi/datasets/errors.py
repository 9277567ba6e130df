# Copyright (c) mmseg_semi authors.
"""Exceptions that datasets and transforms agree on."""


class UnreadableImageError(RuntimeError):
    """An image file is missing, truncated or not an image.

    Loading transforms raise it with a message that names the file. A
    labelled set stops on it; :class:`UnlabeledSegDataset` skips the image and
    records it. It takes one message only, because a DataLoader rebuilds the
    exceptions of its workers from their text.
    """

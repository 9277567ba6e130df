# Copyright (c) mmseg_semi authors.
"""How long a training is, and what the papers' recipes are in it."""
from dataclasses import dataclass
from typing import Callable, Optional, Sequence, Tuple

VOC_EPOCHS = 80  # BRPG and PCR on VOC; one epoch of labelled images alone
CMB_ITERATIONS = 80_000


@dataclass(frozen=True)
class TrainingPlan:
    """The length of a training and what an iteration of it reads.

    Args:
        total_iters (int): Iterations.
        labeled_images (int, optional): Images of the labelled set of the
            target domain, each counted once; None if not known.
        unlabeled_images (int, optional): Those of the unlabelled set.
        labeled_batch (int): Labelled images of an iteration, of all
            processes and accumulated batches.
        unlabeled_batch (int): Unlabelled ones.
        burn_in (int): Iterations at the start with labelled images alone;
            the framework fills it in. Defaults to 0.
        class_pixels (callable, optional): Gives the pixels of every class in
            the labelled masks; reading them may take a while, so only terms
            that need them ask. None if nobody can tell.
    """
    total_iters: int
    labeled_images: Optional[int]
    unlabeled_images: Optional[int]
    labeled_batch: int
    unlabeled_batch: int
    burn_in: int = 0
    class_pixels: Optional[Callable[[], Sequence[int]]] = None

    def cmb_iteration(self, iteration: int) -> int:
        """Where an iteration of CMB's 80,000 is in this training.

        Args:
            iteration (int): Of the paper.

        Returns:
            int: The same in a training of that length or longer, else in
            proportion.
        """
        return min(iteration,
                   round(iteration * self.total_iters / CMB_ITERATIONS))

    def first_epoch(self) -> int:
        """The first of 80 epochs, as on VOC, but some iterations at least:
        10, or a quarter of a training that is too short for them."""
        least = max(1, min(10, self.total_iters // 4))
        return max(least, round(self.total_iters / VOC_EPOCHS))

    def brpg_window(self) -> Tuple[int, int]:
        """T_S1 and T_S2 as on VOC: epoch 1 of 80, which follows burn-in.

        A longer or shorter burn-in moves the window, not its length. Without
        one it begins where VOC's ends.
        """
        begin = self.burn_in or round(self.total_iters / VOC_EPOCHS)
        return begin, begin + self.first_epoch()

    def pcr_window(self) -> Tuple[int, int]:
        """The second half of burn-in; without one, of the first epoch of
        80."""
        end = self.burn_in or self.first_epoch()
        return end // 2, end

    def passes(self) -> Tuple[int, int]:
        """Iterations of one pass over labelled and over unlabelled images.

        Returns:
            tuple[int, int]: floor(images / batch), at least 1.

        Raises:
            ValueError: A number of images is not known, or none is read.
        """
        sizes = dict(
            labelled=(self.labeled_images, self.labeled_batch),
            unlabelled=(self.unlabeled_images, self.unlabeled_batch))
        for kind, (images, batch) in sizes.items():
            if not images or not batch:
                raise ValueError(
                    f'The training has {images} {kind} images and reads '
                    f'{batch} in an iteration, which makes no pass over them.')
        return tuple(
            max(1, images // batch) for images, batch in sizes.values())

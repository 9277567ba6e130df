# Copyright (c) mmseg_semi authors.
import math


def score_of(metrics: dict, metric: str, hook: str) -> float:
    """One score of a validation.

    Args:
        metrics (dict): What the evaluator returned.
        metric (str): Its name.
        hook (str): Who asks, for the message.

    Returns:
        float: The score; one that is not a number is the worst.

    Raises:
        KeyError: There is no such score.
    """
    if metric not in metrics:
        raise KeyError(f'{hook}: the validation gives no {metric!r}, only '
                       f'{sorted(metrics)}. Set `metric` to one of them.')
    score = float(metrics[metric])
    return -math.inf if math.isnan(score) else score

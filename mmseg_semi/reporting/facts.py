# Copyright (c) mmseg_semi authors.
"""What runs are and where they ran, for tables of a page."""
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .charts import run_style
from .runs import Run
from .scores import Scored

UNKNOWN = 'not known'


def summary_row(index: int, run: Run, scored: Scored | None) -> dict:
    """A run in a line of the summary.

    Args:
        index (int): Its number, for its colour.
        run (Run): The run.
        scored (Scored, optional): How its weights score.

    Returns:
        dict: Texts by column, ``style``, and ``miou``, an interval or None.
    """
    facts, (last, planned) = run.facts, run.iterations
    steps, scores = run.scores()
    known = np.isfinite(scores)
    best = None
    if known.any():
        at = int(np.nanargmax(scores))
        best = f'{scores[at]:.2f} at {steps[at]}'
    return dict(
        style=run_style(index),
        name=run.name,
        method=method_of(run),
        model=model_of(run.cfg),
        iterations=f'{last} of {planned}' if planned else str(last),
        labelled=_count(facts.get('labels')),
        unlabelled=_count(facts.get('unlabeled')),
        seed=_count(facts.get('seed', _seed(run.cfg))),
        last=f'{scores[known][-1]:.2f}' if known.any() else None,
        best=best,
        miou=scored and scored.miou,
        images=scored and scored.images)


def method_of(run: Run) -> str:
    """The method as the record names it, and the class that trains."""
    name = run.facts.get('method')
    kind = ((run.cfg or {}).get('model') or {}).get('type')
    kind = getattr(kind, '__name__', kind)
    if name and kind:
        return f'{name} ({kind})'
    return str(name or kind or UNKNOWN)


def model_of(cfg: Mapping | None) -> str:
    """Head and encoder of the network that a config trains."""
    model = (cfg or {}).get('model') or {}
    network = model.get('segmentor') or model
    if isinstance(network, str):
        return Path(network).stem
    parts = []
    for key in ('decode_head', 'backbone'):
        part = network.get(key) or {}
        part = part[-1] if isinstance(part, (list, tuple)) else part
        kind = part.get('type')
        kind = getattr(kind, '__name__', kind)
        depth = part.get('depth') or part.get('arch')
        if kind:
            parts.append(f'{kind}-{depth}' if isinstance(depth, (
                int, str)) else str(kind))
    return ' on '.join(parts) or UNKNOWN


def environment_rows(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Versions, machine, time and memory of trainings.

    Args:
        runs (Sequence[Run]): The runs.

    Returns:
        list[tuple[str, list[str]]]: Name and the text of each run. What only
        a complete training writes down is not known of others.
    """
    columns = [_environment(run) for run in runs]
    names = dict.fromkeys(name for column in columns for name in column)
    return [(name, [column.get(name, UNKNOWN) for column in columns])
            for name in names]


def _environment(run: Run) -> dict[str, str]:
    facts, record = run.facts, run.record
    rows = {
        'config': facts.get('config'),
        'config hash': facts.get('config_hash'),
        'labelled list': facts.get('split'),
        'images of an iteration': _listed(facts.get('total_batch')),
        'processes': facts.get('world_size'),
        'evaluation': record.get('evaluation'),
        'seconds': record.get('seconds'),
        'seconds of an iteration': facts.get('seconds_per_iteration'),
        'date': record.get('date'),
        'commit': record.get('commit'),
    }
    for kind, used in (record.get('peak_memory_mb') or {}).items():
        rows[f'peak memory, {kind} (MiB)'] = used
    rows.update(record.get('host') or {})
    rows.update({
        f'version of {name}': version
        for name, version in (record.get('versions') or {}).items()
    })
    rows['folder'] = str(run.folder)
    rows['weights'] = run.trained and run.trained.checkpoint
    return {k: str(v) for k, v in rows.items() if v is not None}


def _listed(values) -> str | None:
    return ' + '.join(map(str, values)) if values else None


def _count(value) -> str:
    return UNKNOWN if value is None else str(value)


def _seed(cfg: Mapping | None):
    return ((cfg or {}).get('randomness') or {}).get('seed')

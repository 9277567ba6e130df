# Copyright (c) mmseg_semi authors.
"""The cells of many families, each family in a process of its own."""
import hashlib
import multiprocessing
import subprocess
import sys
from multiprocessing.connection import wait
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import torch

from .cell import Cell, check_cell

START = 'fork' if 'fork' in multiprocessing.get_all_start_methods() else None


def check_families(
        families: Dict[str, str],
        methods: Dict[str, Sequence[str]],
        jobs: int = 1,
        report: Callable[[Cell], None] = lambda cell: None) -> List[Cell]:
    """Check families with methods.

    Each family has a process, so that its memory is free afterwards and one
    that dies takes only its own cells with it.

    Args:
        families (dict[str, str]): Configs by family.
        methods (dict[str, Sequence[str]]): Those of every family, names in
            :data:`.methods.METHODS`; a family without any is left out.
        jobs (int): Processes at a time, one thread each.
        report (Callable): Called with every cell as it is done.

    Returns:
        list[Cell]: In the order of families and methods.
    """
    context = multiprocessing.get_context(START)
    waiting = [family for family in families if methods[family]]
    running, cells = {}, []

    def keep(cell: Cell) -> None:
        cells.append(cell)
        report(cell)

    while waiting or running:
        while waiting and len(running) < jobs:
            family = waiting.pop(0)
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(
                target=_check_family,
                args=(theirs, family, families[family],
                      tuple(methods[family])),
                daemon=True)
            process.start()
            theirs.close()
            running[ours] = family, process
        for connection in wait(list(running)):
            try:
                keep(connection.recv())
            except EOFError:
                family, process = running.pop(connection)
                process.join()
                done = {c.method for c in cells if c.family == family}
                for method in methods[family]:
                    if method not in done:
                        keep(_died(family, method, process.exitcode))
    order = {
        key: i
        for i, key in enumerate((f, m) for f in families for m in methods[f])
    }
    return sorted(cells, key=lambda cell: order[cell.family, cell.method])


def _check_family(connection, family: str, config: str,
                  methods: Sequence[str]) -> None:
    """Run in a process: send a cell for every method."""
    torch.set_num_threads(1)
    sys.stdout = sys.stderr  # what foreign code prints
    for method in methods:
        connection.send(check_cell(family, config, method))
    connection.close()


def _died(family: str, method: str, code: Optional[int]) -> Cell:
    return Cell(
        family,
        method,
        ok=False,
        reason=f'process: ended with exit code {code} in this cell or before',
        seconds=0.)


def sample(families: Sequence[str], methods: Sequence[str], key: str,
           number: int) -> List[Tuple[str, str]]:
    """Some cells, others for another key.

    Args:
        families (Sequence[str]): Names.
        methods (Sequence[str]): Names.
        key (str): The name of a commit, say.
        number (int): Cells to choose.

    Returns:
        list[tuple[str, str]]: Family and method, no family twice while there
        are others.
    """

    def rank(*names: str) -> str:
        return hashlib.sha256('/'.join((key, *names)).encode()).hexdigest()

    chosen = sorted(families, key=rank)
    return [(family, min(methods, key=lambda method: rank(family, method)))
            for family in chosen[:number]]


def commit_of(folder: Path) -> str:
    """Name of the commit checked out there; empty without git."""
    try:
        return subprocess.run(['git', 'rev-parse', 'HEAD'],
                              cwd=folder,
                              check=True,
                              capture_output=True,
                              text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ''

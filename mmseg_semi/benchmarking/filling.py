# Copyright (c) mmseg_semi authors.
"""Train what a table lacks, fill it, show it and write it to pages."""
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ..datasets.digit_scenes import write_digit_scenes
from .display import make_display
from .formats import html, markdown, terminal, to_csv
from .jobs import TrainingJob, run_jobs
from .pages import fill_metafile, fill_readme, write_between_markers
from .results import Result, find_results, read_results
from .tables import Row, TableSpec, make_rows

_WIDE = 240


def _results(spec: TableSpec, folders: Sequence[Path],
             work_dirs: Path) -> list[Result]:
    """Lines of the table's file, and what is found in folders."""
    folders = [*folders, *([work_dirs] if work_dirs.is_dir() else [])]
    results = [*read_results(spec.records), *find_results(folders)]
    unique = {result['run']: result for result in reversed(results)}
    return sorted(unique.values(), key=lambda result: result['date'] or '')


def fill_table(spec: TableSpec,
               folders: Sequence[Path],
               work_dirs: Path,
               evaluation: str | None = None) -> list[Row]:
    """The rows of a table with everything that is known.

    Args:
        spec (TableSpec): The table.
        folders (Sequence[Path]): Searched for records.
        work_dirs (Path): Searched too, if it is there.
        evaluation (str, optional): See :func:`make_rows`.
    """
    return make_rows(spec, _results(spec, folders, work_dirs), evaluation)


def train_missing(spec: TableSpec, folders: Sequence[Path], args,
                  console: Console) -> list[TrainingJob]:
    """Train every run without a record.

    Args:
        spec (TableSpec): The table.
        folders (Sequence[Path]): Searched for records.
        args (argparse.Namespace): ``gpus``, ``jobs`` and ``work_dirs``.
        console (Console): Where progress is shown.

    Returns:
        list[TrainingJob]: Those that failed.
    """

    def missing() -> list:
        records = [
            result.record for result in _results(spec, folders, args.work_dirs)
            if not result.is_test
        ]
        return [run for run in spec.runs() if not run.find_record(records)]

    wanted = missing()
    console.print(f'{len(spec.runs())} runs, {len(wanted)} to train.')
    if not wanted:
        return []
    if spec.dataset == 'DigitScenes':  # other data has to be downloaded
        write_digit_scenes(spec.root / 'data/DigitScenes')
    jobs = [
        run.job(
            args.work_dirs.resolve(), spec.records.resolve(), gpus=args.gpus)
        for run in wanted
    ]
    with make_display(console) as display:
        failed = run_jobs(
            jobs, 1 if args.gpus else args.jobs, display, keep_going=True)
    left = missing()
    for run, job in zip(wanted, jobs):
        if job not in failed and run in left:
            console.print(
                f'{run.name}: what was trained is not what was planned. Has '
                f'{run.config} been edited meanwhile? Run this again.')
    return failed


def show_rows(title: str, rows: Sequence[Row], baseline: str | None,
              format: str, out: Path | None, console: Console) -> None:
    """Print a table, or write it to a file.

    Args:
        title (str): Above it.
        rows (Sequence[Row]): Filled.
        baseline (str, optional): Named in the notes.
        format (str): A key of ``SUFFIXES``.
        out (Path, optional): A file instead of standard output.
        console (Console): For ``terminal``.
    """
    if format == 'terminal' and out is None:
        wide = console if console.is_terminal else Console(width=_WIDE)
        wide.print(terminal(title, rows))
        for line in markdown(rows, baseline).split('\n\n', 1)[1:]:
            wide.print(line, highlight=False, markup=False)
        return
    text = {
        'terminal': lambda: markdown(rows, baseline),
        'markdown': lambda: markdown(rows, baseline),
        'csv': lambda: to_csv(rows),
        'html': lambda: html(title, rows, baseline)
    }[format]().rstrip('\n') + '\n'
    if out is None:
        print(text, end='')
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, 'utf-8')
    console.print(f'Written to {os.path.relpath(out)}')


def write_results(spec: TableSpec, rows: Sequence[Row],
                  console: Console) -> None:
    """Put a table into its page, and its results into READMEs and metafiles.

    Args:
        spec (TableSpec): The table.
        rows (Sequence[Row]): Filled.
        console (Console): Where is said what was written.
    """
    write_between_markers(spec.page, spec.name, markdown(rows, spec.baseline))
    written = [spec.page]
    for folder in sorted({
            Path(row.config).parts[1]
            for row in rows if row.config and row.outcomes
    }):
        readme = spec.root / 'configs' / folder / 'README.md'
        metafile = readme.with_name('metafile.yml')
        if readme.is_file():
            text = readme.read_text('utf-8')
            readme.write_text(
                fill_readme(text, f'configs/{folder}', rows), 'utf-8')
            written.append(readme)
        if metafile.is_file():
            text = metafile.read_text('utf-8')
            metafile.write_text(fill_metafile(text, rows), 'utf-8')
            written.append(metafile)
    console.print('Written: ' + ', '.join(map(os.path.relpath, written)))

# Copyright (c) mmseg_semi authors.
"""Facts of files kept between runs."""
import json
import logging
import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

from mmengine.logging import print_log

from .facts import FileFacts

FILE_NAME = 'data_facts.sqlite'
# Raise it whenever a field of FileFacts or its meaning changes.
VERSION = 2
_KEPT = [f.name for f in fields(FileFacts) if f.name != 'identity']
_BATCH = 500


def default_cache(work_dir: str | os.PathLike | None = None) -> Path:
    """Where facts are kept: never among the data.

    Args:
        work_dir (str | PathLike, optional): Of a training. Defaults to
            None: the user's cache folder, which all projects share.
    """
    if work_dir is not None:
        return Path(work_dir) / FILE_NAME
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'mmseg_semi' / FILE_NAME


class FactCache:
    """Facts by path, role, size and time of the last change.

    A damaged file, or one of another version, is replaced. Where nothing can
    be written a warning says so, and nothing is kept.

    Args:
        path (str | PathLike): The file; its folder is made.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open_or_replace()
        except (OSError, sqlite3.Error) as error:
            print_log(
                f'The facts of the data cannot be kept in {self.path} '
                f'({error}): the next check reads every file again.',
                logger='current',
                level=logging.WARNING)
            self._db = _connect(':memory:')

    def load(self, keys: Iterable[tuple]) -> dict[tuple, FileFacts]:
        """Facts that are still true.

        Args:
            keys (Iterable[tuple]): (path, role, size, mtime_ns).

        Returns:
            dict[tuple, FileFacts]: For those keys that are known.
        """
        keys = list(keys)
        known = {}
        for start in range(0, len(keys), _BATCH):
            wanted = {_row(key): key for key in keys[start:start + _BATCH]}
            marks = ','.join('?' * len(wanted))
            rows = self._query(f'SELECT * FROM facts WHERE path IN ({marks})',
                               [row[0] for row in wanted])
            for *row, text in rows:
                key, facts = wanted.get(tuple(row)), _from_text(text)
                if key is not None and facts is not None:
                    known[key] = facts
        return known

    def store(self, facts: dict[tuple, FileFacts]) -> None:
        """Keep facts, by the keys of :meth:`load`."""
        rows = [(*_row(key), _to_text(value)) for key, value in facts.items()]
        with suppress(sqlite3.Error), self._db:  # a full disk is no matter
            self._db.executemany(
                'INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?)', rows)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> 'FactCache':
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def _open_or_replace(self) -> sqlite3.Connection:
        try:
            return _connect(self.path)
        except sqlite3.OperationalError:  # no damage: locked, or no right
            raise
        except sqlite3.DatabaseError:
            self.path.unlink()
            return _connect(self.path)

    def _query(self, text: str, values: list) -> list[tuple]:
        try:
            return self._db.execute(text, values).fetchall()
        except sqlite3.DatabaseError:  # damaged behind its header
            self._db.close()
            with suppress(OSError):
                self.path.unlink()
            self._db = _connect(self.path)
            return []


def _connect(path: str | Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=30)
    try:
        version = db.execute('PRAGMA user_version').fetchone()[0]
        with db:
            if version != VERSION:
                db.execute('DROP TABLE IF EXISTS facts')
            db.execute('CREATE TABLE IF NOT EXISTS facts (path BLOB, '
                       'role TEXT, size INTEGER, mtime_ns INTEGER, '
                       'facts TEXT, PRIMARY KEY (path, role))')
            db.execute(f'PRAGMA user_version = {VERSION}')
    except sqlite3.Error:
        db.close()
        raise
    return db


def _row(key: tuple) -> tuple:
    """A key whose path means the same in every working folder."""
    path, *rest = key
    return (os.fsencode(os.path.abspath(path)), *rest)


def _to_text(facts: FileFacts) -> str:
    values = {name: getattr(facts, name) for name in _KEPT}
    values['counts'] = facts.counts and list(facts.counts.items())
    return json.dumps(list(values.values()))


def _from_text(text: str) -> FileFacts | None:
    try:
        facts = FileFacts(**dict(zip(_KEPT, json.loads(text), strict=True)))
        if facts.counts is not None:
            facts.counts = {int(i): int(n) for i, n in facts.counts}
        return facts
    except (ValueError, TypeError):
        return None

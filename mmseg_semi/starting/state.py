# Copyright (c) mmseg_semi authors.
"""What a folder of ``mmseg-semi start`` remembers between calls."""
import hashlib
import json
import shutil
from pathlib import Path

from ..datasets.paths import require_writable
from ..engine.atomic import write_atomically

FILE = 'start.json'
_TOOL = 'mmseg-semi start'


class State:
    """The arguments of a project, its configs, and the trainings that ended.

    Arguments may change until the first training begins.

    Args:
        out (str | Path): The folder.
        arguments (dict): Name of an argument -> value (plain data).
        force (bool): Begin anew if they differ, see :meth:`begin_anew`.
            Defaults to False.

    Raises:
        FileExistsError: The folder holds something else, or trainings with
            other arguments and not ``force``; says which.
        OSError: Nothing can be written there.
    """

    def __init__(self,
                 out: str | Path,
                 arguments: dict,
                 force: bool = False) -> None:
        self.out = Path(out)
        self.path = self.out / FILE
        arguments = json.loads(json.dumps(arguments))
        content = self._read()
        require_writable(str(out), '--out')
        self._content = content or dict(
            tool=_TOOL, arguments=arguments, trainings={}, files={}, hashes={})
        before = self._content['arguments']
        if before != arguments:
            if self.has_trainings and not force:
                raise FileExistsError(
                    f'--out: {self.out} was begun with '
                    f'{_differences(before, arguments)}. Give the same '
                    'arguments, another --out, or begin anew there with '
                    '--force, which deletes its trainings.')
            self._content['arguments'] = arguments
            self.begin_anew()
        self._save()

    @property
    def has_trainings(self) -> bool:
        """bool: Whether a training has begun."""
        return bool(self._content['trainings'])

    @property
    def files(self) -> dict[str, str]:
        """dict[str, str]: Name of a training -> its config."""
        return dict(self._content['files'])

    @property
    def recipe(self) -> dict:
        """dict: What was chosen for the configs, and why."""
        return dict(self._content.get('recipe', {}))

    def set_files(self, files: dict[str, str], recipe: dict) -> None:
        """Remember the configs that were written, and the recipe of them."""
        self._content.update(
            files=dict(files),
            recipe=recipe,
            hashes={path: _hash(path)
                    for path in files.values()})
        self._save()

    def begin_anew(self) -> None:
        """Delete trainings, and configs that nobody has changed since."""
        for name in self._content['trainings']:
            shutil.rmtree(self.out / name, ignore_errors=True)
        for path, known in self._content['hashes'].items():
            if _hash(path) == known:
                Path(path).unlink()
        self._content.update(trainings={}, files={}, hashes={}, recipe={})
        self._save()

    def folder(self, name: str) -> Path:
        """Work directory of a training."""
        return self.out / name

    def is_trained(self, name: str) -> bool:
        """Whether a training has ended."""
        return self._content['trainings'].get(name, False)

    def set_trained(self, name: str, ended: bool) -> None:
        """Remember that a training has begun, or ended."""
        self._content['trainings'][name] = ended
        self._save()

    def _read(self) -> dict | None:
        if not self.out.exists() or (self.out.is_dir()
                                     and not any(self.out.iterdir())):
            return None
        try:
            content = json.loads(self.path.read_text('utf-8'))
            if content['tool'] != _TOOL:
                raise KeyError(_TOOL)
        except (OSError, ValueError, KeyError, TypeError):
            raise FileExistsError(
                f'--out: {self.out} exists and was not begun by {_TOOL}, so '
                'it is left as it is, with --force too. Choose another '
                'folder.') from None
        return content

    def _save(self) -> None:
        text = json.dumps(self._content, indent=2, ensure_ascii=False) + '\n'
        write_atomically(text.encode(), self.path)


def _hash(path: str) -> str | None:
    """SHA-256 of a file; None if there is none."""
    if not Path(path).is_file():
        return None
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _differences(before: dict, now: dict) -> str:
    return ', '.join(f'{name}={before.get(name)!r}, not {now.get(name)!r}'
                     for name in sorted({
                         **before,
                         **now
                     }) if before.get(name) != now.get(name))

# Copyright (c) mmseg_semi authors.
"""What a folder of ``mmseg-semi start`` remembers between calls."""
import json
import shutil
from pathlib import Path

from ..engine.atomic import write_atomically

FILE = 'start.json'
_TOOL = 'mmseg-semi start'


class State:
    """The arguments of the first call, and the stages that have ended.

    Args:
        out (str | Path): The folder.
        arguments (dict): Name of an argument -> value (plain data).
        force (bool): Begin anew if they differ: the trainings that are
            recorded there are deleted. Defaults to False.

    Raises:
        FileExistsError: The folder holds something else, or was begun with
            other arguments and not ``force``; says which.
    """

    def __init__(self,
                 out: str | Path,
                 arguments: dict,
                 force: bool = False) -> None:
        self.out = Path(out)
        self.path = self.out / FILE
        arguments = json.loads(json.dumps(arguments))
        content = self._read()
        if content is not None and content['arguments'] != arguments:
            if not force:
                raise FileExistsError(
                    f'--out: {self.out} was begun with '
                    f'{_differences(content["arguments"], arguments)}. Give '
                    'the same arguments, another --out, or begin anew there '
                    'with --force, which deletes its trainings.')
            self._remove(content['trainings'])
            content = None
        self.restarted = force and content is None
        self._content = content or dict(
            tool=_TOOL, arguments=arguments, trainings={}, files={})
        self._save()

    @property
    def files(self) -> dict:
        """dict[str, str]: The configs that were written."""
        return dict(self._content['files'])

    def set_files(self, files: dict) -> None:
        """Remember the configs, so that they are not chosen again."""
        self._content['files'] = dict(files)
        self._save()

    def folder(self, name: str) -> Path:
        """Work directory of a training, which is remembered as ours."""
        if name not in self._content['trainings']:
            self._content['trainings'][name] = False
            self._save()
        return self.out / name

    def is_trained(self, name: str) -> bool:
        """Whether a training has ended."""
        return self._content['trainings'].get(name, False)

    def set_trained(self, name: str) -> None:
        """Remember that a training has ended."""
        self._content['trainings'][name] = True
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

    def _remove(self, trainings: dict) -> None:
        for name in trainings:
            shutil.rmtree(self.out / name, ignore_errors=True)

    def _save(self) -> None:
        text = json.dumps(self._content, indent=2, ensure_ascii=False) + '\n'
        write_atomically(text.encode(), self.path)


def _differences(before: dict, now: dict) -> str:
    return ', '.join(f'{name}={before.get(name)!r}, not {now.get(name)!r}'
                     for name in sorted({
                         **before,
                         **now
                     }) if before.get(name) != now.get(name))

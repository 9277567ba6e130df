# Copyright (c) mmseg_semi authors.
"""The two configs of a first training."""
from dataclasses import dataclass, replace
from pathlib import Path

from .config_text import config_text, twin_path, write_text
from .facts import data_facts, machine_facts
from .recipe import SUPERVISED, Recipe, choose_recipe


@dataclass(frozen=True)
class Written:
    """Configs that were written.

    Attributes:
        recipe (Recipe): What the config trains, with reasons.
        config (str): The file.
        twin (str, optional): That of the supervised twin; None if the config
            is supervised itself.
        states (dict[str, str]): File -> ``written``, ``unchanged``,
            ``replaced``.
    """
    recipe: Recipe
    config: str
    twin: str | None
    states: dict[str, str]


def write_configs(folder: str,
                  out: str,
                  seed: int = 0,
                  patience: int | None = None,
                  force: bool = False,
                  twin: str | None = None,
                  **given) -> Written:
    """Write the config of a method and of its supervised twin.

    The twin has the same labelled images, model, crop, length and seed, and
    no unlabelled images.

    Args:
        folder (str): What an import wrote.
        out (str): The file of the config.
        seed (int): Of both trainings. Defaults to 0.
        patience (int, optional): See :func:`config_text`.
        force (bool): Replace files of other content. Defaults to False.
        twin (str, optional): The file of the twin. Defaults to ``out`` with
            ``_supervised`` before its suffix.
        **given: Settings that :func:`choose_recipe` shall not choose.

    Returns:
        Written: Files and recipe.

    Raises:
        FileExistsError: There is a file of other content, and no ``force``;
            nothing is written then.
    """
    recipe = choose_recipe(data_facts(folder), machine_facts(), **given)
    texts = {Path(out): config_text(folder, recipe, seed, patience)}
    if recipe.method != SUPERVISED:
        other = Path(twin or twin_path(out))
        supervised = replace(
            recipe, method=SUPERVISED, images=(recipe.images[0], 0))
        texts[other] = config_text(folder, supervised, seed, patience)
    for path, text in texts.items():  # all or nothing
        write_text(text, path, force, dry_run=True)
    states = {
        str(path): write_text(text, path, force)
        for path, text in texts.items()
    }
    config, *others = states
    return Written(recipe, config, others[0] if others else None, states)

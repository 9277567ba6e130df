# Copyright (c) mmseg_semi authors.
"""The two configs of a first training."""
from dataclasses import dataclass, replace
from pathlib import Path

from ..datasets.paths import require_writable
from .config_text import config_text, write_text
from .facts import data_facts, machine_facts
from .pixels import Track
from .recipe import SUPERVISED, Recipe, check_settings, choose_recipe


@dataclass(frozen=True)
class Written:
    """Configs that were written.

    Attributes:
        config (str): The file of the method.
        twin (str, optional): That of the supervised twin; None if the method
            is supervised itself.
        states (dict[str, str]): File -> ``written``, ``unchanged``,
            ``replaced``.
    """
    config: str
    twin: str | None
    states: dict[str, str]


def recipe_for(folder: str,
               track: Track = lambda items, text: items,
               **given) -> Recipe:
    """The recipe for an import on this machine.

    Args:
        folder (str): What an import wrote.
        track (Track): Shows progress.
        **given: Settings that :func:`.choose_recipe` shall not choose.

    Returns:
        Recipe: With a reason for every setting.

    Raises:
        FileNotFoundError: There is no such model.
        ValueError: See :func:`.choose_recipe` and :func:`.choose_pixels`.
    """
    check_settings(**given)
    return choose_recipe(data_facts(folder, track), machine_facts(), **given)


def write_configs(folder: str,
                  recipe: Recipe,
                  config: str,
                  twin: str,
                  seed: int = 0,
                  patience: int | None = None,
                  force: bool = False) -> Written:
    """Write the config of a method and of its supervised twin.

    The twin has the same labelled images, model, crop, length and seed, and
    no unlabelled images.

    Args:
        folder (str): What an import wrote, as trainings will find it.
        recipe (Recipe): What to train.
        config (str): The file of the method.
        twin (str): The file of the twin.
        seed (int): Of both trainings. Defaults to 0.
        patience (int, optional): See :func:`.config_text`.
        force (bool): Replace files of other content. Defaults to False.

    Returns:
        Written: The files.

    Raises:
        FileExistsError: There is a file of other content, and no ``force``;
            nothing is written then.
    """
    recipes = {str(config): recipe}
    if recipe.method != SUPERVISED:
        recipes[str(twin)] = replace(
            recipe, method=SUPERVISED, images=(recipe.images[0], 0))
    texts = {
        path: config_text(folder, one, seed, patience)
        for path, one in recipes.items()
    }
    for path, text in texts.items():  # all or nothing
        require_writable(str(Path(path).parent), '--out')
        write_text(text, Path(path), force, dry_run=True)
    states = {
        path: write_text(text, Path(path), force)
        for path, text in texts.items()
    }
    files = [*recipes, None]
    return Written(files[0], files[1], states)

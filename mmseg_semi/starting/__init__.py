# Copyright (c) mmseg_semi authors.
"""From an import to trained models: recipe, config, comparison."""
from .config_text import config_text, twin_path, write_text
from .configs import Written, recipe_for, write_configs
from .facts import DataFacts, MachineFacts, data_facts, machine_facts
from .recipe import Recipe, choose_recipe, methods

__all__ = [
    'DataFacts', 'MachineFacts', 'Recipe', 'choose_recipe', 'config_text',
    'Written', 'data_facts', 'machine_facts', 'methods', 'recipe_for',
    'twin_path', 'write_configs', 'write_text'
]

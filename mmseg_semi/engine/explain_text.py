# Copyright (c) mmseg_semi authors.
"""What a config is going to train, as text."""
from .plan import plan_text


def explain_text(plan: dict) -> str:
    """The plan as a person reads it.

    Args:
        plan (dict): Of :func:`mmseg_semi.engine.explain.explain`.

    Returns:
        str: Many lines.
    """
    parts = [
        f'{plan["config"]} ({plan["framework"]}, {plan["config_hash"]})',
        plan_text(plan, plan['local_rules']), 'lists'
    ]
    for item in plan['lists']:
        known = item['count'] is not None
        facts = f'{item["count"]} images, SHA-256 {item["sha256"]}'
        parts.append(f'  {item["role"]:<10} {item["name"]}: ' +
                     (facts if known else 'not a published list'))
    if plan['held_out']:
        parts.append(f'held out  {_held_out(plan["held_out"])}')
    parts.append(f'starts from  {", ".join(plan["weights"]) or "no weights"}')
    parts.append('stages (iterations; epochs)')
    for stage in plan['stages']:
        epochs = stage['epochs']
        name = ': '.join(filter(None, (stage['term'], stage['stage'])))
        parts.append(f'  {name:<28} {stage["begin"]:>7,} to '
                     f'{stage["end"]:>7,}' +
                     (f'; {epochs[0]:g} to {epochs[1]:g}' if epochs else ''))
    parts.append(f'optimizer  {_options(plan["optimizer"])}')
    for group in plan['lr']:
        group = dict(group)
        modules = ', '.join(group.pop('modules'))
        parts.append(f'  {group.pop("parameters"):>12,} parameters: '
                     f'{_options(group)} ({modules})')
    for name, key in (('schedule', 'schedule'), ('losses', 'losses')):
        parts.append(name)
        parts += [f'  {_options(item)}' for item in plan[key]]
    parts.append('evaluation')
    parts += [f'  {k}: {v}' for k, v in plan['evaluation'].items() if v]
    return '\n'.join(parts)


def _held_out(amount: int | float) -> str:
    share = f'{amount:g}' + ' of the' * (amount < 1)
    return f'{share} labelled images, which are not trained on'


def _options(options: dict) -> str:
    return ', '.join(f'{key}={value}' for key, value in options.items())

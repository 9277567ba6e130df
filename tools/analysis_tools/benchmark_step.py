# Copyright (c) mmseg_semi authors.
"""What a method adds to the network passes it needs, in time and memory.

On the same inputs and in one process, three steps take turns:

(a) bare: the network passes that the method's step makes in this stage, in
    the same modes and on the same (already mixed) images, the heads that the
    method adds included; cross entropy of the labelled images and of the
    mixed ones with labels that are already there; the backward pass, through
    the added heads too where the method trains them; the optimizer's step;
(b) full: the method's training step, with the teacher's update;
(c) supervised: pass, cross entropy, backward and optimizer step of the
    labelled images alone.

The method's own share is ((b) - (a)) / (a), the median over the pairs of
neighbouring runs. The learning rate is 0, so that the work stays the same,
and mixing happens in every step. Reading and normalising data is not part of
a step. See docs/benchmark_step.md.
"""
import argparse
import json
import platform
from pathlib import Path

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # isort: skip
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_semi.cli.arguments import OptionsAction
from mmseg_semi.engine.plan import config_plan, training_plan
from mmseg_semi.engine.readable_errors import readable_errors
from mmseg_semi.engine.step_benchmark import (STEPS, StepBenchmark,
                                              find_stages, summarize)
from mmseg_semi.engine.step_timing import MIB, StepTimer, peak_memory, timed
from mmseg_semi.models.band_weights import settle_channels
from mmseg_semi.models.segmentors.wrapped import resolve_segmentor

BLOB = 16  # side of a patch of one class in random labels, in pixels
VISIBLE = .001  # the table leaves out phases below this part of (a)


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Time a training step and the network passes in it')
    parser.add_argument('config', help='path of the config file')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config')
    parser.add_argument(
        '--iters', type=int, default=20, help='measured steps per stage')
    parser.add_argument(
        '--device', default='cpu', help='cpu or cuda (default: cpu)')
    parser.add_argument(
        '--stage',
        nargs='+',
        help='only these stages of the training (default: all)')
    parser.add_argument(
        '--crop',
        nargs=2,
        type=int,
        metavar=('HEIGHT', 'WIDTH'),
        help='size of random inputs (default: that of the config)')
    parser.add_argument(
        '--counts',
        nargs=2,
        type=int,
        metavar=('LABELLED', 'UNLABELLED'),
        help='images per step (default: those of an iteration, which the '
        'config states in all)')
    parser.add_argument(
        '--data',
        action='store_true',
        help='take one batch of the training data instead of random inputs')
    parser.add_argument(
        '--clock',
        choices=['wall', 'cpu'],
        default='wall',
        help='on the CPU: what passes on the wall, or the processor time of '
        'this process, for a machine that others use too (default: wall)')
    parser.add_argument('--json', help='also write the result to this file')
    args = parser.parse_args(argv)
    if args.iters < 2:
        parser.error('--iters must be at least 2')
    return args


def random_batch(cfg: Config, crop=None, counts=None) -> dict:
    """A batch as the preprocessor hands it over, of random numbers.

    Args:
        cfg (Config): Gives crop, counts, branches and number of classes.
        crop, counts (Sequence[int], optional): Replace the config's.
    """
    segmentor = resolve_segmentor(cfg.model.segmentor,
                                  cfg.model.get('num_classes'))
    crop = tuple(
        crop or segmentor.get('data_preprocessor', {}).get('size')
        or cfg.model.get('data_preprocessor', {}).get('size')
        or cfg.get('crop_size') or ())
    if len(crop) != 2:
        raise ValueError('The config names no crop size: give --crop.')
    bands = settle_channels(segmentor, cfg.model.get('data_preprocessor'))
    counts = counts or cfg.train_dataloader.sampler.counts
    head = segmentor.decode_head
    head = head[-1] if isinstance(head, list) else head
    branches = ['sup'] + (
        [b for b in find_branches(cfg.train_dataloader)
         if b != 'sup'] if counts[1] else [])
    inputs, samples = {}, {}
    for branch in branches:
        labelled = branch == 'sup'
        number = counts[0 if labelled else 1]
        inputs[branch] = torch.randn(number, bands, *crop)
        samples[branch] = [
            random_sample(crop, head.num_classes, labelled)
            for _ in range(number)
        ]
    return dict(inputs=inputs, data_samples=samples)


def random_sample(crop, num_classes: int, labelled: bool) -> SegDataSample:
    """Square patches of random classes, or nothing but valid pixels."""
    if not labelled:
        return SegDataSample(
            valid_map=PixelData(data=torch.zeros(1, *crop, dtype=torch.uint8)))
    cells = [-(-side // BLOB) for side in crop]
    labels = torch.randint(num_classes, (1, *cells))
    labels = labels.repeat_interleave(BLOB, 1).repeat_interleave(BLOB, 2)
    return SegDataSample(
        gt_sem_seg=PixelData(data=labels[:, :crop[0], :crop[1]]))


def find_branches(cfg) -> list:
    """The ``branch_field`` of the first MultiBranch in a data config."""
    if isinstance(cfg, dict):
        if cfg.get('type') == 'MultiBranch':
            return list(cfg['branch_field'])
        cfg = list(cfg.values())
    if isinstance(cfg, (list, tuple)):
        for item in cfg:
            found = find_branches(item)
            if found:
                return found
    return []


def dataset_batch(cfg: Config, model, device: torch.device) -> dict:
    """The first batch of the training data, normalised."""
    loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
    return model.data_preprocessor.to(device)(next(iter(loader)), True)


def move(batch: dict, device: torch.device) -> dict:
    return {
        key: {
            branch:
            [s.to(device)
             for s in value] if isinstance(value, list) else value.to(device)
            for branch, value in part.items()
        }
        for key, part in batch.items()
    }


def run(args: argparse.Namespace) -> dict:
    """Measure every stage asked for.

    Returns:
        dict: What was measured and, per stage, what came out.
    """
    cfg = Config.fromfile(mmseg_semi.find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    MMLogger.get_instance('mmengine', log_level='ERROR')
    device = torch.device(args.device)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).to(device).train()
    model.plan_training(training_plan(config_plan(cfg)))
    if getattr(model, 'mixer', None):
        model.mixer.prob = 1.
    batch = dataset_batch(cfg, model, device) if args.data else move(
        random_batch(cfg, args.crop, args.counts), device)
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    for group in optim_wrapper.param_groups:
        group['lr'] = 0.
    timer = StepTimer(device, args.clock)
    benchmark = StepBenchmark(model, batch, optim_wrapper, timer)
    stages = find_stages(model)
    wanted = [
        name for name in stages
        if not args.stage or set(args.stage) & {name, *name.split(', ')}
    ]
    if not wanted:
        raise ValueError(f'--stage {args.stage}: this config has the stages '
                         f'{list(stages)}.')
    result = describe(args, batch, device)
    for name, iteration in stages.items():
        # Also the stages not asked for: each leaves the next its state.
        entry = timer.measure(lambda: benchmark.enter(iteration))
        if name not in wanted:
            continue
        with timed(model, timer):
            runs = benchmark.measure(args.iters)
        stage = dict(
            name=name,
            iteration=iteration,
            entry_ms=1e3 * sum(entry.values()),
            **summarize(runs),
            state_mib=state_mib(model),
            peak_mib={
                step: peak_memory(getattr(benchmark, step), device)
                for step in STEPS
            })
        result['stages'].append(stage)
        print(table(stage), flush=True)
        if name == wanted[-1]:
            break
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + '\n')
    return result


def state_mib(model) -> float:
    """MiB of parameters and buffers."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum(t.numel() * t.element_size() for t in tensors) / MIB


def describe(args, batch: dict, device: torch.device) -> dict:
    """What is measured, on what."""
    images = batch['inputs']
    return dict(
        config=args.config,
        cfg_options=args.cfg_options or {},
        device=torch.cuda.get_device_name(device)
        if device.type == 'cuda' else platform.processor() or 'cpu',
        clock='cuda events' if device.type == 'cuda' else args.clock,
        threads=torch.get_num_threads(),
        torch=torch.__version__,
        inputs={
            name: list(image.shape)
            for name, image in images.items()
        },
        iters=args.iters,
        stages=[])


def table(stage: dict) -> str:
    """One stage as text."""
    low, high = (f'{100 * share:.1f}'
                 for share in stage['own_share_quartiles'])
    lines = [
        f'\n{stage["name"]} (iteration {stage["iteration"]}; first step '
        f'{stage["entry_ms"]:.0f} ms)', f'{"":26}{"ms":>10}{"peak MiB":>12}'
    ]
    labels = ('(a) network passes', '(b) full step', '(c) supervised step')
    lines += [
        f'{label:26}{stage[f"{name}_ms"]:10.2f}{stage["peak_mib"][name]:12.1f}'
        for name, label in zip(STEPS, labels)
    ]
    lines += [
        f'own share ((b) - (a)) / (a): {100 * stage["own_share"]:.1f} % '
        f'(quartiles {low} to {high})',
        f'of it outside forward, backward and optimizer: '
        f'{100 * stage["outside_passes"]:.1f} %', '',
        f'{"phase":26}{"in (b)":>10}{"in (a)":>10}{"own share %":>13}'
    ]
    lines += [
        f'{name:26}{row["full_ms"]:10.2f}{row["bare_ms"]:10.2f}'
        f'{100 * row["own_share"]:13.1f}'
        for name, row in stage['phases'].items()
        if max(row['full_ms'], row['bare_ms']) > VISIBLE * stage['bare_ms']
    ]
    return '\n'.join(lines)


if __name__ == '__main__':
    with readable_errors(__name__):
        run(parse_args())

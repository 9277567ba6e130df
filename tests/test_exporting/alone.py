# Copyright (c) mmseg_semi authors.
"""Predict with exported models where mmseg_semi cannot be imported.

    python -S alone.py SITE_PACKAGES IMAGE CONFIG...

Weights are beside each config; what is predicted goes beside it as .npz.

Run with -S, no .pth file makes an editable install importable; what is in
SITE_PACKAGES by itself is hidden. mmcv-lite lacks the compiled operators that
`import mmseg.models` looks up, although the models here call none: names that
stand for them are all that is put in their place.
"""
import importlib.machinery
import importlib.util
import sys
import types


class Hidden:
    """Finds no module of ours."""

    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'mmseg_semi':
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)


class Operators(types.ModuleType):
    """Any operator by name; none can be called."""

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return name


def stand_in_for_operators():
    import mmcv
    if importlib.util.find_spec('mmcv._ext') is None:
        module = Operators('mmcv._ext')
        module.__spec__ = importlib.machinery.ModuleSpec('mmcv._ext', None)
        sys.modules['mmcv._ext'] = mmcv._ext = module


def predict(config, image):
    import numpy as np
    import torch
    from mmengine.config import Config
    from mmseg.apis import inference_model, init_model
    checkpoint = config.removesuffix('.py') + '.pth'
    content = torch.load(checkpoint, weights_only=True)
    model = init_model(Config.fromfile(config), checkpoint, device='cpu')
    found = inference_model(model, image)
    np.savez(
        checkpoint.removesuffix('.pth') + '.npz',
        mask=found.pred_sem_seg.data[0].numpy(),
        scores=found.seg_logits.data.numpy(),
        classes=np.array(model.dataset_meta['classes']),
        keys=np.array(sorted(content['state_dict'])))


def main(packages, image, *configs):
    sys.path.append(packages)
    sys.meta_path.insert(0, Hidden())
    try:
        import mmseg_semi  # noqa: F401
    except ModuleNotFoundError:
        pass
    else:
        raise SystemExit('mmseg_semi can be imported')
    stand_in_for_operators()
    import torch
    torch.set_num_threads(1)
    for config in configs:
        predict(config, image)
    loaded = [n for n in sys.modules if n.split('.')[0] == 'mmseg_semi']
    if loaded:
        raise SystemExit(f'loaded: {loaded}')


if __name__ == '__main__':
    main(*sys.argv[1:])

# UniMatch for any model and data: as many strong views as the data brings.
_base_ = [
    '../algorithms/fixmatch.py', '../schedules/any_model.py',
    '../any_model_runtime.py'
]
# Its two streams are one mean over all strong views.
model = dict(
    feature_dropout=0.5,
    terms=dict(
        supervised=dict(criterion=None, loss_weight=0.5),
        consistency=dict(views='strong', loss_weight=0.25),
        features=dict(
            type='PixelConsistency',
            filter='confidence',
            threshold=0.95,
            normalizer='non_padding',
            views=['unsup_teacher_dropped'],
            loss_weight=0.25)))

_base_ = './voc12_fixmatch-513.py'
# Two strong views with colours of their own.
branches = ['sup', 'unsup_teacher', 'unsup_student', 'unsup_student2']
train_pipeline = _base_.train_pipeline
train_pipeline[-1]['branch_field'] = branches
unlabeled_pipeline = _base_.unlabeled_pipeline
unlabeled_pipeline[-1]['branch_field'] = branches
unlabeled_pipeline[-1]['unsup_student2'] = _base_.strong
train_dataloader = dict(
    dataset=dict(
        labeled=dict(pipeline=train_pipeline),
        unlabeled=dict(pipeline=unlabeled_pipeline)))

_base_ = './photos.py'
# Two strong views with colours of their own.
branches = ['sup', 'unsup_teacher', 'unsup_student', 'unsup_student2']
pack_labelled = _base_.pack_labelled
pack_labelled[0]['branch_field'] = branches
pack_unlabelled = _base_.pack_unlabelled
pack_unlabelled[0]['branch_field'] = branches
pack_unlabelled[0]['unsup_student2'] = _base_.strong

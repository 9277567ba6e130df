_base_ = './photos.py'
# The weak view alone: the method makes the others.
branches = ['sup', 'unsup_teacher']
pack_labelled = _base_.pack_labelled
pack_labelled[0]['branch_field'] = branches
pack_unlabelled = _base_.pack_unlabelled
pack_unlabelled[0]['branch_field'] = branches
pack_unlabelled[0].pop('unsup_student')

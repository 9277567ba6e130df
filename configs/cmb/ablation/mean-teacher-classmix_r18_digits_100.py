_base_ = '../../mean_teacher/mean-teacher_r18_digits_100.py'
# The mean teacher with the mixing of CMB.
model = dict(mixing=dict(kind='classmix'))

_base_ = '../pcr_r101_voc_92.py'
# Table 6: half of every image is cut out instead of mixed.
model = dict(mixing=dict(kind='cutout'))

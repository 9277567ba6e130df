_base_ = './pcr_r18_digits_50.py'
# Table 6: half of every image is cut out instead of mixed.
model = dict(mixing=dict(kind='cutout'))

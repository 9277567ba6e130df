_base_ = '../brpg_r101_city_372.py'
# Table 8, last column: eta_s per class, an average within [0.7, 0.9].
model = dict(terms=dict(brpg=dict(class_threshold=(0.7, 0.9))))

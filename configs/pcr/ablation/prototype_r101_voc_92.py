_base_ = '../pcr_r101_voc_92.py'
# Table 4, 2: the prototype predictor alone. It also makes the pseudo-labels
# and predicts; the linear classifier learns nothing.
model = dict(
    label_head='pcr',
    predict_head='pcr',
    terms=dict(supervised=dict(until=0), consistency=None))

_base_ = './pcr_r18_digits_50.py'
# Table 4, 2: the prototype predictor alone. It also makes the pseudo-labels
# and predicts; the linear classifier learns nothing. The linear one trains the
# features until there are prototypes; the teacher has them one iteration
# later.
model = dict(
    burn_in=301,
    label_head='pcr',
    predict_head='pcr',
    terms=dict(supervised=dict(until=300), consistency=None))

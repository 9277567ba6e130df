_base_ = './pps-own_r101_voc-blended-cps_662.py'
# The authors published no code; theirs extends CPS', whose losses are divided
# once more by the number of GPUs. These are the learning rate and the weight
# decay that act there.
optim_wrapper = dict(optimizer=dict(lr=0.0025, weight_decay=0.0004))

_base_ = './mean_teacher.py'
# Give `head.in_channels`, and `prototypes` (a file) or `window` (iterations),
# in the config. What is not listed has the paper's value, see the docstring of
# the term.
model = dict(
    terms=dict(
        consistency=dict(filter='confidence', threshold=0.8),
        pcr=dict(type='PCR', num_prototypes=4, threshold=0.8)))

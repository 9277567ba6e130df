_base_ = './pcr_r101_voc_366.py'
# Prototypes are clustered within the training, from features of the second
# half of its supervised epoch: no extractor, no file.
model = dict(terms=dict(pcr=dict(prototypes=None)))

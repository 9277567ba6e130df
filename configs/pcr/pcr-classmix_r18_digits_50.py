_base_ = './pcr_r18_digits_50.py'
# Table 6: half of the classes of an image are pasted onto another. `extra=0`
# is ClassMix as in U2PL's code, on which PCR is built.
model = dict(mixing=dict(kind='classmix', extra=0))

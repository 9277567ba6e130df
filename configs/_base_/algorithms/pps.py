# PPS (Chen and Lian, ACM MM 2022) on CPS: two students, each learning the
# prototypes that the other gives on images mixed by CPS' three boxes. What
# turns queries into prototypes is shared, or their indices would not agree;
# so is the projector of the contrast. What is not listed has the paper's
# value, see the docstring of the term.
model = dict(
    type='CrossPseudo',
    mixing=dict(kind='cutmix_xor', prob=1.),
    shared=('decode_head.decoder_input_proj',
            'decode_head.transformer_decoder', 'decode_head.query_embed',
            'decode_head.mask_embed', 'semi_heads.pps'),
    predict_with='student1',
    terms=dict(
        supervised=dict(
            type='SupervisedLoss',
            criterion=[dict(type='cross_entropy', weight=1.)]),
        pps=dict(type='PPS', head=dict(in_channels=256))))

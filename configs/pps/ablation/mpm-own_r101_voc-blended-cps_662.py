_base_ = '../pps-own_r101_voc-blended-cps_662.py'
# Table 4, MPM: prototypes alone. Without contrast there is no projector.
model = dict(
    shared=('decode_head.decoder_input_proj',
            'decode_head.transformer_decoder', 'decode_head.query_embed',
            'decode_head.mask_embed'),
    terms=dict(pps=dict(contrast_weight=0.0, activation_weight=0.0)))

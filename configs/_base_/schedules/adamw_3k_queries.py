_base_ = './adamw_3k_digits.py'
# The transformer decoder and what reads its queries need ten times smaller
# steps than the convolutions.
slow = dict(lr_mult=0.1)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys=dict(
            transformer_decoder=slow,
            query_embed=slow,
            mask_embed=slow,
            cls_embed=slow)))

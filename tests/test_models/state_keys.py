# Copyright (c) mmseg_semi authors.
"""Names of what terms store in a checkpoint, as in version 0.1."""

STATE_KEYS = {
    'brpg/brpg_r18_digits_50': {
        '':
        '_iteration _ema_steps',
        'student.semi_heads.brpg':
        'prototypes prototype_valid projector.0.conv.weight '
        'projector.0.conv.bias projector.0.bn.weight '
        'projector.0.bn.bias projector.0.bn.running_mean '
        'projector.0.bn.running_var projector.0.bn.num_batches_tracked '
        'projector.2.conv.weight projector.2.conv.bias '
        'projector.2.bn.weight projector.2.bn.bias '
        'projector.2.bn.running_mean projector.2.bn.running_var '
        'projector.2.bn.num_batches_tracked projector.4.weight '
        'projector.4.bias',
        'terms.brpg':
        'class_confidence banks.banks.high.features '
        'banks.banks.high.confidence banks.banks.high.arrival '
        'banks.banks.high.pushes banks.banks.high.pointer '
        'banks.banks.high.count banks.banks.low.features '
        'banks.banks.low.confidence banks.banks.low.arrival '
        'banks.banks.low.pushes banks.banks.low.pointer '
        'banks.banks.low.count',
    },
    'pcr/pcr_r18_digits_50': {
        '':
        '_iteration _ema_steps',
        'student.semi_heads.pcr':
        'prototypes prototype_valid',
        'terms.pcr':
        'bank.features bank.confidence bank.arrival bank.pushes '
        'bank.pointer bank.count',
    },
    'cmb/cmb_r18_digits_50': {
        '':
        '_iteration _ema_steps',
        'student.semi_heads.cmb':
        'reduce.weight projector.weight projector.bias '
        'projector.linear.weight projector.linear.bias '
        'predictor_in.weight predictor.weight predictor.bias '
        'predictor.linear.weight predictor.linear.bias selectors.weight '
        'selectors.norm_weight selectors.norm_bias selectors.out '
        'selectors.out_bias memory_selectors.weight '
        'memory_selectors.norm_weight memory_selectors.norm_bias '
        'memory_selectors.out memory_selectors.out_bias',
        'terms.cmb':
        'bank.features bank.confidence bank.arrival bank.pushes '
        'bank.pointer bank.count',
    },
    'u2pl/u2pl_r18_digits_50': {
        '':
        '_iteration _ema_steps',
        'student.semi_heads.u2pl':
        'layers.0.weight layers.0.bias layers.1.weight layers.1.bias '
        'layers.1.running_mean layers.1.running_var '
        'layers.1.num_batches_tracked layers.4.weight layers.4.bias '
        'layers.5.weight layers.5.bias layers.5.running_mean '
        'layers.5.running_var layers.5.num_batches_tracked '
        'layers.8.weight layers.8.bias',
        'terms.u2pl':
        'queues.first.features queues.first.confidence '
        'queues.first.arrival queues.first.pushes queues.first.pointer '
        'queues.first.count queues.others.features '
        'queues.others.confidence queues.others.arrival '
        'queues.others.pushes queues.others.pointer queues.others.count',
    },
    'pps/pps_r18_digits_50': {
        '':
        '_iteration',
        'student1.semi_heads.pps':
        'reduce.weight project.weight project.bias '
        'project.linear.weight project.linear.bias',
    },
}

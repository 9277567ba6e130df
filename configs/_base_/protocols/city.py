# Cityscapes, lists of U2PL. Every other image of leftImg8bit/train is
# unlabelled.
protocol = dict(
    name='city',
    images=2975,
    lists={
        '186': 'ImageSets/Semi/city-u2pl-186.txt',
        '372': 'ImageSets/Semi/city-u2pl-372.txt',
        '744': 'ImageSets/Semi/city-u2pl-744.txt',
        '1488': 'ImageSets/Semi/city-u2pl-1488.txt'
    },
    sha256={
        '186':
        'f20f7c7dea9c3a2eccb63557def1c1936a4124e166e3d4dd88be603e6fc0f906',
        '372':
        'f13edf481be983d5f1881609f1db995bc5f8eda6789a0e6cd1532691f31ab878',
        '744':
        '7d0cfd6f5390d26ddd4f786a19c5ea875f179e581234eeaba451e1b32f76c4eb',
        '1488':
        'c6122be0439bfc0d28f856ecaa318f6e5550ba180345a5deedf580089f804f1b'
    })

# COCO with 81 classes, lists of PseudoSeg as UniMatch and BRPG publish them;
# from 925 to 3,697 labels both are equal. Every other image of train2017 is
# unlabelled.
protocol = dict(
    name='coco',
    images=118287,
    lists={
        '232': 'ImageSets/Semi/coco-unimatch-1_512.txt',
        '463': 'ImageSets/Semi/coco-unimatch-1_256.txt',
        '925': 'ImageSets/Semi/coco-brpg-1_128.txt',
        '1849': 'ImageSets/Semi/coco-brpg-1_64.txt',
        '3697': 'ImageSets/Semi/coco-brpg-1_32.txt',
        '7393': 'ImageSets/Semi/coco-brpg-1_16.txt'
    },
    sha256={
        '232':
        '7a80d0605a2a43838cb7d3c3a90aa7258d597f0556e45dd1ba504a5a5ebb3a10',
        '463':
        'd89f8cf50e276af374dd5112996d4a3a16e035c7f803ff99c513e8ee296597d2',
        '925':
        '92eb3929f14c6eab21abdeb1acc1c42635d141fb8c08c1a59dea677998e5a9d7',
        '1849':
        '67e1fa5b00095d68e9e7b811e8590c95314ff5ab96b55b11dd4b17976536e805',
        '3697':
        '3410484b2537220155eaed47112df3fa8a88fde40f9d2fea8ce03152c0099a5c',
        '7393':
        '6b25b1185d2c5f968bf9ec09f91495cedef766d29a34aad01bd36658ebc2f8c7'
    })

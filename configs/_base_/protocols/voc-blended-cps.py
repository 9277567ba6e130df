# PASCAL VOC 2012, blended lists of CPS: parts of all 10,582 images, other ones
# than U2PL's.
protocol = dict(
    name='voc-blended-cps',
    images=10582,
    pool='ImageSets/Semi/voc12-trainaug.txt',
    lists={
        '662': 'ImageSets/Semi/voc12-blended-cps-662.txt',
        '1323': 'ImageSets/Semi/voc12-blended-cps-1323.txt',
        '2646': 'ImageSets/Semi/voc12-blended-cps-2646.txt',
        '5291': 'ImageSets/Semi/voc12-blended-cps-5291.txt'
    },
    sha256={
        '662':
        'baa85754594fcd33c7f06d9ef173db9f70a0c32f826a2958668ee406db9f7c5a',
        '1323':
        'c9ca45b4e688d408cd0856e9d17bdf99a8c9bd1de09d33023e578cdb9a49f1a3',
        '2646':
        'fd0e8dca3dac524cf3b8c2b8540bc67bac1fb5df93e562faf35232e90c444295',
        '5291':
        '5338f277730143e02973ac654d6f0fb43e6758bd22769161397c42f08c818e0b'
    })

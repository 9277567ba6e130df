# PASCAL VOC 2012, blended lists of U2PL: parts of all 10,582 images, those
# with masks of SBD included.
protocol = dict(
    name='voc-blended',
    images=10582,
    pool='ImageSets/Semi/voc12-trainaug.txt',
    lists={
        '662': 'ImageSets/Semi/voc12-blended-u2pl-662.txt',
        '1323': 'ImageSets/Semi/voc12-blended-u2pl-1323.txt',
        '2646': 'ImageSets/Semi/voc12-blended-u2pl-2646.txt',
        '5291': 'ImageSets/Semi/voc12-blended-u2pl-5291.txt'
    },
    sha256={
        '662':
        'feea4692738362e449721faff842a3aa103bf984f7d6dd748eeb511a6f722fe5',
        '1323':
        '23921931a21324cfefdf4c67d4d2119d73c2c599bee9a95684ed802c2d134916',
        '2646':
        'd35f7cd4b4815e1d83809e2acd19fe536e92319823a8a83353f20e68b2f96899',
        '5291':
        'aacb97f26e9468b4eb3c6403cb39ab0c5fa0f6bd63b292f61e6ee5dfacfd5fc6'
    })

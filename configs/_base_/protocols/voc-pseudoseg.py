# PASCAL VOC 2012, lists of PseudoSeg as CPS uses them: the unlabelled images
# are the rest of the 1,464. Up to 366 labels the lists are the classic ones,
# the unlabelled images are not.
protocol = dict(
    name='voc-pseudoseg',
    images=1464,
    pool='ImageSets/Semi/voc12-classic-1464.txt',
    lists={
        '92': 'ImageSets/Semi/voc12-pseudoseg-1_16.txt',
        '183': 'ImageSets/Semi/voc12-pseudoseg-1_8.txt',
        '366': 'ImageSets/Semi/voc12-pseudoseg-1_4.txt',
        '732': 'ImageSets/Semi/voc12-pseudoseg-1_2.txt'
    },
    sha256={
        '92':
        '124b0aab2fcd1767214bf465d8fa24dd179c3abe99951a063a92d11c48663987',
        '183':
        '79b959bccf7753cd70bba8d5abdb7e9c0f16df053ce458916ae19a897149136d',
        '366':
        'f0e702c687e2ba711cb726ace02e2bb0b5571fd73bb3e2419441cd53c196416b',
        '732':
        '1c27978cdf51017454c1d23e5e93c7e509ef1bb49acd62522ea5392e632e1074'
    })

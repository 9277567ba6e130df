# PASCAL VOC 2012, classic lists: parts of the 1,464 images of the original
# training set. Every other one of all 10,582 images is unlabelled.
protocol = dict(
    name='voc',
    images=10582,
    pool='ImageSets/Semi/voc12-trainaug.txt',
    lists={
        '92': 'ImageSets/Semi/voc12-classic-92.txt',
        '183': 'ImageSets/Semi/voc12-classic-183.txt',
        '366': 'ImageSets/Semi/voc12-classic-366.txt',
        '732': 'ImageSets/Semi/voc12-classic-732.txt',
        '1464': 'ImageSets/Semi/voc12-classic-1464.txt'
    },
    sha256={
        '92':
        '124b0aab2fcd1767214bf465d8fa24dd179c3abe99951a063a92d11c48663987',
        '183':
        '79b959bccf7753cd70bba8d5abdb7e9c0f16df053ce458916ae19a897149136d',
        '366':
        'f0e702c687e2ba711cb726ace02e2bb0b5571fd73bb3e2419441cd53c196416b',
        '732':
        '8c23014f512884b9ef51e91113e69b7197de6e53c699019956d3874998a005b0',
        '1464':
        '129f1fe991729b1862115b77738c938c149c1f167baa02b4b3186aea9f0d6a84'
    })

# PASCAL VOC 2012, first permutation of CMB. Its lists are made by
# tools/dataset_converters/permutation_splits.py.
# Their hashes are not published.
protocol = dict(
    name='voc-cmb',
    images=10582,
    pool='ImageSets/Semi/voc12-trainaug.txt',
    lists={
        '212': 'ImageSets/Semi/voc12-cmb0-212.txt',
        '530': 'ImageSets/Semi/voc12-cmb0-530.txt',
        '1323': 'ImageSets/Semi/voc12-cmb0-1323.txt'
    },
    sha256=dict())

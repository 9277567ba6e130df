# Cityscapes, first permutation of CMB, applied to the sorted images. Its lists
# are made by tools/dataset_converters/permutation_splits.py.
# Their hashes are not published.
protocol = dict(
    name='city-cmb',
    images=2975,
    lists={
        '100': 'ImageSets/Semi/city-cmb0-100.txt',
        '200': 'ImageSets/Semi/city-cmb0-200.txt',
        '372': 'ImageSets/Semi/city-cmb0-372.txt',
        '500': 'ImageSets/Semi/city-cmb0-500.txt',
        '744': 'ImageSets/Semi/city-cmb0-744.txt',
        '1000': 'ImageSets/Semi/city-cmb0-1000.txt'
    },
    sha256=dict())

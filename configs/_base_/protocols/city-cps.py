# Cityscapes, lists of CPS, which UniMatch uses too. Every other image of
# leftImg8bit/train is unlabelled.
protocol = dict(
    name='city-cps',
    images=2975,
    lists={
        '186': 'ImageSets/Semi/city-cps-186.txt',
        '372': 'ImageSets/Semi/city-cps-372.txt',
        '744': 'ImageSets/Semi/city-cps-744.txt',
        '1488': 'ImageSets/Semi/city-cps-1488.txt'
    },
    sha256={
        '186':
        '1e5363dd012cdc467f638ea0ab2cd0315cc7243146c81b47e12e9bb97c50266c',
        '372':
        '6b3b52bab110157aaefa270df014ee4d3a035330c575e2386a5cc635ee01df63',
        '744':
        '6856046a4415296a575f0fa65ec9757c6c26cc1044d4e93534b01b60921e2b80',
        '1488':
        '2b3183629a3a9f1a1e9b4a8eb3296e53c957a0aa4d4f986a2b29aa9da339deef'
    })

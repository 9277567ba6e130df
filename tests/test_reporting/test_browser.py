# Copyright (c) mmseg_semi authors.
"""The page in a browser, where there is one."""
import pytest

from mmseg_semi.reporting import write_report
from .browser import CHROMIUM, Browser
from .given import GATE, images, work_dir

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason='there is no Chromium to look with')
]
# Click everything that opens until nothing is closed, links too.
OPEN = '''(() => {
  let clicks = 0;
  for (const link of document.querySelectorAll('nav a')) link.click();
  for (const box of document.querySelectorAll('details'))
    if (!box.open) { box.querySelector('summary').click(); clicks += 1; }
  return [clicks, document.querySelectorAll('details:not([open])').length];
})()'''
# What sticks out of the page and has no box of its own to scroll in.
WIDE = '''[...document.querySelectorAll('body *')].filter(
  e => !e.closest('.scroll, pre')
       && e.getBoundingClientRect().right > innerWidth + 1
).map(e => e.outerHTML.slice(0, 200))'''
BROKEN = '''[...document.images].filter(i => !i.complete || !i.naturalWidth)
.length'''


@pytest.fixture(scope='module')
def browser():
    with Browser() as opened:
        yield opened


@pytest.fixture(scope='module')
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pages')
    root, many = images(folder / 'data'), images(folder / 'many', 150, 3)
    long = 'a_long_name_of_a_run_that_was_not_made_for_a_telephone_at_all'
    runs = dict(
        pair=[
            work_dir(folder / long, root, seed=1, gate=GATE),
            work_dir(folder / 'twin', root, unlabelled=False)
        ],
        lost=[work_dir(folder / 'lost', root, reached=25, nan_from=15)],
        blind=[work_dir(folder / 'blind')],
        many=[
            work_dir(
                folder / 'classes',
                many,
                150,
                fit=False,
                scalars=[f'pseudo/class_{i}' for i in range(150)])
        ])
    for name, places in runs.items():
        write_report(places, folder / f'{name}.html')
    return folder


@pytest.mark.parametrize('width', [390, 1280])
@pytest.mark.parametrize('name', ['pair', 'lost', 'blind', 'many'])
def test_everything_opens_and_fits(browser, pages, name, width):
    path = pages / f'{name}.html'
    browser.open(path, width, dark=name == 'lost')
    for opened in (False, True):
        if opened:
            clicks, closed = browser.run(OPEN)
            assert clicks > 0 and closed == 0
        assert browser.run('document.documentElement.scrollWidth') <= width
        assert browser.run(WIDE) == []
    assert browser.run(BROKEN) == 0
    # Charts are wide enough to be read.
    chart = 'document.querySelector("svg.chart").getBoundingClientRect().width'
    assert 300 < browser.run(chart) <= width
    assert browser.complaints() == []
    assert browser.requests() == [path.resolve().as_uri()]


def test_dark_and_light(browser, pages):
    colours = set()
    for dark in (False, True):
        browser.open(pages / 'blind.html', 390, dark)
        colours.add(
            browser.run('getComputedStyle(document.body).backgroundColor'))
    assert colours == {'rgb(255, 255, 255)', 'rgb(20, 23, 27)'}

# Copyright (c) mmseg_semi authors.
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from mmseg_semi.reporting.charts import (Line, heat_map, line_chart, run_style,
                                         thinned)


def line(values, name='one'):
    return Line(name, 'c0', np.arange(1, len(values) + 1), np.array(values))


def places(svg):
    """Points of the first line that is connected."""
    group = svg.split('<g ')[1]
    path = re.search(r'd="M([^"]*)"', group)[1]
    return np.array([p.split() for p in path.split('L')], float)


def test_points_are_where_they_belong():
    svg = line_chart('loss', [line([0., 10., 5.])], span=(0., 10.))
    ElementTree.fromstring(svg)
    x, y = places(svg).T
    assert np.diff(x) == pytest.approx([x[1] - x[0]] * 2, abs=.11)
    assert y[1] < y[2] < y[0]  # down is low
    assert y[2] == pytest.approx((y[0] + y[1]) / 2, abs=.11)


def test_values_that_are_not_finite_leave_a_gap_and_a_mark():
    svg = line_chart('loss', [line([3., 2., np.nan, np.inf, 1., 2.])])
    assert svg.count('class="bad"') == 2
    assert len(places(svg)) == 2
    nothing = line_chart('loss', [line([np.nan] * 3)])
    ElementTree.fromstring(nothing)
    assert nothing.count('class="bad"') == 3


def test_a_lone_point_and_a_constant_are_drawn():
    assert '<circle' in line_chart('mIoU', [line([40.])])
    y = places(line_chart('lr', [line([.01] * 4)]))[:, 1]
    assert np.ptp(y) == 0 and 10 < y[0] < 176


def test_many_decades_are_logarithmic():
    y = places(line_chart('loss', [line([1., 10., 100.])], log=True))[:, 1]
    assert np.diff(y)[0] == pytest.approx(np.diff(y)[1], abs=.11)
    for values, log in (([0., 10., 100.], True), ([1., 10., 100.], False)):
        y = places(line_chart('loss', [line(values)], log=log))[:, 1]
        assert abs(np.diff(y)[1]) > 5 * abs(np.diff(y)[0])


def test_long_lines_become_means():
    short = thinned(line(np.arange(1000.)), 10)
    assert len(short.x) == 10 and short.x[-1] == 1000
    assert short.y[0] == pytest.approx(np.arange(100).mean())
    values = np.where(np.arange(1000) < 500, 1., np.nan)
    assert np.isnan(thinned(line(values), 10).y).sum() == 5
    same = line([1., 2.])
    assert thinned(same, 10) is same


def test_names_are_escaped():
    svg = line_chart('<i>', [line([1., 2.], name='<script>')])
    assert '<script>' not in svg and '&lt;script&gt;' in svg
    assert '<script>' not in heat_map('x', ['<script>'], np.ones((1, 1)))


def test_runs_have_their_own_styles():
    assert run_style(0) == 'c0' and run_style(8) == 'c0 d1'
    assert len({run_style(i) for i in range(24)}) == 24


def test_a_heat_map_has_a_number_where_there_is_one_to_see():
    shares = np.array([[.9, .1], [np.nan, np.nan]])
    svg = heat_map('confusion', ['a', 'b' * 40], shares)
    ElementTree.fromstring(svg)
    assert svg.count('<rect') == 2
    assert '>90<' in svg and 'a taken for bbb' in svg
    assert f'>{"b" * 40}<' not in svg  # shortened beside the cells

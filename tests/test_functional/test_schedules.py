# Copyright (c) mmseg_semi authors.
import math

import pytest

from mmseg_semi.functional import (confidence_schedule, cosine_ema_momentum,
                                   ema_momentum, iters_per_epoch, keep_percent,
                                   sampling_window, warm_up)


def test_ema_momentum():
    # Acceptance check 9: 0, 1/2, 2/3, ..., 0.99 from k = 99 on.
    assert ema_momentum(0, 0.99) == 0
    assert ema_momentum(1, 0.99) == 0.5
    assert ema_momentum(2, 0.99) == pytest.approx(2 / 3)
    assert ema_momentum(98, 0.99) == pytest.approx(98 / 99)
    assert ema_momentum(98, 0.99) < 0.99
    assert ema_momentum(99, 0.99) == ema_momentum(10**6, 0.99) == 0.99


def test_keep_percent_per_iteration():
    assert keep_percent(0, 200) == 80
    assert keep_percent(50, 200) == 85
    assert keep_percent(200, 200) == keep_percent(300, 200) == 100
    assert keep_percent(100, 200, start=60) == 80


def test_keep_percent_per_epoch():
    # Official: 100 - 20 * (1 - epoch / epochs).
    values = [keep_percent(it, 200, epoch_iters=50) for it in range(200)]
    expected = [100 - 20 * (1 - epoch / 4) for epoch in range(4)]
    assert values == [value for value in expected for _ in range(50)]


def test_confidence_schedule():
    # Acceptance check 8.
    assert confidence_schedule(100, 100, 400) == 0.8
    assert confidence_schedule(250, 100, 400) == pytest.approx(0.875)
    assert confidence_schedule(400, 100, 400) == pytest.approx(0.95)
    assert confidence_schedule(999, 100, 400) == pytest.approx(0.95)


def test_confidence_schedule_with_the_official_origin():
    # Origin epoch 5, whatever the stage: specification B10-8.
    voc, city = 638, 325
    assert confidence_schedule(2 * voc, 5 * voc,
                               80 * voc) == pytest.approx(0.794)
    assert confidence_schedule(6 * city, 5 * city,
                               200 * city) == pytest.approx(
                                   0.8008, abs=5e-5)


def test_confidence_schedule_needs_room():
    with pytest.raises(ValueError, match='begin=400'):
        confidence_schedule(400, 400, 400)


@pytest.mark.parametrize('number,world_size,batch,expected',
                         [(10490, 4, 4, 655), (10216, 4, 4, 638),
                          (5291, 4, 4, 330), (2789, 4, 2, 349),
                          (1487, 4, 2, 186), (117362, 4, 4, 7335),
                          (2789, 8, 2, 174), (10, 1, 4, 2)])
def test_iters_per_epoch_equals_published_tables(number, world_size, batch,
                                                 expected):
    assert iters_per_epoch(number, world_size, batch) == expected


def test_sampling_window():
    assert sampling_window(1, 1, 638) == (638, 1276)
    assert sampling_window(3, 3, 325) == (975, 1950)


def test_cosine_momentum_of_cmb():
    # 0.995 -> 1, capped by 1 - 1 / (10 t + 1).
    values = [cosine_ema_momentum(k, k, 1000, .995) for k in range(1001)]
    for k, value in enumerate(values):
        rising = 1 - .005 * (1 + math.cos(math.pi * k / 1000)) / 2
        assert value == pytest.approx(min(rising, 1 - 1 / (10 * k + 1)))
    assert values[0] == 0 and values[1] == 1 - 1 / 11
    assert values[100] > .995 and values[1000] == pytest.approx(1 - 1e-4)
    # A quarter of the updates: the cosine still ends at 1.
    assert cosine_ema_momentum(250, 1000, 1000, .995) == 1 - 1 / 2501
    assert cosine_ema_momentum(250, 500, 1000, .995) == pytest.approx(.9975)


def test_warm_up():
    assert warm_up(0, 2000) == pytest.approx(math.exp(-5))
    assert warm_up(1000, 2000) == pytest.approx(math.exp(-1.25))
    assert warm_up(2000, 2000) == warm_up(10**6, 2000) == 1
    assert warm_up(1999, 2000, 'hard') == 0 and warm_up(2000, 2000,
                                                        'hard') == 1
    with pytest.raises(ValueError, match='length=0'):
        warm_up(0, 0)
    with pytest.raises(ValueError, match='soft'):
        warm_up(0, 1, 'soft')

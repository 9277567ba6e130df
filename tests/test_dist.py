# Copyright (c) mmseg_semi authors.
import os

import pytest
import torch

from mmseg_semi import dist


def test_single_process_is_identity():
    values = torch.arange(6.).view(3, 2).requires_grad_()
    assert (dist.world_size(), dist.rank()) == (1, 0)
    for function in (dist.all_sum, dist.gather_rows, dist.broadcast_from_main):
        result = function(values)
        assert torch.equal(result, values)
        assert not result.requires_grad
        result.add_(1)  # a copy: the input must not change
        assert values[0, 0] == 0


def _collectives(rank):
    row = torch.tensor([[1., 2.]]) * (rank + 1)
    return dict(
        size=dist.world_size(),
        rank=dist.rank(),
        total=dist.all_sum(row),
        row=row,
        main=dist.broadcast_from_main(row))


@pytest.mark.dist
def test_two_processes(gloo_pool):
    results = gloo_pool(_collectives)
    for rank, result in enumerate(results):
        assert (result['size'], result['rank']) == (2, rank)
        assert result['total'].tolist() == [[3., 6.]]
        assert result['main'].tolist() == [[1., 2.]]
        assert result['row'].tolist() == [[rank + 1., 2. * rank + 2]]


def _called(rank, fails):
    try:
        return dist.call_on_main(_work, fails), rank
    except ValueError as error:
        return str(error), rank


def _work(fails):
    if fails:
        raise ValueError(f'rank {dist.rank()} failed')
    return f'rank {dist.rank()} worked'


@pytest.mark.dist
@pytest.mark.parametrize('fails,text', [(False, 'rank 0 worked'),
                                        (True, 'rank 0 failed')])
def test_what_only_the_main_process_does(gloo_pool, fails, text):
    assert gloo_pool(_called, fails) == [(text, 0), (text, 1)]
    assert _called(0, fails) == (text, 0)


def _gather(rank, sizes, dtype, equal):
    offset = sum(sizes[:rank])
    rows = torch.arange(offset, offset + sizes[rank])[:, None].repeat(1, 2)
    return dist.gather_rows(
        (rows % 2 if dtype == torch.bool else rows).to(dtype), equal)


@pytest.mark.dist
@pytest.mark.parametrize('sizes,equal', [
    ((3, 3), True),
    ((3, 3), False),
    ((1, 4), False),
    ((0, 2), False),
    ((2, 0), False),
    ((0, 0), False),
])
@pytest.mark.parametrize('dtype', [torch.float32, torch.long, torch.bool])
def test_gather_rows(gloo_pool, sizes, equal, dtype):
    expected = torch.arange(sum(sizes))[:, None].repeat(1, 2)
    expected = expected % 2 if dtype == torch.bool else expected
    for result in gloo_pool(_gather, sizes, dtype, equal):
        assert result.dtype == dtype
        assert torch.equal(result, expected.to(dtype))


@pytest.mark.dist
def test_pool_reports_failures_and_recovers(gloo_pool):
    pool = type(gloo_pool)()  # the shared one need not restart
    # Functions of the standard library, called as function(rank, *args).
    with pytest.raises(pytest.fail.Exception, match='ZeroDivisionError'):
        pool(divmod, 0)
    with pytest.raises(pytest.fail.Exception, match='died with exit code'):
        pool(os._exit)
    assert pool(max, 5) == [5, 5]
    pool.close()
    assert not pool.processes

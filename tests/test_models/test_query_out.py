# Copyright (c) mmseg_semi authors.
import math

import pytest
import torch

from mmseg_semi.models.step import Out, QueryOut

B, Q, C, D = 3, 6, 2, 4


def queries(layers=2, h=5, w=3, grad=False):
    gen = torch.Generator().manual_seed(0)
    pixels = torch.randn(B, D, h, w, generator=gen).requires_grad_(grad)
    return QueryOut(
        [torch.randn(B, Q, C + 1, generator=gen) for _ in range(layers)],
        [torch.randn(B, Q, D, generator=gen) for _ in range(layers)], pixels)


def out(queries):
    return Out(
        logits=torch.zeros(B, C, 5, 3),
        features={},
        aux=[],
        align_corners=False,
        queries=queries)


@pytest.mark.parametrize('layer', [-1, 0, 1])
def test_masks_are_products_of_embeddings(layer):
    given = queries()
    masks = given.mask_logits(layer)
    for b in range(B):
        for q in range(Q):
            for y in range(5):
                for x in range(3):
                    wanted = given.mask_embed[layer][b, q].dot(
                        given.pixel_embed[b, :, y, x])
                    torch.testing.assert_close(masks[b, q, y, x], wanted)
    assert given.mask_logits(layer % 2) is masks


def test_masks_are_full_precision_and_keep_their_graph():
    given = queries(grad=True)
    with torch.autocast('cpu', torch.bfloat16), torch.no_grad():
        masks = given.mask_logits()
    assert masks.dtype == torch.float32 and masks.requires_grad


def test_split_gives_every_view_its_share():
    given = queries()
    whole = given.mask_logits()
    parts = given.split([1, 2])
    assert [len(part.pixel_embed) for part in parts] == [1, 2]
    assert torch.equal(torch.cat([p.mask_logits() for p in parts]), whole)
    for layer in range(2):
        assert torch.equal(
            torch.cat([p.mask_logits(layer) for p in parts]),
            given.mask_logits(layer))
        assert torch.equal(
            torch.cat([p.class_logits[layer] for p in parts]),
            given.class_logits[layer])


@pytest.mark.parametrize('height, width', [(5, 3), (20, 12), (17, 9), (33, 7)])
def test_prototype_map_keeps_the_grid(height, width):
    given = queries()
    best = given.mask_logits().argmax(1)
    large = out(given).prototype_map((height, width))
    assert large.shape == (B, height, width) and large.dtype == torch.long
    rows = [math.ceil(i * height / 5) for i in range(5)]
    cols = [math.ceil(i * width / 3) for i in range(3)]
    assert torch.equal(large[:, rows][:, :, cols], best)


def test_a_dense_head_has_no_prototypes():
    with pytest.raises(TypeError, match='head with queries'):
        out(None).prototype_map((8, 8))

"""Answers kept for equal queries."""

from __future__ import annotations

import numpy as np

from engine._prototxt import Variable
from engine._query import Fetched, Query, Tensor
from engine._request_cache import RequestCache, key_of

PRICE = Variable("price", "price", 1, (1,), False)


def query(value: float, log_id: int = 0, name: str = "x") -> Query:
    return Query((Tensor(name, np.full((1, 13), value, "float32"), ()),), (), False, log_id)


def fetched(value: float) -> list[Fetched]:
    return [Fetched(PRICE, np.full((1, 1), value, "float32"), ())]


def test_only_queries_that_get_the_same_answer_have_the_same_key() -> None:
    assert key_of(query(1.0, log_id=1)) == key_of(query(1.0, log_id=2))
    assert key_of(query(1.0)) != key_of(query(2.0))
    assert key_of(query(1.0)) != key_of(query(1.0, name="y"))
    other = Query((Tensor("x", np.full((13, 1), 1.0, "float32"), ()),), (), False, 0)
    assert key_of(query(1.0)) != key_of(other)


def test_the_answer_used_last_stays_longest() -> None:
    cache = RequestCache(3500)
    for value in (1.0, 2.0, 3.0):
        cache.put(key_of(query(value)), fetched(value))
    assert cache.get(key_of(query(1.0))) is not None
    cache.put(key_of(query(4.0)), fetched(4.0))
    assert cache.get(key_of(query(2.0))) is None
    kept = cache.get(key_of(query(1.0)))
    assert kept is not None
    assert kept[0].array.tolist() == [[1.0]]
    assert cache.clear() == 3
    assert len(cache) == 0


def test_what_is_larger_than_the_cache_is_not_kept_and_size_0_keeps_nothing() -> None:
    cache = RequestCache(1100)
    cache.put(key_of(query(1.0)), [Fetched(PRICE, np.zeros(1000, "float32"), ())])
    assert len(cache) == 0
    assert not RequestCache(0)


def test_a_kept_answer_does_not_keep_the_batch_it_came_in() -> None:
    cache = RequestCache(10_000)
    batch = np.arange(100, dtype="float32").reshape(100, 1)
    cache.put(key_of(query(1.0)), [Fetched(PRICE, batch[3:4], ())])
    kept = cache.get(key_of(query(1.0)))
    assert kept is not None
    assert kept[0].array.base is None
    assert kept[0].array.tolist() == [[3.0]]


def test_a_lod_costs_what_it_takes() -> None:
    cache = RequestCache(100_000)
    for value in range(20):
        array = np.full((1, 13), value, "float32")
        asked = Query((Tensor("x", array, (0,) * 2000 + (1,)),), (), False, 0)
        cache.put(key_of(asked), fetched(1.0))
    # 2,000 pointers alone are 16,000 bytes.
    assert 0 < len(cache) <= 6

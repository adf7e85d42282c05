"""distinct: what numpy.unique says of the same values."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dhhcli.search.unique import distinct, distinct_with


@given(st.lists(st.integers(-5, 5), max_size=40), st.sampled_from(["i4", "i8"]))
def test_as_numpy_has_it(drawn: list[int], kind: str) -> None:
    values = np.array(drawn, kind)
    rising, first, inverse, counts = np.unique(values, return_index=True, return_inverse=True, return_counts=True)
    found = distinct_with(values)
    assert found.values.dtype == distinct(values).dtype == values.dtype
    assert distinct(values).tolist() == found.values.tolist() == rising.tolist()
    assert found.first.tolist() == first.tolist()
    assert found.inverse.tolist() == inverse.tolist()
    assert found.counts.tolist() == counts.tolist()

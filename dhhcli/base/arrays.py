"""arrays: what arrays are called that pass between modules; their shapes stand in the docstrings."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Matrix = NDArray[np.float64]  # rows and columns
Numbers = NDArray[np.floating] | NDArray[np.integer]
Ints = NDArray[np.int64]
Rows = NDArray[np.int64]  # numbers of rows
Picture = NDArray[np.uint8]  # (h, w, 3), or one channel
Pictures = NDArray[np.uint8]  # (n, h, w, 3)

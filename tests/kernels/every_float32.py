"""The error of each function at every float32 there is: ``python tests/kernels/every_float32.py``.

4,294,967,296 numbers, a quarter of an hour on two cores; ``--stride 101`` looks at one in 101. The
suite holds the functions to the same limits at 660,000 well-chosen points.
"""

import argparse

import numpy as np
from test_elementwise import ACCURACY, units_off

import minivae_kernels as kernels
from minivae_kernels import reference

AT_ONCE = 1 << 22


def worst(name: str, stride: int) -> tuple[float, np.float32]:
    """The largest error in units in the last place, and where it is."""
    found = 0.0, np.float32(0)
    for start in range(0, 1 << 32, AT_ONCE * stride):
        patterns = np.arange(start, min(start + AT_ONCE * stride, 1 << 32), stride)
        x = patterns.astype(np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            exact = getattr(reference, name)(x.astype(np.float64))
        off = units_off(getattr(kernels, name)(x), exact)
        i = int(np.argmax(off))
        found = max(found, (float(off[i]), x[i]), key=lambda pair: pair[0])
    return found


def main() -> None:
    """Print a line for each function."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stride", type=int, default=1, help="look at one number in so many")
    stride = parser.parse_args().stride
    print("function   worst   limit  at        (units in the last place)")
    for name, limit in ACCURACY.items():
        error, x = worst(name, stride)
        print(f"{name:8}{error:8.3f}{limit:8}  {x!s:10}", flush=True)


if __name__ == "__main__":
    main()

"""One whole process: import a library and take the first step of a 784-400-20 VAE."""

from __future__ import annotations

import sys

import cases

library = sys.argv[1]
if library == "minivae":
    import ours as peer
else:
    import peer_torch as peer  # type: ignore[no-redef]
peer.set_threads(2)
run, _ = peer.prepare("step")
run()
assert cases.STEPS

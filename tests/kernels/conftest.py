"""What several tests of the kernels need: a number of threads for a while."""

import pytest

import minivae_kernels as kernels


@pytest.fixture
def set_threads():
    """Set the number of threads; after the test it is what it was."""
    before = kernels.get_num_threads()
    yield kernels.set_num_threads
    kernels.set_num_threads(before)

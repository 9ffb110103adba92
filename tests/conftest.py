"""What all tests share: where the real market data lies, and a kernel cache that the tests leave warm."""

from pathlib import Path

import pytest
from hypothesis import settings

# The first example compiles the kernels; what an example costs is measured by the benchmarks, not here.
settings.register_profile("dhpe", deadline=None, print_blob=True)
settings.load_profile("dhpe")

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data; it belongs to its owners and never stands in this project."""
    folder = PROJECT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the real market data is not here: it is expected in ../shared/data beside the project")
    return folder


@pytest.fixture(scope="session")
def project() -> Path:
    """The project's top folder."""
    return PROJECT

"""Every test of this folder names the page of BigQuery's documentation that it holds to."""

import pytest

DOCUMENTATION = "https://cloud.google.com/bigquery/"


@pytest.fixture(autouse=True)
def page(request: pytest.FixtureRequest) -> str:
    """The page of a test; without one it fails."""
    mark = request.node.get_closest_marker("page")
    assert mark is not None, "a test of conformance needs @pytest.mark.page(...)"
    (address,) = mark.args
    assert address.startswith(DOCUMENTATION)
    return str(address)

"""Fixtures for unit tests that take long enough to be made once."""

from __future__ import annotations

import pytest

from tests.support.tlssite import Site


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Certificates and keys, right and wrong ones."""
    return Site(tmp_path_factory.mktemp("site"))

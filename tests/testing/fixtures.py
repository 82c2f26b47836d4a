"""pytest fixtures: import them by name into a test module."""

import pytest

from tests.testing.daemon import Daemon


@pytest.fixture(name="daemon", scope="module")
def shared_daemon():
    """One daemon for the whole module: for tests that clean up what they make."""
    instance = Daemon()
    yield instance
    instance.close()


@pytest.fixture(name="fresh_daemon")
def own_daemon():
    """A daemon for this test alone: for tests that kill it, or count what is left."""
    instance = Daemon()
    yield instance
    instance.close()

import pytest
import site_files

from tools.browser import NoBrowserError, launched


@pytest.fixture(scope="session")
def site():
    """The address of the built book, served on this machine; the book must be built from what is here now."""
    problems = site_files.differences()
    if problems:
        pytest.exit(f"the built book is not the one in book/: {'; '.join(problems)}. {site_files.STALE}", returncode=1)
    with site_files.served(site_files.HTML) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    try:
        with launched() as browser:
            yield browser
    except NoBrowserError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture
def fresh_page(browser):
    """A page of its own, with nothing in its storage."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        yield context.new_page()

import page_checks
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


@pytest.fixture(scope="session")
def shared(browser):
    """One reader's session for all pages: what they share is fetched once."""
    with browser.new_context(**page_checks.READER) as context:
        yield context


@pytest.fixture
def new_page(shared):
    """Opens pages that are closed after the test."""
    opened = []

    def new():
        opened.append(shared.new_page())
        return opened[-1]

    yield new
    for page in opened:
        page.close()


@pytest.fixture
def fresh_page(browser):
    """A page in a session of its own, with nothing in its storage."""
    with browser.new_context(**page_checks.READER) as context:
        yield context.new_page()

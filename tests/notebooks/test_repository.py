"""The repository's address is one setting: every file agrees with it, and it can be changed everywhere at once."""

import pytest

from tools.paths import ROOT
from tools.repository import check_publishable, disagreements, forms, parse, read, write


def test_every_file_names_the_repository_of_the_setting():
    assert disagreements() == []


def test_the_files_that_must_name_it_do():
    url = read().url
    for name in ("pyproject.toml", "CITATION.cff"):
        assert url in (ROOT / name).read_text(encoding="utf-8"), f"{name} does not name {url}"


FILES = {
    "_config.yml": "# kept\nrepository:\n  url: https://github.com/your_account/attention-book\n  branch: main\n",
    "README.md": (
        "[test](https://github.com/your_account/attention-book/actions/workflows/test.yml)\n"
        "[Colab](https://colab.research.google.com/github/your_account/attention-book/blob/main/book/a.ipynb)\n"
        "[Binder](https://mybinder.org/v2/gh/your_account/attention-book/main?labpath=book/a.ipynb)\n"
        "[read](https://your_account.github.io/attention-book/)\n"
        "[another's](https://github.com/karpathy/minGPT), [ours, longer](https://github.com/x/attention-book-2)\n"
    ),
    "book/a.ipynb": '"attnlib[book] @ git+https://github.com/your_account/attention-book@main"\n',
    "CITATION.cff": 'repository-code: "https://github.com/your_account/attention-book"\n',
    "pyproject.toml": '[project.urls]\nSource = "https://github.com/your_account/attention-book.git"\n',
}


@pytest.fixture
def checkout(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_the_address_is_written_everywhere(checkout):
    before = {name: (checkout / name).read_text(encoding="utf-8") for name in FILES}
    assert disagreements(checkout) == []
    changed = write(parse("https://github.com/ada/attention"), checkout)
    assert sorted(path.relative_to(checkout).as_posix() for path in changed) == sorted(FILES)
    assert read(checkout).url == "https://github.com/ada/attention"
    assert disagreements(checkout) == []
    texts = {name: (checkout / name).read_text(encoding="utf-8") for name in FILES}
    assert "your_account" not in "".join(texts.values())
    assert "https://ada.github.io/attention/" in texts["README.md"]
    assert "karpathy/minGPT" in texts["README.md"]
    assert "x/attention-book-2" in texts["README.md"]
    assert "# kept" in texts["_config.yml"]
    # And back: nothing else was touched.
    write(parse("https://github.com/your_account/attention-book"), checkout)
    assert {name: (checkout / name).read_text(encoding="utf-8") for name in FILES} == before


@pytest.mark.parametrize("name", sorted(set(FILES) - {"_config.yml"}))
def test_a_file_that_disagrees_is_named(checkout, name):
    path = checkout / name
    path.write_text(path.read_text(encoding="utf-8").replace("your_account", "someone", 1), encoding="utf-8")
    found = disagreements(checkout)
    assert len(found) == 1
    assert found[0].startswith(f"{name}:")
    assert "someone/attention-book" in found[0]


def test_every_file_disagrees_with_a_changed_setting(checkout):
    path = checkout / "_config.yml"
    path.write_text(path.read_text(encoding="utf-8").replace("your_account", "ada"), encoding="utf-8")
    found = {line.partition(":")[0] for line in disagreements(checkout)}
    assert found == set(FILES) - {"_config.yml"}


@pytest.mark.parametrize(
    "url",
    [
        "github.com/ada/attention",
        "http://github.com/ada/attention",
        "https://example.org/ada/attention",
        "https://github.com/ada",
        "https://github.com/ada/attention/tree/main",
        "https://github.com/a_da/attention",
        "https://github.com/-ada/attention",
        "https://github.com/ada/atten tion",
        "",
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match="must look like"):
        parse(url)


@pytest.mark.parametrize("ending", ["", "/", ".git"])
def test_an_address_as_copied_is_understood(ending):
    assert parse(f"https://github.com/ada/attention{ending}").url == "https://github.com/ada/attention"


def test_publishing_fails_while_the_placeholder_stands(checkout):
    with pytest.raises(ValueError, match=r"still the placeholder .* make repository URL="):
        check_publishable(checkout)
    write(parse("https://github.com/ada/attention"), checkout)
    check_publishable(checkout)
    (checkout / "README.md").write_text(FILES["README.md"], encoding="utf-8")
    with pytest.raises(ValueError, match="another repository"):
        check_publishable(checkout)


def test_the_shipped_address_is_one_that_nobody_can_own():
    # The rules of GitHub: letters, digits and single hyphens, no underscore.
    setting = read()
    assert not setting.is_placeholder or "_" in setting.owner
    assert len(set(forms(setting))) == 4

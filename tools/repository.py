"""The repository's address: one setting, written wherever it is needed.

python -m tools.repository                    say what it is, and where files disagree with it
python -m tools.repository URL                change it everywhere
python -m tools.repository --publishable      fail while it is still the placeholder
"""

import argparse
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from tools.paths import ROOT

# GitHub allows no underscore in an account's name: nobody can own this address and serve from it.
PLACEHOLDER_OWNER = "your_account"

ADDRESS = re.compile(r"https://github\.com/(?P<owner>[A-Za-z0-9][A-Za-z0-9-]{0,38})/(?P<name>[A-Za-z0-9._-]+)")
TEXT = {
    ".cff",
    ".cfg",
    ".css",
    ".html",
    ".ipynb",
    ".js",
    ".json",
    ".md",
    ".py",
    ".toml",
    ".txt",
    ".yaml",
    ".yml",
    "",
}
SKIPPED_FOLDERS = {".git", ".venv", "_build", "__pycache__", ".ipynb_checkpoints"}


@dataclass(frozen=True)
class Repository:
    owner: str
    name: str
    branch: str

    @property
    def url(self) -> str:
        return f"https://github.com/{self.owner}/{self.name}"

    @property
    def is_placeholder(self) -> bool:
        return self.owner == PLACEHOLDER_OWNER


def parse(url: str, branch: str = "main") -> Repository:
    """The owner and the name in an address; ValueError if it is not one that GitHub could serve."""
    url = url.strip().removesuffix("/").removesuffix(".git")
    found = ADDRESS.fullmatch(url)
    if found:
        return Repository(found["owner"], found["name"], branch)
    owner, _, name = url.removeprefix("https://github.com/").partition("/")
    if url.startswith("https://github.com/") and owner == PLACEHOLDER_OWNER and re.fullmatch(r"[\w.-]+", name):
        return Repository(owner, name, branch)
    raise ValueError(f"the repository's address must look like https://github.com/owner/name, got {url!r}")


def read(root: Path = ROOT) -> Repository:
    """The setting: `repository.url` and `repository.branch` in _config.yml."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    setting = config["repository"]
    return parse(setting["url"], setting.get("branch", "main"))


def text_files(root: Path = ROOT) -> list[Path]:
    """The repository's text files, new ones too; not what is built, nor tests, which make up addresses."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True
    )
    if listing.returncode == 0:
        files = [root / name for name in listing.stdout.decode("utf-8").split("\0") if name]
    else:  # an unpacked archive, without git
        files = [p for p in root.rglob("*") if not SKIPPED_FOLDERS & set(p.relative_to(root).parts)]
    return sorted(
        path for path in files if path.suffix in TEXT and path.is_file() and path.relative_to(root).parts[0] != "tests"
    )


def forms(repository: Repository) -> list[str]:
    """The ways in which a file can name the repository: a page, Binder, Colab, GitHub Pages."""
    path = f"{repository.owner}/{repository.name}"
    return [
        f"github.com/{path}",
        f"/gh/{path}",
        f"/github/{path}",
        f"{repository.owner}.github.io/{repository.name}",
    ]


def write(new: Repository, root: Path = ROOT) -> list[Path]:
    """Replace the address everywhere; the files that changed."""
    old = read(root)
    # A longer name that begins with the old one (attention-book-2) is another's.
    pattern = re.compile("|".join(rf"{re.escape(form)}(?![\w-])" for form in forms(old)))
    replacement = dict(zip(forms(old), forms(new), strict=True))
    changed = []
    for path in text_files(root):
        before = path.read_bytes().decode("utf-8")
        after = pattern.sub(lambda found: replacement[found.group()], before)
        if after != before:
            path.write_bytes(after.encode("utf-8"))
            changed.append(path)
    return changed


NAMED = r"(?P<owner>[\w-]+)/(?P<name>[\w.-]*[\w-])"
# Links that can only mean this repository, whoever they name.
LAUNCH = re.compile(
    rf"(?:mybinder\.org/(?:v2|badge)/gh/|colab\.research\.google\.com/github/|git\+https://github\.com/"
    rf"|repository-code:\s*[\"']?https://github\.com/){NAMED}"
)
LINK = re.compile(rf"github\.com/{NAMED}")
PAGES = re.compile(r"(?P<owner>[\w-]+)\.github\.io/(?P<name>[\w.-]*[\w-])")


def disagreements(root: Path = ROOT) -> list[str]:
    """Each place that names this repository by another address than the setting: `file:line: what`."""
    setting = read(root)
    ours = (setting.owner, setting.name)
    found = []
    for path in text_files(root):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            seen = [(m["owner"], m["name"].removesuffix(".git")) for m in LAUNCH.finditer(line)]
            others = [(m["owner"], m["name"].removesuffix(".git")) for p in (LINK, PAGES) for m in p.finditer(line)]
            # A link to GitHub may be to anyone's project: ours has our name or the placeholder's owner.
            seen += [named for named in others if named[1] == setting.name or named[0] == PLACEHOLDER_OWNER]
            wrong = sorted({f"{owner}/{name}" for owner, name in seen if (owner, name) != ours})
            found += [f"{path.relative_to(root).as_posix()}:{number}: names {other}" for other in wrong]
    return found


def check_publishable(root: Path = ROOT) -> None:
    """ValueError while the address is the placeholder: every launch button would be dead."""
    setting = read(root)
    if setting.is_placeholder:
        raise ValueError(
            f"the repository's address is still the placeholder {setting.url}. "
            "Set yours and commit what changes: make repository URL=https://github.com/owner/name"
        )
    if wrong := disagreements(root):
        raise ValueError("these files name another repository than _config.yml:\n  " + "\n  ".join(wrong))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.repository", description=__doc__.splitlines()[0])
    parser.add_argument("url", nargs="?", help="the new address, https://github.com/owner/name")
    parser.add_argument("--publishable", action="store_true", help="fail while the address is the placeholder")
    options = parser.parse_args(arguments)
    try:
        if options.publishable:
            check_publishable()
        elif options.url:
            changed = write(parse(options.url, read().branch))
            print(f"{read().url}: written to {len(changed)} files")
            for path in changed:
                print(f"  {path.relative_to(ROOT).as_posix()}")
        else:
            print(read().url)
        if wrong := disagreements():
            raise ValueError("these files name another repository than _config.yml:\n  " + "\n  ".join(wrong))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

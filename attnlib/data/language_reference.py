"""Sentences of the Python language reference, which every Python carries for `help("yield")` to print.

Its wording changes a little with every release, so that counts differ between Python versions. Nothing is downloaded.
"""

import re
from pydoc_data.topics import topics


def sentences(shortest=5, longest=40):
    """A list of sentences, each a tuple of its words in lower case; none comes twice.

    Grammar, indented examples and all signs but letters are left out. shortest, longest: how many words a sentence
    may have. Raises ValueError unless `1 <= shortest <= longest`.
    Source: the module `pydoc_data.topics` of the Python that runs.
    """
    if not 1 <= shortest <= longest:
        raise ValueError(f"1 <= shortest <= longest must hold: got shortest {shortest}, longest {longest}")
    found = {}  # a dictionary keeps the order: many sections stand under two topics
    for name in sorted(topics):
        for block in topics[name].split("\n\n"):
            if "::=" in block or block.startswith("   "):
                continue
            for sentence in re.split(r"(?<=[.!?:;])\s+", " ".join(block.split())):
                words = tuple(re.findall(r"[a-z]+(?:_[a-z]+)*", sentence.lower()))
                if shortest <= len(words) <= longest:
                    found[words] = None
    return list(found)

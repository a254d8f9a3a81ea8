"""Preprocessor of mdBook: adapts pages that are written for the repository to the site.

Pages outside of docs, such as ARCHITECTURE.md, get a place in the site, and so do the files of deploy and
examples, which site/build.sh copies. A link to another file that is no page of the site leads to the repository, if `output.html.git-repository-url` names it, and is plain text otherwise. The text of Mermaid diagrams is
kept for site/theme/site.js. A broken link ends the build: site/check_links.py could not see one that is plain text.
"""

import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCED = re.compile(r"(^[ ]*(`{3,}).*?^[ ]*\2[ ]*$)", re.MULTILINE | re.DOTALL)
# Code is matched so that links in it are left as they are; a link begins before the code in its text.
LINK = re.compile(r"`+[^`]+`+|(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def chapters(items):
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            yield chapter
            yield from chapters(chapter["sub_items"])


def place(source):
    """Path in the site of a page, of which `source` is the path in the repository."""
    if source.parts[0] == "docs":
        page = Path(*source.parts[1:])
        return page.with_name("index.md") if page.name == "README.md" else page
    if source.name == "README.md" and source.parent.name:
        return Path("project", source.parent.name + ".md")
    return Path("project", source.name.lower())


def copied(file):
    """Path in the site of a file that is no page: pictures and the like of docs, the manifests of deploy, and the examples."""
    if file.parts[0] == "docs":
        return Path(*file.parts[1:])
    return file if file.parts[0] in ("deploy", "examples") and (ROOT / file).is_file() else None


def link(match, source, places, repository):
    is_image, text, target = match.groups()
    if target is None or re.match(r"[a-z]+:|#", target):
        return match[0]
    path, _, anchor = target.partition("#")
    file = Path(os.path.relpath(ROOT / source.parent / path, ROOT))
    if not (ROOT / file).exists():
        sys.exit(f"{source}: broken link to {target}")
    anchor = f"#{anchor}" if anchor else ""
    in_site = places.get(file) or copied(file)
    if in_site:
        return f"{is_image}[{text}]({os.path.relpath(in_site, places[source].parent)}{anchor})"
    return f"[{text}]({repository}/blob/main/{file}{anchor})" if repository else text


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    context, book = json.load(sys.stdin)
    repository = context["config"]["output"]["html"].get("git-repository-url")
    pages = list(chapters(book.get("items") or book["sections"]))
    sources = {id(page): Path(os.path.relpath(ROOT / "docs" / page["source_path"], ROOT)) for page in pages}
    places = {source: place(source) for source in sources.values()}
    for page in pages:
        source = sources[id(page)]
        pieces = FENCED.split(page["content"])
        # Of three pieces one is a text, one a code block, and one the mark of the block.
        for index in range(0, len(pieces), 3):
            pieces[index] = LINK.sub(lambda match: link(match, source, places, repository), pieces[index])
        page["content"] = "".join(piece for index, piece in enumerate(pieces) if index % 3 != 2)
        page["path"] = str(places[source])
    json.dump(book, sys.stdout)


main()

"""Checks the links and anchors of the built site, and that every page of docs is in it: python3 site/check_links.py target/site"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent


class Page(HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.ids, self.targets = set(), []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.update(attributes[name] for name in ("id", "name") if attributes.get(name))
        self.targets += [attributes[name] for name in ("href", "src") if attributes.get(name)]


def problems(site):
    # 404.html has absolute links, since its address is that of any page.
    files = [path for path in site.rglob("*.html") if path.name not in ("404.html", "toc.html")]
    pages = {path: Page(path) for path in files}
    for path, page in pages.items():
        for target in page.targets:
            url = urlsplit(target)
            if url.scheme or url.netloc:
                continue
            file = (path.parent / unquote(url.path)).resolve() if url.path else path
            if not file.is_file():
                yield f"{path.relative_to(site)}: no file {target}"
            elif url.fragment and file in pages and unquote(url.fragment) not in pages[file].ids:
                yield f"{path.relative_to(site)}: no anchor {target}"
    for source in (ROOT / "docs").rglob("*.md"):
        name = source.relative_to(ROOT / "docs").with_suffix(".html")
        name = name.with_name("index.html") if name.name == "README.html" else name
        if name.name != "SUMMARY.html" and not (site / name).is_file():
            yield f"docs/SUMMARY.md lacks {source.relative_to(ROOT / 'docs')}"


def main():
    site = Path(sys.argv[1]).resolve()
    found = sorted(set(problems(site)))
    for problem in found:
        print(problem)
    pages = len(list(site.rglob("*.html")))
    sys.exit(f"{len(found)} broken links" if found else None if pages > 50 else f"only {pages} pages")


main()

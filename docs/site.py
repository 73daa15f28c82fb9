"""What the site needs beside the pages: a hook of mkdocs.

A page may link to a file of the checkout that is no page, such as ``../engine/README.md``. A forge
shows that file. The site has only the pages, so it shows the file's path in place of the link.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

# A link to a file above the folder of the pages.
_LINK = re.compile(r"\[([^\]]*)\]\(((?:\.\./)+[^)#\s]*)(#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return the page's text with a path in place of each link that leaves the site."""

    def shown(found: re.Match[str]) -> str:
        folder = posixpath.dirname(page.file.src_uri)
        path = posixpath.normpath(posixpath.join(folder, found[2]))
        if not path.startswith("../"):
            return found[0]
        label, path = found[1], path[len("../") :]
        return f"`{path}`" if path in label else f"{label} (`{path}`)"

    return _LINK.sub(shown, markdown)

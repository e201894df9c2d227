"""The frame of a page, which needs no other file and no network."""

from __future__ import annotations

import html
from collections.abc import Sequence

from cascade_tf import __version__
from cascade_tf.report.style import CSS, SCRIPT


def document(title: str, summary: str, sections: Sequence[str], *, css: str = "") -> str:
    """Returns a page.

    Args:
        title: heading of the page.
        summary: a sentence or two under it.
        sections: HTML.
        css: looks of the sections that are their own.
    """
    lead = f'<p class="lead">{html.escape(summary)}</p>' if summary else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{CSS}{css}</style></head><body><main>"
        f"<header><h1>{html.escape(title)}</h1>{lead}</header>{''.join(sections)}"
        f"<footer>Written by cascade_tf {html.escape(__version__)}.</footer>"
        f"</main><dialog></dialog><script>{SCRIPT}</script></body></html>\n"
    )

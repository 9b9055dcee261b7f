"""Reads a page as a browser would, as far as tests ask."""

import html.parser


class Page(html.parser.HTMLParser):
    """Collects what a page would fetch, and its text."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.tags, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.fetched += [v for n, v in attributes if n in ("src", "href") and v and not v.startswith(("#", "data:"))]

    def handle_data(self, data):
        self.text += f" {data}"

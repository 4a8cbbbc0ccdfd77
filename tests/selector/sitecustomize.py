"""Every Python that is started with this folder in its path has select(), as Windows has nothing better."""

import selectors

selectors.DefaultSelector = selectors.SelectSelector  # type: ignore[misc, assignment]

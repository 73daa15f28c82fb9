"""Two conformance suites on one frame: against any monitor command, and any serving binary.

- ``monitor/``: what is done to a monitor on each remote; cases are ``remote/scenario``
- ``serving/``: what was measured on the real server; cases are ``group/fact``
- ``selection``: which cases a run takes (``--only``)
- ``results``: what came of each case; JSON, JUnit XML, the verdict
- ``page``: the matrix of cases and columns, in Markdown
- ``html/``: the matrix as a page, with a page for each cell
- ``options``: the options and files that both have
"""

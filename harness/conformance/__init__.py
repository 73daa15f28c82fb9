"""Two conformance suites on one frame: for any monitor command, and for any serving binary.

- ``monitor/``: scenarios for monitors on each remote; cases are ``remote/scenario``
- ``serving/``: promises that every server should keep, and facts measured on the real server; cases
  are ``group/promise`` or ``group/fact``
- ``selection``: which cases a run takes (``--only``)
- ``results``: the result of each case; JSON, JUnit XML, the verdict
- ``page``: the matrix of cases and columns, in Markdown
- ``html/``: the matrix as a page, with a page for each cell
- ``options``: the options and files that both have
"""

"""The conformance suite: every scenario on every remote, black box, against any monitor command.

In: a command line of a monitor (``python -m paddle_serving_server.monitor``, ``python -m
monitor``, anybody's) and which scenarios and remotes. Out: a verdict for each pair, passed,
failed with evidence, or unknown with why.

    scenarios/   what is done to a monitor, one family a file
    places/      the remotes as the suite needs them: publish bytes, break at an exact moment
    monitors/    monitors that are known: how each is run, which failures are expected of it
    judge/       claims: pure functions of what was observed
    releases     the real releases that are published
    packing      good ones, packed as other producers do
    damage       bad releases, made from real ones
    command      the monitor's command line, from the user's
    controls     how the suite asks a running monitor for something
    settings     what the user chose
    stage        one scenario on one remote: folders, monitor, watcher; records, decides nothing
    runs         the runs of the monitor on a stage
    namespace    a mount namespace for a monitor: a small disk, a read-only one
    space        looks at the free space of its disk all the time
    watch        looks at the live directory all the time
    receiver     what a monitor tells a web hook or a program
    interposer   kills a monitor before or after its n-th change of a file
    observed     what was seen, as values
    suite        runs one pair; says which there are
    lanes        runs many at a time, each on a remote of its own
    results      what was found, against what was expected
    report       lines and the page docs/conformance.md

What both suites share lies beside: ``selection``, ``results``, ``options`` and ``page``.
"""

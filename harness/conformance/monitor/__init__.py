"""The conformance suite: every scenario on every remote, black box, against any monitor command.

In: the command line of any monitor (``python -m paddle_serving_server.monitor``, ``python -m
monitor``), scenarios and remotes. Out: a verdict for each pair of a scenario and a remote: passed,
failed with evidence, or unknown with the reason.

    cli          the command line
    scenarios/   what the suite does to a monitor, one family a file
    places/      the remotes as the suite needs them: publish bytes, break at an exact moment
    monitors/    monitors that are known: how each is run, which failures are expected of it
    judge/       claims: pure functions of what was observed
    releases     the real releases that are published
    packing      good ones, packed as other producers do
    damage       bad releases, made from real ones
    command      the monitor's command line, from the user's
    first_start  starts the command once before the suite runs
    controls     how the suite asks a running monitor for something
    settings     what the user chose
    stage        one scenario on one remote: folders, monitor, watcher; records, decides nothing
    runs         the runs of the monitor on a stage
    space        looks at the free space of the monitor's disk all the time
    watch        looks at the live directory all the time
    receiver     what a monitor tells a web hook or a program
    interposer   kills a monitor before or after its n-th change of a file
    observed     what was seen, as values
    suite        runs one pair; chooses the scenarios of a remote
    lanes        runs many pairs at a time, each on a remote of its own
    results      what was found, against what was expected
    report       lines and the page docs/conformance.md

What both suites share lies beside: ``selection``, ``results``, ``options`` and ``page``.
"""

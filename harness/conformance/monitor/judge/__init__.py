"""What judges: checks of claims about what was observed, each a pure function.

A check returns None if its claim holds, and one sentence of evidence if the claim is broken. It
returns that sentence as ``Unjudged`` if too little was observed. A scenario names its checks; the
verdict follows from them and from the waits that were not met.
"""

from ._asked import (
    each_request_was_followed,
    messages_are_right,
    never_a_bad_release,
    not_live_before_its_time,
    not_told_too_early,
    readiness_was,
    told_again,
    told_in_order,
)
from ._kills import every_kill_is_survived, some_kills
from ._live import (
    all_of_many_were_live,
    always_one_whole_release,
    each_was_live,
    ends_with,
    never_torn_by_a_bad_release,
    same_rights,
    second_never_goes_back,
    server_reloads_every_swap,
    settles_whole,
    swaps_at_most,
    time_file_moves_last,
    whole_once_installed,
)
from ._monitor import (
    both_refusals_were_met,
    disk_stays_free,
    flat,
    goes_on_with_its_pull,
    keeps_running,
    no_traceback,
    nothing_outside,
    refusal_was_met_and_said,
    secret_stays_secret,
    stopped_within_1_s,
)
from ._naming import last_line, name_of
from ._verdict import Check, Unjudged, one_claim, verdict

__all__ = [
    "Check",
    "Unjudged",
    "all_of_many_were_live",
    "always_one_whole_release",
    "both_refusals_were_met",
    "disk_stays_free",
    "each_request_was_followed",
    "each_was_live",
    "ends_with",
    "every_kill_is_survived",
    "flat",
    "goes_on_with_its_pull",
    "keeps_running",
    "last_line",
    "messages_are_right",
    "name_of",
    "never_a_bad_release",
    "never_torn_by_a_bad_release",
    "no_traceback",
    "not_live_before_its_time",
    "not_told_too_early",
    "nothing_outside",
    "one_claim",
    "readiness_was",
    "refusal_was_met_and_said",
    "same_rights",
    "second_never_goes_back",
    "secret_stays_secret",
    "server_reloads_every_swap",
    "settles_whole",
    "some_kills",
    "stopped_within_1_s",
    "swaps_at_most",
    "time_file_moves_last",
    "told_again",
    "told_in_order",
    "verdict",
    "whole_once_installed",
]

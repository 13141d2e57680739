"""What resume points take, how often they are made, and what a notice leaves time for."""

from __future__ import annotations

import math

# Bytes of a resume point per parameter: fp32 weights and two Adam moments, and the bf16 weights
# beside them.
STATE_BYTES = 14.0
# Of one rank, where nothing was measured yet: Ray and Arrow send a file in one stream, and one
# stream of S3 carries 50 to 100 MB/s.
UPLOAD_BYTES_PER_SECOND = 50e6
# Work that may be lost with a machine that goes without notice, where saving so often takes no more
# than this share of the time.
LOSS_SECONDS = 900.0
SAVING_SHARE = 0.05
# Between two such losses, where saving is dearer: an assumption for spot machines.
SECONDS_BETWEEN_LOSSES = 6 * 3600.0
# Seconds before a machine goes away that are kept for ending the process.
NOTICE_MARGIN_SECONDS = 10.0
# What AWS gives a spot machine, and what goes by until the training hears of it: the sentinel looks
# every five seconds, and so does Ray Train.
NOTICE_SECONDS, HEARD_SECONDS = 120.0, 10.0


def interval(save_seconds: float) -> float:
    """Seconds between resume points.

    Where saving is dear, Daly's first-order optimum sqrt(2 x saving x time between losses) (Daly
    2006, https://doi.org/10.1016/j.future.2004.11.016).
    """
    if save_seconds <= SAVING_SHARE * LOSS_SECONDS:
        return LOSS_SECONDS
    return max(LOSS_SECONDS, math.sqrt(2 * save_seconds * SECONDS_BETWEEN_LOSSES))


def planned_save_seconds(
    total_params: int, workers: int, bytes_per_second: float = UPLOAD_BYTES_PER_SECOND
) -> float:
    """What saving takes at a rank's rate of sending, assumed or measured."""
    return total_params * STATE_BYTES / workers / bytes_per_second


def saved_by_a_notice(save_seconds: float) -> bool:
    """Whether a training that is told of its machine's end saves itself in time."""
    return save_seconds < NOTICE_SECONDS - HEARD_SECONDS - NOTICE_MARGIN_SECONDS

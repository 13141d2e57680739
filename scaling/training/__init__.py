"""One step: from pending to its record.

    stage.py       data and weights of a study into the store, and the lock
    inputs.py      what a training draws its batches from
    loop.py        updates of one training
    curve.py       what is known of the updates, as a small table
    evaluation.py  predictions and scores of a checkpoint
    vectors.py     vectors that are ranked on the ranks that computed them
    portions.py    a scoring keeps what is done of it, and goes on from there
    resume.py      resume points in the middle of a training
    actions.py     the two actions of a step: train and score
    runner.py      skip, claim, act, commit
    watchdog.py    a step that hangs ends its process
    energy.py      what a device has used, by NVML's counter
    measure.py     a few real updates, timed in processes of their own

May import every room below: `encoders`, `data`, `kinds`, `planning`, `store`, `study`, `catalogue`.
"""

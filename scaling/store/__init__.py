"""What is remembered: files on any storage, and what they mean.

    store.py         files below one root, and their layout
    paths.py         names of a step's files
    records.py       what a finished step writes; one tidy row
    curves.py        curves of trainings, beside their records
    failures.py      why tries ended
    history.py       trainings that had to be made again
    registration.py  what a study asked before it had data
    pending.py       what of a plan must still run
    leases.py        who works on a step
    cache.py         files of the store on this machine, verified, once per node
    sessions.py      what worker groups cost
    logs.py          tails of workers' logs
    stop.py          a request to stop
    garbage.py       what the store can do without
    tidy.py          records to rows.parquet

May import `catalogue` and `study`.
"""

"""What is remembered: files on any storage, and what they mean.

    files.py         what the store asks of a storage: a folder, a bucket
    local_files.py   files in a folder, or on a disk that machines share
    buckets.py       which bucket a URI names; clients and credentials
    object_files.py  files in a bucket: created once, replaced by tag
    object_errors.py what a bucket's server says, as errors
    multipart.py     uploads to a bucket that were never ended
    place.py         files of one store, named in errors; JSON with digests
    study_files.py   whose store it is, in which layout; what staging resolved
    store.py         the layout: all steps at a look, one step's record and files
    paths.py         names of a step's files
    layout_one.py    where they lay before; still read
    index.py         a cache of records and sessions
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

"""Text to batches: raw formats, normalised rows, token features, batches.

    schema.py         the rows of each kind; BadData
    hub.py            files of a hub repository at a commit
    readers/          one file a raw format
    checks.py         what must hold together in the rows of a task
    holdout.py        dev and train from the same files
    rows.py           rows of a study's tasks into the store, checked and hashed
    manifest.py       what staging counted
    ranges.py         the start and the end of a file of the hub, without the rest
    listed.py         the files of a source: of the hub, its cache, or a folder
    layout.py         what the sources of a study look like, before a download
    transliterate.py  text to text by a table
    tokens.py         rows to token features, cached
    features.py       token features in memory
    order.py          the order in which a training sees its examples
    batching.py       batches cut into passes

May import `spec`, `catalogue`, `study`, `store` and `kinds`.
"""

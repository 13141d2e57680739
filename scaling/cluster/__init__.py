"""Ray's part: a study as one Tune run of worker groups, and jobs on a cluster.

    driver.py       a plan to its end: sessions, budget, failures
    here.py         the same without Ray, in one process
    search.py       the ready queue as a Tune search algorithm
    session.py      a Ray Train worker group and its worker
    nodes.py        nodes and devices of the running cluster
    signals.py      Ctrl-C and its kin
    access.py       tokens, open clusters, where a token goes
    ray_private.py  every call of Ray's that is not public
    check.py        can this cluster run this study?
    upload.py       what a cluster is sent: a checkout or what is installed
    submit.py       a study for Ray's job server

May import `catalogue`, `study`, `store`, `planning`, `encoders` and `training`. The only room that
imports ray.
"""

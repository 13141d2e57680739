"""What it takes: memory, placements, hours, dollars, and which step runs next.

    devices.py      the devices that are there, and whether they are those planned for
    memory.py       bytes on a device, part by part
    moments.py      what each moment of an update has of them, by ZeRO stage
    speed.py        FLOPs to seconds
    fitting.py      layouts of a training over devices: what they cost, and whether they fit
    placement.py    which of them a step gets
    calibration.py  what was measured on this kind of device
    saving.py       resume points, and what a notice leaves time for
    queue.py        which step runs next
    backfill.py     gangs on nodes, with a reservation
    simulate.py     the queue on a simulated clock
    eta.py          the time that a run has left
    forecast.py     hours, dollars, makespan of a study
    progress.py     how far a study is, and why a step is pending
    rates.py        learning rates compared on English dev data

May import `spec`, `catalogue`, `study` and `store`. No torch, no ray.
"""

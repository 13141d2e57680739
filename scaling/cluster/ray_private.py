"""Devices that nobody uses and nobody gives back: Ray keeps a placement group while its job lives,
not its creator.

Ray Train has a cleaner for that, which asks the dashboard's state API. A Ray without a dashboard,
or several on one machine, give it no answer, and every later gang would wait for devices that a
dead controller holds.
"""

from __future__ import annotations


def free_orphans() -> int:
    """Remove the placement groups of this job whose creating actor died; how many."""
    import ray
    from ray._private.state import state
    from ray.core.generated.gcs_pb2 import PlacementGroupTableData  # type: ignore[attr-defined]
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    job = ray.get_runtime_context().get_job_id()
    removed = 0
    for raw in state._connect_and_get_accessor().get_placement_group_table():
        group = PlacementGroupTableData.FromString(raw)
        gone = group.state == PlacementGroupTableData.PlacementGroupState.REMOVED
        # What the driver made has no creating actor, which Ray counts as a dead one: Tune's own
        # groups.
        by_driver = group.creator_actor_id in (b"", ray.ActorID.nil().binary())
        if (
            group.creator_actor_dead
            and not by_driver
            and not gone
            and group.creator_job_id.hex() == job
        ):
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
            removed += 1
    return removed

"""Distinct types for the ids of the records.

Names are chosen by people and may be used again after a deletion; uids and ids are made by the `Ids` port and never
reused (S8).
"""

from typing import NewType

ClusterUid = NewType("ClusterUid", str)
VolumeUid = NewType("VolumeUid", str)
VolumeName = NewType("VolumeName", str)
ReplicaId = NewType("ReplicaId", str)
NodeName = NewType("NodeName", str)
DiskUid = NewType("DiskUid", str)
LayerId = NewType("LayerId", str)
TaskId = NewType("TaskId", str)
Holder = NewType("Holder", str)

Epoch = NewType("Epoch", int)
"""Grows with each session, fence, settle or copy of a volume: the fencing token. Its high 32 bits are the era."""
Attempt = NewType("Attempt", int)
"""A replica's own number: grows whenever it leaves the in-sync set or its resync breaks."""
Membership = NewType("Membership", int)
"""m: grows with every change of a volume's in-sync set."""

"""What the file of alerts says of the streams to read: one model for each kind of source, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from voevent.sources.antares import ANTARES
from voevent.sources.babamul import Babamul
from voevent.sources.fink import Fink
from voevent.sources.gcn import GCN
from voevent.sources.hopskotch import Hopskotch
from voevent.sources.igwn import IGWN
from voevent.sources.kafka import Kafka
from voevent.sources.lasair import Lasair
from voevent.sources.rubin import Rubin
from voevent.sources.snews import SNEWS
from voevent.sources.tns import TNS
from voevent.sources.ztf import ZTF

KafkaSource = GCN | Hopskotch | IGWN | SNEWS | ZTF | Rubin | Fink | Lasair | ANTARES | Babamul | Kafka

SourceSettings = Annotated[KafkaSource | TNS, Field(discriminator="kind")]
"""One source."""

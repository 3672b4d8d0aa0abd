"""The devices of one microscope that a plan needs, together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ophyd import Device

from stedopt_bluesky.acquisition import Region, Spine
from stedopt_bluesky.devices.decision import Decision
from stedopt_bluesky.devices.detection import Detection, Pinhole, Rescue
from stedopt_bluesky.devices.label import ImageLabel
from stedopt_bluesky.devices.laser import Laser
from stedopt_bluesky.devices.microscope import Light, Microscope
from stedopt_bluesky.devices.overview import Overview
from stedopt_bluesky.devices.rating import Rating
from stedopt_bluesky.devices.replayed import ReplayedImage
from stedopt_bluesky.devices.scanner import Scanner
from stedopt_bluesky.devices.setting import Setting
from stedopt_bluesky.devices.stage import Stage
from stedopt_bluesky.devices.uncaging_spot import UncagingSpot


@dataclass(frozen=True)
class Station:
    """Everything that a plan moves, triggers and reads.

    Parameters
    ----------
    lights : tuple of Light
        Powers of the STED image, channel by channel.
    detections : tuple of Detection
        How each channel detects.
    pinhole : Pinhole
        Of all channels.
    rescues : tuple of Rescue
        Light that is saved where nothing is, channel by channel.
    scanner : Scanner
        Field and speed.
    stage : Stage
        From one field to the next, and the focus.
    microscope : Microscope
        Images a region.
    overview : Overview
        Images the field.
    decision : Decision
        Where somebody chooses.
    label : ImageLabel
        Which decision the image in progress belongs to.
    rating : Rating
        Where somebody rates.
    spot : UncagingSpot, optional
        Where and how strongly a spine is uncaged; the microscope is then one that does.
    replayed : ReplayedImage, optional
        Which recorded images the microscope has answered with.
    """

    lights: tuple[Light, ...]
    detections: tuple[Detection, ...]
    pinhole: Pinhole
    rescues: tuple[Rescue, ...]
    scanner: Scanner
    stage: Stage
    microscope: Microscope
    overview: Overview
    decision: Decision
    label: ImageLabel
    rating: Rating
    spot: UncagingSpot | None = None
    replayed: ReplayedImage | None = None

    @property
    def excitation(self) -> Laser:
        """Excitation laser of the first channel."""
        return self.lights[0].excitation

    @property
    def depletion(self) -> Laser:
        """Depletion laser of the first channel."""
        return self.lights[0].depletion

    @property
    def lasers(self) -> tuple[Laser, ...]:
        """Lasers of all channels, each once."""
        lasers = [laser for light in self.lights for laser in (light.excitation, light.depletion)]
        return tuple(dict.fromkeys(lasers))

    @property
    def settings(self) -> Mapping[str, Setting]:
        """What can be optimised, by the parameter's name."""
        settings: list[Setting] = [
            *(laser.power for laser in self.lasers),
            self.scanner.dwelltime_us,
            self.scanner.line_steps,
            self.scanner.frames,
            self.scanner.pixel_size_nm,
            self.scanner.size_um,
            *(setting for detection in self.detections for setting in detection.settings),
            self.pinhole.pinhole_um,
            *(setting for rescue in self.rescues for setting in rescue.settings),
            self.stage.focus_um,
        ]
        if self.spot is not None:
            settings += [self.spot.power, self.spot.distance_um]
        return {setting.name: setting for setting in settings}

    def place(self, region: Region) -> list[tuple[Setting, float]]:
        """What a region's place means for each device: settings and their values.

        Raises
        ------
        ValueError
            When spines are uncaged and the region is none.
        """
        moves: list[tuple[Setting, float]] = [
            (self.scanner.x_um, region.x_um),
            (self.scanner.y_um, region.y_um),
            (self.stage.stage_x_um, region.stage_x_um),
            (self.stage.stage_y_um, region.stage_y_um),
        ]
        if self.spot is not None:
            if not isinstance(region, Spine):
                raise ValueError(
                    f"region at ({region.x_um:g}, {region.y_um:g}) µm: only spines are uncaged"
                )
            moves += self.spot.place(region)
        return moves

    @property
    def read(self) -> tuple[Device, ...]:
        """What is read into the Event of an image, but for its rating."""
        devices = (
            self.label,
            *self.lasers,
            self.scanner,
            self.stage,
            *self.detections,
            self.pinhole,
            *self.rescues,
            self.microscope,
        )
        further = (device for device in (self.spot, self.replayed) if device is not None)
        return (*devices, *further)
